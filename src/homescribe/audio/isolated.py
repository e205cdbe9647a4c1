"""Decode in another process, where a recording that crashes the decoder ends only that one.

As the functions of the same names in this package. Where no process can be started, this one decodes.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import cast

from homescribe.audio import container, flac_file, packet_hashes, speech_copy, waveform
from homescribe.audio.decoder_process import PROCESSES, NoDecoder
from homescribe.audio.flac_file import FlacCopy
from homescribe.audio.speech_copy import SpeechCopy
from homescribe.errors import Cancelled


def probe(path: Path, track: int | None = None) -> float | None:
    """As `container.probe`."""
    try:
        seconds = PROCESSES.call("probe", {"path": str(path), "track": track}, None)
    except NoDecoder:
        return container.probe(path, track)
    return cast(float | None, seconds)


def hashes(path: Path, stop: Event, longest: float) -> list[str] | None:
    """As `packet_hashes.packet_hashes`."""
    arguments = {"path": str(path), "longest": longest}
    try:
        found = PROCESSES.call("packet_hashes", arguments, stop)
    except NoDecoder:
        return packet_hashes.packet_hashes(path, stop, longest)
    return cast(list[str] | None, found)


def write_speech_copy(
    source: Path,
    target: Path,
    stop: Event,
    *,
    duration: float | None = None,
    track: int | None = None,
    strict: bool = True,
    largest: int | None = None,
) -> SpeechCopy | None:
    """As `speech_copy.write_speech_copy`."""
    options = {"duration": duration, "track": track, "strict": strict, "largest": largest}
    try:
        arguments = {"source": str(source), "target": str(target), **options}
        copy = PROCESSES.call("speech_copy", arguments, stop)
    except NoDecoder:
        return speech_copy.write_speech_copy(
            *(source, target, stop), duration=duration, track=track, strict=strict, largest=largest
        )
    finally:  # the process may have died, or been ended
        speech_copy.draft_of(target).unlink(missing_ok=True)
    if copy is None:
        return None
    made = cast(dict[str, object], copy)
    return SpeechCopy(cast(float, made["seconds"]), tuple(cast(list[str], made["warnings"])))


def write_flac_copy(
    source: Path,
    target: Path,
    stop: Event,
    *,
    duration: float | None = None,
    track: int | None = None,
    strict: bool = True,
) -> FlacCopy:
    """As `flac_file.write_flac_copy`."""
    options = {"duration": duration, "track": track, "strict": strict}
    try:
        arguments = {"source": str(source), "target": str(target), **options}
        copy = PROCESSES.call("flac_copy", arguments, stop)
    except NoDecoder:
        return flac_file.write_flac_copy(
            source, target, stop, duration=duration, track=track, strict=strict
        )
    made = cast(dict[str, object], copy)
    return FlacCopy(cast(float, made["seconds"]), tuple(cast(list[str], made["warnings"])))


def length(path: Path, stop: Event, duration: float | None) -> tuple[float, tuple[str, ...]]:
    """Decode a recording to its end; return its seconds and warnings. Raises as `waveform.blocks`."""
    try:
        found = PROCESSES.call("length", {"path": str(path), "duration": duration}, stop)
    except NoDecoder:
        return _length(path, stop, duration)
    decoded = cast(dict[str, object], found)
    return cast(float, decoded["seconds"]), tuple(cast(list[str], decoded["warnings"]))


def _length(path: Path, stop: Event, duration: float | None) -> tuple[float, tuple[str, ...]]:
    samples = 0
    warnings: list[str] = []
    for block in waveform.blocks(path, duration=duration, warnings=warnings):
        if stop.is_set():
            raise Cancelled
        samples += len(block)
    return samples / waveform.SAMPLE_RATE, tuple(warnings)
