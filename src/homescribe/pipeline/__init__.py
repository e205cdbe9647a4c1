"""From an address to transcripts: `add` and `sync` list, `Run` downloads and transcribes.

The calling thread alone touches the library. Long work is an iterator: `sync` of what was listed, `Run` of
Outcomes; whoever iterates shows them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event

from homescribe import plugins
from homescribe.core import Backend, Outcome, SourceOptions, TranscriptionOptions
from homescribe.errors import ItemError, PermanentError, RetryableError, UserError
from homescribe.library import ItemRecord, Library
from homescribe.pipeline.add import Listed, Sources, add, follows, sync
from homescribe.pipeline.run import Progress, Run

__all__ = ["Listed", "Progress", "Run", "Sources", "add", "follows", "sync", "transcribe"]


def transcribe(
    *urls: str | Path,
    library: Path | str,
    backend: str = "local",
    engine: str | None = None,
    model: str | None = None,
    options: TranscriptionOptions | None = None,
    sleep_interval: float | None = None,
    stop: Event | None = None,
) -> Iterator[Outcome]:
    """Transcribe everything at `urls` (channels, playlists, feeds, folders, files) into a library.

        for outcome in homescribe.transcribe("talks/", library="~/homescribe"):
            print(outcome.item.title, outcome.transcript.text if outcome.transcript else outcome.error)

    What the library holds already is not done again: its Outcome comes first, with the stored transcript,
    or with the error of what failed for good.

    Args:
        library: directory of the library, made when it is missing.
        engine: "faster-whisper" or "openai-whisper"; None for the backend's own choice.
        model: a published name, a path, or "demo"; None for the backend's own choice.
        sleep_interval: seconds between downloads from one site; None for the source's own pause.
        stop: set it, from any thread, to end soon; the next call goes on from there.

    Yields:
        One Outcome for each item, in the order in which they end.

    Raises:
        UserError: a model that cannot be loaded, a full disk; and, once all else is done, an address that
            cannot be read.
    """
    stop = stop or Event()
    with Library(Path(library).expanduser()) as opened:
        options_for_sources = SourceOptions(cache=opened.directory / "cache")
        with Sources(options_for_sources) as sources:
            keys: dict[str, None] = {}
            unread: UserError | None = None
            for url in urls:
                try:
                    for listed in add(opened, sources, str(url), stop, everything=True):
                        keys.update((item.key, None) for item in listed.items)
                except UserError as error:
                    unread = unread or error
            for key in keys:
                record = opened.item(key)
                if stored := opened.transcript(key):
                    yield Outcome(record.item, transcript=stored)
                elif record.state == "failed":
                    yield Outcome(record.item, error=_failure(record))
            chosen: Backend = plugins.load("backends", backend)()
            yield from Run(
                opened,
                sources,
                chosen,
                engine=engine,
                model=model,
                options=options,
                keys=keys.keys(),
                sleep_interval=sleep_interval,
                stop=stop,
            )
            if unread:
                raise unread


def _failure(record: ItemRecord) -> ItemError:
    """The error of an earlier run, as it was recorded."""
    kind = PermanentError if record.permanent else RetryableError
    return kind(record.error or "It failed.", record.hint or "")
