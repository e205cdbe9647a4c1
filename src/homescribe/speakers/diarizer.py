"""Speaker diarization of a stream of audio: who speaks when, and the voice of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE
from homescribe.core import Speaker, Turn
from homescribe.errors import Cancelled
from homescribe.speakers.clustering import SIGNIFICANT, SpeakerCount, Vectors, cluster
from homescribe.speakers.embedding import VoiceEmbedder
from homescribe.speakers.local_speakers import assign
from homescribe.speakers.segmentation import Chunk, Segmentation
from homescribe.speakers.timeline import ChunkActivity, turns

BATCH = 4  # chunks in one call of the segmentation network
MIN_VOICE = 0.4  # seconds of speech from which a voice is embedded
SURE_VOICE = 1.0  # seconds from which it may make a speaker
MAX_VOICE = 5.0  # seconds of a chunk's local speaker that are embedded: more changes little


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who speaks when. Speakers are numbered in the order of their first words."""

    turns: tuple[Turn, ...]
    speakers: tuple[Speaker, ...]


@dataclass(slots=True)
class Observations:
    """What the networks found in a recording: a few kilobytes for each chunk."""

    activity: list[NDArray[np.uint8]] = field(default_factory=list)  # (frames, local speakers)
    first_frames: list[int] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)  # embeddings
    places: list[tuple[int, int]] = field(default_factory=list)  # their chunks and local speakers
    seconds: list[float] = field(default_factory=list)  # of speech behind each of them
    duration: float = 0.0  # seconds of the recording


class Diarizer:
    """Diarizes recordings with two networks. Safe to use from several threads.

    Args:
        segmentation: ONNX file of pyannote's segmentation 3.0.
        embedding: ONNX file of a speaker recognition model that sherpa-onnx knows.
        threads: CPU cores to use for one recording.
    """

    def __init__(self, segmentation: Path, embedding: Path, threads: int = 1) -> None:
        self._segmentation = Segmentation(segmentation)
        self._embedder = VoiceEmbedder(embedding)
        self._threads = threads

    @property
    def embedding_model(self) -> str:
        """Identifies the weights of the embeddings."""
        return self._embedder.model

    def diarize(
        self,
        blocks: Iterable[NDArray[np.float32]],
        count: SpeakerCount,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Diarization:
        """Return who speaks when in a stream of float32 mono at 16 kHz.

        `progress` gets the seconds of audio that are processed. Memory does not grow with the audio but for a
        few kilobytes for every five seconds.

        Raises:
            Cancelled: soon after `stop` is set.
        """
        return self.linked(self.observe(blocks, stop, progress), count)

    def observe(
        self,
        blocks: Iterable[NDArray[np.float32]],
        stop: Event,
        progress: Callable[[float], None],
    ) -> Observations:
        """Run both networks over the stream."""
        found = Observations()
        chunks = self._segmentation.chunks(blocks)
        for batch in _batches(chunks, BATCH):
            if stop.is_set():
                raise Cancelled
            for chunk, activity in zip(batch, self._segmentation.activity(batch), strict=True):
                self._embed(chunk, activity, found, stop)
                found.activity.append(np.rint(activity * 255).astype(np.uint8))
                found.first_frames.append(chunk.first_frame)
                found.duration = chunk.seconds
                progress(chunk.seconds)
        return found

    def _embed(
        self, chunk: Chunk, activity: NDArray[np.float32], found: Observations, stop: Event
    ) -> None:
        active = activity > 0.5
        alone = active & (active.sum(axis=1, keepdims=True) == 1)
        for local in range(active.shape[1]):
            samples = self._speech(chunk, alone[:, local])
            seconds = len(samples) / SAMPLE_RATE
            if seconds < MIN_VOICE:
                continue
            if stop.is_set():
                raise Cancelled
            found.vectors.append(self._embedder.embed(samples))
            found.places.append((len(found.activity), local))
            found.seconds.append(seconds)

    def _speech(self, chunk: Chunk, frames: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the samples of the frames, the longest runs first chosen, up to MAX_VOICE seconds."""
        edges = np.flatnonzero(np.diff(np.pad(frames.astype(np.int8), 1)))
        runs = sorted(
            zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True),
            key=lambda run: run[0] - run[1],
        )
        size = self._segmentation.frame_samples
        left = round(MAX_VOICE * SAMPLE_RATE)
        taken: list[tuple[int, int]] = []
        for a, b in runs:
            if left <= 0:
                break
            taken.append((a * size, min(b * size, a * size + left)))
            left -= taken[-1][1] - taken[-1][0]
        return np.concatenate(
            [chunk.samples[a:b] for a, b in sorted(taken)] or [np.zeros(0, np.float32)]
        )

    def linked(self, found: Observations, count: SpeakerCount) -> Diarization:
        """Decide which local speakers are one person, and return everybody's turns."""
        if not found.vectors:
            return Diarization((), ())
        vectors = np.stack(found.vectors)
        seconds = np.asarray(found.seconds, np.float32)
        sure = seconds >= min(SURE_VOICE, float(seconds.max()))
        labels = cluster(vectors[sure], seconds[sure], count)
        number = int(labels.max()) + 1
        # Weighted by their length: a long piece of speech tells more of a voice than a short one.
        weighted = vectors[sure] * seconds[sure, None]
        voices = np.stack([weighted[labels == speaker].sum(axis=0) for speaker in range(number)])
        voices /= np.maximum(np.linalg.norm(voices, axis=1, keepdims=True), 1e-9)
        while True:
            speaker_of = assign(found.places, seconds, vectors @ voices.T)
            chunks = [
                ChunkActivity(
                    first,
                    activity,
                    tuple(speaker_of.get((chunk, one), -1) for one in range(activity.shape[1])),
                )
                for chunk, (first, activity) in enumerate(
                    zip(found.first_frames, found.activity, strict=True)
                )
            ]
            time = self._segmentation.frame_time
            found_turns = turns(chunks, len(voices), time, found.duration)
            spoken = np.zeros(len(voices))
            for turn in found_turns:
                spoken[int(turn.speaker)] += turn.end - turn.start
            kept = np.argsort(-spoken, kind="stable")
            kept = kept[: max(int((spoken >= SIGNIFICANT).sum()), count.min)]
            if len(kept) in (0, len(voices)):
                return self._labelled(found_turns, voices)
            voices = voices[
                np.sort(kept)
            ]  # the speech of the others goes to the most similar voices

    def _labelled(self, found: Sequence[Turn], voices: Vectors) -> Diarization:
        order = list(dict.fromkeys(int(turn.speaker) for turn in found))
        labels = {str(speaker): f"SPEAKER_{number:02}" for number, speaker in enumerate(order)}
        speakers = tuple(
            Speaker(
                labels[str(speaker)],
                round(sum(t.end - t.start for t in found if t.speaker == str(speaker)), 3),
                tuple(voices[speaker].tolist()),
                self.embedding_model,
            )
            for speaker in order
        )
        return Diarization(
            tuple(Turn(turn.start, turn.end, labels[turn.speaker]) for turn in found), speakers
        )


def _batches(chunks: Iterator[Chunk], size: int) -> Iterator[list[Chunk]]:
    while batch := list(islice(chunks, size)):
        yield batch
