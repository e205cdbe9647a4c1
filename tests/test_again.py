"""--again: items that are done are transcribed again, and nothing is lost when that fails."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fake_plugins import FakeBackend, FakeSource, FakeSources, item, listing, transcript
from homescribe import demo
from homescribe.cli.main import run as run_command
from homescribe.cli.summary import requested_differences
from homescribe.config import Config
from homescribe.config import settings as all_settings
from homescribe.core import Call, Segment, Speaker, TranscriptionOptions, Word
from homescribe.errors import PermanentError, RetryableError, UserError
from homescribe.formats import made_with
from homescribe.library import Library
from homescribe.pipeline import Run

OLD, NEW = transcript("old words"), transcript("new words", model="large")


@pytest.fixture
def library(tmp_path):
    """Two transcribed items, one that failed permanently, one that is pending."""
    with Library(tmp_path / "library") as opened:
        items = [item(n) for n in range(4)]
        opened.record("fake", listing("https://site.example/", ()), items)
        opened.save(items[0], OLD)
        opened.save(items[1], OLD)
        opened.fail(items[2], PermanentError("Private video."))
        yield opened


def again(library, numbers, backend, **options):
    keys = [item(n).key for n in numbers]
    return Run(library, FakeSources(FakeSource()), backend, keys=keys, again=keys, **options)


def text(library, number):
    stored = library.transcript(item(number).key)
    return stored and stored.text


# --- Runs ----------------------------------------------------------------------------------------


def test_done_and_failed_items_are_transcribed_again_and_no_others(library):
    outcomes = list(again(library, [0, 2], FakeBackend(lambda work: NEW)))
    assert {outcome.item.id for outcome in outcomes} == {"site-0", "site-2"}
    assert [text(library, n) for n in range(4)] == ["new words", "old words", "new words", None]


def test_the_old_transcript_stays_until_the_new_one_is_stored(library):
    during = []

    def transcribing(work):
        with Library(library.directory) as reader:
            during.append((text(reader, 0), reader.item(item(0).key).state))
        return NEW

    list(again(library, [0], FakeBackend(transcribing)))
    assert during == [("old words", "done")]
    assert text(library, 0) == "new words"


@pytest.mark.parametrize("error", [PermanentError("Removed."), RetryableError("Busy.", "", 3600)])
def test_the_old_transcript_stays_when_the_item_fails(library, error):
    def failing(work):
        raise error

    backend = FakeBackend(failing)
    [outcome] = again(library, [0], backend)
    assert outcome.error is error
    assert len(backend.submitted) == 1
    assert (text(library, 0), library.item(item(0).key).state) == ("old words", "done")
    # Repeating the command tries again, without waiting; other runs leave it alone.
    assert [one.id for one in library.pending()] == ["site-3"]
    list(again(library, [0], FakeBackend(lambda work: NEW)))
    assert text(library, 0) == "new words"


def test_a_failure_that_is_due_within_the_run_is_tried_again_once_it_is_due(library):
    failures = [RetryableError("Busy.", "", 0)]

    def transcribing(work):
        if failures:
            raise failures.pop()
        return NEW

    key = item(0).key
    list(again(library, [0], FakeBackend(transcribing)))
    due = library.item(key).retry_at
    assert library.pending(keys=[key], again=[key], now=due - 1) == []
    assert [one.key for one in library.pending(keys=[key], again=[key], now=due + 1)] == [key]


def test_a_call_in_flight_is_collected_and_not_submitted_again(library):
    library.add_call(Call(item(0), "fake", 0.0, "fc-earlier"))
    assert library.pending(keys=[item(0).key], again=[item(0).key]) == []
    backend = FakeBackend(lambda work: NEW, ids=True)
    list(again(library, [0, 1], backend))
    assert backend.submitted == [item(1).key]
    assert [text(library, n) for n in (0, 1)] == ["new words", "new words"]


def test_a_limit_holds_for_items_that_are_done(library):
    assert len(list(again(library, [0, 1], FakeBackend(lambda work: NEW), limit=1))) == 1


def test_a_stopped_run_keeps_the_old_transcript(library):
    stop = threading.Event()
    stop.set()
    assert list(again(library, [0], FakeBackend(lambda work: NEW), stop=stop)) == []
    assert text(library, 0) == "old words"


# --- Options that differ -------------------------------------------------------------------------


def differences(config, origins, made):
    return list(requested_differences(config, origins, made).values())


@pytest.mark.parametrize(
    ("settings", "flags", "said"),
    [
        ({}, (), []),
        ({"speakers": "Auto"}, (), ["speakers auto"]),
        ({"model": "tiny", "language": "English", "engine": "fake"}, (), []),
        ({"model": "base"}, (), ["model base instead of tiny"]),
        ({"language": "French"}, (), ["language fr instead of en"]),
        ({"engine": "openai-whisper"}, (), ["engine openai-whisper instead of fake"]),
        ({"word_timestamps": True}, (), ["word timestamps"]),
        ({"task": "translate", "beam_size": 5}, (), []),  # from config.toml, as at the time
        (
            {"task": "translate", "beam_size": 5},
            ("task", "beam_size"),
            ["task translate", "beam size 5"],
        ),
    ],
)
def test_options_that_differ_from_those_of_the_transcript(settings, flags, said):
    assert differences(Config(**settings), dict.fromkeys(flags, "flag"), transcript()) == said


MADE = TranscriptionOptions(language="en", task="translate", beam_size=1, vad_filter=False)


@pytest.mark.parametrize(
    ("settings", "flags", "said"),
    [
        # Requested in config.toml, but not when the transcript was made: it states its options.
        ({"task": "translate", "beam_size": 1, "vad_filter": False, "language": "en"}, (), []),
        ({"beam_size": 5}, (), ["beam size 5 instead of 1"]),
        ({"task": "transcribe"}, ("task",), ["task transcribe instead of translate"]),
        ({"vad_filter": True}, ("vad_filter",), ["vad filter"]),
        ({"language": "French"}, (), ["language fr instead of en"]),
        (
            {"initial_prompt": "Kari\x1b[31m"},
            (),
            ["initial prompt Kari[31m instead of the default"],
        ),
        ({"audio_track": 2}, (), ["audio track 2 instead of the default"]),
        ({"word_timestamps": True}, (), ["word timestamps"]),
        ({"word_timestamps": False}, ("word_timestamps",), []),
        ({"speakers": "2 - 4"}, (), ["speakers 2-4"]),
    ],
)
def test_options_that_differ_from_those_that_the_transcript_states(settings, flags, said):
    """Settings that are not set request nothing."""
    config = Config(**settings)
    origins = {
        setting.name: "default" for setting in all_settings() if setting.name not in settings
    }
    origins |= dict.fromkeys(flags, "flag")
    assert differences(config, origins, transcript(options=MADE)) == said


def test_everything_that_would_differ_from_a_transcript_is_named():
    made = replace(MADE, temperature=(0.0,), initial_prompt="Kari", audio_track=2)
    found = made_with.differences(transcript(options=made), "other", None, TranscriptionOptions())
    assert list(found.values()) == [
        "engine other instead of fake",
        "language detected instead of en",
        "task transcribe instead of translate",
        "beam size the default instead of 1",
        "temperature 0, 0.2, 0.4, 0.6, 0.8, 1 instead of 0",
        "vad filter",
        "initial prompt the default instead of Kari",
        "audio track the default instead of 2",
    ]
    assert made_with.differences(transcript(options=made), None, "tiny", made) == {}


def test_a_language_that_was_detected_everywhere_does_not_differ():
    given = TranscriptionOptions(language="en")
    made = transcript(options=TranscriptionOptions())
    assert made_with.differences(made, None, None, given) == {}
    mixed = replace(made, segments=(*made.segments, Segment(5.0, 6.0, " ja", language="de")))
    found = made_with.differences(mixed, None, None, given)
    assert found == {"language": "language en instead of en, de (detected)"}


def test_speakers_that_differ_from_those_of_the_transcript():
    two = replace(TranscriptionOptions(), speakers="2")
    made = transcript(options=two)
    assert made_with.differences(made, None, None, two) == {}
    auto = replace(two, speakers="auto")
    assert made_with.differences(made, None, None, auto) == {
        "speakers": "speakers auto instead of 2"
    }
    none = TranscriptionOptions()
    assert made_with.differences(made, None, None, none) == {"speakers": "no speakers"}
    old = transcript(speakers=(Speaker("SPEAKER_00"),))  # of a version that stored no options
    assert made_with.differences(old, None, None, auto) == {}


def test_word_timestamps_do_not_differ_where_they_are_stored():
    words = (Word(0.0, 1.0, " hello", 0.9),)
    timed = transcript(segments=(Segment(0.0, 1.0, " hello", words=words),))
    assert differences(Config(word_timestamps=True), {}, timed) == []


# --- Commands ------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    for name in [name for name in os.environ if name.startswith("HOMESCRIBE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOMESCRIBE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HOMESCRIBE_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = run_command([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


FOX = demo.samples() / "fox-20s.mp3"


@pytest.mark.models
def test_a_done_item_is_written_and_the_options_that_were_not_used_are_said(command, tmp_path):
    command("transcribe", FOX, "--model", "demo", "-f", "txt")
    code, _, err = command("transcribe", FOX, "--model", "base", "--language", "fr", "-f", "txt")
    [record] = json.loads(command("list", "--json")[1])
    assert code == 0
    assert f"already transcribed (faster-whisper, demo): fox-20s ({record['key']})." in err
    assert "model base instead of demo, language fr instead of en" in err
    assert "--again" in err
    code, _, err = command("run", record["key"], "--language", "fr")
    assert (code, "language fr instead of en" in err) == (0, True)
    code, _, err = command("run", record["key"], "--speakers", "channels")
    assert code == 0
    assert "Not used, because the stored transcripts stay: speakers channels." in err
    assert f"without transcribing: homescribe speakers {record['key']} --speakers channels" in err
    assert "--again" not in err


@pytest.mark.models
def test_again_replaces_the_transcript_and_carries_corrections_over(command, tmp_path):
    command("transcribe", FOX, "--model", "demo", "-f", "txt")
    with Library(tmp_path / "library") as library:
        [record] = library.items()
        key = record.item.key
        before = library.transcript(key)
        library.correct(key, 0, before.segments[0].text.replace("quick", "swift"))
        library.correct(key, 1, "Nobody wrote this")
        edited = library.transcript(key)
        library.save(record.item, replace(edited, model="stale"))
    code, _, err = command("transcribe", FOX, "--again", "--model", "demo", "--word-timestamps")
    assert code == 0, err
    assert "already transcribed" not in err
    with Library(tmp_path / "library") as library:
        after = library.transcript(key)
        assert (after.model, bool(after.segments[0].words)) == ("demo", True)
        assert "swift" in after.segments[0].text
        assert set(library.corrections(key)) == {0, 1}
    [written] = tmp_path.glob("*.txt")
    assert "swift" in written.read_text()


def test_again_without_keys_is_an_error(command):
    code, _, err = command("run", "--again")
    assert (code, "homescribe run --again KEY" in err) == (2, True)


@pytest.mark.parametrize(
    "flags", [("--language", "klingon"), ("--model", "enormous"), ("-f", "txt,srt", "-o", "-")]
)
def test_options_are_checked_before_anything_is_listed(command, tmp_path, flags):
    for arguments in (("transcribe", FOX), ("run",), ("sync",)):
        code, out, err = command(*arguments, *flags)
        assert (code, out, err.startswith("Error: ")) == (2, "", True)
    assert not Path(tmp_path, "library").exists()


def test_a_run_tells_which_corrections_were_not_carried_over(library, capsys):
    from homescribe.cli.summary import report_corrections
    from homescribe.pipeline.kept_corrections import corrected_lines

    library.correct(item(0).key, 0, "Old swords")
    before = corrected_lines(library, [item(0).key, item(1).key])
    assert before == {item(0).key: 1}
    list(again(library, [0], FakeBackend(lambda work: NEW)))
    report_corrections(library, before)
    assert "Talk 0 (fake:site-0): 0 of 1 correction carried over." in capsys.readouterr().err
    with pytest.raises(UserError):
        library.undo_correction(item(0).key, 0)
