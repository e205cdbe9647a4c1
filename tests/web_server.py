"""A sample library, and the web interface over it on a free port."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager

import uvicorn

from homescribe import (
    Chapter,
    Item,
    Library,
    Listing,
    PermanentError,
    RetryableError,
    Segment,
    Transcript,
    Word,
    demo,
)
from homescribe.config import Config
from homescribe.web.app import build_app

TOKEN = "token-of-this-start"
HOSTILE = "</title><script>document.title = 'owned'</script> & \"it\" \u202eevil"
FOX, CHANNEL = "file:fox", "file:channel"
RIDGE, PRIVATE, RETRYABLE, PENDING = (
    "youtube:ridge000000",
    "youtube:ridge000001",
    "podcast:late",
    "podcast:new",
)
HOSTILE_ITEM, CHINESE, ARABIC = "podcast:strange", "podcast:zh", "podcast:ar"


def evenly_timed_words(text, start, end):
    """Words of equal length from `start` to `end`."""
    parts = text.split()
    step = (end - start) / len(parts)
    return tuple(
        Word(start + n * step, start + (n + 1) * step, f" {part}", 0.9)
        for n, part in enumerate(parts)
    )


def sample_segments(name):
    """Segments of a bundled recording, with their real times."""
    sentences = json.loads((demo.samples() / f"{name}.json").read_text())
    return tuple(
        Segment(
            s["start"],
            s["end"],
            f" {s['text']}",
            words=evenly_timed_words(s["text"], s["start"], s["end"]),
        )
        for s in sentences
    )


def segments(*texts, seconds=4.0, flags=()):
    return tuple(
        Segment(n * seconds, n * seconds + seconds - 0.5, text, flags=flags if n == 1 else ())
        for n, text in enumerate(texts)
    )


def transcript(segments, language="en"):
    end = segments[-1].end + 1.0
    return Transcript("faster-whisper", "large-v3", language, end, tuple(segments))


def make_library(directory):
    """Two recordings on disk, and a channel and a podcast with items in every state but in flight."""
    samples = demo.samples()
    files = [
        Item(
            "file", "fox", str(samples / "fox-20s.mp3"), "fox", "samples", None, 18.0, "2026-01-05"
        ),
        Item(
            *(
                "file",
                "channel",
                str(samples / "channel-40s.webm"),
                "channel",
                "samples",
                None,
                37.0,
            ),
            *(
                "2026-01-06",
                "en",
                "About it",
                (Chapter(0, 11, "Hello"), Chapter(11, 37, "The fox")),
            ),
        ),
    ]
    videos = [
        Item(
            *("youtube", f"ridge00000{n}", f"https://www.youtube.com/watch?v=ridge00000{n}", title),
            *("Ridge", "UCridge", 100.0 + n, f"2026-0{n + 2}-01", "en"),
        )
        for n, title in enumerate(("A wooden spoon", "A private one"))
    ]
    episodes = [
        Item(
            "podcast", name, f"https://pod.example/{name}", title, channel, None, 60.0, "2026-05-01"
        )
        for name, title, channel in (
            ("strange", HOSTILE, HOSTILE),
            ("zh", "河边的声音", "城市电台"),
            ("ar", "حديث عن الذاكرة", "城市电台"),
            ("late", "Comes later", "Ridge"),
            ("new", "Brand new", "Ridge"),
        )
    ]
    with Library(directory) as library:
        library.record("file", Listing(str(samples), "samples", iter(())), files)
        library.record(
            "ytdlp", Listing("https://www.youtube.com/@ridge", "Ridge", iter(())), videos
        )
        library.record("podcast", Listing("https://pod.example/feed", "Pod", iter(())), episodes)
        library.save(files[0], transcript(sample_segments("fox-20s")), 4.0)
        library.save(files[1], transcript(sample_segments("channel-40s")), 8.0)
        texts = (
            " Every morning the wooden spoon.",
            " Nobody knows why.",
            " It was a long winter.",
        )
        library.save(videos[0], transcript(segments(*texts, flags=("low_probability",))), 5.0)
        library.fail(videos[1], PermanentError("This video is private.", "Ask its owner."))
        hostile = ("<img src=x onerror=\"document.title='owned'\">", f" {HOSTILE}", " {{ 7 * 7 }}")
        library.save(episodes[0], transcript(segments(*hostile)), 1.0)
        chinese = ("今天我们沿着河边走。", "很多年以前，这里是码头。")
        library.save(episodes[1], transcript(segments(*chinese), "zh"), 1.0)
        library.save(
            episodes[2], transcript(segments("نتحدث اليوم عن الذاكرة.", " أهلا بكم."), "ar"), 1.0
        )
        library.fail(episodes[3], RetryableError("The server is busy.", retry_after=3600))
    return directory


@contextmanager
def serving(
    directory,
    *,
    port=0,
    token_required=False,
    host="127.0.0.1",
    config_file=None,
    hosts=(),
    origins=(),
    **settings,
):
    """Serve the library in `directory` from a thread; yields its address, without a slash at the end."""
    config = Config(**{"library": directory, "model": "demo", "sleep_interval": 0.0, **settings})
    closing = threading.Event()
    app = build_app(
        config,
        token=TOKEN,
        host=host,
        token_required=token_required,
        config_file=config_file,
        hosts=hosts,
        origins=origins,
        closing=closing,
    )
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, access_log=False)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            closing.set()
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
