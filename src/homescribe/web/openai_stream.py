"""A transcript as OpenAI's server-sent events, for requests with `stream=true`.

    transcript.text.delta     the text of a segment
    transcript.text.segment   the same with its speaker, for diarized_json
    transcript.text.done      the whole text
    error                     why there is no transcript

https://platform.openai.com/docs/api-reference/audio/transcript-text-delta-event. Segments are sent as the
engine decodes their windows. Where speakers are told apart, and with an engine of another package that cannot
report segments, they are sent when the transcript is complete. Until then comments keep the connection open.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from homescribe.core import Segment, Transcript
from homescribe.errors import Cancelled, HomescribeError
from homescribe.text.log_lines import print_traceback
from homescribe.web.openai_errors import OpenAIError, openai_error, status_of

KEEPALIVE_INTERVAL = 10.0  # seconds
STREAMED = ("json", "text", "diarized_json")  # values of response_format


class EventResponse(StreamingResponse):
    """A stream of events. `resources` are released when it has ended, also if it never began."""

    def __init__(self, events: AsyncIterator[str]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self.resources = AsyncExitStack()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.resources:
            await super().__call__(scope, receive, send)


class DecodedSegments:
    """Segments that an engine reports from its thread, for the event loop in which this was made."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Sequence[Segment] | None] = asyncio.Queue()

    def add(self, segments: Sequence[Segment]) -> None:
        """Add segments, from any thread."""
        with suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(self._queue.put_nowait, segments)

    def end(self) -> None:
        """Say that no segments follow. Called in the event loop."""
        self._queue.put_nowait(None)

    async def next(self, timeout: float) -> Sequence[Segment] | None:
        """Return the next segments, None after the last; TimeoutError after `timeout` seconds."""
        return await asyncio.wait_for(self._queue.get(), timeout)


class Deltas:
    """The text of a transcript in parts, which together are `Transcript.text`."""

    def __init__(self) -> None:
        self.segments = 0  # that were added
        self._begun = False
        self._space = ""  # at the end of what was added: part of the text if something follows

    def of(self, segments: Sequence[Segment]) -> Iterator[str]:
        """Yield the parts that these segments add."""
        for segment in segments:
            self.segments += 1
            text = self._space + segment.text
            if not self._begun:
                text = text.lstrip()
            part = text.rstrip()
            self._space = text[len(part) :]
            if part:
                self._begun = True
                yield part


async def stream(
    work: Awaitable[tuple[Transcript, Sequence[Mapping[str, object]]]], decoded: DecodedSegments
) -> AsyncIterator[str]:
    """Yield the events of a transcript.

    Args:
        work: the transcript, and for diarized_json its segments with speakers.
        decoded: gets the segments while it is made.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda _: decoded.end())
    deltas = Deltas()
    try:
        while True:
            try:
                segments = await decoded.next(KEEPALIVE_INTERVAL)
            except TimeoutError:
                yield ": keep-alive\n\n"
                continue
            if segments is None:
                break
            for text in deltas.of(segments):
                yield _event("transcript.text.delta", {"delta": text})
        transcript, diarized = task.result()
    except Cancelled:
        return
    except HomescribeError as error:
        yield _error(openai_error(status_of(error), error.message, error.hint))
        return
    except Exception as error:  # noqa: BLE001 - the response has begun: a bug cannot become status 500
        print_traceback(error)
        yield _error(openai_error(500, "Internal error."))
        return
    finally:
        task.cancel()
    for segment in diarized:
        yield _event("transcript.text.segment", segment)
    if not diarized:
        for text in deltas.of(transcript.segments[deltas.segments :]):
            yield _event("transcript.text.delta", {"delta": text})
    yield _event("transcript.text.done", {"text": transcript.text})


def _event(kind: str, values: Mapping[str, object]) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **values})}\n\n"


def _error(error: OpenAIError) -> str:
    return _event("error", {"error": error})
