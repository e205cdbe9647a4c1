"""Captions on the command line: the command, what run, plan, list, status, show, search and export say."""

import json
import sys
import time
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from fake_plugins import CaptionedSource, FakeBackend, captions, fill, item, listing, transcript
from homescribe import assemble, plugins
from homescribe.cli.caption_report import progress_in_words, report_captions
from homescribe.cli.main import homescribe
from homescribe.cli.progress import CHECK_INTERVAL, Display
from homescribe.core import Captions
from homescribe.errors import PermanentError, SourceBlocked
from homescribe.library import Library
from homescribe.pipeline import Sources
from homescribe.pipeline.state import CaptionProgress, Progress


def manual_first(found):
    kind = "manual" if found.id.endswith("-0") else "automatic"
    return captions(f"number {found.id[-1]}", kind)


@pytest.fixture
def source(monkeypatch):
    """The source of all items, whose first item has manual captions and the others automatic ones."""
    made = CaptionedSource(manual_first)
    monkeypatch.setattr(plugins, "source_of", lambda found: made)
    monkeypatch.setattr(Sources, "by_name", lambda self, name: made)
    monkeypatch.setattr(Sources, "close", lambda self: None)
    return made


@pytest.fixture
def backend(monkeypatch):
    made = FakeBackend(lambda work: transcript("of the engine"))
    monkeypatch.setattr(assemble, "build_backend", lambda *_, **__: made)
    return made


@pytest.fixture
def cli(tmp_path, monkeypatch, source):
    """Run a command on a library of three items; returns exit code, output and errors."""
    monkeypatch.setenv("HOMESCRIBE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HOMESCRIBE_LIBRARY", str(tmp_path / "library"))
    with Library(tmp_path / "library") as library:
        fill(library, [item(n) for n in range(3)])

    def run(*arguments):
        result = CliRunner().invoke(homescribe, list(arguments), standalone_mode=False)
        if result.exception:
            raise result.exception
        return int(result.return_value or 0), result.stdout, result.stderr

    run.library = tmp_path / "library"
    return run


def test_the_command_makes_items_searchable(cli, source):
    code, _, err = cli("captions")
    assert code == 0
    assert "Captions found for 3 of 3 items: 1 manual, 2 automatic." in err
    assert "3 items searchable, 3 by captions, 2 to upgrade." in err
    assert source.fetched == []
    _, out, _ = cli("search", "number", "2")
    assert "automatic captions" in out
    assert cli("captions")[2].startswith("There are no captions to request.")


def test_the_command_takes_keys_and_sources(cli, source):
    cli("captions", item(1).key)
    assert source.requested == [item(1).key]
    cli("captions", "https://site.example/")
    assert source.requested == [item(n).key for n in (1, 0, 2)]


def test_the_command_requests_again_what_is_named(cli, source):
    """As after an error that the user has fixed, for instance with cookies."""

    def failing(found):
        raise PermanentError("Log in.")

    source.captioning = failing
    assert cli("captions", item(1).key)[0] == 1
    source.captioning = manual_first
    cli("captions")  # not this one, before 30 days
    requested = [item(n).key for n in (1, 0, 2)]
    assert source.requested == requested
    for _ in range(2):  # the second time it has captions
        assert cli("captions", item(1).key)[0] == 0
        assert source.requested == [*requested, item(1).key]


def test_the_command_adds_what_is_an_address_without_a_scheme(cli, source):
    from homescribe.errors import UserError

    source.listings = {"@chan": [listing("https://site.example/@chan", [item(7)])]}
    source.matches = source.listings.__contains__
    assert cli("captions", "@chan")[0] == 0
    assert source.requested == [item(7).key]
    with pytest.raises(UserError, match="There is no item fake:site-99 in the library"):
        cli("captions", "fake:site-99")


def test_the_command_says_that_captions_are_switched_off(cli):
    from homescribe.errors import UserError

    with pytest.raises(UserError, match="the setting captions is ignore"):
        cli("captions", "--captions", "ignore")


def test_a_run_requests_captions_first_and_says_what_it_found(cli, source, backend):
    code, _, err = cli("run")
    assert code == 0
    assert "Captions found for 3 of 3 items: 1 manual, 2 automatic." in err
    assert "2 of them can be searched, and are transcribed later." in err
    assert "1 of them stay. To transcribe one: homescribe run --again KEY." in err
    assert "2 items transcribed" in err
    assert source.fetched == [item(1).key, item(2).key]


def test_a_refusal_changes_no_exit_code(cli, source, backend):
    def refusing(found):
        raise SourceBlocked("HTTP 429: too many requests.", "", 3600)

    source.captioning = refusing
    code, _, err = cli("run")
    assert code == 0
    assert "No more requests for site captions in this run: HTTP 429: too many requests." in err
    assert "3 items transcribed" in err
    _, out, _ = cli("status")
    assert "No requests for site captions before" in out
    assert cli("captions")[0] == 0  # nothing is pending any more


def test_the_command_alone_reports_a_refusal(cli, source):
    def refusing(found):
        raise SourceBlocked("HTTP 429: too many requests.", "", 3600)

    source.captioning = refusing
    assert cli("captions")[0] == 1


def test_transcribe_requests_no_captions_and_writes_none_that_it_replaces(
    cli, source, backend, tmp_path
):
    cli("captions", item(0).key, item(1).key)
    url = "https://site.example/"
    source.listings = {url: [listing(url, [item(n) for n in range(3)])]}
    code, _, err = cli("transcribe", url, "-o", str(tmp_path / "out"))
    assert code == 0, err
    assert source.requested == [item(0).key, item(1).key]
    assert "1 item already transcribed (captions (manual))" in err
    assert "3 files written" in err  # not what is replaced in the same run
    texts = sorted(path.read_text().strip() for path in (tmp_path / "out").iterdir())
    assert texts == ["number 0", "of the engine", "of the engine"]


def test_the_plan_counts_only_what_is_left(cli):
    _, _, err = cli("plan")
    assert "Captions were not requested yet for 3 items" in err
    planned = json.loads(cli("plan", "--json")[1])
    assert (planned["items"], planned["captions_to_request"]) == (3, 3)
    cli("captions")
    planned = json.loads(cli("plan", "--json")[1])
    assert (planned["items"], planned["captions_to_request"]) == (2, 0)
    assert planned["audio_seconds"] == 20.0
    assert json.loads(cli("plan", "--json", "--captions", "upgrade")[1])["items"] == 3
    assert cli("plan", "--captions", "use")[2].startswith("No items are pending.")


def test_list_status_and_show_say_that_the_text_is_captions(cli):
    cli("captions")
    _, out, _ = cli("list")
    assert "done (manual captions)" in out
    assert out.count("pending (automatic captions)") == 2
    assert "captions   3 items searchable, 3 by captions, 2 to upgrade" in cli("status")[1]
    _, out, _ = cli("show", item(1).key)
    assert "captions (automatic), en" in out
    assert "pending (automatic captions)" in out
    listed = json.loads(cli("list", "--json", "--captions")[1])
    assert [(each["state"], each["captions"]) for each in listed] == [
        ("done", "manual"),
        ("pending", "automatic"),
        ("pending", "automatic"),
    ]
    status = json.loads(cli("status", "--json")[1])
    assert status["captions"] == {
        "searchable": 3,
        "words": 6,
        "manual": 1,
        "automatic": 2,
        "to_upgrade": 2,
        "waiting_for": {},
    }
    hits = json.loads(cli("search", "number", "--json")[1])
    assert {hit["captions"] for hit in hits} == {"manual", "automatic"}


def test_list_follows_a_changed_setting(cli, monkeypatch):
    cli("captions")
    monkeypatch.setenv("HOMESCRIBE_CAPTIONS", "use")
    assert "pending" not in cli("list")[1]
    monkeypatch.setenv("HOMESCRIBE_CAPTIONS", "upgrade")
    assert cli("list")[1].count("pending") == 3


def test_exports_of_captions_say_so(cli, tmp_path):
    cli("captions")
    cli("export", "-f", "md,vtt,json,jsonl,txt", "-o", str(tmp_path / "out"))
    texts = {path.suffix: path.read_text() for path in (tmp_path / "out").glob("*1*")}
    assert "Transcript: captions (automatic)" in texts[".md"]
    assert texts[".vtt"].startswith("WEBVTT\n\nNOTE captions (automatic)\n\n00:00")
    assert json.loads(texts[".json"])["homescribe"]["engine"] == "captions"
    assert json.loads(texts[".jsonl"])["captions"] == "automatic"
    assert len(list((tmp_path / "out").glob("*.txt"))) == 3  # also what a run will replace


def test_an_ignored_item_with_captions_is_listed_as_ignored(cli):
    cli("captions")
    cli("ignore", item(1).key)
    assert item(1).key in cli("ignore")[1]
    assert "done (automatic captions)" in cli("list")[1]
    cli("ignore", "--undo", item(1).key)
    assert item(1).key not in cli("ignore")[1]


def test_a_run_again_of_kept_captions(cli, source, backend):
    cli("captions", "--captions", "use")
    cli("run", "--again", item(0).key)
    with Library(cli.library) as library:
        assert library.transcript(item(0).key).engine == "fake"
    assert source.fetched == [item(0).key]


def test_stored_captions_are_named_in_the_advice_of_a_run(cli, source, backend):
    cli("captions")
    _, _, err = cli("run", item(0).key)
    assert "1 item already transcribed (captions (manual))" in err


def test_results_of_a_source_without_captions_are_not_counted(cli, source):
    source.captioning = lambda found: None
    code, _, err = cli("captions")
    assert code == 0
    assert "Captions found for 0 of 3 items." in err


def test_captions_of_an_engine_transcript_are_refused(cli):
    with Library(cli.library) as library:
        library.save(item(1), transcript("of the engine"))
        assert library.save_captions(Captions(item(1), captions()), "use") == "not stored"


def test_the_live_view_says_how_long_the_requests_take():
    progress = CaptionProgress(items=430, requested=120, manual=18, automatic=100)
    assert progress_in_words(progress) == "120/430 · 118 found"
    progress.seconds_left = 1560.0
    assert progress_in_words(progress) == "120/430 · 118 found · 26 min left"


@pytest.fixture
def requesting():
    """A run that requests captions, which takes 26 minutes."""
    captions = CaptionProgress(items=210, seconds_left=1560.0)
    return SimpleNamespace(progress=Progress(captions=captions))


def within_seconds(condition):
    """Wait for a thread on a busy machine."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_log_says_how_long_the_requests_take(requesting, monkeypatch):
    said = []
    monkeypatch.setattr(Display, "_print", lambda self, line, style: said.append(line))
    with Display(requesting).live_view():
        assert within_seconds(lambda: said)
    assert said == ["Captions of 210 items are requested first, which takes 26 min."]
    requesting.progress.captions.seconds_left = 100.0  # a nightly run of a few new items
    with Display(requesting).live_view():
        time.sleep(3 * CHECK_INTERVAL)
    assert len(said) == 1


def test_the_live_view_ends_with_the_requests_until_the_model_is_loaded(
    requesting, monkeypatch, capsys
):
    views = []

    class View:
        def __init__(self, *_, **__):
            self.calls = []
            views.append(self)

        def start(self):
            self.calls.append("start")

        def stop(self):
            self.calls.append("stop")

    monkeypatch.setattr("rich.live.Live", View)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Display(requesting).live_view():
        calls = views[0].calls
        assert within_seconds(lambda: calls)
        assert set(calls) == {"start"}
        requesting.progress.loading = "tiny"  # its download shows a progress of its own
        requesting.progress.captions.ended = True
        assert within_seconds(lambda: calls[-1] == "stop")
        requesting.progress.items, requesting.progress.loading = 1, ""
        assert within_seconds(lambda: calls[-1] == "start")
    assert "Loading the model tiny" in capsys.readouterr().err


def test_a_nightly_run_says_nothing_about_requests_that_found_nothing(capsys):
    report_captions(CaptionProgress(items=3, requested=3), quiet=True)
    assert capsys.readouterr().err == ""
    report_captions(CaptionProgress(items=3, requested=3, automatic=1), quiet=True)
    assert "Captions found for 1 of 3 items: 1 automatic." in capsys.readouterr().err
