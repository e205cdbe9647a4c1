"""A transcript as OpenAI's server-sent events, for requests with `stream=true`.

    transcript.text.delta     the text of a segment
    transcript.text.segment   the same with its speaker, for diarized_json
    transcript.text.done      the whole text
    error                     why there is no transcript

https://platform.openai.com/docs/api-reference/audio/transcript-text-delta-event. The engine returns a
transcript when it is complete, so the first event arrives then; until then comments keep the connection open.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from homescribe.core import Transcript
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


async def stream(
    work: Awaitable[tuple[Transcript, Sequence[Mapping[str, object]]]],
) -> AsyncIterator[str]:
    """Yield the events of a transcript. Of `work`, the segments with speakers are empty without them."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=KEEPALIVE_INTERVAL))[0]:
            yield ": keep-alive\n\n"
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
        for text in deltas(transcript):
            yield _event("transcript.text.delta", {"delta": text})
    yield _event("transcript.text.done", {"text": transcript.text})


def deltas(transcript: Transcript) -> Iterator[str]:
    """Yield the texts of the segments, which together are the text of the transcript."""
    left = transcript.text
    for segment in transcript.segments:
        text = segment.text if left.startswith(segment.text) else segment.text.strip()
        if text and left.startswith(text):
            yield text
            left = left[len(text) :]
    if left:
        yield left


def _event(kind: str, values: Mapping[str, object]) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **values})}\n\n"


def _error(error: OpenAIError) -> str:
    return _event("error", {"error": error})
