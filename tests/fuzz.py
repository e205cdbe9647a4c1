"""Damaged media, feeds, lists of addresses and captions, made from a seed, and work on them in a process of
its own.

    PYTHONPATH=. python tests/fuzz.py media|feeds|addresses|captions SEED CASES FOLDER   print the result

A case is known by its seed: `mutated(random.Random(seed), ...)` always gives the same bytes.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import sys
import time
from pathlib import Path
from threading import Event

import av
import numpy as np
from benchmarks.memory import peak_bytes

import caption_samples
from fake_plugins import FakeBackend, transcript
from homescribe import audio, plugins
from homescribe.captions.caption_files import read
from homescribe.core import Audio, Item, Listing, Segment, SourceOptions, Transcript
from homescribe.errors import InternalError, PermanentError, UserError
from homescribe.formats.filenames import file_name
from homescribe.library import Library
from homescribe.library.as_json import item_as_json
from homescribe.pipeline import Run, Sources, add, sync
from homescribe.sources.podcast import PodcastSource
from loopback import LoopbackServer, atom, page, rss

# extension: container, audio codec, sample rate, video codec
KINDS = {
    "wav": ("wav", "pcm_s16le", 16_000, None),
    "w64.wav": ("w64", "pcm_s16le", 16_000, None),
    "aiff": ("aiff", "pcm_s16be", 16_000, None),
    "au": ("au", "pcm_s16be", 16_000, None),
    "caf": ("caf", "pcm_s16le", 16_000, None),
    "flac": ("flac", "flac", 16_000, None),
    "mp3": ("mp3", "libmp3lame", 16_000, None),
    "m4a": ("ipod", "aac", 16_000, None),
    "mp4": ("mp4", "aac", 16_000, "mpeg4"),
    "mov": ("mov", "aac", 16_000, "mpeg4"),
    "3gp": ("3gp", "aac", 16_000, None),
    "mkv": ("matroska", "aac", 16_000, "mpeg4"),
    "mka": ("matroska", "flac", 16_000, None),
    "webm": ("webm", "libopus", 48_000, None),
    "ogg": ("ogg", "libopus", 48_000, None),
    "oga": ("ogg", "flac", 16_000, None),
    "ts": ("mpegts", "aac", 16_000, "mpeg2video"),
    "mpg": ("mpeg", "mp2", 16_000, None),
    "flv": ("flv", "aac", 16_000, "flv"),
    "avi": ("avi", "libmp3lame", 16_000, "mpeg4"),
    "aac": ("adts", "aac", 16_000, None),
    "ac3": ("ac3", "ac3", 32_000, None),
    "wma": ("asf", "wmav2", 44_100, None),
    "nut.avi": ("nut", "pcm_s16le", 16_000, None),
    "tta.wv": ("tta", "tta", 16_000, None),
}
SECONDS = 2


def write_recordings(folder: Path) -> dict[str, bytes]:
    """Write a short recording of each kind; return their bytes by extension."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for extension, (container, codec, rate, video) in KINDS.items():
        path = folder / f"good.{extension}"
        _write(path, container, codec, rate, video)
        made[extension] = path.read_bytes()
    return made


def _write(
    path: Path, container: str, codec: str, rate: int, video: str | None, hertz: int = 300
) -> None:
    times = np.arange(rate * SECONDS) / rate
    tone = (8000 * np.sin(2 * np.pi * hertz * times) * (times % 0.5 < 0.4)).astype(np.int16)
    with av.open(str(path), "w", format=container) as file:
        sound = file.add_stream(codec, rate=rate, layout="mono")
        if codec == "wmav2":
            sound.bit_rate = 64_000  # it has no default
        picture = None
        if video:
            picture = file.add_stream(video, rate=25)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        resampler = av.AudioResampler(
            format=sound.format, layout="mono", rate=rate, frame_size=sound.frame_size or 1024
        )
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(sound.encode(piece))
        file.mux(sound.encode(None))
        if picture is not None:
            for number in range(10):
                image = av.VideoFrame.from_ndarray(
                    np.full((48, 64, 3), number * 20, np.uint8), format="rgb24"
                ).reformat(format="yuv420p")
                image.pts = number
                file.mux(picture.encode(image))
            file.mux(picture.encode(None))


# --- Mutations -------------------------------------------------------------------------------------

EXTREMES = (
    b"\0" * 4,
    b"\xff" * 4,
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\1",
    b"\1\0\0\0",
)


def mutated(rng: random.Random, good: dict[str, bytes]) -> tuple[str, bytes]:
    """Return a damaged recording, with the extension of its kind or, sometimes, of another."""
    extension = rng.choice(sorted(good))
    data = bytearray(good[extension])
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        _mutate(rng, data, good)
    if rng.random() < 0.1:
        extension = rng.choice(sorted(good))
    return extension, bytes(data)


def _mutate(rng: random.Random, data: bytearray, good: dict[str, bytes]) -> None:
    # Headers are small, and most faults are in reading them.
    head = min(len(data), rng.choice((64, 512, 4096, len(data) or 1)))
    at = rng.randrange(head) if head else 0
    size = rng.choice((1, 2, 4, 16, 188, 1000))
    match rng.randrange(9):
        case 0:  # half copied
            del data[rng.randrange(len(data) + 1) :]
        case 1:  # flipped bits
            for _ in range(rng.choice((1, 3, 30))):
                if data:
                    data[rng.randrange(head)] ^= 1 << rng.randrange(8)
        case 2:
            data[at : at + size] = bytes(size)
        case 3:
            data[at : at + size] = rng.randbytes(size)
        case 4:
            del data[at : at + size]
        case 5:
            data[at:at] = bytes(data[at : at + size]) * rng.choice((1, 2, 50))
        case 6:  # sizes and counts that no file has
            data[at : at + 4] = rng.choice(EXTREMES)
        case 7:  # the rest of another file
            other = good[rng.choice(sorted(good))]
            data[at:] = other[rng.randrange(len(other)) :]
        case 8:
            data += rng.choice((bytes(data), rng.randbytes(5000), bytes(5000)))


# --- A run over damaged recordings ------------------------------------------------------------------


def decoding_backend(times: dict[str, float]) -> FakeBackend:
    """Return a backend that decodes each recording and writes how long that took into `times`."""

    def transcribing(work):
        began = time.monotonic()
        try:
            samples = sum(
                len(block)
                for block in audio.blocks(
                    work.path, duration=work.duration, strict=False, warnings=[]
                )
            )
        finally:
            times[work.item.key] = time.monotonic() - began
        seconds = samples / audio.SAMPLE_RATE
        return Transcript("fake", "tiny", "en", seconds, (Segment(0.0, seconds, " words"),))

    return FakeBackend(transcribing)


def run_over(folder: Path, seed: int, cases: int) -> dict[str, object]:
    """Write `cases` damaged recordings and a good one, run over them, and return what happened."""
    good = write_recordings(folder / "good")
    talks = folder / "talks"
    talks.mkdir()
    # With a tone of its own: a file that differs from another in its header alone is the same item.
    _write(talks / "zz-good.wav", "wav", "pcm_s16le", 16_000, None, hertz=500)
    for number in range(cases):
        extension, data = mutated(random.Random(seed + number), good)
        (talks / f"{seed + number}.{extension}").write_bytes(data)
    for path in talks.iterdir():  # files that changed just now are still being copied
        _make_old(path)
    times: dict[str, float] = {}
    began, problems = time.monotonic(), []
    with Library(folder / "library") as library, Sources(_options(folder)) as sources:
        try:
            list(add(library, sources, str(talks), Event()))
            outcomes = list(Run(library, sources, decoding_backend(times)))
        except UserError as error:
            return {"problems": [f"The run ended: {error.message} {_logs(library)}"]}
        for outcome in outcomes:
            if isinstance(outcome.error, InternalError):
                problems.append(f"{outcome.item.title}: {outcome.error.message}")
        if problems:
            problems.append(_logs(library))
        done = {outcome.item.title for outcome in outcomes if outcome.transcript}
    if "zz-good" not in done:
        problems.append("The good recording is not done.")
    return {
        "problems": problems,
        "outcomes": len(outcomes),
        "done": len(done),
        "slowest": max(times.values(), default=0.0),
        "slowest_key": max(times, key=times.__getitem__, default=""),
        "seconds": time.monotonic() - began,
        "megabytes": peak_bytes() / 1e6,
    }


# --- A run over damaged feeds ------------------------------------------------------------------------

FEED_PARTS = (
    *(b"<item>", b"</item>", b"<guid>", b"</guid>", b"</channel>", b"<entry>", b"</rss>"),
    *(
        b"<enclosure url='http://[::1' type='audio/mpeg'/>",
        b"<enclosure url='//\xff:99999999/a.mp3'/>",
    ),
    *(b"<enclosure url='file:///etc/passwd' type='audio/mpeg'/>", b"<enclosure/>"),
    b"<enclosure url='javascript:alert(1)' length='-1' type='audio/mpeg'/>",
    *(
        b"<pubDate>Mon, 99 Foo 99999 99:99:99 +9999</pubDate>",
        b"<pubDate/>",
        b"<title/>",
        b"<title>",
    ),
    *(
        b"<pubDate>Mon, 01 Jan 0001 00:00:00 +2359</pubDate>",
        b"<itunes:duration>1e999</itunes:duration>",
    ),
    *(b"<itunes:duration>-1:-1:-1</itunes:duration>", b"<itunes:duration>nan</itunes:duration>"),
    b"<itunes:duration>" + b"9" * 400 + b"</itunes:duration>",
    b"<podcast:chapters url='http://[' type='application/json+chapters'/>",
    b"<itunes:new-feed-url>http://[</itunes:new-feed-url>",
    *(b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;&a;&a;'>]>", b"&b;", b"&#0;", b"&#xD800;"),
    *(
        b"<![CDATA[",
        b"]]>",
        b"<!--",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\x1b[31m",
        b"<a><b>" * 500,
    ),
    *(
        b"\xe2\x80\xae",
        b"<language>" + b"x" * 3000 + b"</language>",
        b"<atom:link rel='next' href='#'/>",
    ),
)


def mutated_feed(
    rng: random.Random, good: list[bytes], parts: tuple[bytes, ...] = FEED_PARTS
) -> bytes:
    """Return a damaged feed, or another document into which `parts` are put."""
    data = bytearray(rng.choice(good))
    for _ in range(rng.choice((1, 1, 2, 3, 10))):
        at = rng.randrange(len(data) + 1)
        size = rng.choice((1, 4, 40, 400))
        match rng.randrange(7):
            case 0:
                del data[at:]
            case 1:
                data[at : at + size] = rng.randbytes(size)
            case 2:
                del data[at : at + size]
            case 3:
                other = rng.choice(good)
                data[at : at + size] = other[rng.randrange(len(other)) :][:size]
            case 4 | 5:
                data[at:at] = rng.choice(parts)
            case 6:
                data = data.replace(rng.choice((b"UTF-8", b"guid", b"2026", b"url=", b"7")), b"")
    return bytes(data)


def _own(good: list[bytes], number: int) -> list[bytes]:
    """Return the feeds with guids and recordings of their own: an episode in two feeds is one item."""
    changes = {b"/media/": b"/media/%d/", b"pod-guid": b"guid-%d", b"<id>a1": b"<id>a1-%d"}
    for old, new in changes.items():
        good = [feed.replace(old, new % number) for feed in good]
    return good


class ListedOnly(Sources):
    """Sources that list, but download nothing: a damaged feed may name any host."""

    def for_item(self, item: Item):
        real = super().for_item(item)

        class Fetching:
            pause = (0.0, 0.0)
            rate_limit_key = staticmethod(real.rate_limit_key)

            @staticmethod
            def fetch(item: Item, directory: Path, stop: Event) -> Audio:
                path = Path(directory) / "audio.mp3"
                path.write_bytes(b"audio")
                return Audio(item, path)

        return Fetching()


def list_feeds(folder: Path, seed: int, cases: int) -> dict[str, object]:
    """Add `cases` damaged feeds and a good one, sync, run, and return what happened."""
    began, problems, added = time.monotonic(), [], 0
    with (
        LoopbackServer(folder) as server,
        Library(folder / "library") as library,
        ListedOnly(_options(folder)) as sources,
    ):
        good = [
            rss(server, 3).encode(),
            rss(server, 2, guid=False).encode(),
            atom(server).encode(),
        ]
        bodies = {
            f"/bad/{seed + n}.xml": mutated_feed(random.Random(seed + n), _own(good, seed + n))
            for n in range(cases)
        }
        for path, body in bodies.items():
            kind = {"Content-Type": "application/rss+xml"}
            server.routes[path] = lambda *_, body=body, kind=kind: (200, body, kind)
        for path in [*bodies, "/feed.xml?n=2"]:
            try:
                # By name: a feed that is none any more goes to yt-dlp, which takes a second for each.
                library.record("podcast", _empty(server.url(path)), [])
            except UserError as error:
                problems.append(f"{path}: {error.message}")
        for result in sync(library, sources, Event()):
            added += len(result.new)
            if result.error and "Internal error" in result.error.message:
                problems.append(f"{result.url}: {result.error.message}")
        for outcome in Run(library, sources, FakeBackend(lambda work: transcript())):
            if outcome.error:
                problems.append(f"{outcome.item.url}: {outcome.error.message}")
            else:
                _show(outcome.item, library)
        done = list(library.items(source_url=server.url("/feed.xml?n=2")))
        if [record.state for record in done] != ["done"] * 2:
            problems.append("The good feed is not done.")
        if problems:
            problems.append(_logs(library))
    return {
        "problems": problems,
        "outcomes": added,
        "seconds": time.monotonic() - began,
        "slowest": 0.0,
        "megabytes": peak_bytes() / 1e6,
    }


# --- Damaged documents that lead to other addresses --------------------------------------------------

ADDRESS_PARTS = (
    *(b"<link rel=alternate type=application/rss+xml href=", b"<link ", b"<base href='http://['>"),
    *(b"<base href=//x>", b"<script>", b"<!--", b"-->", b"</head>", b"<body>", b'"', b"'", b">"),
    *(b"<meta charset=utf-7>", b"<meta charset=zlib>", b"<meta charset=\xff>", b"<rss", b"<opml "),
    *(
        b"<outline xmlUrl='file:///etc/passwd'/>",
        b"<outline xmlUrl='http://[::1'/>",
        b"<opml>" * 99,
    ),
    *(
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]>",
        b"&a;",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\x1b[31m",
    ),
    *(b"#EXTM3U", b"#EXT-X-VERSION:3\n", b"[playlist]\n", b"File1=", b"File99999999999=//[\n"),
    *(
        b"file:///etc/passwd\n",
        b"/etc/passwd\n",
        b"http://[\n",
        b"javascript:alert(1)\n",
        b"\\\\x\n",
    ),
)


def documents(server: LoopbackServer) -> list[bytes]:
    """Return a show's page, and lists of each kind."""
    feed, recording = server.url("/feed.xml"), server.url("/media/ep1.mp3")
    link = f'<link rel="alternate" type="application/rss+xml" title="A show" href="{feed}">'
    head = f'<meta charset="utf-8"><base href="{server.base}/">{link}{link.replace("feed", "gone")}'
    outline = f'<opml version="2.0"><body><outline type="rss" xmlUrl="{feed}"/></body></opml>'
    playlist = f"#EXTM3U\n#EXTINF:7,One\nmedia/ep1.mp3\n{recording}\n"
    return [
        page("A show", "", head).encode(),
        page("A show", "", head).encode("utf-16"),
        f'<?xml version="1.0" encoding="UTF-8"?>{outline}'.encode(),
        outline.encode("utf-16"),
        playlist.encode(),
        f"[playlist]\nFile1={recording}\nTitle1=One\nNumberOfEntries=1\n".encode(),
    ]


def read_addresses(folder: Path, seed: int, cases: int) -> dict[str, object]:
    """Look for addresses in `cases` damaged documents, and return what happened."""
    began, problems, outcomes, slowest = time.monotonic(), [], 0, (0.0, "")
    real = socket.getaddrinfo

    def loopback_only(host: str, *rest: object, **options: object) -> object:
        if host != "127.0.0.1":  # a damaged document may name any host
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return real(host, *rest, **options)

    socket.getaddrinfo = loopback_only
    with LoopbackServer(folder) as server:
        source = PodcastSource(_options(folder))
        good = documents(server)
        for document in good:
            server.routes["/good"] = lambda *_, body=document: (200, body, {})
            if source.addresses(server.url("/good"), Event()) is None:
                problems.append(f"A good document leads nowhere: {document[:80]!r}")
        for n in range(seed, seed + cases):
            rng = random.Random(n)
            path = f"/{n}" + rng.choice(("", "", ".m3u", ".m3u8", ".opml", ".xml"))
            kind = {"Content-Type": rng.choice(("text/html", "text/plain", "audio/x-mpegurl", "x"))}
            body = mutated_feed(rng, good, ADDRESS_PARTS)
            server.routes[path] = lambda *_, body=body, kind=kind: (200, body, kind)
            started = time.monotonic()
            try:
                found = source.addresses(server.url(path), Event())
                source.matches(server.url(path))
                for url in found.urls if found else ():
                    if not re.match(r"(?i)(feed:)?(https?|feed)://[^/]", url):
                        problems.append(f"{path}: {url!r}")
            except UserError:
                pass
            except Exception as error:  # noqa: BLE001 - what the fuzz looks for
                problems.append(f"{path}: {error!r}")
            outcomes += 1
            slowest = max(slowest, (time.monotonic() - started, path))
    return {
        "problems": problems,
        "outcomes": outcomes,
        "seconds": time.monotonic() - began,
        "slowest": slowest[0],
        "slowest_key": slowest[1],
        "megabytes": peak_bytes() / 1e6,
    }


# --- Damaged files of captions -----------------------------------------------------------------------

CAPTION_PARTS = (
    *(b"\n00:00:01.000 --> 00:00:02.000\n\n", b"\nNOTE x\n", b"Ann: ", b"Ben:\n", b"Ann: a\n"),
    *(
        b"00:00:01.000 --> 00:00:02.000\n",
        b" --> ",
        b"99:99:99,999",
        b"-1:00",
        b"\n\n",
        b"\r",
        b"WEBVTT",
    ),
    *(
        b"<v Ann>",
        b"<v>",
        b"</v>",
        b"<00:00:01.000>",
        b"<c>",
        b"<",
        b">",
        b"&lt;",
        b"&#0;",
        b"&#xD800;",
    ),
    *(
        b"<time>0:01</time>",
        b"<cite>",
        b"<p>",
        b"<!--",
        b"-->",
        b"<script>",
        b"<tt>",
        b"<p begin='1s'>",
    ),
    *(
        b'"tStartMs": -1',
        b'"tStartMs": 1e999',
        b'"startTime": "x"',
        b"NaN",
        b"null",
        b"[" * 500,
        b"{",
    ),
    *(b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1b[31m", b"\xe2\x80\xae", b"9" * 400, b"\\ud800"),
)


def good_captions() -> list[bytes]:
    """Return a file of captions in each format."""
    words = ("the quick brown fox jumps over the lazy dog and nobody saw it " * 3).split()
    segments = [{"speaker": "Ann", "startTime": 1, "endTime": 2.5, "body": "Hello there."}] * 3
    timed = "<p begin='00:00:01.000' end='00:00:02.000'>Guten<br/>Tag</p>" * 3
    return [
        caption_samples.json3(words, 20.0, automatic=True).encode(),
        caption_samples.json3(words, 20.0, automatic=False).encode(),
        caption_samples.rolling_vtt(words, 20.0).encode(),
        b"WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann>Hello &amp; bye</v>\n",
        caption_samples.srt(words, 20.0).encode(),
        caption_samples.srt(words, 20.0).encode("utf-16"),
        json.dumps({"version": "1.0.0", "segments": segments}).encode(),
        b"<html><body><cite>Ann</cite><time>0:01</time><p>Hello there.</p></body></html>",
        f"<?xml version='1.0'?><tt xml:lang='de'><body><div>{timed}</div></body></tt>".encode(),
    ]


def read_captions(folder: Path, seed: int, cases: int) -> dict[str, object]:
    """Read `cases` damaged files of captions, store and export what they say, and return what happened."""
    began, problems, slowest, usable = time.monotonic(), [], (0.0, ""), 0
    good = good_captions()
    for document in good:
        read(document, "manual")  # raises for a file that cannot be used
    with Library(folder / "library") as library:
        for n in range(seed, seed + cases):
            rng = random.Random(n)
            body = mutated_feed(rng, good, CAPTION_PARTS)
            started = time.monotonic()
            item = Item("podcast", str(n), "https://x.example/", "t")
            try:
                found = read(body, "automatic", duration=rng.choice((None, 0.0, 2.0, 20.0)))
                problems += [f"{n}: {problem}" for problem in caption_problems(found)]
                library.save(item, found)
                usable += 1
                for name in plugins.BUILT_IN["exporters"]:
                    plugins.load("exporters", name)(item, found)
            except PermanentError:
                pass
            except Exception as error:  # noqa: BLE001 - what the fuzz looks for
                problems.append(f"{n}: {error!r}")
            slowest = max(slowest, (time.monotonic() - started, str(n)))
    if usable < cases / 4:
        problems.append(f"Only {usable} of {cases} files could be used.")
    return {
        "problems": problems,
        "outcomes": cases,
        "seconds": time.monotonic() - began,
        "slowest": slowest[0],
        "slowest_key": slowest[1],
        "megabytes": peak_bytes() / 1e6,
    }


def caption_problems(found: Transcript) -> list[str]:
    """Return what is wrong with a transcript: times out of order, and text that is not clean."""
    problems = []
    at = 0.0
    for segment in found.segments:
        if not at <= segment.start < segment.end <= found.duration:
            problems.append(f"times {segment.start} to {segment.end} after {at}")
        at = segment.end
        words = "".join(word.word for word in segment.words)
        if words and words != segment.text:
            problems.append(f"words {words!r} of {segment.text!r}")
        if not segment.text.strip() or re.search(
            "[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", segment.text
        ):
            problems.append(f"text {segment.text!r}")
        if any(
            not segment.start <= word.start <= word.end <= segment.end for word in segment.words
        ):
            problems.append(f"times of words {segment.words}")
    return problems


def _show(item: Item, library: Library) -> None:
    """Do what an export and a search do with an item."""
    file_name(item, "md")
    plugins.link(item, 1.0)
    json.dumps(item_as_json(library.item(item.key)))
    for name in plugins.BUILT_IN["exporters"]:
        plugins.load("exporters", name)(item, transcript())


def _empty(url: str) -> Listing:
    return Listing(url, url, iter(()))


def _options(folder: Path) -> SourceOptions:
    return SourceOptions(cache=folder / "cache")


def _make_old(path: Path) -> None:
    os.utime(path, (time.time() - 3600,) * 2)


def _logs(library: Library) -> str:
    return "\n".join(path.read_text() for path in (library.directory / "logs").glob("*"))[:5000]


if __name__ == "__main__":
    _, what, seed, cases, folder = sys.argv
    work = {
        "media": run_over,
        "feeds": list_feeds,
        "addresses": read_addresses,
        "captions": read_captions,
    }[what]
    print(json.dumps(work(Path(folder), int(seed), int(cases))))  # noqa: T201
