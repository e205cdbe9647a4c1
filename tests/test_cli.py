"""The command line: output, messages and exit codes."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from command_line import alone  # noqa: F401 - a fixture
from fake_plugins import item, listing, transcript
from homescribe import demo
from homescribe.cli.main import homescribe, main
from homescribe.cli.main import run as run_command
from homescribe.cli.progress import Display
from homescribe.config import Config
from homescribe.core import Outcome, Segment, Skipped, TranscriptionOptions
from homescribe.errors import PermanentError, RetryableError
from homescribe.library import Library
from homescribe.pipeline import Progress
from speech_samples import assert_words, sample_text


@pytest.fixture
def stored(tmp_path):
    """A library with a done, a permanently failed, a failed and a pending item."""
    with Library(tmp_path / "library") as library:
        items = [item(n, upload_date=f"2026-03-0{n}") for n in range(1, 5)]
        library.record("ytdlp", listing("https://site.example/", ()), items)
        segments = (
            Segment(0.0, 4.0, " The quick brown fox jumps."),
            Segment(63.5, 66.0, " Thanks for watching.", flags=("low_probability",)),
        )
        library.save(items[0], transcript(segments=segments, duration=70.0), 7.0)
        library.fail(items[1], PermanentError("Private video.", "Ask its owner."))
        library.fail(items[2], RetryableError("Server answers 503.", "", 3600))
        yield library


def run(capsys, *arguments):
    code = run_command(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# --- Reading -------------------------------------------------------------------------------------


def test_list_as_json(stored, capsys):
    code, out, err = run(capsys, "list", "--json")
    records = json.loads(out)
    assert (code, err) == (0, "")
    promised = {"key", "title", "channel", "duration", "state", "attempts", "error", "retry_at"}
    assert all(promised <= set(record) for record in records)
    assert [record["state"] for record in records] == ["done", "failed", "failed", "pending"]
    assert records[1]["error"] == "Private video."
    assert records[1]["retry_at"] > records[2]["retry_at"] > time.time()


def test_list_in_a_pipe_prints_a_line_per_item(stored, capsys):
    _, out, _ = run(capsys, "list", "--state", "failed")
    first, second = out.splitlines()
    assert first.split("\t")[0] == "failed"
    assert "Private video." in first
    assert "503" in second
    assert "retry after" in second


def test_list_by_channel_and_date(stored, capsys):
    _, out, _ = run(capsys, "list", "--since", "2026-03-02", "--until", "2026-03-03")
    assert len(out.splitlines()) == 2
    assert len(run(capsys, "list", "--channel", "a CHANNEL")[1].splitlines()) == 4


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["list", "--json"],
        ["search", "fox"],
        ["export", "-f", "txt"],
        ["export", "-f", "md", "--combine"],
        ["export", "--site", "site"],
        ["replace", "fox", "cat"],
        ["replace", "fox", "cat", "--dry-run"],
    ],
)
def test_a_channel_that_does_not_exist_is_an_error(stored, capsys, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *command, "--channel", "A chanel")
    assert (code, out) == (2, "")
    assert "No channel 'A chanel'." in err
    assert "Did you mean A channel?" in err
    assert "Did you mean" not in run(capsys, *command, "--channel", "nosuch")[2]
    assert not (tmp_path / "site").exists()
    assert not list(stored.directory.glob("exports/*"))
    assert stored.replacements() == []


def test_status_as_json(stored, capsys):
    _, out, _ = run(capsys, "status", "--json")
    figures = json.loads(out)
    assert figures["items"] == {
        "done": 1,
        "failed": 2,
        "in flight": 0,
        "pending": 1,
        "ignored": 0,
    }
    assert figures["audio_hours_done"] == pytest.approx(70 / 3600)
    assert figures["library"] == str(stored.path)


def test_status_as_text(stored, capsys):
    stored.block_site("youtube", time.time() + 3600, "Too many requests")
    _, out, _ = run(capsys, "status")
    assert "done             1" in out
    assert "No downloads from youtube before" in out


def test_search_as_json(stored, capsys):
    _, out, _ = run(capsys, "search", "--json", "thanks watching")
    [hit] = json.loads(out)
    assert {"key", "title", "start", "end", "text", "url"} <= set(hit)
    assert (hit["key"], hit["start"]) == ("fake:site-1", 63.5)
    assert hit["url"].endswith("#t=63")


def test_search_results_link_to_their_time(stored, capsys):
    _, out, _ = run(capsys, "search", '"brown fox"')
    assert out.splitlines() == [
        "Talk 1 · A channel · 2026-03-01",
        "     0:00  The quick brown fox jumps. Thanks for watching.",
        "           https://site.example/1#t=0",
    ]


def test_search_treats_no_text_as_syntax(stored, capsys):
    for query in ("c++", "it's", "a:b", "AND", '"', "fox*", "(", "-", "NEAR(a"):
        assert run(capsys, "search", "--", query)[0] == 0
    code, _, err = run(capsys, "search", "--raw", '"')
    assert (code, err.count("\n") <= 2) == (2, True)


def test_show_prints_times_and_marks_doubtful_segments(stored, capsys):
    _, out, _ = run(capsys, "show", "fake:site-1")
    assert "    0:00   The quick brown fox jumps." in out
    assert "    1:03 ? Thanks for watching.  (low probability)" in out


def mixed(library):
    """Store a transcript in two languages, with a hole and a warning, and one without speech."""
    segments = (
        Segment(0.0, 62.0, " Good evening.", language="en"),
        Segment(100.0, 138.0, " Guten Abend.", language="de"),
    )
    library.save(
        item(5),
        transcript(
            segments=segments,
            duration=138.0,
            skipped=(Skipped(62.0, 100.0, "no_speech"),),
            warnings=("Audio track 2 of 2 was used: \x1b[2Jtrack 1 is silent.",),
            options=TranscriptionOptions(task="translate", beam_size=1, initial_prompt="a\x1bb"),
        ),
        2.0,
    )
    library.save(item(6), transcript(segments=(), language="und", duration=60.0), 2.0)


def test_show_prints_languages_what_was_skipped_and_warnings(stored, capsys):
    mixed(stored)
    _, out, _ = run(capsys, "show", "fake:site-5")
    assert "\nlanguages en 62 %, de 38 %\n" in out
    assert "\nno text   38 s: 1:02 to 1:40\n" in out
    assert "\nnote      Audio track 2 of 2 was used: " in out
    assert "\noptions   task translate, beam size 1, initial prompt ab\n" in out
    assert "\x1b" not in out
    assert "    1:02   [no speech, 1:02 to 1:40]\n    1:40   Guten Abend.\n" in out
    _, out, _ = run(capsys, "show", "fake:site-6")
    assert out.endswith("\nmodel     fake, tiny\n\nNo speech was found.\n")


def test_show_and_list_as_json_have_languages_what_was_skipped_and_warnings(stored, capsys):
    mixed(stored)
    record = json.loads(run(capsys, "show", "fake:site-5", "--json")[1])
    assert (record["key"], record["speech"], record["skipped_seconds"]) == ("fake:site-5", True, 38)
    assert list(record["languages"].items()) == [("en", 62.0), ("de", 38.0)]
    assert [segment["text"] for segment in record["transcript"]["segments"]][1] == " Guten Abend."
    [hole] = record["transcript"]["homescribe"]["skipped"]
    assert hole == {"start": 62.0, "end": 100.0, "reason": "no_speech"}
    assert record["transcript"]["homescribe"]["options"] == {
        "language": None,
        "task": "translate",
        "beam_size": 1,
        "temperature": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        "word_timestamps": False,
        "vad_filter": True,
        "initial_prompt": "a\x1bb",
        "condition_on_previous_text": False,
        "audio_track": None,
        "speakers": None,
    }
    assert json.loads(run(capsys, "show", "fake:site-4", "--json")[1])["transcript"] is None
    records = {each["key"]: each for each in json.loads(run(capsys, "list", "--json")[1])}
    assert records["fake:site-5"]["warnings"] == record["warnings"] != []
    assert records["fake:site-6"]["speech"] is False
    assert records["fake:site-4"]["speech"] is None


def test_list_says_that_no_speech_was_found(stored, capsys):
    mixed(stored)
    silent = [line for line in run(capsys, "list")[1].splitlines() if "No speech" in line]
    assert len(silent) == 1
    assert silent[0].endswith("\tfake:site-6\tTalk 6\tNo speech was found.")


def test_the_line_of_a_finished_item_says_what_was_found(stored, capsys):
    mixed(stored)
    display = Display(SimpleNamespace(progress=Progress(items=2, done=1)))
    for number, seconds in ((5, 13.8), (6, 2.0)):
        done = stored.transcript(f"fake:site-{number}")
        display.print_outcome(Outcome(item(number), done, seconds=seconds))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == ("[1/2] Talk 5 (2:18, 10x realtime, en 62 %, de 38 %, 38 s without text)")
    assert lines[1].startswith("      Audio track 2 of 2 was used: ")
    assert "\x1b" not in lines[1]
    assert lines[2] == "[1/2] Talk 6: No speech was found. (1:00, 30x realtime)"


def test_no_empty_file_is_written_for_an_item_without_speech(stored, capsys, tmp_path):
    mixed(stored)
    run(capsys, "export", "fake:site-6", "-f", "txt,srt,md,json", "-o", "out")
    written = {path.suffix: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert set(written) == {".md", ".json"}
    assert "No speech was found." in written[".md"]


def test_show_prints_why_an_item_failed(stored, capsys):
    _, out, _ = run(capsys, "show", "fake:site-2")
    assert "Private video." in out
    assert "Ask its owner." in out


def test_an_unknown_key_suggests_similar_keys(stored, capsys):
    code, out, err = run(capsys, "show", "fake:site-11")
    assert (code, out) == (2, "")
    assert "fake:site-1" in err


def test_export_writes_files(stored, capsys, tmp_path):
    code, out, err = run(capsys, "export", "-f", "srt,txt", "-o", "out")
    assert (code, out) == (0, "")
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".srt", ".txt"]
    assert "2 files written to" in err


def test_export_has_whispers_options_for_subtitles(stored, capsys, tmp_path, monkeypatch):
    def subtitles(*options):
        code, _, err = run(capsys, "export", "-f", "vtt", "-o", "out", *options)
        assert code == 0, err
        [path] = (tmp_path / "out").iterdir()
        return path.read_text()

    assert "\nThe quick brown fox jumps.\n" in subtitles()
    assert "\nThe quick\nbrown fox\n" in subtitles("--max-line-width", "10")
    assert "\nThe quick\n\n" in subtitles("--max-words-per-line", "2")
    assert "\nThe <u>quick</u> brown fox jumps.\n" in subtitles("--highlight-words")
    (tmp_path / "config.toml").write_text("max_line_width = 10\nmax_line_count = 1")
    assert "\nThe quick\n\n" in subtitles()
    monkeypatch.setenv("HOMESCRIBE_MAX_LINE_WIDTH", "15")
    assert "\nfox jumps.\n" in subtitles()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-line-count", "2"], "max_line_count has no effect without max_line_width."),
        (["--max-line-width", "0"], "max_line_width = 0 (flag) is not valid."),
        (["--max-words-per-line", "x"], "'x' is not a valid integer"),
    ],
)
@pytest.mark.parametrize(
    "command", [["export"], ["transcribe", "nothing-here.mp3"], ["run"], ["sync"]]
)
def test_an_invalid_option_for_subtitles_is_an_error_before_all_else(
    capsys, tmp_path, command, options, message
):
    code, out, err = run(capsys, *command, "-f", "srt", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "library").exists()


def test_export_of_a_recording_without_speech_says_so(stored, capsys, tmp_path):
    stored.save(item(4), transcript(segments=(), duration=70.0), 7.0)
    code, _, err = run(capsys, "export", "fake:site-4", "-f", "txt,srt,json", "-o", "out")
    assert code == 0
    assert "Talk 4: no speech was found, so no txt or srt file is written." in err
    assert "1 file written to" in err
    assert [path.suffix for path in (tmp_path / "out").iterdir()] == [".json"]


def test_words_get_times_when_subtitles_are_written():
    assert not Config().transcription().word_timestamps
    assert not Config().transcription(["txt", "json"]).word_timestamps
    for name in ("srt", "vtt"):
        assert Config().transcription(["txt", name]).word_timestamps
        assert not Config(word_timestamps=False).transcription([name]).word_timestamps
    assert Config(word_timestamps=True).transcription().word_timestamps


def test_export_of_an_item_without_a_transcript_is_an_error(stored, capsys):
    code, _, err = run(capsys, "export", "fake:site-4", "-f", "txt", "-o", "out")
    assert code == 2
    assert "1 of 1 item not transcribed yet." in err


def test_an_unknown_format_is_an_error(stored, capsys):
    code, _, err = run(capsys, "export", "-f", "srt,odt")
    assert code == 2
    assert "odt" in err
    assert "srt" in err


def test_retry_and_remove(stored, capsys):
    run(capsys, "retry")
    assert stored.item("fake:site-3").state == "pending"
    assert stored.item("fake:site-2").state == "failed"
    run(capsys, "retry", "fake:site-2")
    assert stored.item("fake:site-2").state == "pending"
    code, _, err = run(capsys, "remove", "fake:site-1")
    assert (code, "--yes" in err, stored.item("fake:site-1").state) == (2, True, "done")
    run(capsys, "remove", "--yes", "fake:site-1", "https://site.example/")
    assert len(list(stored.items())) == 3
    assert stored.sources() == []


def test_sources_as_json(stored, capsys):
    _, out, _ = run(capsys, "sources", "--json")
    [source] = json.loads(out)
    assert (source["url"], source["items"]) == ("https://site.example/", 4)


# --- Untrusted titles ----------------------------------------------------------------------------


def test_titles_and_transcripts_cannot_control_the_terminal(capsys, tmp_path):
    hostile = item(
        1, title="\x1b]0;owned\x07\x1b[2J\u202egnp.exe\nfake:x\tdone", channel="\x1b[31m"
    )
    with Library(tmp_path / "library") as library:
        library.record("ytdlp", listing("https://site.example/", ()), [hostile])
        library.save(hostile, transcript(text="spoken \x1b[2J words"))
    for command in (["list"], ["show", hostile.key], ["search", "spoken"]):
        _, out, _ = run(capsys, *command)
        assert not set(out) & set("\x1b\x07\u202e")
    assert len(run(capsys, "list")[1].splitlines()) == 1


def test_the_plan_uses_the_sleep_interval_even_if_it_is_zero(stored, capsys):
    seconds = [
        json.loads(run(capsys, "plan", "--json", *arguments)[1])["download_seconds"]
        for arguments in (["--sleep-interval", "0"], ["--sleep-interval", "30"], [])
    ]
    assert seconds == [0.0, 30.0, 10.0]


# --- Settings ------------------------------------------------------------------------------------


def test_flags_override_the_environment_which_overrides_the_file(capsys, tmp_path, monkeypatch):
    (tmp_path / "config.toml").write_text('model = "tiny"\nlanguage = "de"\nbeam_size = 3\n')
    monkeypatch.setenv("HOMESCRIBE_LANGUAGE", "fr")
    _, out, _ = run(capsys, "config", "--json", "--library", str(tmp_path / "elsewhere"))
    found = json.loads(out)
    assert found["library"] == {"value": str(tmp_path / "elsewhere"), "from": "flag"}
    assert found["language"] == {"value": "fr", "from": "HOMESCRIBE_LANGUAGE"}
    assert found["model"] == {"value": "tiny", "from": str(tmp_path / "config.toml")}
    assert found["task"]["from"] == "default"


@pytest.mark.parametrize(
    ("written", "named"),
    [
        ("modell = 'tiny'", "modell"),
        ("beam_size = 'many'", "beam_size"),
        ("task = 'summarise'", "translate"),
        ("model = ", "config.toml"),
        ("word_timestamps = 1", "word_timestamps"),
    ],
)
def test_an_invalid_setting_is_an_error(written, named, capsys, tmp_path):
    (tmp_path / "config.toml").write_text(written)
    code, out, err = run(capsys, "list")
    assert (code, out) == (2, "")
    assert named in err
    assert "Traceback" not in err


def test_an_invalid_environment_variable_is_an_error(capsys, monkeypatch):
    monkeypatch.setenv("HOMESCRIBE_SLEEP_INTERVAL", "soon")
    code, _, err = run(capsys, "list")
    assert code == 2
    assert "HOMESCRIBE_SLEEP_INTERVAL" in err


def test_the_library_option_may_precede_the_command(capsys, tmp_path):
    sample = str(demo.samples() / "fox-20s.mp3")
    assert run(capsys, "--library", str(tmp_path / "other"), "add", sample)[0] == 0
    assert (tmp_path / "other" / "library.db").exists()


def test_a_mistyped_library_is_an_error_and_is_not_created(capsys, tmp_path):
    for command in (["list"], ["status"], ["search", "word"], ["sources"], ["retry"]):
        code, _, err = run(capsys, *command, "--library", str(tmp_path / "mistyped"))
        assert (code, "There is no library at" in err) == (2, True)
    assert not (tmp_path / "mistyped").exists()
    assert run(capsys, "list", "--library", "")[0] == 2


@pytest.mark.parametrize(
    "flags", [["--beam-size", "0"], ["--sleep-interval", "nan"], ["--disk", "-1"]]
)
def test_a_number_out_of_range_is_an_error(flags, capsys):
    code, _, err = run(capsys, "run", *flags)
    assert (code, "is not valid" in err, len(err.splitlines())) == (2, True, 2)


# --- The installation ----------------------------------------------------------------------------


def test_doctor_as_json(capsys):
    code, out, _ = run(capsys, "doctor", "--json")
    checks = {check["name"]: check for check in json.loads(out)}
    assert code == 0
    assert {"python", "yt-dlp", "javascript", "faster-whisper", "models", "disk", "library"} <= set(
        checks
    )
    assert checks["yt-dlp"]["finding"].endswith("days old")


def test_doctor_reports_a_damaged_library(capsys, tmp_path):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "library.db").write_bytes(b"not a database at all" * 100)
    code, out, _ = run(capsys, "doctor")
    assert code == 3
    assert "broken   library" in out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell, capsys):
    code, out, _ = run(capsys, "completion", shell)
    assert code == 0
    assert "_HOMESCRIBE_COMPLETE" in out


def test_completion_completes_a_command(monkeypatch):
    done = subprocess.run(
        [sys.executable, "-m", "homescribe"],
        env={
            **os.environ,
            "_HOMESCRIBE_COMPLETE": "bash_complete",
            "COMP_WORDS": "homescribe tr",
            "COMP_CWORD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "plain,transcribe" in done.stdout


def test_every_command_has_help(capsys):
    for name in homescribe.commands:
        code, out, _ = run(capsys, name, "--help")
        assert (code, out.startswith(f"Usage: homescribe {name}")) == (0, True)


def test_help_lists_options_in_groups_and_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(capsys, "transcribe", "--help")
    assert max(len(line) for line in out.splitlines()) <= 80
    headings = [line for line in out.splitlines() if line.endswith(":") and line[0] != " "]
    assert headings == [
        *(
            "Options:",
            "Source options:",
            "Speech options:",
            "Renting options:",
            "Cluster options:",
            "Endpoint options:",
            "Notification options:",
            "Output options:",
        )
    ]
    for heading, flag in [
        ("Options:", "--library DIR"),
        ("Source options:", "--cookies FILE"),
        ("Speech options:", "--[no-]word-timestamps"),
        ("Renting options:", "--max-cost DOLLARS"),
        ("Output options:", "-f, --format FORMATS"),
    ]:
        section = out.split(f"\n{heading}\n")[1].split("\n\n")[0]
        assert f"  {flag} " in section
    assert "Renting options:" not in run(capsys, "add", "--help")[1]


def test_an_unknown_command_or_invalid_option_exits_2(capsys):
    assert run(capsys, "run", "--limit", "none")[0] == 2
    assert run(capsys, "nonsense")[0] == 2


def test_a_closed_pipe_is_not_an_error(stored):
    items = [item(10_000 + number) for number in range(2000)]  # more than a pipe holds
    stored.record("fake", listing("https://site.example/", items), items)
    for arguments in ("list", "list --json"):
        command = (
            f"set -o pipefail; {sys.executable} -m homescribe {arguments} | head -c 1 >/dev/null"
        )
        done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("arguments", ["list", "list --json", "status"])
def test_a_closed_standard_output_is_not_an_error(stored, arguments):
    """The library is not written over by the output, although its file may get the number 1."""
    command = f"{sys.executable} -m homescribe {arguments} >&-"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [record.item.title for record in Library(stored.directory).items()] != []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_full_disk_under_the_output_is_an_error(stored):
    command = f"{sys.executable} -m homescribe list >/dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "Error: cannot write the output: no space left on the disk.\n",
    )


def test_a_title_that_the_terminal_cannot_encode_is_not_an_error(stored):
    stored.record("ytdlp", listing("https://site.example/", ()), [item(9, title="日本語")])
    done = subprocess.run(
        [sys.executable, "-m", "homescribe", "list"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"???" in done.stdout) == (0, True)


# --- Running, with a real engine -----------------------------------------------------------------


@pytest.mark.models
def test_transcribe_adds_transcribes_and_exports(capsys, tmp_path):
    sample = demo.samples() / "fox-20s.mp3"
    arguments = ["transcribe", str(sample), "--model", "demo", "-f", "txt,srt", "-o", "out"]
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (0, "")
    [text] = (tmp_path / "out").glob("*.txt")
    assert_words(sample_text("fox-20s"), text.read_text())
    assert "1 item transcribed" in err
    with Library(tmp_path / "library") as library:
        [record] = library.items()
        assert all(s.words for s in library.transcript(record.item.key).segments)

    text.unlink()
    code, _, err = run(capsys, *arguments)
    assert "already transcribed" in err
    assert_words(sample_text("fox-20s"), text.read_text())
    _, out, _ = run(capsys, "search", "--json", '"lazy dog"')
    assert json.loads(out)[0]["start"] < 5


@pytest.mark.models
def test_a_file_that_fails_does_not_stop_the_others(capsys, tmp_path):
    folder = tmp_path / "talks"
    folder.mkdir()
    (folder / "bad.mp3").write_bytes(b"this is no sound" * 100)
    (folder / "fox.mp3").write_bytes((demo.samples() / "fox-20s.mp3").read_bytes())
    code, _, err = run(capsys, "transcribe", str(folder), "--model", "demo", "-o", "out")
    assert code == 1
    assert "bad: " in err
    assert "   1 x bad.mp3 is not audio or video that can be decoded." in err
    assert len(list((tmp_path / "out").iterdir())) == 1


def test_add_reads_addresses_from_standard_input(capsys, tmp_path, monkeypatch):
    import io

    sample = demo.samples() / "fox-20s.mp3"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"# my files\n\n{sample}\n"))
    code, _, err = run(capsys, "add", "-")
    assert (code, "1 item pending. Transcribe: homescribe run" in err) == (0, True)


@pytest.mark.models
def test_an_address_that_fails_does_not_stop_the_others(capsys, tmp_path):
    sample = str(demo.samples() / "fox-20s.mp3")
    arguments = ["transcribe", "nothing-here.mp3", sample, "--model", "demo", "-o", "out"]
    code, _, err = run(capsys, *arguments)
    assert (code, "nothing-here.mp3" in err) == (2, True)
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.models
def test_transcribe_reports_items_that_failed_in_an_earlier_run(capsys, tmp_path):
    folder = tmp_path / "talks"
    folder.mkdir()
    (folder / "bad.mp3").write_bytes(b"this is no sound" * 100)
    arguments = ["transcribe", str(folder), "--model", "demo", "-o", "out"]
    assert run(capsys, *arguments)[0] == 1
    code, _, err = run(capsys, *arguments)
    assert (code, ") failed in an earlier run: bad.mp3 is not audio" in err) == (1, True)


@pytest.mark.models
def test_sync_prints_nothing_if_nothing_is_new(capsys, tmp_path):
    talks = tmp_path / "talks"
    talks.mkdir()
    (talks / "fox.mp3").write_bytes((demo.samples() / "fox-20s.mp3").read_bytes())
    run(capsys, "transcribe", str(talks), "--model", "demo", "-o", "out")
    assert run(capsys, "sync", "--model", "demo") == (0, "", "")


@pytest.mark.models
def test_sync_does_not_list_a_single_file_again(capsys, tmp_path):
    sample = tmp_path / "fox.mp3"
    sample.write_bytes((demo.samples() / "fox-20s.mp3").read_bytes())
    run(capsys, "transcribe", str(sample), "--model", "demo", "-o", "out")
    sample.unlink()
    assert run(capsys, "sync", "--model", "demo") == (0, "", "")
    assert run(capsys, "sources")[1] == ""


@pytest.mark.parametrize("address", ["nothing-here.mp3", "no-such-folder/", "*.nothing"])
def test_an_address_without_recordings_is_an_error(address, capsys):
    code, out, err = run(capsys, "transcribe", address)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert 1 <= len(err.splitlines()) <= 2


def test_an_unknown_model_is_an_error(capsys):
    sample = demo.samples() / "fox-20s.mp3"
    code, _, err = run(capsys, "transcribe", str(sample), "--model", "enormous")
    assert code in (2, 3)
    assert "enormous" in err
    assert "Traceback" not in err


@pytest.mark.models
def test_the_demo_transcribes_exports_and_searches(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "homescribe", "demo"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "quick brown fox" in done.stdout
    assert str(tmp_path / "homescribe-demo" / "exports") in done.stderr
    assert len(list(Path(tmp_path, "homescribe-demo", "exports").iterdir())) == 15


def rss_of(*titles):
    items = "".join(
        f"<item><title>{title}</title><guid>{title}</guid><pubDate>{day} Jun 2026 06:00:00 +0000</pubDate>"
        f'<enclosure url="https://cdn.example/{title}.mp3" type="audio/mpeg"/></item>'
        for day, title in enumerate(titles, start=1)
    )
    feed = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Show</title>{items}</channel></rss>'
    return lambda *_: (200, feed, {"Content-Type": "application/rss+xml"})


def source_urls(capsys):
    return [source["url"] for source in json.loads(run(capsys, "sources", "--json")[1])]


def test_a_source_moves(server, capsys, tmp_path):
    server.routes |= {"/old.xml": rss_of("One", "Two"), "/new.xml": rss_of("One", "Two", "Three")}
    old, new = server.url("/old.xml"), server.url("/new.xml")
    assert run(capsys, "add", old)[0] == 0
    with Library(tmp_path / "library") as library:
        before = [record.item.key for record in library.items()]
    code, _, err = run(capsys, "sources", "move", old, new)
    assert (code, f"Show has moved: {old} is now {new}" in err, "1 new item" in err) == (
        0,
        True,
        True,
    )
    assert source_urls(capsys) == [new]
    with Library(tmp_path / "library") as library:
        assert before == [record.item.key for record in library.items()][:2]


def test_a_source_that_cannot_be_listed_at_its_new_address_stays(server, capsys):
    server.routes["/old.xml"] = rss_of("One")
    old = server.url("/old.xml")
    run(capsys, "add", old)
    code, _, err = run(capsys, "sources", "move", old, server.url("/gone.xml"))
    assert (code, "404" in err) == (2, True)
    assert source_urls(capsys) == [old]
    code, _, err = run(capsys, "sources", "move", server.url("/other.xml"), old)
    assert (code, "There is no source" in err) == (2, True)


def test_recordings_are_chosen_when_they_are_added(server, capsys):
    server.routes["/feed.xml"] = rss_of("One", "Two", "Three")
    url = server.url("/feed.xml")
    assert "1 new item" in run(capsys, "add", "--latest", "1", url)[2]
    assert "1 new item" in run(capsys, "add", "--since", "2026-06-02", url)[2]
    assert json.loads(run(capsys, "sources", "--json")[1])[0]["since"] == "2026-06-02"
    assert "1 new item" in run(capsys, "add", url)[2]
    code, _, err = run(capsys, "add", "--since", "last week", url)
    assert (code, "is not a date" in err) == (2, True)
    code, _, err = run(capsys, "transcribe", "--since", "2027-01-01", url)
    assert (code, "0 new items" in err) == (0, True)


def test_an_opml_file_adds_each_of_its_feeds(server, capsys, tmp_path):
    server.routes |= {"/a.xml": rss_of("One"), "/b.xml": rss_of("Two")}
    a, gone, b = server.url("/a.xml"), server.url("/gone.rss"), server.url("/b.xml")
    outlines = "".join(f'<outline type="rss" xmlUrl="{url}"/>' for url in (a, gone, b, a))
    path = tmp_path / "podcasts.opml"
    path.write_text(f'<opml><body><outline text="News">{outlines}</outline></body></opml>')
    code, _, err = run(capsys, "add", str(path))
    assert (code, "404" in err) == (2, True)
    assert source_urls(capsys) == [a, b]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.opml", "<opml/>", "lists no feeds"),
        ("a.opml", "<opml>", "is no OPML"),
        ("a.opml", '<!DOCTYPE o [<!ENTITY a "b">]><opml>&a;</opml>', "is no OPML"),
        ("a.m3u", "#EXTM3U", "lists no recordings"),
        ("a.m3u", "javascript:alert(1)", "lists no recordings"),
    ],
)
def test_a_file_that_lists_nothing(capsys, tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    code, _, err = run(capsys, "add", name)
    assert (code, words in err) == (2, True)


def test_a_playlist_adds_each_of_its_recordings(server, clips, capsys, tmp_path):
    folder = tmp_path / "talks"
    folder.mkdir()
    recording = next(path for path in sorted(clips.iterdir()) if path.suffix == ".mp3")
    (folder / "one.mp3").write_bytes(recording.read_bytes())
    (folder / "list.m3u8").write_text("\ufeff#EXTM3U\n#EXTINF:7,One\none.mp3\n\n")
    code, _, err = run(capsys, "add", "talks/list.m3u8")
    assert (code, "1 new item" in err) == (0, True), err
    with Library(tmp_path / "library") as library:
        assert [record.item.url for record in library.items()] == [str(folder / "one.mp3")]


def test_the_library_of_a_subcommand_may_stand_before_it(server, capsys, tmp_path):
    server.routes["/old.xml"] = rss_of("One")
    folder = str(tmp_path / "other")
    run(capsys, "--library", folder, "add", server.url("/old.xml"))
    server.routes["/new.xml"] = rss_of("One")
    move = ("move", server.url("/old.xml"), server.url("/new.xml"))
    assert run(capsys, "sources", "--library", folder, *move)[0] == 0


def test_no_line_of_the_list_of_commands_is_cut(capsys):
    listed = run(capsys, "--help")[1].split("Commands:")[1]
    assert "..." not in listed


def test_a_list_without_matches_does_not_say_that_the_library_is_empty(stored, capsys):
    assert "No items match" in run(capsys, "list", "--since", "2030-01-01")[2]


def test_commands_in_messages_name_the_library_that_was_chosen(stored, capsys, tmp_path):
    """Copied, they must not work on another library."""
    other = tmp_path / "my library"
    Library(other).close()
    for arguments in (("--library", other, "list"), ("list", "--library", other)):
        assert f"homescribe --library '{other}' add URL" in run(capsys, *arguments)[2]
    assert f"--library '{other}'" in run(capsys, "--library", other, "show", "http://a/x")[2]
    assert "--library" not in run(capsys, "show", "http://a/x")[2]


def test_a_caller_that_gives_arguments_keeps_its_threads_and_its_process(capsys):
    ended = threading.Event()
    threading.Thread(target=ended.wait, daemon=True).start()
    try:
        with pytest.raises(SystemExit) as exited:
            main(["--version"])
    finally:
        ended.set()
    assert exited.value.code == 0
