"""Captions as a first transcript: requested before downloads, searched, kept or replaced by a run."""

import threading
import time
from dataclasses import replace

import pytest

from fake_plugins import (
    CaptionedSource,
    FakeBackend,
    FakeSource,
    caption_run,
    captions,
    fill,
    item,
    run,
    states,
    transcript,
)
from homescribe.core import DAY, Captions, Segment, Speaker, Turn
from homescribe.errors import (
    Cancelled,
    PermanentError,
    RetryableError,
    SiteBusy,
    SourceBlocked,
    UserError,
)
from homescribe.library import Library
from homescribe.pipeline.caption_run import OUTAGE, PARALLEL


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


def engines(library):
    """Engine and model of each stored transcript, by the id of its item."""
    return {
        record.item.id: (found.engine, found.model)
        for record in library.items()
        if (found := library.transcript(record.item.key))
    }


def whole_run(library, source, backend=None, policy="auto", **options):
    """Run with captions first, as `homescribe run` does."""
    backend = backend or FakeBackend()
    requests = caption_run(
        library, source, policy, keys=options.get("keys"), limit=options.get("limit")
    )
    return list(run(library, source, backend, captions=requests, **options))


def by_number(number_of_manual):
    """Captions of a person for the first items, automatic ones for the others."""

    def captioning(found):
        number = int(found.id.rpartition("-")[2])
        return captions(f"words {number}", "manual" if number < number_of_manual else "automatic")

    return captioning


# --- What becomes of captions ---------------------------------------------------------------------


def test_all_captions_are_searchable_before_the_first_download(library):
    fill(library, [item(n) for n in range(5)])
    searchable_at_download = []

    def fetching(_):
        with Library(library.directory) as reading:
            searchable_at_download.append(len(reading.search("words")))
        return b"audio"

    source = CaptionedSource(by_number(2), fetching=fetching)
    outcomes = whole_run(library, source)
    assert searchable_at_download[0] == 5
    assert len(source.requested) == 5
    assert source.fetched == [item(n).key for n in (2, 3, 4)]  # manual ones are kept
    assert [outcome.transcript.engine for outcome in outcomes] == ["captions"] * 2 + ["fake"] * 3
    assert set(states(library).values()) == {"done"}
    assert engines(library) == {
        **{f"site-{n}": ("captions", "manual") for n in (0, 1)},
        **{f"site-{n}": ("fake", "tiny") for n in (2, 3, 4)},
    }


@pytest.mark.parametrize(
    ("policy", "replaced"),
    [
        ("auto", {"automatic"}),
        ("use", set()),
        ("upgrade", {"manual", "automatic"}),
        ("ignore", {"manual", "automatic"}),
    ],
)
def test_the_policy_says_which_captions_are_replaced(library, policy, replaced):
    fill(library, [item(0), item(1)])
    list(caption_run(library, CaptionedSource(by_number(1)), "use"))
    assert set(states(library).values()) == {"done"}
    library.apply_caption_policy(policy)
    pending = {found.key for found in library.pending()}
    names = {"manual": item(0).key, "automatic": item(1).key}
    assert pending == {names[kind] for kind in replaced}
    assert library.caption_figures().to_upgrade == len(replaced)
    assert library.caption_figures().searchable == 2


@pytest.mark.parametrize(
    ("words", "duration", "state"),
    [
        (19 * 60, 3600.0, "pending"),  # of an hour, only what was said in another language
        (21 * 60, 3600.0, "done"),
        (99, 300.0, "pending"),
        (101, 300.0, "done"),
        (2, 290.0, "done"),  # a short clip may be without speech
    ],
)
def test_manual_captions_of_parts_only_are_replaced(library, words, duration, state):
    fill(library, [item(1, duration=duration)])
    found = captions(" ".join(["word"] * words), "manual", duration=duration)
    list(caption_run(library, CaptionedSource(lambda _: found), "auto"))
    assert states(library) == {"site-1": state}
    library.apply_caption_policy("use")
    assert states(library) == {"site-1": "done"}
    library.apply_caption_policy("auto")
    assert states(library) == {"site-1": state}


def test_a_changed_policy_applies_to_what_is_stored(library):
    fill(library, [item(n) for n in range(4)])
    source = CaptionedSource(by_number(2))
    whole_run(library, source, policy="use")
    assert source.fetched == []
    whole_run(library, source, policy="auto")
    assert source.fetched == [item(n).key for n in (2, 3)]
    whole_run(library, source, policy="upgrade")
    assert source.fetched == [item(n).key for n in (2, 3, 0, 1)]
    assert len(source.requested) == 4  # once each


def test_ignore_requests_nothing(library):
    fill(library, [item(1)])
    source = CaptionedSource()
    whole_run(library, source, policy="ignore")
    assert source.requested == []
    assert engines(library) == {"site-1": ("fake", "tiny")}


def test_items_without_any_text_are_transcribed_first(library):
    fill(library, [item(n) for n in range(3)])
    source = CaptionedSource(lambda found: None if found.id == "site-2" else captions())
    whole_run(library, source)
    assert source.fetched == [item(n).key for n in (2, 0, 1)]


def test_captions_never_replace_a_transcript_of_an_engine(library):
    fill(library, [item(1)])
    library.save(item(1), transcript("of the engine"))
    assert library.save_captions(Captions(item(1), captions()), "use") == "not stored"
    assert library.transcript(item(1).key).text == "of the engine"
    source = CaptionedSource()
    list(caption_run(library, source))
    assert source.requested == []  # nor are they requested


def test_captions_of_an_item_that_was_removed_are_not_stored(library):
    fill(library, [item(1)])

    def removing(found):
        with Library(library.directory) as other:
            other.remove([found.key])
        return captions()

    list(caption_run(library, CaptionedSource(removing)))
    assert states(library) == {}
    assert library.search("captions") == []


class Listener:
    """Records the outcomes of a run."""

    warnings = ()

    def __init__(self):
        self.outcomes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def add(self, outcome):
        self.outcomes.append(outcome)


def test_listeners_get_kept_captions_and_transcripts_but_no_captions_that_are_replaced(library):
    fill(library, [item(n) for n in range(3)])
    listener = Listener()
    whole_run(library, CaptionedSource(by_number(1)), listener=listener)
    assert [(one.item.id, one.transcript.engine) for one in listener.outcomes] == [
        ("site-0", "captions"),
        ("site-1", "fake"),
        ("site-2", "fake"),
    ]


# --- Corrections, names, ignored items ---------------------------------------------------------------


def test_corrected_captions_are_not_replaced_by_a_run(library):
    fill(library, [item(1)])
    source = CaptionedSource(lambda found: captions("helo world"))
    list(caption_run(library, source))
    assert states(library) == {"site-1": "pending"}
    library.correct(item(1).key, 0, "hello world")
    assert states(library) == {"site-1": "done"}
    whole_run(library, source)
    assert source.fetched == []
    # Nor by captions that are found later.
    assert library.save_captions(Captions(item(1), captions("other")), "auto") == "not stored"
    assert library.transcript(item(1).key).text == "hello world"
    library.undo_correction(item(1).key, 0)
    assert states(library) == {"site-1": "pending"}


def test_again_replaces_corrected_captions_and_carries_corrections_over(library):
    fill(library, [item(1)])
    list(caption_run(library, CaptionedSource(lambda found: captions("helo world"))))
    library.correct(item(1).key, 0, "Hello, world!")
    backend = FakeBackend(lambda work: transcript("helo world"))
    list(run(library, FakeSource(), backend, keys=[item(1).key], again=[item(1).key]))
    found = library.transcript(item(1).key)
    assert (found.engine, found.text) == ("fake", "Hello, world!")


def test_kept_captions_are_replaced_on_request(library):
    fill(library, [item(1)])
    list(caption_run(library, CaptionedSource(lambda found: captions(model="manual"))))
    assert library.pending() == []
    list(run(library, FakeSource(), FakeBackend(), keys=[item(1).key], again=[item(1).key]))
    assert engines(library) == {"site-1": ("fake", "tiny")}


def test_an_ignored_item_keeps_its_captions(library):
    fill(library, [item(1)])
    source = CaptionedSource()
    list(caption_run(library, source))
    assert library.ignore([item(1).key]) == [item(1).key]
    assert states(library) == {"site-1": "done"}
    whole_run(library, source)
    assert source.fetched == []
    assert len(library.search("captions")) == 1
    library.stop_ignoring([item(1).key])
    assert states(library) == {"site-1": "pending"}


def test_replaced_words_and_names_of_speakers_apply_to_captions(library):
    fill(library, [item(1)])
    library.replace_words("captoins", "captions")
    spoken = captions(
        "hello captoins",
        speakers=(Speaker("SPEAKER_00", 5.0, name="Ann", named_by="publisher"),),
        turns=(Turn(0.0, 5.0, "SPEAKER_00"),),
        segments=(Segment(0.0, 5.0, " hello captoins", speaker="SPEAKER_00"),),
    )
    list(caption_run(library, CaptionedSource(lambda found: spoken)))
    assert library.search("captions")[0].speaker == "Ann"
    # The publisher's names stay when the same recording is transcribed.
    list(run(library, FakeSource(), FakeBackend(lambda work: transcript("hello captoins"))))
    found = library.transcript(item(1).key)
    assert (found.engine, found.text) == ("fake", "hello captions")
    assert [(each.name, each.named_by) for each in found.speakers] == [("Ann", "publisher")]
    assert found.segments[0].speaker == "SPEAKER_00"


# --- Failures ----------------------------------------------------------------------------------------


def test_an_upgrade_that_fails_keeps_the_captions(library):
    fill(library, [item(1)])

    def failing(work):
        raise PermanentError("It has no audio.")

    whole_run(library, CaptionedSource(), FakeBackend(failing))
    assert states(library) == {"site-1": "failed"}
    assert library.transcript(item(1).key).text == "hello captions"
    assert len(library.search("captions")) == 1
    assert library.item(item(1).key).error == "It has no audio."
    library.retry([item(1).key])
    assert states(library) == {"site-1": "pending"}


def test_captions_neither_end_a_failure_nor_a_call(library):
    fill(library, [item(1)])
    library.fail(item(1), RetryableError("Not yet."), now=time.time() - DAY)
    list(caption_run(library, CaptionedSource()))
    library.fail(item(1), RetryableError("Not yet."))
    assert library.item(item(1).key).attempts == 2


def test_a_site_that_refuses_captions_does_not_stop_the_run(library):
    fill(library, [*(item(n) for n in range(4)), *(item(n, site="other") for n in range(2))])

    def captioning(found):
        if found.id == "site-1":
            raise SourceBlocked("429 Too Many Requests", "", 3600)
        return captions()

    source = CaptionedSource(captioning)
    requests = caption_run(library, source)
    list(run(library, source, FakeBackend(), captions=requests))
    asked = [key for key in source.requested if ":site-" in key]
    assert asked == [item(0).key, item(1).key]  # then no more of this site
    assert requests.progress.blocked == {"site captions": "429 Too Many Requests"}
    assert requests.progress.found == 3
    assert set(states(library).values()) == {"done"}  # all were downloaded and transcribed
    assert library.blocked_sites() == {}
    # A later run does not request captions there, and says why.
    fill(library, [item(9)], url="https://site.example/later")
    later = caption_run(library, source)
    list(later)
    assert item(9).key not in source.requested
    assert later.progress.blocked == {"site captions": "429 Too Many Requests"}


def test_a_site_that_asks_to_wait_gets_no_more_requests(library):
    fill(library, [item(n) for n in range(3)])

    def busy(found):
        raise SiteBusy("Busy.", "", 60)

    source = CaptionedSource(busy)
    list(caption_run(library, source))
    assert source.requested == [item(0).key]
    assert list(library.blocked_captions()) == ["site captions"]
    assert set(states(library).values()) == {"pending"}


def test_an_outage_ends_the_requests_to_that_site(library):
    fill(library, [item(n) for n in range(10)])

    def failing(found):
        raise RetryableError("No answer.")

    source = CaptionedSource(failing)
    requests = caption_run(library, source)
    list(requests)
    assert len(source.requested) == OUTAGE
    assert requests.progress.failed == OUTAGE
    assert library.blocked_captions() == {}  # the next run tries again


@pytest.mark.parametrize("error", [PermanentError("Private."), ValueError("a bug")])
def test_a_failed_request_is_no_failure_of_the_item(library, error):
    fill(library, [item(0), item(1)])

    def captioning(found):
        if found.id == "site-0":
            raise error
        return captions()

    source = CaptionedSource(captioning)
    requests = caption_run(library, source)
    list(requests)
    assert requests.progress.failed == 1
    assert requests.progress.found == 1
    assert states(library) == {"site-0": "pending", "site-1": "pending"}
    assert library.item(item(0).key).error is None


def test_an_error_that_the_user_must_fix_ends_only_the_requests(library):
    fill(library, [item(0), item(1)])

    def captioning(found):
        raise UserError("Give cookies.")

    source = CaptionedSource(captioning)
    whole_run(library, source)
    assert len(source.requested) == 1
    assert engines(library) == {f"site-{n}": ("fake", "tiny") for n in range(2)}


def test_nothing_is_requested_when_nothing_can_be_stored(library, monkeypatch):
    """The page's process goes on, and its next run requests the rest."""
    fill(library, [item(n) for n in range(10)])
    source = CaptionedSource()

    def full(*_):
        raise UserError("The disk is full.")

    monkeypatch.setattr(library, "save_captions", full)
    with pytest.raises(UserError, match="The disk is full"):
        list(caption_run(library, source, sleep_interval=0.1))
    requested = len(source.requested)
    time.sleep(0.5)
    assert len(source.requested) - requested <= 1


def test_a_bug_in_a_thread_is_raised(library, monkeypatch):
    fill(library, [item(0)])
    requests = caption_run(library, CaptionedSource())

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(requests, "_request_one", broken)
    with pytest.raises(ZeroDivisionError):
        list(requests)


def test_captions_that_cannot_be_stored_fail_alone(library):
    """As of a plug-in whose times are no numbers."""
    fill(library, [item(0), item(1)])
    odd = captions(segments=(Segment(float("nan"), 5.0, " hello"),))
    source = CaptionedSource(lambda found: odd if found.id == "site-0" else captions())
    requests = caption_run(library, source)
    list(requests)
    assert (requests.progress.failed, requests.progress.found) == (1, 1)
    assert library.transcript(item(0).key) is None
    assert library.captions_due() == []  # it is requested again later
    assert len(list((library.directory / "logs").iterdir())) == 1


def test_a_source_that_offers_nothing_of_an_item_is_not_counted(library):
    fill(library, [item(0), item(1)])
    source = CaptionedSource()
    answer = source.captions
    source.captions = lambda found, *rest: answer(found, *rest) if found.id == "site-0" else None
    requests = caption_run(library, source)
    list(requests)
    assert (requests.progress.items, requests.progress.requested) == (1, 1)
    assert requests.progress.seconds_left == 0.0


def test_requests_to_many_sites_are_made_a_few_at_a_time(library):
    fill(library, [item(0, site=f"site{n}") for n in range(3 * PARALLEL)])
    active, most = [], []

    def captioning(found):
        active.append(found)
        most.append(len(active))
        time.sleep(0.05)
        active.pop()
        return captions()

    source = CaptionedSource(captioning)
    list(caption_run(library, source))
    assert len(source.requested) == 3 * PARALLEL
    assert 1 < max(most) <= PARALLEL


# --- Nothing is requested twice ------------------------------------------------------------------------


def test_what_has_no_captions_is_requested_again_after_days(library):
    fill(library, [item(1)])
    source = CaptionedSource(lambda found: None)
    for _ in range(3):
        list(caption_run(library, source))
    assert source.requested == [item(1).key]
    now = time.time()
    assert library.captions_due(now=now + 0.9 * DAY) == []
    assert library.captions_due(now=now + 1.1 * DAY) == [item(1)]


def test_a_run_that_is_stopped_continues_where_it_ended(library):
    fill(library, [item(n) for n in range(6)])
    stop = threading.Event()

    def captioning(found):
        if found.id == "site-3":
            stop.set()
            raise Cancelled
        return captions()

    source = CaptionedSource(captioning)
    backend = FakeBackend()
    requests = caption_run(library, source, stop=stop)
    list(run(library, source, backend, captions=requests, stop=stop))
    assert backend.starts == 0  # nothing was downloaded or transcribed after the stop
    assert library.caption_figures().found == 3
    source.captioning = lambda found: captions()
    list(caption_run(library, source))
    assert source.requested == [item(n).key for n in (0, 1, 2, 3, 3, 4, 5)]


def test_only_the_named_items_are_requested(library):
    fill(library, [item(n) for n in range(3)])
    source = CaptionedSource()
    list(caption_run(library, source, keys=[item(1).key]))
    assert source.requested == [item(1).key]


def test_a_limit_holds_for_requests_too(library):
    fill(library, [item(n) for n in range(10)])
    source = CaptionedSource(by_number(2))
    whole_run(library, source, limit=3)
    assert source.requested == [item(n).key for n in range(3)]
    # The first two are kept. What was not requested yet may have captions that are kept, too.
    assert source.fetched == [item(2).key]
    whole_run(library, source, limit=3)
    assert source.requested == [item(n).key for n in range(6)]
    assert source.fetched == [item(n).key for n in (2, 3, 4, 5)]


def test_a_limit_is_used_up_by_items_that_are_not_requested(library):
    fill(library, [item(n) for n in range(5)])
    source = CaptionedSource(lambda found: None)
    list(caption_run(library, source, keys=[item(n).key for n in (3, 4)]))
    whole_run(library, source, limit=2)
    assert source.requested == [item(n).key for n in (3, 4)]
    assert source.fetched == [item(n).key for n in (3, 4)]


def test_a_source_without_captions_is_not_asked(library):
    fill(library, [item(1)])
    requests = caption_run(library, FakeSource())
    assert list(requests) == []
    assert requests.progress.items == 0


# --- Pauses ---------------------------------------------------------------------------------------------


def test_the_pause_between_two_requests_is_kept(library, monkeypatch):
    fill(library, [item(n) for n in range(3)])
    source = CaptionedSource()
    source.caption_pause = (5.0, 5.0)
    requests = caption_run(library, source)
    slept = []
    monkeypatch.setattr(requests, "_sleep", lambda seconds: slept.append(seconds))
    list(requests)
    pauses = [seconds for seconds in slept if seconds > 0]
    assert pauses == [5.0, 5.0]
    # The first request of the next run waits for the rest of the pause, too.
    fill(library, [item(7)], url="https://site.example/more")
    later = caption_run(library, source)
    slept.clear()
    monkeypatch.setattr(later, "_sleep", lambda seconds: slept.append(seconds))
    list(later)
    (first,) = slept
    assert 3.0 < first <= 5.0


def test_the_setting_replaces_the_pause_of_the_source(library):
    fill(library, [item(n) for n in range(3)])
    source = CaptionedSource()
    source.caption_pause = (50.0, 50.0)
    list(caption_run(library, source, sleep_interval=0.1))
    first, second, third = source.requested_at
    assert second - first >= 0.1
    assert third - second >= 0.1


def test_the_progress_says_how_long_the_pauses_take(library):
    fill(library, [item(n) for n in range(4)])
    seen = []
    requests = caption_run(
        library,
        CaptionedSource(lambda found: seen.append(requests.progress.seconds_left)),
        sleep_interval=0.01,
    )
    list(requests)
    assert seen[0] == pytest.approx(0.04)
    assert requests.progress.seconds_left == 0.0
    assert requests.progress.ended


# --- Statistics ------------------------------------------------------------------------------------------


def test_statistics_of_runs_leave_captions_out(library):
    fill(library, [item(1), item(2)])
    list(caption_run(library, CaptionedSource(lambda found: captions(model="manual"))))
    assert library.days() == []
    assert library.runs() == []
    assert library.pace() is None
    assert library.channels()[0].done == 2
    library.apply_caption_policy("upgrade")
    (channel,) = library.channels()
    assert (channel.done, channel.searchable) == (0, 2)
    assert library.sources()[0].done == 0


def test_records_and_hits_say_that_the_text_is_captions(library):
    fill(library, [item(1), item(2)])
    library.save(item(2), transcript("hello engine"))
    list(caption_run(library, CaptionedSource()))
    records = {record.item.id: record for record in library.items()}
    assert records["site-1"].captions == "automatic"
    assert records["site-2"].captions is None
    assert [record.item.id for record in library.items(captions="any")] == ["site-1"]
    assert [record.item.id for record in library.items(captions="automatic")] == ["site-1"]
    assert list(library.items(captions="manual")) == []
    assert {hit.key: hit.captions for hit in library.search("hello")} == {
        item(1).key: "automatic",
        item(2).key: None,
    }


def test_a_page_completes_the_item(library):
    fill(library, [item(1, duration=None)])
    complete = replace(item(1), duration=10.0, description="What it is about.")
    assert library.save_captions(Captions(complete, captions()), "auto") == "upgrade"
    assert library.item(item(1).key).item == complete
