"""`homescribe audio`, and what `status`, `remove` and `doctor` say about kept audio."""

import json
import shutil
from pathlib import Path

import click
import pytest

from command_line import CommandLine, alone  # noqa: F401 - a fixture
from fake_plugins import item, transcript
from homescribe import demo, doctor
from homescribe.cli.main import run as run_command
from homescribe.config import Config
from homescribe.library import Library, kept_audio
from loopback import LoopbackServer
from speech_samples import assert_words, sample_text


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Three recordings whose audio was kept one after the other: 1, 2 and 3 MB."""
    with Library(tmp_path / "library") as library:
        for number in (1, 2, 3):
            library.save(item(number), transcript())
            path = library.audio.new_path(item(number).key, ".opus")
            path.write_bytes(bytes(number * 1_000_000))
            with monkeypatch.context() as patched:
                patched.setattr("time.time", lambda now=1e9 + number: now)
                library.audio.add(item(number), path, "speech", duration=60.0 * number)
        yield library


def run(capsys, *arguments):
    code = run_command(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def kept(library):
    return [one.key[-1] for one in library.audio.records()]


def doctors(library):
    [found] = [
        one for one in doctor.check(Config(library=library.directory)) if one.name == "kept audio"
    ]
    return found


def test_the_list_has_the_oldest_first_and_the_total(library, capsys, monkeypatch):
    code, out, err = run(capsys, "audio")
    assert code == 0
    cells = [line.split("\t") for line in out.splitlines()]
    assert [row[1:5] for row in cells] == [
        [f"{n}.0 MB", "speech", f"{n}:00", item(n).key] for n in (1, 2, 3)
    ]
    assert err == "Kept: the audio of 3 recordings, 6.0 MB.\n"
    monkeypatch.setenv("HOMESCRIBE_KEEP_AUDIO_LIMIT", "10 MB")
    assert run(capsys, "audio")[2].endswith("6.0 MB, of at most 10.0 MB.\n")


def test_the_list_as_json_has_the_paths(library, capsys):
    kept_audio(library, item(2)).unlink()
    _, out, _ = run(capsys, "audio", "--json")
    found = json.loads(out)
    assert [one["missing"] for one in found] == [False, True, False]
    assert Path(found[0]["path"]) == kept_audio(library, item(1))
    assert (found[0]["bytes"], found[0]["duration"], found[0]["kind"]) == (10**6, 60.0, "speech")


def test_remove_takes_the_audio_and_leaves_the_transcript(library, capsys):
    code, _, err = run(capsys, "audio", "remove", "--yes", item(2).key)
    assert (code, err) == (0, "Removed the audio of 1 recording, 2.0 MB.\n")
    assert kept(library) == ["1", "3"]
    assert library.transcript(item(2).key)
    assert run(capsys, "audio", "remove", "--yes", "--all")[2].endswith("4.0 MB.\n")
    assert list(library.audio.path.iterdir()) == []
    assert run(capsys, "audio", "remove", "--yes", "--all")[2] == "No audio to remove.\n"


def test_nothing_is_removed_without_a_choice_or_a_confirmation(library, capsys, monkeypatch):
    for arguments in ((), ("--all", item(1).key), ("--all",), (item(1).key,), ("nothing:x", "-y")):
        code, _, err = run(capsys, "audio", "remove", *arguments)
        assert code == 2, err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda text, err: False)
    _, _, err = run(capsys, "audio", "remove", "--all")
    assert err.splitlines()[0] == f"  Talk 1 ({item(1).key}), 1.0 MB"
    assert err.splitlines()[-1] == "Nothing removed."
    assert kept(library) == ["1", "2", "3"]


def test_prune_removes_the_oldest_above_the_limit(library, capsys):
    code, _, err = run(capsys, "audio", "prune", "--yes")
    assert (code, "there is no limit" in err) == (2, True)
    _, _, err = run(capsys, "audio", "prune", "--yes", "--keep-audio-limit", "5.5MB")
    assert err == "Removed the audio of 1 recording, 1.0 MB.\n"
    assert kept(library) == ["2", "3"]
    run(capsys, "audio", "prune", "--yes", "--keep-audio-limit", "0")
    assert kept(library) == []


def test_status_says_how_much_is_kept(library, capsys):
    assert "kept       the audio of 3 recordings (6.0 MB)\n" in run(capsys, "status")[1]
    figures = json.loads(run(capsys, "status", "--json")[1])
    assert figures["kept_audio"] == {"files": 3, "bytes": 6_000_000}


def test_an_empty_list_says_how_to_keep_audio(tmp_path, capsys):
    Library(tmp_path / "library").close()
    assert "--keep-audio speech" in run(capsys, "audio")[2]


def test_doctor_repairs_what_a_killed_process_or_a_person_left(library):
    assert (doctors(library).state, doctors(library).finding) == ("ok", "3 files, 6.0 MB")
    kept_audio(library, item(1)).unlink()
    kept_audio(library, item(2)).write_bytes(b"cut")
    library.audio.new_path("x", ".opus").write_bytes(b"of no row")
    found = doctors(library)
    assert found.state == "ok"
    assert (
        "2 files missing or cut: no longer listed; 1 file of no recording: deleted" in found.finding
    )
    assert kept(library) == ["3"]
    assert len(list(library.audio.path.iterdir())) == 1
    assert doctors(library).finding == "1 file, 3.0 MB"


def test_doctor_repairs_nothing_while_a_run_adds_files(library):
    library.audio.new_path("x", ".opus").write_bytes(b"whose row comes soon")
    with library.run_lock():
        assert "not checked: Another run" in doctors(library).finding
    assert len(list(library.audio.path.iterdir())) == 4


def test_doctor_forgets_nothing_while_the_folder_is_not_there(library):
    """It may be on a disk of its own."""
    library.audio.path.rename(library.directory / "elsewhere")
    found = doctors(library)
    assert (found.state, "is missing" in found.finding) == ("warning", True)
    assert kept(library) == ["1", "2", "3"]
    (library.directory / "elsewhere").rename(library.audio.path)
    assert doctors(library).finding == "3 files, 6.0 MB"


@pytest.mark.models
@pytest.mark.slow
def test_an_episode_is_transcribed_again_without_its_server(tmp_path):
    """As a person does: transcribe a feed, and months later once more, when the feed is gone."""
    shutil.copy(demo.samples() / "fox-20s.mp3", tmp_path / "fox.mp3")
    user = CommandLine(tmp_path, model="demo", keep_audio="speech", sleep_interval=0)
    with LoopbackServer(tmp_path) as server:
        feed = (
            '<rss version="2.0"><channel><title>A podcast</title><item><title>Fox</title>'
            f'<guid>1</guid><enclosure url="{server.base}/media/fox.mp3" type="audio/mpeg"/>'
            "</item></channel></rss>"
        )
        server.routes["/feed.xml"] = lambda *_: (
            200,
            feed,
            {"Content-Type": "application/rss+xml"},
        )
        code, out, err = user.run("transcribe", server.url("/feed.xml"), "-o", "-")
    assert code == 0, err
    assert_words(sample_text("fox-20s"), out)
    [key] = user.done()
    listed = json.loads(user.run("audio", "--json")[1])
    assert [(one["key"], one["kind"], one["missing"]) for one in listed] == [(key, "speech", False)]
    assert 10_000 < listed[0]["bytes"] < 60_000
    code, out, err = user.run("run", "--again", key, "-f", "txt", "-o", "-")
    assert code == 0, err
    assert_words(sample_text("fox-20s"), out)
    user.run("audio", "remove", "--yes", key)
    code, _, err = user.run("run", "--again", key)
    assert code == 1, err  # there is nothing to transcribe any more, and the transcript stays
    shown = json.loads(user.run("show", key, "--json")[1])
    assert_words(sample_text("fox-20s"), shown["transcript"]["text"])
