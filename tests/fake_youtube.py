"""Fakes for tests of sources: short clips of speech, and a YouTube that serves them."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import av

from homescribe import demo

FAKETUBE = Path(__file__).parent / "faketube"

# name: start and end in seconds in channel-40s.webm, and the words in between
CLIPS = {
    "ep1": (
        0.0,
        7.0,
        "Hello and welcome to my new channel. Today we talk about transcription and video.",
    ),
    "ep2": (
        7.3,
        14.4,
        "Chapter one is about audio and language. The quick brown fox jumps over the lazy dog.",
    ),
}
# extension: codec, bits a second
CODECS = {"webm": ("libopus", 24_000), "m4a": ("aac", 48_000), "mp3": ("libmp3lame", 64_000)}


def make_clips(folder):
    """Write the clips of a bundled sample in three formats, and some broken files."""
    sample = demo.samples() / "channel-40s.webm"
    for name, (start, end, _) in CLIPS.items():
        for extension in CODECS:
            cut(sample, folder / f"{name}.{extension}", start, end)
    for extension in CODECS:
        cut(sample, folder / f"dub.{extension}", 17.8, 21.0)  # the words of an automatic dub
        cut(sample, folder / f"short.{extension}", 0.0, 3.0)  # a truncated file
        (folder / f"junk.{extension}").write_bytes(b"this is no sound\n" * 2000)
    return folder


def cut(source, target, start, end):
    """Write `start` to `end` (seconds) of `source` to `target`, in the codec of its extension."""
    codec, bits = CODECS[target.suffix[1:]]
    with av.open(source) as read, av.open(target, "w") as written:
        stream = written.add_stream(codec, rate=48_000, layout="mono")
        stream.bit_rate = bits
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=48_000)
        fifo = av.AudioFifo()
        at = 0
        for frame in read.decode(audio=0):
            for piece in resampler.resample(frame):
                samples = piece.to_ndarray()
                first = max(0, round(start * 48_000) - at)
                last = min(samples.shape[1], round(end * 48_000) - at)
                at += samples.shape[1]
                if first < last:
                    part = av.AudioFrame.from_ndarray(
                        samples[:, first:last].copy(), format=piece.format.name, layout="mono"
                    )
                    part.sample_rate = 48_000
                    fifo.write(part)
        size = stream.codec_context.frame_size or 960
        while (frame := fifo.read(size, partial=True)) is not None:
            written.mux(stream.encode(frame))
        written.mux(stream.encode(None))


@dataclass
class FakeTube:
    """State of the fake YouTube. Change it and call `save()`: child processes read it for each request.

    scenarios, by video id: a key of REASONS in the plug-in ("bot", "private", "upcoming", ...), "geo", "bug",
    "hang", "die", "live", "post_live", "only-video", a status for the video's page ("503", "429"), for its
    media: "media-403", "media-once403", "media-cut", "media-slow", "media-short", "media-junk"; or for its
    captions: "captions-STATUS", "captions-once429", "captions-empty", "captions-private" (its network),
    "captions-token" (needs a PO token).

    captions, by video id, "*" for all others: tracks, "manual:en auto:en auto:es". Every track has the words
    of the video, after its language if that is not English.
    """

    folder: Path
    base: str
    videos: int = 430
    tabs: dict[str, int] = field(default_factory=dict)  # number of videos by tab
    playlists: dict[str, list[str]] = field(default_factory=dict)
    scenarios: dict[str, str] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    clips: list[str] = field(
        default_factory=lambda: ["ep2", "ep1"]
    )  # by the video's number: even, odd
    durations: list[float] = field(default_factory=lambda: [7, 7])
    release: float | None = None  # Unix time at which upcoming videos begin
    fail_page: int | None = None  # this page of a tab has the status fail_status
    fail_status: int = 503
    page_delay: float = 0.0  # seconds

    CHANNEL = "https://www.youtube.com/@fake"
    CANONICAL = "https://www.youtube.com/channel/UCfakefakefakefakefake00"

    def save(self):
        state = asdict(self) | {"folder": str(self.folder), "log": str(self._log)}
        state["tabs"] = {"videos": self.videos, **self.tabs}
        state["words"] = [CLIPS[clip][2] for clip in self.clips]
        self._log.touch()
        draft = self.folder / "faketube.tmp"
        draft.write_text(json.dumps(state))
        draft.replace(self.settings)
        return self

    @property
    def settings(self):
        return self.folder / "faketube.json"

    @property
    def _log(self):
        return self.folder / "faketube.log"

    @property
    def requests(self):
        """The requests so far: "page TAB NUMBER", "video ID"."""
        return self._log.read_text().splitlines()

    @property
    def environment(self):
        """Variables for a child process, in addition to those it inherits."""
        path = os.pathsep.join(filter(None, [str(FAKETUBE), os.environ.get("PYTHONPATH", "")]))
        return {"PYTHONPATH": path, "FAKETUBE": str(self.settings)}

    def id(self, number):
        return f"FAKE{number:07d}"

    def watch(self, number):
        return f"https://www.youtube.com/watch?v={self.id(number)}"

    def words(self, number):
        """The words of a video."""
        return CLIPS[self.clips[number % len(self.clips)]][2]
