"""What holds between sources, backend and library, whatever they do."""

import threading
from threading import Event

import pytest

from doubles import FakeBackend, FakeSource, FakeSources, item, listing, transcript, until_stopped
from homescribe.errors import (
    PermanentError,
    RetryableError,
    SourceBlocked,
    UserError,
)
from homescribe.library import Library
from homescribe.pipeline import Run, add, sync
from homescribe.pipeline.add import STOP_AFTER_KNOWN
from homescribe.pipeline.downloads import MAX_WAITS, OUTAGE


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


def fill(library, items, url="https://site.example/"):
    library.record("fake", listing(url, ()), items)


def run(library, source, backend, **options):
    return Run(library, FakeSources(source), backend, **options)


def states(library):
    return {record.item.id: record.state for record in library.items()}


def files_left(library):
    downloads = library.directory / "downloads"
    return [path for path in downloads.rglob("*") if path.is_file()]


# --- A run ---------------------------------------------------------------------------------------


def test_everything_pending_is_heard_and_stored(library):
    fill(library, [item(n) for n in range(5)])
    outcomes = list(run(library, FakeSource(), FakeBackend()))
    assert [outcome.transcript.text for outcome in outcomes] == ["hello world"] * 5
    assert library.transcript(item(3).key) == transcript()
    assert set(states(library).values()) == {"done"}
    assert files_left(library) == []


def test_the_length_that_was_heard_replaces_the_one_that_was_announced(library):
    fill(library, [item(1, duration=None), item(2, duration=356_400.0)])
    list(run(library, FakeSource(), FakeBackend()))
    assert [record.item.duration for record in library.items()] == [10.0, 10.0]


def test_a_second_run_has_nothing_to_do_and_loads_no_model(library):
    fill(library, [item(1)])
    list(run(library, FakeSource(), FakeBackend()))
    backend, source = FakeBackend(), FakeSource()
    assert list(run(library, source, backend)) == []
    assert (backend.starts, source.fetched) == (0, [])


def test_one_failure_is_recorded_and_the_rest_goes_on(library):
    def fetching(wanted):
        if wanted.id == "site-1":
            raise PermanentError("Private video.")
        return b"audio"

    fill(library, [item(n) for n in range(3)])
    outcomes = list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert sorted(str(outcome.error) for outcome in outcomes) == ["None", "None", "Private video."]
    record = library.item("fake:site-1")
    assert (record.state, record.error, record.attempts) == ("failed", "Private video.", 1)
    assert list(run(library, FakeSource(), FakeBackend())) == []  # never again by itself


def test_a_failure_of_the_engine_is_the_items_own(library):
    def hearing(audio):
        if audio.item.id == "site-0":
            raise PermanentError("No audio.")
        return transcript()

    fill(library, [item(n) for n in range(3)])
    list(run(library, FakeSource(), FakeBackend(hearing)))
    assert states(library) == {"site-0": "failed", "site-1": "done", "site-2": "done"}
    assert files_left(library) == []


def test_a_truncated_download_is_fetched_anew_next_time(library):
    def hearing(audio):
        raise RetryableError("The audio breaks off.", retry_after=3600)

    fill(library, [item(1)])
    list(run(library, FakeSource(), FakeBackend(hearing)))
    assert files_left(library) == []
    assert library.item("fake:site-1").retry_at is not None
    library.retry()
    source = FakeSource()
    list(run(library, source, FakeBackend()))
    assert source.fetched == ["fake:site-1"]
    assert states(library) == {"site-1": "done"}


def test_what_failed_and_is_due_again_is_tried_again_in_the_same_run(library, monkeypatch):
    monkeypatch.setattr("homescribe.library.library.BACKOFF", (0.0,) * 5)
    tries = []

    def fetching(wanted):
        tries.append(wanted.id)
        if len(tries) < 3:
            raise RetryableError("503")
        return b"audio"

    fill(library, [item(1)])
    outcomes = list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert [outcome.transcript is None for outcome in outcomes] == [True, True, False]
    assert states(library) == {"site-1": "done"}


def test_a_users_own_file_stays(library, tmp_path):
    own = tmp_path / "talk.mp3"
    own.write_bytes(b"audio")

    class Disk(FakeSource):
        def fetch(self, item, directory, stop):
            from homescribe.core import Audio

            return Audio(item, own, temporary=False)

    fill(library, [item(1)])
    list(run(library, Disk(), FakeBackend()))
    assert own.read_bytes() == b"audio"


def test_only_the_items_named_and_only_so_many(library):
    fill(library, [item(n) for n in range(6)])
    list(run(library, FakeSource(), FakeBackend(), keys=["fake:site-4", "fake:site-2"]))
    assert [i for i, state in states(library).items() if state == "done"] == ["site-2", "site-4"]
    list(run(library, FakeSource(), FakeBackend(), limit=1))
    assert list(states(library).values()).count("done") == 3


# --- Politeness ----------------------------------------------------------------------------------


def test_one_download_at_a_time_from_one_site(library):
    fill(library, [item(n, site) for n in range(6) for site in ("one", "two")])
    source = FakeSource()
    list(run(library, source, FakeBackend(slots=3)))
    assert source.most == {"one": 1, "two": 1}


def test_downloads_run_ahead_only_as_far_as_the_window(library):
    fill(library, [item(n) for n in range(20)])
    source = FakeSource()
    reached = []
    gate = Event()

    def hearing(audio):
        gate.wait(0.5)  # long enough for the downloads to run into the window's end
        gate.set()
        reached.append(len(files_left(library)))
        return transcript()

    list(run(library, source, FakeBackend(hearing)))
    assert max(reached) == 4
    assert len(source.fetched) == 20


def test_a_bot_check_stops_the_site_and_marks_nothing_failed(library):
    def fetching(wanted):
        if wanted.id == "youtube-1":
            raise SourceBlocked("Sign in to confirm you're not a bot", "Wait, or use cookies.")
        return b"audio"

    fill(library, [item(n, site) for n in range(4) for site in ("youtube", "podcast")])
    outcomes = []
    with pytest.raises(SourceBlocked, match="not a bot"):
        outcomes += run(library, FakeSource(fetching=fetching), FakeBackend())
    found = states(library)
    assert [found[f"podcast-{n}"] for n in range(4)] == ["done"] * 4
    assert [found[f"youtube-{n}"] for n in range(4)] == ["done", "pending", "pending", "pending"]
    assert library.item("fake:youtube-1").attempts == 0


def test_a_rate_limit_is_waited_out(library):
    asked = []

    def fetching(wanted):
        asked.append(wanted.id)
        if len(asked) == 2:
            raise SourceBlocked("Too many requests", retry_after=0.2)
        return b"audio"

    fill(library, [item(n) for n in range(3)])
    outcomes = list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert asked == ["site-0", "site-1", "site-1", "site-2"]
    assert len([outcome for outcome in outcomes if outcome.transcript]) == 3


def test_a_site_that_only_ever_asks_to_wait_is_given_up(library):
    def fetching(wanted):
        raise SourceBlocked("Too many requests", retry_after=0.01)

    source = FakeSource(fetching=fetching)
    fill(library, [item(n) for n in range(3)])
    with pytest.raises(SourceBlocked):
        list(run(library, source, FakeBackend()))
    assert len(source.fetched) == MAX_WAITS + 1
    assert set(states(library).values()) == {"pending"}


def test_an_outage_does_not_use_up_every_item(library, monkeypatch):
    monkeypatch.setattr("homescribe.pipeline.downloads.OUTAGE_PAUSES", (0.05, 0.05))

    def fetching(wanted):
        raise RetryableError("The connection failed.")

    fill(library, [item(n) for n in range(30)])
    with pytest.raises(SourceBlocked, match="in a row failed from site"):
        list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert list(states(library).values()).count("failed") == OUTAGE + 2
    assert list(states(library).values()).count("pending") == 30 - OUTAGE - 2
    assert library.blocked_sites() == {}  # the next run may ask at once


def test_an_outage_that_ends_costs_a_few_items_one_attempt(library, monkeypatch):
    monkeypatch.setattr("homescribe.pipeline.downloads.OUTAGE_PAUSES", (0.05, 0.05))
    monkeypatch.setattr("homescribe.library.library.BACKOFF", (0.0,) * 5)
    tries = []

    def fetching(wanted):
        tries.append(wanted.id)
        if 3 <= len(tries) < 3 + OUTAGE + 1:
            raise RetryableError("The connection failed.")
        return b"audio"

    fill(library, [item(n) for n in range(12)])
    list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert set(states(library).values()) == {"done"}


def test_late_videos_in_a_row_are_no_outage(library):
    def fetching(wanted):
        if wanted.id != "site-7":
            raise RetryableError("Not there yet.", retry_after=3600)
        return b"audio"

    fill(library, [item(n) for n in range(8)])
    list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert states(library)["site-7"] == "done"


def test_a_site_that_asked_to_wait_is_left_alone_by_the_next_run_too(library):
    import time

    library.block_site("site", time.time() + 3600, "Too many requests")
    fill(library, [item(1), item(2, "other")])
    source = FakeSource()
    running = run(library, source, FakeBackend())
    for outcome in running:
        assert outcome.item.id == "other-2"
        running.stop.set()
    assert source.fetched == ["fake:other-2"]
    assert running.progress.waiting["site"][1] == "Too many requests"


# --- Calls that outlive the run ------------------------------------------------------------------


def test_a_call_is_stored_before_its_result_is_asked_for(library):
    seen = []

    def hearing(audio):
        with Library(library.directory) as other:
            seen.extend(call.id for call in other.calls("fake"))
        return transcript()

    fill(library, [item(1)])
    list(run(library, FakeSource(), FakeBackend(hearing, ids=True)))
    assert seen == ["fc-1"]
    assert library.calls("fake") == []


def test_the_next_run_collects_what_was_submitted_and_submits_only_the_rest(library):
    fill(library, [item(n) for n in range(4)])
    first = FakeBackend(lambda audio: until_stopped(Event()), ids=True, slots=2)
    running = run(library, FakeSource(), first)
    first.hearing = lambda audio: until_stopped(running.stop)
    timer = threading.Timer(0.5, running.stop.set)
    timer.start()
    assert list(running) == []
    stored = {call.item.key: call.id for call in library.calls("fake")}
    assert len(stored) == len(first.submitted) == 2

    second = FakeBackend(ids=True)
    outcomes = list(run(library, FakeSource(), second))
    assert len(outcomes) == 4
    assert set(second.submitted) == {item(n).key for n in range(4)} - set(stored)
    assert set(states(library).values()) == {"done"}


def test_a_call_of_another_backend_is_neither_collected_nor_done_twice(library):
    fill(library, [item(1)])
    running = run(library, FakeSource(), backend := FakeBackend(ids=True))
    backend.hearing = lambda audio: until_stopped(running.stop)
    threading.Timer(0.3, running.stop.set).start()
    list(running)
    other = FakeBackend()
    other.name = "other"
    assert list(run(library, FakeSource(), other)) == []
    assert states(library) == {"site-1": "in flight"}


# --- The end -------------------------------------------------------------------------------------


def test_a_stopped_run_loses_nothing(library):
    fill(library, [item(n) for n in range(10)])
    running = run(library, FakeSource(), backend := FakeBackend())

    def hearing(audio):
        if audio.item.id == "site-2":
            running.stop.set()
            until_stopped(running.stop)
        return transcript()

    backend.hearing = hearing
    assert len(list(running)) == 2
    assert list(states(library).values()) == ["done"] * 2 + ["pending"] * 8
    assert len(list(run(library, FakeSource(), FakeBackend()))) == 8


def test_when_the_user_must_act_the_run_ends_and_nothing_is_marked_failed(library):
    def hearing(audio):
        if audio.item.id == "site-1":
            raise UserError("Out of memory.", "Choose a smaller model.")
        return transcript()

    fill(library, [item(n) for n in range(4)])
    with pytest.raises(UserError, match="Out of memory"):
        list(run(library, FakeSource(), FakeBackend(hearing)))
    assert list(states(library).values()) == ["done", "pending", "pending", "pending"]


@pytest.mark.parametrize("where", ["fetching", "hearing"])
def test_a_bug_in_a_plug_in_shows_itself(library, where):
    def broken(work):
        raise ZeroDivisionError("a bug")

    fill(library, [item(n) for n in range(3)])
    source = FakeSource(fetching=broken) if where == "fetching" else FakeSource()
    backend = FakeBackend(broken) if where == "hearing" else FakeBackend()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(run(library, source, backend))
    assert set(states(library).values()) == {"pending"}


def test_leaving_the_loop_ends_the_threads(library):
    fill(library, [item(n) for n in range(10)])
    iterator = iter(run(library, FakeSource(), FakeBackend()))
    next(iterator)
    iterator.close()
    for thread in threading.enumerate():
        if thread.name.startswith(("download", "slot")):
            thread.join(5)
            assert not thread.is_alive()
    with library.run_lock():  # given back
        pass


def test_two_runs_at_once_are_one_too_many(library):
    fill(library, [item(1)])
    with library.run_lock(), Library(library.directory) as other, pytest.raises(UserError):
        list(run(other, FakeSource(), FakeBackend()))


def test_leftovers_of_a_killed_run_are_swept_but_what_can_be_resumed_stays(library):
    fill(library, [item(1), item(2)])
    list(run(library, FakeSource(), FakeBackend(), keys=["fake:site-1"]))
    fetched = []

    def fetching(wanted):
        raise RetryableError("cut off", retry_after=3600)

    list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    (library.directory / "downloads" / "fake-gone-12345678").mkdir()
    library.retry()

    def resuming(wanted):
        fetched.extend(path.name for path in files_left(library))
        return b"audio"

    list(run(library, FakeSource(fetching=resuming), FakeBackend()))
    assert fetched == ["audio.webm.part"]
    assert list((library.directory / "downloads").iterdir()) == []


# --- Listing -------------------------------------------------------------------------------------

URL = "https://channel.example/"


def list_once(library, items, *, newest_first=True, **options):
    source = FakeSource([listing(URL, items, newest_first=newest_first)])
    return source, list(add(library, FakeSources(source), URL, Event(), **options))


def test_an_update_stops_at_known_items(library):
    old = [item(n) for n in range(200, 0, -1)]
    list_once(library, old)
    source, [listed] = list_once(library, [item(202), item(201), *old])
    assert [new.id for new in listed.new] == ["site-202", "site-201"]
    assert len(source.taken) == 2 + STOP_AFTER_KNOWN


def test_all_reads_to_the_end(library):
    old = [item(n) for n in range(200, 0, -1)]
    list_once(library, old)
    source, [listed] = list_once(library, [*old, item(0)], everything=True)
    assert [new.id for new in listed.new] == ["site-0"]
    assert len(source.taken) == 201


def test_a_playlist_is_read_to_its_end_since_new_items_come_last(library):
    old = [item(n) for n in range(100)]
    list_once(library, old, newest_first=False)
    _, [listed] = list_once(library, [*old, item(100)], newest_first=False)
    assert [new.id for new in listed.new] == ["site-100"]


def test_a_listing_that_breaks_off_is_not_recorded_so_the_next_one_reads_all(library):
    with pytest.raises(UserError):
        list_once(library, [item(2), UserError("The network is down."), item(1)])
    assert list(library.items()) == []
    _, [listed] = list_once(library, [item(2), item(1)])
    assert len(listed.new) == 2


def test_what_is_new_comes_first_in_the_next_run(library):
    list_once(library, [item(n) for n in (2, 1)])
    list_once(library, [item(n) for n in (3, 2, 1)])
    assert [each.id for each in library.pending()] == ["site-3", "site-2", "site-1"]


def test_sync_tells_of_a_source_that_fails_and_goes_on(library):
    bad, good = "https://bad.example/", "https://good.example/"
    source = FakeSource([listing(bad, []), listing(good, [])])
    for url in (bad, good):
        list(add(library, FakeSources(source), url, Event()))
    source = FakeSource([listing(bad, [UserError("Gone.")]), listing(good, [item(1)])])
    listed = list(sync(library, FakeSources(source), Event()))
    assert {entry.url: str(entry.error) for entry in listed} == {bad: "Gone.", good: "None"}
    assert states(library) == {"site-1": "pending"}


def test_sync_does_not_ask_a_site_again_that_turned_us_away(library):
    urls = [f"https://{name}.example/" for name in "ab"]
    source = FakeSource([listing(url, []) for url in urls])
    for url in urls:
        list(add(library, FakeSources(source), url, Event()))
    source = FakeSource([listing(url, [SourceBlocked("not a bot")]) for url in urls])
    listed = list(sync(library, FakeSources(source), Event()))
    assert [str(entry.error) for entry in listed] == ["not a bot"] * 2
