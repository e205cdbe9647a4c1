"""Speaker diarization of a stream of audio: who speaks when, and the voice of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
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
from homescribe.speakers.timeline import ACTIVE, ChunkActivity, turns
from homescribe.speakers.turn_index import seconds_by_speaker

BATCH = 4  # chunks in one call of the segmentation network
MIN_VOICE = 0.4  # seconds of speech from which a voice is embedded
SURE_VOICE = 1.0  # seconds from which it may make a speaker
MAX_VOICE = 4.0  # seconds of a local speaker that are embedded; more tells little more


@dataclass(frozen=True, slots=True)
class Diarization:
    """Who speaks when. Speakers are numbered in the order of their first words."""

    turns: tuple[Turn, ...]
    speakers: tuple[Speaker, ...]


@dataclass(frozen=True, slots=True)
class LocalVoice:
    """The voice of one local speaker of a chunk."""

    local: int
    embedding: Vectors  # (size,)
    seconds: float  # of speech that was embedded


@dataclass(frozen=True, slots=True)
class ChunkVoices:
    """What the networks found in one chunk."""

    first_frame: int
    activity: NDArray[np.uint8]  # (frames, local speakers), probabilities of 0 to 255
    voices: tuple[LocalVoice, ...]
    end: float  # seconds from the start of the recording


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
        chunks: list[ChunkVoices] = []
        batches = _batches(self._segmentation.chunks(blocks), BATCH)
        for found in _in_order(lambda batch: self._voices(batch, stop), batches, self._threads):
            chunks += found
            progress(chunks[-1].end)
        return self._linked(chunks, count, stop)

    def _voices(self, batch: Sequence[Chunk], stop: Event) -> list[ChunkVoices]:
        """Run both networks over some chunks."""
        if stop.is_set():
            raise Cancelled
        found: list[ChunkVoices] = []
        for chunk, activity in zip(batch, self._segmentation.activity(batch), strict=True):
            active = activity > ACTIVE
            alone = active & (active.sum(axis=1, keepdims=True) == 1)
            voices: list[LocalVoice] = []
            for local in range(active.shape[1]):
                samples = self._speech(chunk, alone[:, local])
                if len(samples) < MIN_VOICE * SAMPLE_RATE:
                    continue
                if stop.is_set():
                    raise Cancelled
                embedding = self._embedder.embed(samples)
                if not embedding.any():  # the network gave no numbers
                    continue
                voices.append(LocalVoice(local, embedding, len(samples) / SAMPLE_RATE))
            probabilities = np.rint(activity * 255).astype(np.uint8)
            found.append(
                ChunkVoices(chunk.first_frame, probabilities, tuple(voices), chunk.seconds)
            )
        return found

    def _speech(self, chunk: Chunk, frames: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the samples of the frames, at most MAX_VOICE seconds, those nearest the chunk's middle.

        There the segmentation is most reliable, and the next chunk has other speech in its middle.
        """
        size = self._segmentation.frame_samples
        indices = np.flatnonzero(frames)
        by_distance = indices[np.argsort(np.abs(indices - len(frames) / 2), kind="stable")]
        taken = np.sort(by_distance[: round(MAX_VOICE * SAMPLE_RATE / size)])
        whole = chunk.samples[: len(frames) * size].reshape(len(frames), size)
        return whole[taken].reshape(-1)

    def _linked(
        self, chunks: Sequence[ChunkVoices], count: SpeakerCount, stop: Event
    ) -> Diarization:
        """Decide which local speakers are one person, and return everybody's turns."""
        places = [(n, voice.local) for n, chunk in enumerate(chunks) for voice in chunk.voices]
        if not places:
            return Diarization((), ())
        vectors = np.stack([voice.embedding for chunk in chunks for voice in chunk.voices])
        seconds = np.asarray(
            [voice.seconds for chunk in chunks for voice in chunk.voices], np.float32
        )
        voices = _speakers(vectors, seconds, count, stop)
        while True:
            if stop.is_set():
                raise Cancelled
            speaker_of = assign(places, seconds, vectors @ voices.T)
            found = self._turns(chunks, speaker_of, len(voices))
            spoken = np.zeros(len(voices))
            for turn in found:
                spoken[int(turn.speaker)] += turn.end - turn.start
            number = max(int((spoken >= SIGNIFICANT).sum()), min(count.min, len(voices)))
            if number in (0, len(voices)):
                return self._labelled(found, voices)
            # The speech of those who say too little goes to the most similar voices.
            voices = voices[np.sort(np.argsort(-spoken, kind="stable")[:number])]

    def _turns(
        self,
        chunks: Sequence[ChunkVoices],
        speaker_of: Mapping[tuple[int, int], int],
        speakers: int,
    ) -> list[Turn]:
        activities = [
            ChunkActivity(
                chunk.first_frame,
                chunk.activity,
                tuple(speaker_of.get((n, one), -1) for one in range(chunk.activity.shape[1])),
            )
            for n, chunk in enumerate(chunks)
        ]
        return turns(activities, speakers, self._segmentation.frame_time, chunks[-1].end)

    def _labelled(self, found: Sequence[Turn], voices: Vectors) -> Diarization:
        """Name the speakers of turns in the order of their first words."""
        spoken = seconds_by_speaker(found)
        labels = {speaker: f"SPEAKER_{number:02}" for number, speaker in enumerate(spoken)}
        speakers = tuple(
            Speaker(
                labels[speaker],
                round(seconds, 3),
                tuple(voices[int(speaker)].tolist()),
                self.embedding_model,
            )
            for speaker, seconds in spoken.items()
        )
        return Diarization(
            tuple(Turn(turn.start, turn.end, labels[turn.speaker]) for turn in found), speakers
        )


def _speakers(
    vectors: Vectors, seconds: NDArray[np.float32], count: SpeakerCount, stop: Event
) -> Vectors:
    """Return the voice of each speaker, (speakers, size)."""
    sure = seconds >= min(SURE_VOICE, float(seconds.max()))
    vectors, seconds = vectors[sure], seconds[sure]
    labels = cluster(vectors, seconds, count, stop)
    # Weighted by their length: a long piece of speech tells more of a voice than a short one.
    weighted = vectors * seconds[:, None]
    voices = np.stack([weighted[labels == one].sum(axis=0) for one in range(labels.max() + 1)])
    lengths = np.linalg.norm(voices, axis=1, keepdims=True)
    return np.asarray(voices / np.maximum(lengths, 1e-9), np.float32)


def _batches(chunks: Iterator[Chunk], size: int) -> Iterator[list[Chunk]]:
    while batch := list(islice(chunks, size)):
        yield batch


def _in_order(
    work: Callable[[list[Chunk]], list[ChunkVoices]],
    batches: Iterator[list[Chunk]],
    threads: int,
) -> Iterator[list[ChunkVoices]]:
    """Yield the results of `work` in the order of the batches, computed by so many threads."""
    if threads == 1:
        yield from map(work, batches)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="diarizer") as pool:
        waiting: deque[Future[list[ChunkVoices]]] = deque()
        try:
            for batch in batches:
                waiting.append(pool.submit(work, batch))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
