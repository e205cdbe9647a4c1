"""A week in the life of a library: syncs twice a day, while feeds, folders, disk and clock have hiccups.

At the end every recording is transcribed exactly once, counted at a fake engine. HOMESCRIBE_WEEK=20 runs it
with that many sources instead of a few.
"""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from itertools import count
from threading import Event

import pytest

from fake_plugins import FakeBackend, transcript
from homescribe.core import SourceOptions
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.pipeline import Run, Sources, add, sync

SOURCES = int(os.environ.get("HOMESCRIBE_WEEK", "6"))
SYNCS = 14
HOURS_BETWEEN = 12
YEARS = 365 * 24 * 3600

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120 * SOURCES),
    pytest.mark.skipif(os.name == "nt", reason="forks"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

# What a feed may answer instead of itself, once, and what the server of its recordings may answer.
FEED_HICCUPS = ("", "", "", "slow", "503", "403", "429", "404", "html", "half", "empty")
MEDIA_HICCUPS = ("", "", "", "503", "404", "html", "cut")


class Feed:
    """A podcast with a new episode now and then. `hiccup` and `media_hiccup` hold until the next sync."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.episodes = self.moves = 0
        self.hiccup = self.media_hiccup = ""
        self.token = ""  # in the addresses of recordings
        self.guids = "guid"
        self.path = f"/{name}/feed.xml"
        server.routes[self.path] = self._feed
        self.publish()

    @property
    def url(self):
        return self.server.url(self.path)

    @property
    def recordings(self):
        return [f"{self.name}-{n}" for n in range(self.episodes)]

    def publish(self):
        self.server.routes[f"/{self.name}/{self.episodes}.mp3"] = self._media(self.episodes)
        self.episodes += 1

    def move(self):
        """Move to another address, to which the old one redirects."""
        self.moves += 1
        old, self.path = self.path, f"/{self.name}/moved{self.moves}.xml"
        self.server.routes[self.path] = self.server.routes[old]
        self.server.routes[old] = lambda *_: (301, "", {"Location": self.url})

    def _feed(self, *_):
        body = self._body().encode()
        kind = {"Content-Type": "application/rss+xml"}
        match self.hiccup:
            case "slow":
                Event().wait(0.5)
            case "503" | "403" | "404" | "429":
                headers = {"Retry-After": "1"} if self.hiccup in ("503", "429") else {}
                return int(self.hiccup), "not now", headers
            case "html":
                return 200, "<!doctype html><html><body>Please sign in</body></html>", {}
            case "half":
                return 200, body[: len(body) // 2], kind
            case "empty":
                return 200, b"", kind
        return 200, body, kind

    def _body(self):
        entries = "".join(
            f"""<item><title>Episode {n} of {self.name}</title><guid>{self.name}-{self.guids}-{n}</guid>
            <pubDate>Mon, {n + 1:02d} Jun 2026 06:00:00 +0000</pubDate>
            <enclosure url="{self.server.base}/{self.name}/{n}.mp3{self.token}" type="audio/mpeg"/>
            </item>"""
            for n in reversed(range(self.episodes))
        )
        return f"""<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel>
        <title>{self.name}</title>{entries}</channel></rss>"""

    def _media(self, number):
        body = f"{self.name}-{number}|".encode() + b"words " * 6000

        def answer(*_):
            kind = {"Content-Type": "audio/mpeg"}
            match self.media_hiccup:
                case "503" | "404":
                    headers = {"Retry-After": "1"} if self.media_hiccup == "503" else {}
                    return int(self.media_hiccup), "not now", headers
                case "html":
                    return 200, "<!doctype html><html><body>Please sign in</body></html>", {}
                case "cut":
                    return 206, body[:1000], kind  # a part that nobody asked for
            return 200, body, kind

        return answer


class Folder:
    """A folder that recordings are copied into, and moved within."""

    def __init__(self, folder, name):
        self.folder, self.name = folder / name, name
        self.folder.mkdir()
        self.files = 0
        self.halves = []
        self.publish()

    @property
    def url(self):
        return str(self.folder)

    @property
    def recordings(self):
        return [f"{self.name}-{n}" for n in range(self.files)]

    def publish(self):
        path, body = self._next()
        path.write_bytes(body)

    def _next(self):
        body = f"{self.name}-{self.files}|".encode() + b"words " * 5000
        self.files += 1
        return self.folder / f"{self.files}.mp3", body

    def copy_half(self):
        """Begin to copy a recording. `finish` copies the rest before the next sync."""
        path, body = self._next()
        path.write_bytes(body[: len(body) // 2])
        self.halves.append((path, body))

    def copy_on(self):
        """Go on copying: the files change now."""
        for path, _ in self.halves:
            os.utime(path, (time.time(),) * 2)

    def finish(self):
        """Copy the rest of what was half copied."""
        for path, body in self.halves:
            path.write_bytes(body)
        self.halves.clear()

    def rename(self, rng):
        halves = {path for path, _ in self.halves}
        path = rng.choice(
            [path for path in sorted(self.folder.rglob("*.mp3")) if path not in halves]
        )
        below = self.folder / f"season {rng.randrange(3)}"
        below.mkdir(exist_ok=True)
        path.replace(below / path.name)


class Channel:
    """A YouTube channel with a new video now and then, and videos that cannot be had for a while."""

    def __init__(self, faketube):
        self.faketube, self.url = faketube, faketube.CHANNEL
        faketube.videos = 2
        faketube.save()

    @property
    def recordings(self):
        return [self.faketube.id(n) for n in range(1, self.faketube.videos + 1)]

    def publish(self):
        self.faketube.videos += 1
        self.faketube.save()

    def break_video(self, rng):
        kind = rng.choice(("503", "media-403", "media-cut", "private", "upcoming", ""))
        self.faketube.scenarios = {self.faketube.id(self.faketube.videos): kind} if kind else {}
        self.faketube.save()

    def repair(self):
        self.faketube.scenarios = {}
        self.faketube.save()


class Week:
    """A library, its sources, and a clock. `log` has a line for each recording that the engine finished."""

    def __init__(self, tmp_path, server, monkeypatch, faketube=None):
        self.directory, self.log = tmp_path / "library", tmp_path / "engine.log"
        self.rng = random.Random(SOURCES)
        self.offset = 0.0
        self.log.touch()
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + self.offset)
        # A site that fails three times in a row is not tried again in the same run.
        monkeypatch.setattr("homescribe.pipeline.downloads.OUTAGE_PAUSES", ())
        monkeypatch.setattr("homescribe.sources.unfinished_files.CHANGING", 30.0)  # as for users
        # Nor is a download attempted for half a minute.
        monkeypatch.setattr("homescribe.sources.http_download.MAX_FAILURES", 1)
        self.feeds = [Feed(server, f"feed{n}") for n in range(SOURCES * 2 // 3)]
        self.folders = [Folder(tmp_path, f"folder{n}") for n in range(SOURCES - len(self.feeds))]
        self.channels = [] if faketube is None else [Channel(faketube)]

    def add_sources(self):
        with Library(self.directory) as library, self._sources() as sources:
            for source in (*self.feeds, *self.folders, *self.channels):
                list(add(library, sources, source.url, Event()))

    def sync(self, *, disk_full=False, killed_at=None):
        """Sync as cron does; `killed_at`: the process dies when the engine gets its nth recording."""
        self.offset += HOURS_BETWEEN * 3600
        for folder in self.folders:
            folder.copy_on()
        if killed_at is None:
            self._sync(disk_full, None)
            return
        context = multiprocessing.get_context("fork")
        process = context.Process(target=self._sync, args=(disk_full, killed_at))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL

    def _sources(self):
        return Sources(SourceOptions(cache=self.directory / "cache"))

    def _sync(self, disk_full, killed_at):
        calls = count(1)

        def transcribing(audio):
            if next(calls) == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            name = audio.path.read_bytes().partition(b"|")[0].decode(errors="replace")
            if audio.item.source == "youtube":
                name = audio.item.id
            with self.log.open("a") as log:
                log.write(f"{name}\n")
            return transcript()

        def full(item, **_):
            raise UserError("The disk is full.")

        with Library(self.directory) as library, self._sources() as sources:
            self.errors = [
                f"{result.url}: {result.error.message}"
                for result in sync(library, sources, Event())
                if result.error
            ]
            if disk_full:
                library.start_work = full
            try:
                for _ in Run(library, sources, FakeBackend(transcribing), sleep_interval=0):
                    pass
            except UserError:
                pass

    def transcribed(self):
        return Counter(self.log.read_text().split("\n")[:-1])

    def recordings(self):
        sources = (*self.feeds, *self.folders, *self.channels)
        return [recording for source in sources for recording in source.recordings]


@pytest.mark.parametrize(
    "more",
    [
        ("moved", "token", "channel"),
        ("guid",),
        ("half copied",),
    ],
    ids=" ".join,
)
def test_every_recording_is_transcribed_exactly_once(tmp_path, server, monkeypatch, request, more):
    faketube = request.getfixturevalue("faketube") if "channel" in more else None
    week = Week(tmp_path, server, monkeypatch, faketube)
    week.add_sources()
    for number in range(SYNCS):
        for feed in week.feeds:
            feed.hiccup = week.rng.choice(FEED_HICCUPS)
            feed.media_hiccup = week.rng.choice(MEDIA_HICCUPS)
            if week.rng.random() < 0.4:
                feed.publish()
            if "moved" in more and week.rng.random() < 0.1:
                feed.move()
            if "token" in more:
                feed.token = f"?token={number}"
            if "guid" in more and week.rng.random() < 0.1:
                feed.guids = f"guid{number}"
        for folder in week.folders:
            folder.finish()
            if week.rng.random() < 0.4:
                folder.publish()
            if "half copied" in more and week.rng.random() < 0.3:
                folder.copy_half()
            if week.rng.random() < 0.2:
                folder.rename(week.rng)
        for channel in week.channels:
            channel.break_video(week.rng)
            if week.rng.random() < 0.4:
                channel.publish()
        killed_at = {2: 2, 3: 1, 9: 1, 11: 3}.get(number)
        for _ in range(killed_at or 0):  # so that the engine gets as many
            week.folders[0].publish()
        jump = {4: 10 * YEARS, 8: -10 * YEARS}.get(number, 0)  # the clock is wrong for one sync
        week.offset += jump
        week.sync(disk_full=number == 6, killed_at=killed_at)
        week.offset -= jump
    for feed in week.feeds:
        feed.hiccup = feed.media_hiccup = ""
    for folder in week.folders:
        folder.finish()
    for channel in week.channels:
        channel.repair()
    for days in (1, 1, 31, 1):  # the last hiccups are over
        week.offset += days * 24 * 3600
        week.sync()
    assert week.errors == []
    with Library(week.directory) as library:
        records = list(library.items())
        left = {each.item.title: each.error for each in records if each.state != "done"}
        assert left == {}
        assert week.transcribed() == Counter(week.recordings())
        assert len(records) == len(week.recordings())
        used = {record.source for record in library.sources()}
        assert used == {"podcast", "file", *(["ytdlp"] if week.channels else [])}
        assert library.check() == []
    assert not list((week.directory / "logs").glob("*"))
