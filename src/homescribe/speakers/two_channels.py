"""Interviews with one person on each channel: both are transcribed, and merged by time.

Each channel is transcribed by itself, so that nothing is lost where both speak at once. Crosstalk is silenced
before, so that no word is written twice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Event

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import channel_count, stereo_blocks, temporary_flac
from homescribe.audio.frame_runs import runs
from homescribe.core import (
    Audio,
    Engine,
    Segment,
    Skipped,
    Speaker,
    Transcript,
    TranscriptionOptions,
    Turn,
)
from homescribe.errors import Cancelled, PermanentError
from homescribe.speakers.assignment import sentences_of
from homescribe.speakers.channel_levels import (
    FRAMES_PER_SECOND,
    Own,
    levels,
    one_channel,
    own_speech,
)
from homescribe.speakers.diarizer import Diarization
from homescribe.speakers.turn_index import TurnIndex, marked_overlap, seconds_by_speaker

CHANNELS = ("left", "right")
MIN_SKIPPED = 1.0  # seconds; a shorter stretch without text is a pause


class NoChannels(PermanentError):
    """A recording whose channels do not tell speakers apart."""


def channel_speech(audio: Audio, track: int | None, stop: Event, warnings: list[str]) -> Own:
    """Return when the person of each channel speaks. Raises NoChannels, and as `audio.blocks`."""
    number = channel_count(audio.media, track)
    hint = "Use --speakers auto, which tells speakers apart by their voices."
    if number != 2:
        channels = "one channel" if number == 1 else f"{number} channels"
        raise NoChannels(f"The recording has {channels} instead of two.", hint)
    own = own_speech(levels(_decoded(audio, track, stop, warnings)))
    if own is None:
        raise NoChannels("Both channels of the recording are the same.", hint)
    return own


def channel_diarization(own: Own) -> Diarization:
    """Return who speaks when, left or right, in the order of their first turns."""
    turns = _turns(own)
    return _labelled(turns, [turn.speaker for turn in turns])


def transcribe_channels(
    engine: Engine,
    audio: Audio,
    options: TranscriptionOptions,
    stop: Event,
    progress: Callable[[float], None],
) -> Transcript:
    """Transcribe both channels of `audio`, which is decoded three times. Raises as Engine.transcribe.

    A recording without two channels is transcribed as any other, with a warning.
    """
    warnings: list[str] = []
    plain = replace(options, speakers=None)
    timed = replace(plain, word_timestamps=True, audio_track=None)
    try:
        own = channel_speech(audio, options.audio_track, stop, warnings)
    except NoChannels as error:
        transcript = engine.transcribe(audio, plain, stop, progress)
        warning = f"Speakers could not be told apart: {error.message} {error.hint}"
        return replace(transcript, warnings=(*transcript.warnings, warning))
    found: list[Transcript] = []
    for channel in (0, 1):
        blocks = one_channel(_decoded(audio, options.audio_track, stop, []), own, channel)
        with temporary_flac(blocks) as (path, seconds):

            def report(done: float, before: float = channel * seconds) -> None:
                progress((before + done) / 2)

            part = replace(audio, path=path, data=None, duration=seconds)
            found.append(engine.transcribe(part, timed, stop, report))
    return _merged(found, own, warnings)


def _decoded(
    audio: Audio, track: int | None, stop: Event, warnings: list[str]
) -> Iterator[NDArray[np.float32]]:
    for block in stereo_blocks(
        audio.media,
        duration=audio.duration,
        track=track,
        strict=audio.temporary,
        warnings=warnings,
    ):
        if stop.is_set():
            raise Cancelled
        yield block


def _merged(found: Sequence[Transcript], own: Own, warnings: Sequence[str]) -> Transcript:
    """Return both transcripts as one, with segments in the order of time."""
    spoken = _in_order(found)
    turns = _turns(own)
    order = [CHANNELS[channel] for channel, _ in spoken] + [turn.speaker for turn in turns]
    diarization = _labelled(turns, order)
    labels = _labels(order)
    index = TurnIndex(diarization.turns)
    main = max(found, key=lambda each: sum(s.end - s.start for s in each.segments))
    segments = tuple(
        marked_overlap(
            replace(
                segment,
                speaker=labels[CHANNELS[channel]],
                language=None if segment.language == main.language else segment.language,
                words=tuple(
                    replace(word, speaker=labels[CHANNELS[channel]]) for word in segment.words
                ),
            ),
            index,
        )
        for channel, segment in spoken
    )
    said = [warning for transcript in found for warning in transcript.warnings]
    return replace(
        main,
        segments=segments,
        duration=max(transcript.duration for transcript in found),
        skipped=_skipped_on_both(*(transcript.skipped for transcript in found)),
        warnings=tuple(dict.fromkeys((*warnings, *said))),
        speakers=diarization.speakers,
        turns=diarization.turns,
    )


def _in_order(found: Sequence[Transcript]) -> list[tuple[int, Segment]]:
    """Return the segments with their channels in the order of time.

    One in which the other person begins is split between sentences, so that a "Yes." is where it was said.
    """
    starts = [[segment.start for segment in transcript.segments] for transcript in found]
    spoken: list[tuple[int, Segment]] = []
    for channel, transcript in enumerate(found):
        for segment in transcript.segments:
            named = replace(segment, language=segment.language or transcript.language)
            others = starts[1 - channel]
            inside = others[bisect_right(others, segment.start) : bisect_left(others, segment.end)]
            spoken += [(channel, part) for part in _split_before(named, inside)]
    return sorted(spoken, key=lambda each: (each[1].start, each[1].end))


def _split_before(segment: Segment, times: Sequence[float]) -> list[Segment]:
    """Return the segment in parts, with an end of a sentence between them for each of the times."""
    parts: list[list[Segment]] = []
    for sentence in sentences_of(segment) if times else [segment]:
        if parts and not any(parts[-1][0].start < at <= sentence.start for at in times):
            parts[-1].append(sentence)
        else:
            parts.append([sentence])
    return [
        replace(
            part[0],
            end=part[-1].end,
            text="".join(sentence.text for sentence in part),
            words=tuple(word for sentence in part for word in sentence.words),
        )
        for part in parts
    ]


def _turns(own: Own) -> list[Turn]:
    """Return the turns of both channels in order of time."""
    found = [
        Turn(start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND, name)
        for channel, name in enumerate(CHANNELS)
        for start, end in runs(own[:, channel])
    ]
    return sorted(found, key=lambda turn: (turn.start, turn.end, turn.speaker))


def _labels(order: Iterable[str]) -> dict[str, str]:
    return {name: f"SPEAKER_{n:02}" for n, name in enumerate(dict.fromkeys(order))}


def _labelled(turns: Iterable[Turn], order: Iterable[str]) -> Diarization:
    """Return turns of channels as those of speakers, who are numbered in `order`."""
    labels = _labels(order)
    named = tuple(replace(turn, speaker=labels[turn.speaker]) for turn in turns)
    seconds = seconds_by_speaker(named)
    speakers = tuple(Speaker(label, seconds.get(label, 0.0)) for label in labels.values())
    return Diarization(named, speakers)


def _skipped_on_both(left: Sequence[Skipped], right: Sequence[Skipped]) -> tuple[Skipped, ...]:
    """Return what has no text on either channel."""
    found = []
    for a in left:
        for b in right:
            start, end = max(a.start, b.start), min(a.end, b.end)
            if end - start >= MIN_SKIPPED:
                reason = a.reason if a.reason == b.reason else "no_text"
                found.append(Skipped(start, end, reason))
    return tuple(sorted(found, key=lambda each: each.start))
