"""The report of a run at Modal: on the fake YouTube and the stand-in for Modal from end to end."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import pytest
from benchmarks import live as live_command
from benchmarks import wall_time
from benchmarks.live_report import LiveReport, Money
from benchmarks.private_names import PrivateNames
from benchmarks.wall_time import Look, WallTime

from command_line import CommandLine
from homescribe.config import Config
from homescribe.core import Call, Item, Listing, Outcome, Segment, Transcript, Usage
from homescribe.errors import (
    NotCollected,
    PermanentError,
    RetryableError,
    SetupError,
    UserError,
)
from homescribe.library import Library
from homescribe.pipeline import Progress
from modal_standin import Standin

ROOT = Path(__file__).resolve().parent.parent


def live(client, *arguments):
    """Run the command as a person would, in the folder of the project."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.live", *map(str, arguments)],
        cwd=ROOT,
        env=client.environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.containers
@pytest.mark.slow
def test_a_channel_is_transcribed_and_the_report_has_everything(tmp_path, faketube):
    faketube.videos = 6
    faketube.scenarios = {faketube.id(3): "private"}
    faketube.save()
    with Standin(
        max_containers=1,
        grace=0.5,
        container_env={"OMP_NUM_THREADS": "1"},
        rates={"cpu_core": "0.00002", "memory_gib": "0.000003"},
        bill={"homescribe-0.1.0-abc": 0.0123, "somebody-elses": 7.0},
    ) as standin:
        client = CommandLine(
            tmp_path, {**faketube.environment, **standin.environment()}, model="demo", gpu="CPU"
        )
        options = ("--limit", 5, "--max-cost", 5, "--library", client.library)
        code, out, err = live(client, faketube.CHANNEL, *options, "--sleep-interval", 0.2)
        assert code == 0, err
        (path,) = client.library.glob("report-*.json")
        report = LiveReport.read(path)
        assert (report.items, report.done, sum(report.failures.values())) == (5, 4, 1)
        assert len(client.done()) == 4
        assert report.ended_by == ""
        assert 20 < report.audio_seconds < 40
        assert 0 < report.busy < 1
        assert report.boots == 1
        assert report.uploaded_bytes > 10_000
        money = report.money
        assert money.cap == 5.0
        assert money.planned > 0
        assert money.metered > 0
        assert money.unmetered == 0
        assert money.billed is None
        # What the run did at each moment, without a gap.
        within = sum(report.wall_parts.values()) + report.listing_seconds
        assert within == pytest.approx(report.wall_seconds, rel=0.2)
        assert report.wall_parts[wall_time.LOADING] > 0
        assert {"homescribe", "modal", "yt-dlp", "Python"} <= set(report.versions)
        page = path.with_suffix(".md").read_text()
        assert page in out + "\n"
        for words in ("| transcribed | 4 |", "planned before the run", "metered in containers"):
            assert words in page
        assert private_parts(page + path.read_text(), faketube) == []

        code, _, err = live(client, "--bill", path)
        assert code == 1
        assert "complete after" in err
        changed = json.loads(path.read_text())
        changed["money"]["billed_hours_end"] = "2020-01-01T00:00Z"
        path.write_text(json.dumps(changed))
        code, out, err = live(client, "--bill", path)
        assert code == 0, err
        assert LiveReport.read(path).money.billed == 0.0123
        assert "billed by Modal for these hours | $0.0123" in out

        # The limit and the cap are those of all runs together.
        code, out, err = live(client, faketube.CHANNEL, *options, "--sleep-interval", 0.2)
        assert code == 0, err
        assert "| items | 0 |" in out
        more = ("--limit", 6, *options[2:])
        code, out, err = live(client, faketube.CHANNEL, *more, "--sleep-interval", 0.2)
        assert code == 0, err  # goes on with what is left
        assert "| items | 1 |" in out
        assert "| transcribed | 1 |" in out
        assert f"| metered in earlier runs | ${money.metered:.4f} |" in out


def private_parts(text, faketube):
    """What a report must not have: ids, titles, addresses, tokens, the workspace."""
    numbers = range(1, faketube.videos + 1)
    private = [faketube.id(number) for number in numbers]
    private += [f"Fake video {number}" for number in numbers]
    private += [
        faketube.CHANNEL,
        "Fake Channel",
        "youtube.com",
        "as-standin",
        "http",
        "workspace standin",
    ]
    return [part for part in private if part in text]


@pytest.mark.containers
@pytest.mark.slow
def test_a_cap_that_is_reached_is_in_the_report(tmp_path, faketube):
    faketube.videos = 2
    faketube.save()
    with Standin(max_containers=1, grace=0.5) as standin:
        client = CommandLine(
            tmp_path, {**faketube.environment, **standin.environment()}, model="demo", gpu="CPU"
        )
        options = ("--max-cost", 0.0001, "--library", client.library, "--sleep-interval", 0)
        code, out, _ = live(client, faketube.CHANNEL, *options)
        assert code == 1
        assert "Ended early: The next recording may bring this run to" in out
        assert "| not processed | 2 |" in out


def test_an_address_that_cannot_be_listed_is_one_line(tmp_path):
    client = CommandLine(tmp_path, model="demo", gpu="CPU")
    code, _, err = live(client, tmp_path / "nothing-here", "--library", client.library)
    assert code == 1
    assert "Traceback" not in err
    assert not list(client.library.glob("report-*"))


# --- A run that goes on, without a cloud -------------------------------------------------------------

GIVEN = "https://feeds.example/shows/kai"


def item(number, title="", **fields):
    url = f"https://feeds.example/{number}"
    return Item("podcast", f"e{number}", url, title or f"Talk number {number}", **fields)


class ScriptedRun:
    """A run whose outcomes are known, and that ends with an error if there is one."""

    def __init__(self, outcomes, error=None):
        self.progress, self.outcomes, self.error = Progress(), outcomes, error

    def __iter__(self):
        yield from self.outcomes
        if self.error:
            raise self.error


@pytest.fixture
def go_on(tmp_path, monkeypatch):
    """Run `transcribe` in a library with five items: done, failed, in flight, and two that are pending."""
    items = [item(number) for number in range(5)]
    config = Config(library=tmp_path / "library", backend="modal", max_cost=5.0)
    text = Transcript("fake", "tiny", "en", 60.0, (Segment(0.0, 1.0, " hello"),))
    call = Call(
        items[2],
        "modal",
        time.time(),
        "fc-1",
        json.dumps({"workspace": "acme-corp", "environment": "team-7", "expected": 0.5}),
    )
    with Library(config.library) as library:
        library.record("podcast", Listing(GIVEN, "Kai talks", items, True), items)
        library.save(items[0], text)
        library.fail(items[1], PermanentError("no audio"))
        library.add_call(call)
        library.add_usage(
            Usage(
                call=replace(call, item=items[0], id="fc-0"),
                engine="fake",
                model="tiny",
                gpu="A10",
                gpu_seconds=1.0,
                overhead_seconds=0.0,
                boots=1,
                audio_seconds=60.0,
                dollars=1.5,
                expected_dollars=1.5,
                finished_at=time.time(),
                outcome="done",
            )
        )
    monkeypatch.setattr(live_command, "add", lambda *_, **__: [SimpleNamespace(items=items)])
    monkeypatch.setattr(live_command, "_planned_dollars", lambda *given: 0.25 * len(given[-1]))

    def run(limit, *outcomes, error=None):
        built = {}

        def build(config, library, sources, **settings):
            built.update(settings, cap=config.max_cost)
            return ScriptedRun(outcomes, error)

        monkeypatch.setattr(live_command, "build_run", build)
        return live_command.transcribe(config, GIVEN, limit, Event()), built

    run.items, run.text = items, text
    return run


@pytest.mark.parametrize(
    ("limit", "keys"), [(0, {2}), (3, {2}), (4, {2, 3}), (5, {2, 3, 4}), (9, {2, 3, 4})]
)
def test_a_run_that_goes_on_has_what_is_in_flight_and_the_rest_of_the_limit(go_on, limit, keys):
    outcomes = [Outcome(go_on.items[number], transcript=go_on.text) for number in keys]
    report, built = go_on(limit, *outcomes)
    assert built["keys"] == {go_on.items[number].key for number in keys}
    assert (report.items, report.done) == (len(keys), len(keys))
    assert report.money.planned == 0.25 * len(keys)


def test_a_run_that_goes_on_has_the_rest_of_the_cap(go_on):
    report, built = go_on(9)
    assert built["cap"] == pytest.approx(5.0 - 1.5 - 0.5)  # spent, and in flight
    assert (report.money.cap, report.money.earlier) == (5.0, 1.5)
    assert "| metered in earlier runs | $1.5000 |" in report.markdown()


def test_no_name_or_address_is_in_the_report(go_on):
    lost = NotCollected(
        "Modal does not know this call here (workspace other-inc, environment main). It was submitted "
        "in workspace acme-corp, environment team-7: another workspace or environment?"
    )
    failed = RetryableError("feeds.example refused https://feeds.example/3?key=1: talk\nNumber 3")
    ended = UserError(
        f"ACME-corp's disk is full at {go_on.items[4].title}", f"Ask kai@acme.org, {GIVEN}"
    )
    report, _ = go_on(
        9,
        Outcome(go_on.items[2], error=lost),
        Outcome(go_on.items[3], error=failed),
        error=ended,
    )
    text = report.markdown() + json.dumps(report.failures)
    for part in ("acme", "other-inc", "team-7", "feeds.example", "Number 3", "number 4", "kai"):
        assert part.lower() not in text.lower(), part
    assert set(report.failures) == {
        "Modal does not know this call here (workspace ..., environment ...). It was submitted in "
        "workspace ..., environment ...: another workspace or environment?",
        "... refused ... ...",
    }
    assert report.ended_by == "...'s disk is full at ... Ask ..., ..."


def test_a_short_name_is_replaced_as_a_word_only():
    names = PrivateNames(["Go", "", "Go on"])
    assert names.without("Go on, go: a good goal") == "..., ...: a good goal"
    assert PrivateNames([]).without("as it is") == "as it is"


# --- The bill ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"money": {}}', '{"money": 1}'])
def test_a_file_that_is_no_report_is_one_line(tmp_path, capsys, content):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    assert live_command.main(["--bill", str(path)]) == 1
    words = "cannot be read" if content is None else "is not a report of this command"
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (SetupError("Modal cannot be used now: no route", "Try again later."), "no route"),
        (ModuleNotFoundError("No module named 'modal'"), "'modal' is not installed"),
    ],
)
def test_a_bill_that_modal_does_not_give_is_one_line(tmp_path, capsys, monkeypatch, error, words):
    def fail(start, end):
        raise error

    monkeypatch.setattr(live_command, "billed_dollars", fail)
    path = tmp_path / "report.json"
    money = Money(3.0, 3.2, 3.5, 0.1, 5.0, None, "2020-01-01T00:00Z")
    report(money=money).write(path)
    assert live_command.main(["--bill", str(path)]) == 1
    assert words in capsys.readouterr().err
    assert LiveReport.read(path).money == money


# --- Where the wall time went ------------------------------------------------------------------------


def test_every_second_has_one_part():
    def look(at, **what):
        fields = dict.fromkeys(("loading", "downloading", "uploading", "at_modal"), False)
        return Look(at, **{**fields, **what})

    watched = WallTime(Progress())
    watched.looks = [
        look(0.0, loading=True),
        look(10.0, downloading=True),
        look(15.0),
        look(18.0, downloading=True, uploading=True, at_modal=True),
        look(20.0, at_modal=True),
        look(23.0, downloading=True, at_modal=True),
        look(24.0, at_modal=True),
        look(30.0),
        look(30.5),
    ]
    assert watched.parts() == {
        wall_time.LOADING: 10.0,
        wall_time.DOWNLOADING: 5.0,
        wall_time.PAUSING: 3.0,
        wall_time.UPLOADING: 2.0,
        wall_time.BOTH: 3.0,
        wall_time.MODAL: 7.0,
        wall_time.OTHER: 0.5,
    }


def test_the_progress_is_looked_at_while_the_run_goes_on():
    progress = Progress(loading="turbo")
    with WallTime(progress) as watched:
        pass
    assert [look.loading for look in watched.looks] == [True, True]


# --- The page ----------------------------------------------------------------------------------------


def report(**changes):
    fields = {
        "versions": {"homescribe": "0.1.0"},
        "settings": {"gpu": "A10"},
        "started": "2026-11-25T20:10:00Z",
        "ended_by": "",
        "items": 430,
        "done": 428,
        "failures": {"Private video. | x": 2},
        "audio_seconds": 200 * 3600.0,
        "wall_seconds": 3600.0,
        "listing_seconds": 60.0,
        "wall_parts": {wall_time.BOTH: 3000.0, wall_time.OTHER: 0.0},
        "gpu_seconds": 9000.0,
        "overhead_seconds": 1000.0,
        "boots": 4,
        "uploaded_bytes": 4_500_000_000,
        "uploading_seconds": 2000.0,
        "money": Money(3.0, 3.2, 3.5, 0.1, 5.0, 3.4, "2026-11-25T22:00Z"),
    }
    return LiveReport(**{**fields, **changes})


def test_the_figures_of_a_report():
    page = report().markdown()
    rows = dict(re.findall(r"^\| (.+?) \| (.+?) \|$", page, re.MULTILINE))
    assert rows["audio"] == "200.00 hours"
    assert rows["times realtime, of the whole run"] == "200.0x"
    assert rows["times realtime, of the paid time"] == "72.0x"
    assert rows["share of the paid time with a recording to work on"] == "90%"
    assert rows["metered against planned"] == "+16.7%"
    assert rows["billed against metered"] == "-2.9%"
    assert rows["metered, per hour of audio"] == "$0.0175"
    assert rows["Private video. / x"] == "2"
    assert wall_time.OTHER not in rows


def test_a_report_of_nothing_has_no_figures_to_divide():
    empty = report(
        done=0,
        failures={},
        audio_seconds=0.0,
        gpu_seconds=0.0,
        overhead_seconds=0.0,
        wall_seconds=0.0,
        money=Money(0.0, 0.0, 0.0, 0.0, None),
    )
    assert "| not processed | 430 |" in empty.markdown()
    assert (empty.busy, empty.times_realtime, empty.gpu_times_realtime) == (None, None, None)


def test_a_report_can_be_read_again(tmp_path):
    report().write(tmp_path / "r.json")
    assert LiveReport.read(tmp_path / "r.json") == report()
