"""The process that decodes for another one (decoder_process.py): reads requests, writes replies."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from homescribe.audio.container import probe
from homescribe.audio.flac_file import write_flac_copy
from homescribe.audio.packet_hashes import packet_hashes
from homescribe.audio.speech_copy import write_speech_copy
from homescribe.audio.waveform import SAMPLE_RATE, blocks
from homescribe.errors import HomescribeError

NEVER = Event()  # who waits for a reply ends this process instead


def _probe(path: str, track: int | None) -> float | None:
    return probe(Path(path), track)


def _packet_hashes(path: str, longest: float) -> list[str] | None:
    return packet_hashes(Path(path), NEVER, longest)


def _speech_copy(
    source: str,
    target: str,
    duration: float | None,
    track: int | None,
    strict: bool,
    largest: int | None,
) -> dict[str, object] | None:
    copy = write_speech_copy(
        Path(source),
        Path(target),
        NEVER,
        duration=duration,
        track=track,
        strict=strict,
        largest=largest,
    )
    return None if copy is None else asdict(copy)


def _flac_copy(
    source: str, target: str, duration: float | None, track: int | None, strict: bool
) -> dict[str, object]:
    return asdict(
        write_flac_copy(
            Path(source), Path(target), NEVER, duration=duration, track=track, strict=strict
        )
    )


def _length(path: str, duration: float | None) -> dict[str, object]:
    warnings: list[str] = []
    samples = sum(len(block) for block in blocks(Path(path), duration=duration, warnings=warnings))
    return {"seconds": samples / SAMPLE_RATE, "warnings": warnings}


FUNCTIONS: dict[str, Callable[..., object]] = {
    "probe": _probe,
    "packet_hashes": _packet_hashes,
    "speech_copy": _speech_copy,
    "flac_copy": _flac_copy,
    "length": _length,
}


def _failure(error: BaseException) -> dict[str, object]:
    """Return an exception as JSON. Other values than texts, numbers and None become texts."""
    arguments: list[object] = list(error.args)
    if isinstance(error, OSError) and not isinstance(error, HomescribeError):
        arguments = [error.errno or 0, error.strerror or str(error)]
    plain = [
        each if each is None or isinstance(each, str | int | float) else str(each)
        for each in arguments
    ]
    kind = next(
        each for each in type(error).__mro__ if each.__module__ in ("builtins", "homescribe.errors")
    )
    return {
        "error": kind.__name__,
        "arguments": plain,
        "traceback": "".join(traceback.format_exception(error)),
    }


def _read(waiting: SimpleQueue[dict[str, Any]]) -> None:
    """Read requests. When the other process has ended, end at once: nobody wants the result any more."""
    for line in sys.stdin:
        waiting.put(json.loads(line))
    os._exit(0)


def main() -> None:
    """Serve requests until standard input ends."""
    import av  # noqa: F401 - so that "ready" says that it can be imported

    waiting: SimpleQueue[dict[str, Any]] = SimpleQueue()
    Thread(target=_read, args=(waiting,), daemon=True).start()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)  # what a library prints is no reply

        def send(reply: dict[str, object]) -> None:
            replies.write(json.dumps(reply) + "\n")
            replies.flush()

        send({"ready": True})
        while True:
            request = waiting.get()
            try:
                send({"result": FUNCTIONS[request["function"]](**request["arguments"])})
            except BaseException as error:  # noqa: BLE001 - the other process raises it
                send(_failure(error))


if __name__ == "__main__":
    main()
