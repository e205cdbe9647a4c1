"""Fakes that implement the protocols of core.py, for tests of what stands between the plug-ins."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from homescribe.core import Audio, Call, Item, Listing, Segment, Transcript
from homescribe.errors import Cancelled, RetryableError
from homescribe.pipeline import Sources


def item(number, site="site", **changes):
    made = Item(
        source="fake",
        id=f"{site}-{number}",
        url=f"https://{site}.example/{number}",
        title=f"Talk {number}",
        channel="A channel",
        duration=10.0,
    )
    return replace(made, **changes)


def transcript(text="hello world", **changes):
    made = Transcript(
        engine="fake",
        model="tiny",
        language="en",
        duration=10.0,
        segments=(Segment(0.0, 5.0, f" {text}"),),
    )
    return replace(made, **changes)


class FakeSource:
    """Lists and fetches what it is told. `fetching(item)` may raise, wait or return bytes."""

    name = "fake"
    pause = (0.0, 0.0)

    def __init__(self, listings=(), fetching=lambda item: b"audio"):
        self.listings = {}
        for listing in listings:
            self.listings.setdefault(listing.url, []).append(listing)
        self.fetching = fetching
        self.fetched = []
        self.taken = []  # items that were pulled out of listings
        self.now = {}  # site: downloads at this moment
        self.most = {}  # site: downloads at the same time, at most
        self.lock = threading.Lock()

    def matches(self, url):
        return True

    def rate_limit_key(self, item):
        return item.id.rpartition("-")[0]

    def list(self, url, stop):
        for listing in self.listings[url]:
            yield replace(listing, items=self._taken(listing.items))

    def _taken(self, items):
        for each in items:
            if isinstance(each, Exception):
                raise each
            self.taken.append(each)
            yield each

    def fetch(self, item, directory, stop):
        site = self.rate_limit_key(item)
        with self.lock:
            self.fetched.append(item.key)
            self.now[site] = self.now.get(site, 0) + 1
            self.most[site] = max(self.most.get(site, 0), self.now[site])
        try:
            try:
                data = self.fetching(item)
            except RetryableError:
                Path(directory, "audio.webm.part").write_bytes(b"half")
                raise
            path = Path(directory) / "audio.webm"
            path.write_bytes(data)
            return Audio(item, path, duration=item.duration)
        finally:
            with self.lock:
                self.now[site] -= 1

    def close(self):
        pass


class FakeSources(Sources):
    """A registry whose every plug-in is one fake."""

    def __init__(self, source):
        self.source = source

    def by_name(self, name):
        return self.source

    def close(self):
        pass


class FakeBackend:
    """Hears what it is told. `hearing(audio or call)` may raise, wait or return a Transcript.

    With `ids` its calls outlive the run: `calls` is what the far side knows, and what was paid for.
    """

    name = "fake"
    default_engine = "fake"
    default_model = "tiny"
    uploads = None

    def __init__(self, hearing=lambda work: transcript(), slots=1, ids=False):
        self.hearing = hearing
        self.slots = slots
        self.ids = ids
        self.submitted = []
        self.asked = []
        self.starts = 0
        self.calls = {}

    @contextmanager
    def start(self, engine, model):
        self.starts += 1
        yield self

    def submit(self, audio, options, stop):
        assert audio.path.exists()
        self.submitted.append(audio.item.key)
        call_id = f"fc-{len(self.submitted)}" if self.ids else None
        call = Call(audio.item, self.name, time.time(), call_id)
        self.calls[audio.item.key] = audio
        return call

    def result(self, call, stop, progress):
        self.asked.append(call.item.key)
        return self.hearing(self.calls.get(call.item.key, call))

    def usage(self, call):
        return None

    def worth_starting(self, audio_seconds):
        return True


def until_stopped(stop):
    """What a plug-in does that takes long: wait for the end, and say that it was cut short."""
    stop.wait(30)
    raise Cancelled


def listing(url, items, **changes):
    return Listing(url=url, title=f"Listing {url}", items=iter(items), **changes)
