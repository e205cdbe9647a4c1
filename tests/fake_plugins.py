"""Fake plug-ins that implement the protocols of core.py."""

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from homescribe.core import (
    CAPTIONS,
    Audio,
    Call,
    Captions,
    Item,
    Listing,
    Segment,
    Source,
    Transcript,
)
from homescribe.errors import Cancelled, RetryableError
from homescribe.pipeline import Run, Sources
from homescribe.pipeline.caption_run import CaptionRun


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


class FakeSource(Source):
    """Lists `listings`, and downloads what `fetching(item)` returns; it may also raise or wait."""

    name = "fake"
    pause = (0.0, 0.0)

    def __init__(self, listings=(), fetching=lambda item: b"audio"):
        self.listings = {}
        for listing in listings:
            self.listings.setdefault(listing.url, []).append(listing)
        self.fetching = fetching
        self.fetched = []
        self.taken = []  # items that were read from listings
        self.now = {}  # site: current downloads
        self.most = {}  # site: most simultaneous downloads
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
    """Sources that are all the same fake."""

    def __init__(self, source):
        self.source = source

    def by_name(self, name):
        return self.source

    def close(self):
        pass


class FakeBackend:
    """Returns what `transcribing(audio or call)` returns; it may also raise or wait.

    With `ids`, calls have ids, as if they outlived the process.
    """

    name = "fake"
    default_engine = "fake"
    default_model = "tiny"
    uploads = None

    def __init__(self, transcribing=lambda work: transcript(), slots=1, ids=False):
        self.transcribing = transcribing
        self.slots = slots
        self.ids = ids
        self.submitted = []
        self.forgotten = []
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
        return self.transcribing(self.calls.get(call.item.key, call))

    def usage(self, call):
        return None

    def forget(self, key):
        self.forgotten.append(key)

    def worth_starting(self, audio_seconds):
        return True


def until_stopped(stop):
    """Wait until `stop` is set and raise Cancelled, as a plug-in that is busy does."""
    stop.wait(30)
    raise Cancelled


def listing(url, items, **changes):
    return Listing(url=url, title=f"Listing {url}", items=iter(items), **changes)


# --- Runs with them ------------------------------------------------------------------------------


def fill(library, items, url="https://site.example/"):
    """Record `items` as the listing of a fake source."""
    library.record("fake", listing(url, ()), items)


def run(library, source, backend, **options):
    """A Run over all that is pending."""
    return Run(library, FakeSources(source), backend, **options)


def states(library):
    """The state of each item by its id."""
    return {record.item.id: record.state for record in library.items()}


# --- Captions ------------------------------------------------------------------------------------


def captions(text="hello captions", model="automatic", **changes):
    """A transcript of a publisher."""
    return transcript(text, engine=CAPTIONS, model=model, **changes)


class CaptionedSource(FakeSource):
    """Answers requests for captions with what `captioning(item)` returns: a Transcript, or None for none."""

    caption_pause = (0.0, 0.0)

    def __init__(self, captioning=lambda item: captions(), **options):
        super().__init__(**options)
        self.captioning = captioning
        self.requested = []  # keys of the items whose captions were requested
        self.requested_at = []

    def caption_key(self, item):
        return f"{self.rate_limit_key(item)} captions"

    def captions(self, item, directory, stop):
        assert directory.is_dir()
        self.requested.append(item.key)
        self.requested_at.append(time.monotonic())
        return Captions(item, self.captioning(item))


def caption_run(library, source, policy="auto", **options):
    """What requests the captions of all that is pending."""
    return CaptionRun(library, FakeSources(source), policy, **options)
