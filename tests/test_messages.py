"""What commands print can be read and copied: reasons, prompts, and the program's own name."""

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from fake_plugins import item, listing, transcript
from homescribe.backends.modal.session import ModalSession
from homescribe.cli import program
from homescribe.cli.main import homescribe
from homescribe.cli.main import run as run_command
from homescribe.cli.progress import _lines, is_unknown
from homescribe.cli.summary import print_summary
from homescribe.core import Uploads
from homescribe.errors import PermanentError, RetryableError
from homescribe.exit_codes import ExitCode
from homescribe.library import Library
from homescribe.pipeline import Progress

A, B = "https://a.example/", "https://b.example/"


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("HOMESCRIBE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOMESCRIBE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HOMESCRIBE_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def library(tmp_path):
    """Source A lists the items 1 to 3, source B the items 3 and 4; 1 is transcribed and corrected."""
    with Library(tmp_path / "library") as opened:
        opened.record("fake", listing(A, ()), [item(n) for n in (1, 2, 3)])
        opened.record("fake", listing(B, ()), [item(n) for n in (3, 4)])
        opened.save(item(1), transcript())
        opened.correct(item(1).key, 0, "hello worlds")
        yield opened


def keys(library):
    return [record.item.id for record in library.items()]


def run(capsys, *arguments):
    code = run_command(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def answer(monkeypatch):
    return lambda text: monkeypatch.setattr("sys.stdin", Terminal(f"{text}\n"))


# --- Removing ------------------------------------------------------------------------------------


def test_no_at_the_prompt_removes_nothing(library, capsys, answer):
    answer("n")
    code, out, err = run(capsys, "remove", item(1).key)
    assert (code, out) == (0, "")
    assert "  item Talk 1 (fake:site-1), its transcript, 1 correction\n" in err
    assert "Remove 1 item?" in err
    assert err.endswith("Nothing removed.\n")
    assert "Interrupted" not in err
    assert len(keys(library)) == 4


def test_the_prompt_names_the_items_that_go_with_a_source(library, capsys, answer):
    answer("y")
    code, _, err = run(capsys, "remove", "--items", A)
    assert code == 0
    assert f"  source Listing {A} ({A})\n" in err
    assert "Remove 1 source and 2 items?" in err
    assert "Talk 3" not in err  # B lists it too
    assert err.endswith("Removed 1 source and 2 items.\n")
    assert sorted(keys(library)) == ["site-3", "site-4"]


def test_items_that_only_the_removed_sources_list_are_removed(library, capsys):
    assert library.only_listed_by([A]) == [item(1).key, item(2).key]
    assert len(library.only_listed_by([A, B])) == 4
    assert library.only_listed_by([]) == []
    assert "Removed 2 sources and 4 items." in run(capsys, "remove", "-y", "--items", A, B)[2]
    assert (keys(library), library.sources()) == ([], [])


def test_a_source_without_items_keeps_its_items(library, capsys):
    assert "Removed 1 source." in run(capsys, "remove", "-y", A)[2]
    assert len(keys(library)) == 4


def test_many_items_are_counted(library, capsys, answer):
    library.record("fake", listing(A, ()), [item(n, site="more") for n in range(30)])
    answer("n")
    _, _, err = run(capsys, "remove", "--items", A)
    assert "Remove 1 source and 32 items?" in err
    assert "  and 22 more items, 0 transcripts" in err
    assert len(err.splitlines()) < 15


def test_nothing_is_removed_during_a_run(library, capsys):
    with library.run_lock():
        for arguments in ([item(1).key], ["--items", A]):
            code, _, err = run(capsys, "remove", "--yes", *arguments)
            assert (code, "Another run is active" in err) == (ExitCode.ANOTHER_RUN, True)
    assert (len(keys(library)), len(library.sources())) == (4, 2)


# --- Reasons of failures -------------------------------------------------------------------------


def test_the_end_of_a_run_groups_failures_by_reason(library, capsys):
    failures = [PermanentError("The video is private.", "Ask its owner.")] * 3
    failures += [RetryableError(f"Reason {n}.") for n in range(9)]
    print_summary(Progress(done=1, failed=12), library, failures, 10.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("12 failed:")
    assert lines[1:3] == ["   3 x The video is private.", "       Ask its owner."]
    assert lines[3] == "   1 x Reason 0."
    assert "   2 x other reasons" in lines
    assert "Which items: homescribe list --state failed" in lines


def test_show_prints_several_items_with_their_reasons_and_hints(library, capsys):
    library.fail(item(2), PermanentError("Private video.", "Ask its owner."))
    code, out, _ = run(capsys, "show", item(1).key, item(2).key)
    assert code == 0
    assert "hello worlds" in out
    assert "error     Private video.\nhint      Ask its owner.\n" in out


def test_retry_says_what_is_left(library, capsys):
    assert "No failures to retry." in run(capsys, "retry")[2]
    library.fail(item(2), PermanentError("Private video."))
    _, _, err = run(capsys, "retry")
    assert "1 permanent failure not retried." in err
    assert "homescribe retry --all" in err
    assert "1 item pending again." in run(capsys, "retry", "--all")[2]


# --- Progress ------------------------------------------------------------------------------------


def test_an_item_whose_first_batch_is_not_done_shows_its_time_and_then_its_share(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("homescribe.cli.progress.time.monotonic", lambda: now[0])
    progress, since = Progress(items=1, audio_seconds=10.0), {}
    progress.transcription_started(item(1))
    shown = []
    for seconds, done in ((0.0, 0.0), (7.0, 0.0), (5.0, 5.0)):
        now[0] += seconds
        progress.transcription_progressed(item(1), done)
        shown.append(list(_lines(progress, since))[1].split("  ")[1:])
        shown[-1] = " ".join(shown[-1]).split("Talk")[0].strip()
    assert shown == ["for 0:00", "for 0:07", "50%"]
    unknown = item(2, duration=None)
    progress.transcription_started(unknown)
    progress.transcription_progressed(unknown, 90.0)
    assert " at 1:30  Talk 2" in list(_lines(progress, since))[2]


def test_the_time_of_an_upload_does_not_depend_on_the_clock(monkeypatch):
    """A clock that is set back by an hour changes nothing."""
    now, uploads = [100.0], Uploads()
    monkeypatch.setattr("time.time", lambda: 1e9)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    progress = Progress(items=1, uploads=uploads)
    at_modal = object.__new__(ModalSession)
    at_modal.uploads = uploads
    with at_modal._upload(item(1), 1000):
        now[0] += 65.0
        monkeypatch.setattr("time.time", lambda: 1e9 - 3600)
        shown = list(_lines(progress, {}))[1].split()[:2]
    assert shown == ["uploading", "1:05"]


def test_the_bar_moves_while_no_share_is_known():
    progress = Progress(items=2, audio_seconds=10.0)
    assert not is_unknown(progress)  # nothing is going on
    progress.transcription_started(item(1))
    assert is_unknown(progress)
    progress.transcription_progressed(item(1), 5.0)
    assert not is_unknown(progress)
    progress.audio_seconds = 0.0  # no duration is known: items count
    assert is_unknown(progress)
    progress.done = 1
    assert not is_unknown(progress)


# --- Nothing to do, nothing to read --------------------------------------------------------------


def test_a_plan_of_nothing_says_so(library, capsys):
    library.remove([item(n).key for n in (2, 3, 4)])
    code, out, err = run(capsys, "plan")
    assert (code, out) == (0, "")
    assert "No items are pending." in err
    assert json.loads(run(capsys, "plan", "--json")[1])["items"] == 0


def test_serving_a_mistyped_library_creates_nothing(capsys, tmp_path):
    code, _, err = run(capsys, "serve", "--no-open", "--library", str(tmp_path / "typo"))
    assert (code, "There is no library at" in err) == (2, True)
    assert not (tmp_path / "typo").exists()


# --- Standard output -----------------------------------------------------------------------------


def test_transcripts_can_be_printed(library, capsys, tmp_path):
    library.save(item(4), transcript("second talk"))
    code, out, err = run(capsys, "export", "-f", "txt", "-o", "-")
    assert (code, out, err) == (0, "hello worlds\nsecond talk\n", "")
    _, out, _ = run(capsys, "export", "-f", "json", "-o", "-", item(4).key)
    assert json.loads(out)["text"].strip() == "second talk"
    assert [path.name for path in tmp_path.iterdir()] == ["library"]


def test_one_format_is_printed(library, capsys):
    code, out, err = run(capsys, "export", "-f", "txt,srt", "-o", "-")
    assert (code, out, "Only one format" in err) == (2, "", True)


# --- The program as it was called ----------------------------------------------------------------


def test_commands_in_messages_are_the_commands(library):
    assert sorted(program.COMMANDS) == sorted(homescribe.commands)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("To retry: homescribe retry KEY", "To retry: ./bin/homescribe retry KEY"),
        ("`homescribe --library x serve`", "`./bin/homescribe --library x serve`"),
        ("homescribe needs Python 3.11", "homescribe needs Python 3.11"),
        ("/home/me/homescribe run.lock", "/home/me/homescribe run.lock"),
        ("homescribe runs", "homescribe runs"),
    ],
)
def test_commands_are_printed_as_the_user_has_to_type_them(text, printed, monkeypatch):
    monkeypatch.setattr(program, "program", lambda: "./bin/homescribe")
    assert program.as_called(text) == printed


def test_the_commands_that_a_message_names_can_be_run(tmp_path):
    """In a virtual environment that is not activated."""
    installed = shutil.which("homescribe", path=os.path.dirname(sys.executable))  # noqa: PTH120
    if installed is None:
        pytest.skip("homescribe is not installed as a command here")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "homescribe").symlink_to(installed)
    environment = {**os.environ, "PATH": "/usr/bin:/bin"}

    def hint(*command):
        done = subprocess.run(
            [*command, "list"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        return re.search(r"\((.+) add URL\)", done.stderr)[1]

    assert hint("bin/homescribe") == "bin/homescribe"
    assert hint(str(tmp_path / "bin" / "homescribe")) == "bin/homescribe"
    assert hint(sys.executable, "-m", "homescribe") == f"{sys.executable} -m homescribe"
    environment["PATH"] = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    assert hint("homescribe") == "homescribe"


def test_an_environment_of_uv_gets_a_command_that_uv_understands(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(program.importlib.util, "find_spec", lambda name: None)
    program.pip.cache_clear()
    try:
        text = program.as_called("Run: pip install 'homescribe[web]'")
    finally:
        program.pip.cache_clear()
    assert re.fullmatch(r"Run: uv pip install --python \S*/python 'homescribe\[web\]'", text)
    # The arguments that uv accepts, of the version that tests install.
    uv = pytest.importorskip("uv", reason="uv is not installed: pip install --group test")
    words = shlex.split(text.removeprefix("Run: uv "))
    command = [uv.find_uv_bin(), *words, "--help"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
