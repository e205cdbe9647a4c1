"""Whatever happens in the work on one item, the rest of the run goes on."""

import asyncio
import multiprocessing
import os
import shutil
import signal
import threading
import time
import wave
from itertools import pairwise
from threading import Event

import pytest

from fake_plugins import (
    FakeBackend,
    FakeSource,
    FakeSources,
    fill,
    item,
    listing,
    run,
    states,
    transcript,
    until_stopped,
)
from homescribe.cli import main
from homescribe.core import Addresses
from homescribe.errors import (
    InternalError,
    PermanentError,
    RetryableError,
    SourceBlocked,
    SuspectError,
    UserError,
)
from homescribe.library import Library
from homescribe.pipeline import add, sync
from homescribe.pipeline.crash_log import MAX_CHARACTERS, MAX_FILES, internal_error
from older_libraries import make_older


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


def logs(library):
    return sorted((library.directory / "logs").glob("*"))


class OddError(BaseException):
    """As libraries raise that derive from BaseException."""

    def __str__(self):
        raise ValueError("an exception that cannot be shown")


# --- Exceptions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("a bug"), asyncio.CancelledError(), OddError()]
)
@pytest.mark.parametrize("where", ["fetching", "transcribing"])
def test_an_unforeseen_exception_is_the_failure_of_one_item(library, where, error):
    def broken(work):
        if getattr(work, "item", work).id == "site-1":
            raise error
        return transcript() if where == "transcribing" else b"audio"

    fill(library, [item(n) for n in range(4)])
    source = FakeSource(fetching=broken) if where == "fetching" else FakeSource()
    backend = FakeBackend(broken) if where == "transcribing" else FakeBackend()
    outcomes = list(run(library, source, backend))
    assert states(library) == {f"site-{n}": "failed" if n == 1 else "done" for n in range(4)}
    [failed] = [outcome for outcome in outcomes if outcome.error]
    [log] = logs(library)
    assert isinstance(failed.error, InternalError)
    assert f"logs/{log.name}" in failed.error.message
    assert type(error).__name__ in failed.error.message
    assert "\n" not in failed.error.message
    text = log.read_text()
    assert "Traceback" in text
    assert "broken" in text
    assert "fake:site-1" in text
    # Not before the backoff is over:
    assert list(run(library, FakeSource(), FakeBackend())) == []
    assert library.pending(now=library.item("site-1").retry_at) == [item(1)]


def test_an_item_whose_site_cannot_be_told_fails_alone(library):
    class Odd(FakeSource):
        def rate_limit_key(self, wanted):
            if wanted.id == "site-1":
                raise ValueError("Invalid IPv6 URL")
            if wanted.id == "site-2":
                raise UserError("The plug-in is not installed.")
            return "site"

    fill(library, [item(n) for n in range(4)])
    list(run(library, Odd(), FakeBackend()))
    found = {"site-0": "done", "site-1": "failed", "site-2": "failed", "site-3": "done"}
    assert states(library) == found
    assert library.item("site-2").error == "The plug-in is not installed."


@pytest.mark.parametrize("answer", [None, transcript(duration=None), transcript(segments=(1, 2))])
def test_an_answer_that_is_no_transcript_is_the_failure_of_one_item(library, answer):
    fill(library, [item(n) for n in range(3)])
    backend = FakeBackend(lambda work: answer if work.item.id == "site-0" else transcript())
    list(run(library, FakeSource(), backend))
    assert states(library) == {"site-0": "failed", "site-1": "done", "site-2": "done"}


def test_audio_that_disappears_while_it_is_held_back_fails_alone(library):
    fill(library, [item(n) for n in range(3)])

    class Patient(FakeBackend):
        def submit(self, audio, options, stop):
            if not audio.path.exists():
                raise RetryableError("It is no longer there.", retry_after=60)
            return super().submit(audio, options, stop)

        def worth_starting(self, seconds):
            for path in (library.directory / "downloads").glob("*site-0*/audio.webm"):
                path.unlink()
            return False

    list(run(library, FakeSource(), Patient(), sleep_interval=0.3))
    assert states(library) == {"site-0": "failed", "site-1": "done", "site-2": "done"}


def test_a_paid_call_whose_result_cannot_be_read_is_collected_later(library):
    def broken(work):
        raise ZeroDivisionError("a bug in reading the answer")

    fill(library, [item(1)])
    [outcome] = run(library, FakeSource(), FakeBackend(broken, ids=True))
    assert isinstance(outcome.error, InternalError)
    assert states(library) == {"site-1": "in flight"}
    list(run(library, FakeSource(), second := FakeBackend(ids=True)))
    assert states(library) == {"site-1": "done"}
    assert second.submitted == []


def test_a_bug_in_the_run_itself_is_raised(library, monkeypatch):
    def broken(key, stage):
        raise ZeroDivisionError("a bug")

    fill(library, [item(n) for n in range(3)])
    running = run(library, FakeSource(), FakeBackend())
    monkeypatch.setattr(running._stages, "start_submitting", broken)
    monkeypatch.setattr(running, "_finish", broken)
    with pytest.raises(TypeError):
        list(running)
    assert logs(library) != []


def test_an_exception_while_listing_is_the_failure_of_one_source(library):
    bad, good = "https://bad.example/", "https://good.example/"
    source = FakeSource([listing(bad, []), listing(good, [])])
    for url in (bad, good):
        list(add(library, FakeSources(source), url, Event()))
    source = FakeSource(
        [listing(bad, [item(2), ZeroDivisionError("a bug")]), listing(good, [item(1)])]
    )
    failed, listed = sync(library, FakeSources(source), Event())
    [log] = logs(library)
    assert (listed.new, f"logs/{log.name}" in failed.error.message) == ((item(1),), True)
    assert "ZeroDivisionError" in log.read_text()
    source = FakeSource([listing(bad, [ZeroDivisionError("a bug")])])
    with pytest.raises(UserError, match="Internal error while listing"):
        list(add(library, FakeSources(source), bad, Event()))


class OddForOneAddress(FakeSource):
    """Leads from a list to two feeds. `method` has a bug for the first of them."""

    LIST, BAD, GOOD = "https://list.example/", "https://bad.example/", "https://good.example/"

    def __init__(self, method):
        super().__init__([listing(self.BAD, [item(1)]), listing(self.GOOD, [item(2)])])
        self.method = method

    def _check(self, method, url):
        if (method, url) == (self.method, self.BAD):
            raise ZeroDivisionError("a bug")

    def addresses(self, url, stop):
        self._check("addresses", url)
        if url == self.LIST:
            return Addresses((self.BAD, self.GOOD), each=True)
        # What was found in place of the address is used only if no plug-in knows its form.
        return Addresses((url,), each=False) if self.method == "knows" else None

    def matches(self, url):
        self._check("matches", url)
        return True

    def knows(self, url):
        self._check("knows", url)
        return url == self.LIST

    def listing_key(self, url):
        self._check("listing_key", url)
        return super().listing_key(url)


@pytest.mark.parametrize("method", ["addresses", "matches", "knows", "listing_key"])
def test_an_exception_while_an_address_is_examined_is_the_failure_of_one_address(library, method):
    source = OddForOneAddress(method)
    failed, added = add(library, FakeSources(source), source.LIST, Event())
    assert (failed.url, failed.new) == (source.BAD, ())
    assert "Internal error while listing (ZeroDivisionError)" in failed.error.message
    assert (added.url, added.new) == (source.GOOD, (item(2),))
    [log] = logs(library)
    assert f"logs/{log.name}" in failed.error.message
    assert "ZeroDivisionError" in log.read_text()
    with pytest.raises(UserError, match="Internal error while listing"):
        list(add(library, FakeSources(source), source.BAD, Event()))


def test_an_exception_in_the_key_of_a_rate_limit_is_the_failure_of_one_source(library):
    source = OddForOneAddress("")
    list(add(library, FakeSources(source), source.LIST, Event()))
    source.method = "listing_key"
    failed, listed = sync(library, FakeSources(source), Event())
    assert (failed.url, "ZeroDivisionError" in failed.error.message) == (source.BAD, True)
    assert (listed.url, listed.error) == (source.GOOD, None)
    # Also while another error is handled: of a site that asks to wait.
    source.listings[source.BAD] = [listing(source.BAD, [SourceBlocked("Wait.", "", 60.0)])]
    with pytest.raises(UserError, match="Internal error while listing"):
        list(add(library, FakeSources(source), source.BAD, Event()))


def test_logs_are_few_short_and_without_secrets(library):
    secret = "https://user:hunter2@feeds.example/a.xml?token=c0ffee"
    for n in range(MAX_FILES + 5):
        error = ValueError(f"cannot read {secret} " + "x" * 2 * MAX_CHARACTERS)
        internal_error(error, library.directory, "listing", f"{secret}&n={n}")
    assert len(logs(library)) == MAX_FILES
    for log in logs(library):
        text = log.name + log.read_text()
        assert len(text) < MAX_CHARACTERS + 1000
        assert "hunter2" not in text
        assert "c0ffee" not in text


def test_a_folder_for_logs_that_cannot_be_written_is_said(library):
    (library.directory / "logs").write_text("in the way")
    error = internal_error(ValueError(), library.directory, "downloading", "fake:1")
    assert "could not be written" in error.message


# --- A full disk ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [False, True])
def test_no_thread_waits_for_what_cannot_be_stored(library, monkeypatch, ids):
    def full(*_, **__):
        raise UserError("The disk is full.")

    monkeypatch.setattr(library, "add_call" if ids else "start_work", full)
    fill(library, [item(n) for n in range(3)])
    with pytest.raises(UserError, match="The disk is full"):
        list(run(library, FakeSource(), FakeBackend(ids=ids, slots=2)))
    for thread in threading.enumerate():
        if thread.name.startswith("slot"):
            thread.join(5)
            assert not thread.is_alive()


def test_a_call_that_could_not_be_stored_is_stored_at_the_end_if_there_is_room_again(
    library, monkeypatch
):
    store, tries = library.add_call, []

    def full_once(call, **options):
        tries.append(call)
        if len(tries) == 1:
            raise UserError("The disk is full.")
        store(call, **options)

    monkeypatch.setattr(library, "add_call", full_once)
    fill(library, [item(1)])
    with pytest.raises(UserError, match="The disk is full"):
        list(run(library, FakeSource(), FakeBackend(ids=True)))
    assert states(library) == {"site-1": "in flight"}


# --- Processes that die --------------------------------------------------------------------------


def run_in_a_process(directory, killers, slots, together):
    """Run in a process of its own, whose engine kills it at an item in `killers`; return its exit code."""

    def work():
        with Library(directory) as library:
            barrier = threading.Barrier(together)

            def transcribing(audio):
                if audio.item.id in killers:
                    if together > 1:
                        barrier.wait(20)
                    os.kill(os.getpid(), signal.SIGKILL)
                if together > 1 and audio.item.id == "site-1":
                    barrier.wait(20)
                    Event().wait(20)
                return transcript()

            list(run(library, FakeSource(), FakeBackend(transcribing, slots)))

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(60)
    return process.exitcode


@pytest.mark.skipif(os.name == "nt", reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_an_item_during_which_the_process_died_twice_is_set_aside(tmp_path):
    with Library(tmp_path) as library:
        fill(library, [item(n) for n in range(4)])
    # Items 0 and 1 are in flight at the first death, so both are in doubt.
    assert run_in_a_process(tmp_path, {"site-0"}, slots=2, together=2) == -signal.SIGKILL
    with Library(tmp_path) as library:
        assert set(states(library).values()) == {"pending"}
    # The second run does the rest first, then those in doubt, one at a time.
    assert run_in_a_process(tmp_path, {"site-0"}, slots=2, together=1) == -signal.SIGKILL
    with Library(tmp_path) as library:
        found = states(library)
        assert found.pop("site-0") == "pending"
        assert found.pop("site-1") in ("pending", "done")
        assert set(found.values()) == {"done"}
    assert run_in_a_process(tmp_path, {"site-0"}, slots=2, together=1) == 0
    with Library(tmp_path) as library:
        assert states(library) == {
            **{f"site-{n}": "done" for n in range(1, 4)},
            "site-0": "failed",
        }
        record = library.item("site-0")
        assert (record.permanent, "died twice" in record.error) == (True, True)
        # `retry` brings it back, with a clean slate.
        assert library.retry(["fake:site-0"]) == 1
        assert library.count_deaths().alone == frozenset()
        list(run(library, FakeSource(), FakeBackend()))
        assert states(library)["site-0"] == "done"


MONTH = 30 * 24 * 3600.0


def test_a_permanent_failure_is_tried_again_after_a_month(library):
    """What was private may be public by then. Each attempt that fails is a month's wait."""
    fill(library, [item(1)])
    now = time.time()
    for ago, state in [(MONTH - 60, "failed"), (MONTH + 60, "pending")]:
        library.retry(permanent=True)
        library.fail(item(1), PermanentError("Private."), now - ago)
        assert states(library) == {"site-1": state}
    backend = FakeBackend(ids=True)

    def private(audio):
        raise PermanentError("Still private.")

    source = FakeSource(fetching=private)
    assert len(list(run(library, source, backend))) == 1
    assert list(run(library, source, backend)) == []
    record = library.item("site-1")
    assert (record.attempts, record.error) == (2, "Still private.")
    assert record.retry_at == pytest.approx(time.time() + MONTH, abs=60)


def test_a_suspect_is_tried_again_only_on_request(library):
    """Each attempt may end a run, with all that the run was doing."""
    fill(library, [item(1), item(2)])
    for _ in range(2):
        library.start_work(item(1))
        library.count_deaths()
    list(run(library, FakeSource(), FakeBackend()))
    assert states(library) == {"site-1": "failed", "site-2": "done"}
    record = library.item("site-1")
    assert (record.permanent, record.retry_at) == (True, None)
    for years in (1, 10):
        assert library.pending(now=time.time() + years * 12 * MONTH) == []
    assert library.retry() == 0
    assert library.retry([record.item.key]) == 1
    assert [outcome.error for outcome in run(library, FakeSource(), FakeBackend())] == [None]


def test_a_suspect_of_an_older_library_waits_for_a_request_too(library):
    fill(library, [item(1), item(2)])
    for number, message in ((1, "The process died twice while this."), (2, "Private.")):
        library.fail(item(number), PermanentError(message), time.time() - MONTH - 60)
    library.close()
    make_older(library.path, 12)
    with Library(library.directory) as migrated:
        assert states(migrated) == {"site-1": "failed", "site-2": "pending"}


def test_the_suspect_is_an_outcome_of_the_run(library):
    fill(library, [item(1), item(2)])
    for _ in range(2):
        library.start_work(item(1))
        library.count_deaths()
    outcomes = list(run(library, FakeSource(), FakeBackend()))
    assert [type(outcome.error) for outcome in outcomes] == [SuspectError, type(None)]
    assert "retry" in outcomes[0].error.hint


def test_items_in_doubt_come_last_and_run_alone(library):
    fill(library, [item(n, f"site{n}") for n in range(6)])
    for n in (0, 3):
        library.start_work(item(n, f"site{n}"))
    at_once, most, order = 0, [], []
    lock = threading.Lock()

    def transcribing(audio):
        nonlocal at_once
        with lock:
            at_once += 1
            order.append(audio.item.id[-1])
        Event().wait(0.05)
        with lock:
            most.append((audio.item.id[-1], at_once))
            at_once -= 1
        return transcript()

    list(run(library, FakeSource(), FakeBackend(transcribing, slots=3)))
    assert sorted(order[:4]) == ["1", "2", "4", "5"]
    assert order[4:] == ["0", "3"]
    assert all(count == 1 for number, count in most if number in "03")


def test_a_run_that_is_stopped_leaves_nobody_in_doubt(library):
    fill(library, [item(n) for n in range(3)])
    running = run(library, FakeSource(), backend := FakeBackend(slots=2))

    def transcribing(audio):
        running.stop.set()
        until_stopped(running._ending)

    backend.transcribing = transcribing
    list(running)
    assert set(states(library).values()) == {"pending"}
    deaths = library.count_deaths()
    assert (deaths.alone, deaths.suspects) == (frozenset(), ())


def test_a_failure_that_is_recorded_is_no_death(library):
    fill(library, [item(1)])
    library.start_work(item(1))
    library.fail(item(1), PermanentError("No audio."))
    assert library.count_deaths().alone == frozenset()


def test_pauses_hold_between_items_that_run_alone(library):
    fill(library, [item(n) for n in range(3)])
    for n in (0, 1):
        library.start_work(item(n))
    started = []

    def fetching(wanted):
        started.append(time.monotonic())
        return b"audio"

    list(run(library, FakeSource(fetching=fetching), FakeBackend(), sleep_interval=0.3))
    assert all(b - a > 0.25 for a, b in pairwise(started))


# --- Commands ------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run a command on the library in `tmp_path`, with a fake source and backend; return its exit code."""
    monkeypatch.setenv("HOMESCRIBE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HOMESCRIBE_LIBRARY", str(tmp_path / "library"))

    def build(config, library, sources, *, keys=None, limit=None, stop=None, **_):
        return run(library, FakeSource(), FakeBackend(), keys=keys, limit=limit, stop=stop)

    monkeypatch.setattr("homescribe.cli.actions.build_run", build)

    def call(*arguments):
        code = main.run([str(each) for each in arguments])
        return code, capsys.readouterr().err

    return call


def broken_for_one_item(monkeypatch, error):
    from homescribe.formats import writer

    named = writer.file_names

    def file_names(wanted, *arguments, **options):
        if wanted.id == "site-1":
            raise error
        return named(wanted, *arguments, **options)

    monkeypatch.setattr(writer, "file_names", file_names)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), UserError("The name is too long.")])
def test_a_file_that_cannot_be_written_is_the_failure_of_one_item(
    library, command, monkeypatch, tmp_path, error
):
    fill(library, [item(n) for n in range(3)])
    broken_for_one_item(monkeypatch, error)
    code, err = command("run", "-f", "txt", "-o", tmp_path / "out")
    assert code == 1
    assert "Talk 1" in err
    assert "not written" in err
    assert "Traceback" not in err
    assert set(states(library).values()) == {"done"}
    assert len(list((tmp_path / "out").glob("*.txt"))) == 2
    code, err = command("export", "-f", "txt", "-o", tmp_path / "later")
    assert code == 1
    assert "homescribe export" in err
    assert len(list((tmp_path / "later").glob("*.txt"))) == 2
    assert bool(logs(library)) == isinstance(error, ZeroDivisionError)


def silence(path, seconds=1, missing=0):
    """Write silence without its last `missing` bytes, as if it had been copied two hours ago."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0" * 16000 * seconds)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - missing])
    os.utime(path, (time.time() - 7200,) * 2)


def test_another_run_has_an_exit_code_of_its_own_and_sync_is_silent(
    library, command, monkeypatch, tmp_path
):
    folder, gone = tmp_path / "talks", tmp_path / "gone"
    for seconds, each in enumerate((folder, gone), 1):
        each.mkdir()
        silence(each / f"{each.name}.wav", seconds)
        assert command("add", each)[0] == 0
    silence(folder / "a copy.wav")
    silence(folder / "incomplete.wav", 3, missing=99)
    with library.run_lock():
        code, err = command("run")
        assert (code, "Another run is active" in err) == (5, True)
        # A new item and two warnings:
        assert command("sync") == (5, "")
        assert len(list(library.items())) == 3
        silence(folder / "another copy.wav")
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        code, err = command("sync")
        assert (code, "another copy.wav" in err, "Another run is active" in err) == (5, True, True)
        # A source that cannot be listed is reported, also without a terminal.
        shutil.rmtree(gone)
        code, err = command("sync")
        assert (code, "gone" in err, "Another run is active" in err) == (2, True, True)
        monkeypatch.setattr("sys.stderr.isatty", lambda: False)
        silence(folder / "a third copy.wav")
        code, err = command("sync")
        assert (code, "gone" in err, "copy" in err, "Another run" in err) == (2, True, False, False)
    gone.mkdir()
    silence(gone / "gone.wav", 2)
    assert command("sync")[0] == 0
    assert command("sync") == (0, "")
