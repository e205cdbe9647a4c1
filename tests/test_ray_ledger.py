"""The ledger without a cluster: which calls it keeps, for how long, and when it ends."""

import asyncio
import time

import pytest

pytest.importorskip("ray", reason="needs the extra ray")

from homescribe.backends.ray import call_ledger
from homescribe.backends.ray.call_ledger import CallLedger
from homescribe.backends.ray.ray_worker import decode, encode
from homescribe.backends.ray.worker_pool import Answer
from homescribe.backends.ray.worker_spec import WorkerSpec
from homescribe.backends.wire import Reply
from homescribe.core import Transcript
from homescribe.errors import RetryableError, SetupError

SPEC = WorkerSpec("fake", "fakes:Fake", "tiny", slots=1, cpus=1, gpus=0)


class FakeWorker:
    """Answers at once, unless `ledger.busy` is set; cannot load with a model named "missing"."""

    def __init__(self, ledger, spec):
        self.ledger, self.spec = ledger, spec

    async def load(self):
        return SetupError("There is no such model.") if self.spec.model == "missing" else None

    async def transcribe(self, call):
        while self.ledger.busy:
            await asyncio.sleep(0.01)
        self.ledger.transcribed.append(call.request["key"])
        text = Transcript("fake", "tiny", "en", 1.0, ())
        return Answer(encode(Reply(transcript=text)))

    def end(self):
        self.ledger.ended_workers += 1


class Ledger(CallLedger):
    """A ledger whose workers are fakes."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.busy, self.transcribed, self.ended_workers, self.ended = False, [], 0, False

    def start_worker(self, spec):
        return FakeWorker(self, spec)

    def store(self, media):
        return media

    def end(self):
        self.ended = True


def request(name, **changes):
    return {"key": f"file:{name}", "token": f"token-{name}", **changes}


def scenario(body, **settings):
    """Run `body(ledger)` on a ledger with one worker."""

    async def main():
        ledger = Ledger(**settings)
        await ledger.ensure(SPEC, 1)
        await asyncio.wait_for(body(ledger), 20)

    asyncio.run(main())


async def collected(ledger, *ids, forget=()):
    return {
        key: decode(content) if content else None
        for key, content in (await ledger.collect(ids, forget, 5.0)).items()
    }


def test_a_recording_that_is_known_is_not_taken_again_until_it_was_collected():
    async def body(ledger):
        assert await ledger.admit("token-a", 3) == {"call": "", "full": False}
        first = await ledger.submit(SPEC, request("a"), b"abc")
        assert await ledger.admit("token-a", 3) == {"call": first, "full": False}
        assert await ledger.submit(SPEC, request("a"), b"abc") == first
        assert (await collected(ledger, first))[first].transcript.duration == 1.0
        assert ledger.transcribed == ["file:a"]
        # A client has the id of that call now. Who sends the recording again wants it done again.
        assert (await ledger.admit("token-a", 3))["call"] == ""
        assert await ledger.submit(SPEC, request("a"), b"abc") != first

    scenario(body)


def test_a_reply_is_given_as_often_as_it_is_asked_for_and_deleted_when_it_is_stored():
    async def body(ledger):
        call = await ledger.submit(SPEC, request("a"), b"abc")
        for _ in range(2):
            assert (await collected(ledger, call))[call].error is None
        assert await ledger.kept() == 1
        assert await collected(ledger, call, forget=[call]) == {call: None}
        assert await ledger.kept() == 0
        assert await collected(ledger, "ray-unknown", forget=["ray-unknown"]) == {
            "ray-unknown": None
        }

    scenario(body)


def test_a_call_at_work_cannot_be_forgotten():
    async def body(ledger):
        ledger.busy = True
        call = await ledger.submit(SPEC, request("a"), b"abc")
        assert await ledger.collect([call], [call], 0.0) == {}
        ledger.busy = False
        assert (await collected(ledger, call))[call].transcript is not None

    scenario(body)


def test_an_answer_comes_when_there_is_a_reply_and_nothing_after_the_time():
    async def body(ledger):
        ledger.busy = True
        calls = [await ledger.submit(SPEC, request(name), b"abc") for name in "ab"]
        began = time.monotonic()
        assert await ledger.collect(calls, [], 0.3) == {}
        assert 0.2 < time.monotonic() - began < 5
        ledger.busy = False
        began = time.monotonic()
        assert await ledger.collect(calls, [], 15.0)
        assert time.monotonic() - began < 5

    scenario(body)


def test_audio_that_waits_is_bounded(monkeypatch):
    monkeypatch.setattr(call_ledger, "MAX_WAITING", 5)

    async def body(ledger):
        ledger.busy = True
        assert not (await ledger.admit("token-big", 50))["full"]  # alone, it is taken
        call = await ledger.submit(SPEC, request("a"), b"abc")
        assert (await ledger.admit("token-b", 3))["full"]
        assert not (await ledger.admit("token-b", 2))["full"]
        ledger.busy = False
        await collected(ledger, call)
        assert not (await ledger.admit("token-b", 3))["full"]

    scenario(body)


def test_replies_are_deleted_when_they_are_old_and_the_oldest_when_there_are_too_many(monkeypatch):
    async def body(ledger):
        calls = [await ledger.submit(SPEC, request(name), b"abc") for name in "abc"]
        for call in calls:
            await collected(ledger, call)
        for age, call in zip((30, 20, 10), calls, strict=True):
            ledger._calls[call].finished_at = time.time() - age
            ledger._calls[call].reply += bytes(1000)
        size = len(ledger._calls[calls[0]].reply)
        ledger._delete_old(time.time())
        assert await ledger.kept() == 3
        monkeypatch.setattr(call_ledger, "MAX_KEPT", 2 * size + len(call_ledger.DELETED))
        for _ in range(2):
            ledger._delete_old(time.time())
            assert await ledger.kept() == 2
        # A result that nobody has collected is not deleted without a word.
        deleted = (await collected(ledger, calls[0]))[calls[0]].error
        assert type(deleted) is RetryableError
        assert "256 MiB" in deleted.message
        ledger._delete_old(time.time() + 75)
        assert set(ledger._calls) == set(calls[1:])
        ledger._delete_old(time.time() + 85)
        assert set(ledger._calls) == set(calls[2:])
        ledger._delete_old(time.time() + 95)
        assert not ledger._calls

    scenario(body, keep=100.0)


def test_a_recording_whose_result_was_deleted_is_transcribed_again(monkeypatch):
    async def body(ledger):
        call = await ledger.submit(SPEC, request("a"), b"abc")
        while ledger._calls[call].reply is None:
            await asyncio.sleep(0.01)
        ledger._calls[call].reply += bytes(1000)
        assert (await ledger.admit("token-a", 3))["call"] == call
        monkeypatch.setattr(call_ledger, "MAX_KEPT", 1000)
        ledger._delete_old(time.time())
        assert (await ledger.admit("token-a", 3))["call"] == ""
        again = await ledger.submit(SPEC, request("a"), b"abc")
        assert (await collected(ledger, again))[again].transcript is not None

    scenario(body)


def test_workers_that_cannot_start_are_reported_to_who_waits():
    missing = WorkerSpec("fake", "fakes:Fake", "missing", slots=1, cpus=1, gpus=0)

    async def body(ledger):
        await ledger.ensure(missing, 1)
        call = await ledger.submit(missing, request("a"), b"abc")
        replies = await collected(ledger, call)
        assert replies[""].error.message == "There is no such model."
        ready, failure = await ledger.ready(missing)
        assert (ready, decode(failure).error.message) == (0, "There is no such model.")
        assert await ledger.ready(SPEC) == (1, b"")
        # The other workers go on, and the call waits for better times.
        other = await ledger.submit(SPEC, request("b"), b"abc")
        assert (await collected(ledger, other))[other].transcript is not None
        [_, figures] = await ledger.status()
        assert (figures["unfinished"], figures["error"]) == (1, "There is no such model.")

    scenario(body)


def test_workers_end_and_then_the_ledger_when_nobody_needs_them(tmp_path):
    lease = tmp_path / "lease"

    async def body(ledger):
        call = await ledger.submit(SPEC, request("a"), b"abc")
        await collected(ledger, call)
        renewed = lease.stat().st_mtime
        await asyncio.sleep(1.2)  # the client is gone
        assert ledger.ended_workers == 1
        assert not ledger.ended, "it has a reply that nobody has stored"
        assert lease.stat().st_mtime > renewed
        await ledger.collect([], [call], 0.0)
        await asyncio.sleep(1.2)
        assert ledger.ended
        renewed = lease.stat().st_mtime
        await asyncio.sleep(0.5)
        assert lease.stat().st_mtime == renewed

    scenario(body, idle=0.4, lease=str(lease))


def test_workers_that_ended_for_want_of_work_are_started_by_the_next_call():
    """Downloads may be slow, with minutes between two recordings."""

    async def body(ledger):
        kept = await ledger.submit(SPEC, request("kept"), b"abc")
        await collected(ledger, kept)
        await asyncio.sleep(1.0)
        assert ledger.ended_workers == 1
        call = await ledger.submit(SPEC, request("a"), b"abc")
        assert (await collected(ledger, call))[call].transcript is not None

    scenario(body, idle=0.4)


def test_workers_without_work_make_room_for_another_model(monkeypatch):
    other = WorkerSpec("fake", "fakes:Fake", "base", slots=1, cpus=1, gpus=0)

    async def body(ledger):
        await ledger.ensure(other, 1)  # a client may still want those of SPEC
        assert ledger.ended_workers == 0
        monkeypatch.setattr(call_ledger, "SWITCH", 0.0)
        ledger.busy = True
        call = await ledger.submit(other, request("a"), b"abc")
        await ledger.ensure(SPEC, 1)
        assert ledger.ended_workers == 0, "it works"
        ledger.busy = False
        await collected(ledger, call)
        await ledger.ensure(SPEC, 1)
        assert ledger.ended_workers == 1

    scenario(body)


def test_a_ledger_that_no_client_comes_back_to_ends():
    async def body(ledger):
        ledger.busy = True
        await ledger.submit(SPEC, request("a"), b"abc")
        await asyncio.sleep(1.5)
        assert ledger.ended

    scenario(body, keep=1.0, idle=0.4)
