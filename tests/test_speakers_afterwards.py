"""Speakers that are found in recordings that are transcribed already, and the commands about speakers."""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from threading import Event

import click
import pytest
from click.testing import CliRunner

from homescribe import assemble, demo, plugins
from homescribe.assemble import build_speaker_run
from homescribe.cli.main import homescribe
from homescribe.config import Config
from homescribe.core import (
    Call,
    Captions,
    Segment,
    SourceOptions,
    Speaker,
    Transcript,
    TranscriptionOptions,
    Turn,
    Word,
)
from homescribe.errors import PermanentError, UserError
from homescribe.library import Library, speaker_rows
from homescribe.pipeline import Sources, add
from homescribe.speakers.diarizer import Diarization
from test_speakers_library import MODEL, voice

FOX = "fox-20s.mp3"


class Finder:
    """Finds two speakers: the first five seconds are Ann's, the rest is Bob's."""

    def __init__(self, error=None):
        self.settings = []
        self.error = error

    def load(self):
        return None

    def find(self, audio, setting, track, stop, progress):
        assert audio.path.is_file()
        self.settings.append(str(setting))
        if self.error:
            raise self.error
        progress(20.0)
        turns = (Turn(0.0, 5.0, "SPEAKER_00"), Turn(5.0, 20.0, "SPEAKER_01"))
        speakers = (
            Speaker("SPEAKER_00", 5.0, voice("ann"), MODEL),
            Speaker("SPEAKER_01", 15.0, voice("bob"), MODEL),
        )
        return Diarization(turns, speakers)


def words(text, start, seconds=1.0):
    return tuple(
        Word(start + n * seconds, start + (n + 1) * seconds, f" {word}", 0.9)
        for n, word in enumerate(text.split())
    )


def spoken(*texts, with_words=True):
    """A transcript of one segment for each text, of a word a second."""
    segments, start = [], 0.0
    for text in texts:
        end = start + len(text.split())
        timed = words(text, start) if with_words else ()
        segments.append(Segment(start, end, f" {text}", -0.2, words=timed))
        start = end
    options = TranscriptionOptions(beam_size=3)
    return Transcript("faster-whisper", "base", "en", 20.0, tuple(segments), options=options)


TEXTS = ("one two three.", "Four five. Six seven eight.", "Nine ten.")


@pytest.fixture
def talks(tmp_path, monkeypatch):
    """A folder with a recording that is transcribed, its library, and a finder of speakers."""
    folder = tmp_path / "talks"
    folder.mkdir()
    (folder / FOX).write_bytes((demo.samples() / FOX).read_bytes())
    finder = Finder()
    monkeypatch.setattr(assemble, "build_speaker_finder", lambda config: finder)
    monkeypatch.setattr(assemble, "check_speakers", lambda config, options: None)
    options = SourceOptions(cache=tmp_path / "cache")
    with Library(tmp_path / "library") as library, Sources(options) as sources:
        (result,) = add(library, sources, str(folder), Event())
        (item,) = result.items
        library.save(item, spoken(*TEXTS), 7.0)
        library.finder, library.key, library.sources_of_test = finder, item.key, sources
        yield library


def find(library, keys=None, **settings):
    config = Config(library=library.directory, **settings)
    run = build_speaker_run(config, library, library.sources_of_test, keys or [library.key])
    return list(run)


def lines(library):
    return [(each.speaker, each.text) for each in library.transcript(library.key).segments]


def test_speakers_are_added_without_transcribing_again(talks):
    before = talks.transcript(talks.key)
    done_at = talks.item(talks.key).done_at
    (outcome,) = find(talks)
    kept = talks.transcript(talks.key)
    assert outcome.transcript == kept
    assert lines(talks) == [
        ("SPEAKER_00", " one two three."),
        ("SPEAKER_00", " Four five."),
        ("SPEAKER_01", " Six seven eight."),
        ("SPEAKER_01", " Nine ten."),
    ]
    assert kept.text == before.text
    assert [word.word for each in kept.segments for word in each.words] == [
        word.word for each in before.segments for word in each.words
    ]
    assert kept.turns[1] == Turn(5.0, 20.0, "SPEAKER_01")
    assert (kept.engine, kept.model, kept.duration) == ("faster-whisper", "base", 20.0)
    assert kept.options == TranscriptionOptions(beam_size=3, speakers="auto")
    assert (talks.item(talks.key).done_at, talks.item(talks.key).seconds) == (done_at, 7.0)
    assert [hit.speaker for hit in talks.search("eight")] == ["Speaker 2"]
    assert talks.check() == []


def test_a_transcript_without_word_times_gets_speakers_by_sentence(talks):
    talks.save(talks.item(talks.key).item, spoken(*TEXTS, with_words=False))
    find(talks, speakers="2")
    assert talks.finder.settings == ["2"]
    assert lines(talks)[1:3] == [("SPEAKER_00", " Four five."), ("SPEAKER_01", " Six seven eight.")]
    assert talks.transcript(talks.key).segments[0].words == ()


def test_names_stay_when_speakers_are_found_again(talks):
    find(talks)
    talks.name_speaker(talks.key, "SPEAKER_01", "Bob")
    find(talks)
    assert [each.name for each in talks.speakers(talks.key)] == [None, "Bob"]
    assert len(lines(talks)) == 4


def test_corrections_stay_where_they_are_and_can_be_undone(talks):
    talks.correct(talks.key, 1, "Four fine. Six seven eight.")
    talks.correct(talks.key, 2, "Nine men.")
    find(talks)
    assert lines(talks) == [
        ("SPEAKER_00", " one two three."),
        ("SPEAKER_01", " Four fine. Six seven eight."),  # stays whole: he says most of it
        ("SPEAKER_01", " Nine men."),
    ]
    talks.correct(talks.key, 0, "one")
    assert sorted(talks.corrections(talks.key)) == [0, 1, 2]
    assert talks.undo_correction(talks.key, 1).text == " Four five. Six seven eight."


def test_positions_of_corrections_move_with_their_lines(talks):
    talks.correct(talks.key, 2, "Nine men.")
    find(talks)
    assert talks.corrections(talks.key)[3].text == "Nine men."
    assert talks.undo_correction(talks.key, 3).text == " Nine ten."


def test_speakers_are_kept_when_a_recording_is_transcribed_again_without_them(talks):
    find(talks)
    talks.name_speaker(talks.key, "SPEAKER_00", "Ann")
    item = talks.item(talks.key).item
    talks.save(item, spoken("uno dos tres cuatro cinco", "seis siete ocho"))
    assert lines(talks) == [
        ("SPEAKER_00", " uno dos tres cuatro cinco"),
        ("SPEAKER_01", " seis siete ocho"),
    ]
    assert talks.speakers(talks.key)[0].name == "Ann"
    talks.save(item, replace(spoken("another recording"), duration=60.0))
    assert talks.speakers(talks.key) == ()


def test_a_recording_that_fails_keeps_its_transcript(talks):
    talks.finder.error = PermanentError("It cannot be decoded.", "")
    (outcome,) = find(talks)
    assert outcome.error.message == "It cannot be decoded."
    assert talks.transcript(talks.key).text == spoken(*TEXTS).text
    talks.finder.error = None
    assert find(talks)[0].transcript.speakers


def test_the_outcome_of_a_run_has_the_names_of_known_voices(talks):
    find(talks)
    talks.name_speaker(talks.key, "SPEAKER_01", "Bob")
    run = build_speaker_run(
        Config(library=talks.directory), talks, talks.sources_of_test, [talks.key]
    )
    run._storage._store = run._storage._save  # as a run that transcribes
    (outcome,) = run
    assert outcome.transcript.speaker_names == {"SPEAKER_00": "Speaker 1", "SPEAKER_01": "Bob"}
    assert [each.embedding for each in outcome.transcript.speakers] == [(), ()]


def test_an_item_that_is_being_transcribed_again_is_left_alone(talks):
    item = talks.item(talks.key).item
    talks.add_call(Call(item, "modal", 1.0, "fc-1"))
    assert "Nothing was done" in command(talks, "speakers", talks.key).stderr
    assert talks.finder.settings == []


def test_items_without_speakers_are_known(talks):
    assert talks.without_speakers() == [talks.key]
    (source,) = talks.sources()
    assert talks.without_speakers(source.url) == [talks.key]
    assert talks.without_speakers("https://another") == []
    find(talks)
    assert talks.without_speakers() == []


def test_channels_are_told_apart_afterwards(talks):
    find(talks, speakers="channels")
    assert talks.finder.settings == ["channels"]
    assert talks.transcript(talks.key).options.speakers == "channels"


# --- Commands ----------------------------------------------------------------------------------------


def command(library, *arguments):
    """Run `homescribe speakers ...` and return what it prints."""
    done = CliRunner().invoke(
        homescribe,
        ["--library", str(library.directory), *arguments],
        standalone_mode=False,
    )
    if done.exception:
        raise done.exception
    return done


def test_the_commands_find_name_and_forget(talks):
    key = talks.key
    done = command(talks, "speakers", key, "--speakers", "2")
    assert done.stdout == "1\t5 s\t\tSpeaker 1\n2\t15 s\t\tSpeaker 2\n"
    assert "2 speakers" in done.stderr
    named = command(talks, "speakers", "rename", key, "speaker 2", "Bob")
    assert named.stderr.startswith("Named Bob. To undo: ")
    assert command(talks, "speakers", "list", key).stdout.splitlines()[1] == "2\t15 s\tyou\tBob"
    assert command(talks, "speakers", "list").stdout == "1\t15 s\tBob\n"
    assert json.loads(command(talks, "speakers", "list", key, "--json").stdout)[1] == {
        "label": "SPEAKER_01",
        "number": 2,
        "name": "Bob",
        "named_by": "person",
        "seconds": 15.0,
    }
    assert command(talks, "speakers", "voices").stdout == "1\t0\t15 s\tBob\ttalks\n"
    command(talks, "speakers", "rename-voice", "bob", "Robert")
    assert talks.speakers(key)[1].name == "Robert"
    command(talks, "speakers", "undo")
    command(talks, "speakers", "rename", key, "bob", "Rob")
    assert talks.speakers(key)[1].name == "Rob"
    assert "Rob" in command(talks, "search", "eight", "--speaker", "rob").stdout
    with pytest.raises(UserError, match="not a terminal"):
        command(talks, "speakers", "forget", "rob")
    for version in (13, 14):
        (talks.directory / f"library-v{version}.db").touch()
    done = command(talks, "speakers", "forget", "rob", "--yes")
    assert done.stderr == (
        "Forgotten: the voice of rob, from 1 speaker of recordings.\n"
        "Still in backups, which you may delete: library-v14.db\n"
    )
    assert talks.voices() == []


def test_a_mistyped_command_is_not_taken_for_a_key(talks):
    with pytest.raises(click.UsageError, match="No such command 'renam'"):
        command(talks, "speakers", "renam", talks.key, "1", "Ann")
    with pytest.raises(UserError, match="There is no item nothing"):
        command(talks, "speakers", "nothing")
    assert "speakers find" in command(talks, "speakers", "KEY", "--help").stdout
    assert "Commands:" in command(talks, "speakers", "-h").stdout


def test_no_summary_of_a_command_is_cut(talks):
    listed = command(talks, "speakers", "--help").stdout.split("Commands:")[1]
    assert "..." not in listed


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["rename", "KEY", "Eve", "Ann"], "There is no speaker Eve"),
        (["rename", "nothing", "1", "Ann"], "There is no item nothing"),
        (["confirm", "KEY", "1"], "no name yet"),
        (["reject", "KEY", "1"], "has no name"),
        (["undo"], "no naming to undo"),
        (["forget", "Eve", "--yes"], "no voice called Eve"),
        (["forget"], "Nothing was forgotten"),
        (["find"], "Nothing was chosen"),
    ],
)
def test_mistakes_are_explained(talks, arguments, reason):
    find(talks)
    with pytest.raises(UserError, match=reason):
        command(talks, "speakers", *[talks.key if each == "KEY" else each for each in arguments])


def test_a_recording_that_is_not_transcribed_is_not_searched_for_speakers(talks):
    talks.remove([talks.key])
    with Sources(SourceOptions(cache=talks.directory / "cache")) as sources:
        (result,) = add(talks, sources, talks.sources()[0].url, Event(), everything=True)
    with pytest.raises(UserError, match="not transcribed yet"):
        command(talks, "speakers", result.items[0].key)
    assert "have speakers" in command(talks, "speakers", "--all").stderr


def test_show_says_who_speaks_where_it_changes(talks):
    find(talks)
    talks.name_speaker(talks.key, "SPEAKER_00", "Ann\x1b[31m\u202e Lee")
    shown = command(talks, "show", talks.key).stdout.splitlines()
    assert "speakers  Ann [31m Lee (5 s), Speaker 2 (15 s)" in shown
    assert shown[-4:] == [
        "    0:00   Ann [31m Lee: one two three.",
        "    0:03   Four five.",
        "    0:05   Speaker 2: Six seven eight.",
        "    0:08   Nine ten.",
    ]


# --- Voices stay in the library ----------------------------------------------------------------------


def readable(data):
    """The text of a file; of a .docx, which is a ZIP file, that of all its parts."""
    if isinstance(data, str):
        return data
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            return "".join(readable(parts.read(name)) for name in parts.namelist())
    return data.decode("utf-8", "replace")


def test_no_output_has_a_voice(talks, tmp_path):
    """The numbers of an embedding are in the library's file and in nothing that is made of it."""
    find(talks)
    talks.name_speaker(talks.key, "SPEAKER_00", "Ann")
    exports = tmp_path / "exports"
    formats = ",".join(plugins.names("exporters"))
    printed = [
        command(talks, *each).output
        for each in (
            ["export", talks.key, "-f", formats, "-o", str(exports)],
            ["show", talks.key],
            ["show", talks.key, "--json"],
            ["list", "--json"],
            ["search", "eight", "--json"],
            ["speakers", "list", talks.key, "--json"],
            ["speakers", "voices", "--json"],
            ["status", "--json"],
        )
    ]
    printed += [repr(talks.transcript(talks.key)), repr(talks.speakers(talks.key))]
    # Results of an engine that are not from the library have embeddings.
    record = talks.item(talks.key).item
    fresh = replace(
        talks.transcript(talks.key),
        speakers=(Speaker("SPEAKER_00", 5.0, voice("ann"), MODEL, "Ann", "person"),),
    )
    printed += [
        readable(plugins.load("exporters", name)(record, fresh)) for name in formats.split(",")
    ]
    printed += [
        repr(fresh),
        repr(find(talks)),
        repr(Speaker("SPEAKER_00", 5.0, voice("ann"), MODEL)),
    ]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len([path for path in files if path.parent == exports]) >= 5
    texts = printed + [readable(path.read_bytes()) for path in files]
    numbers = [abs(value) for value in (*voice("ann"), *voice("bob")) if abs(value) > 0.01]
    forms = [f"{value:.{digits}f}"[1:] for value in numbers for digits in (6, 8)]
    assert [form for form in forms for text in texts if form in text] == []
    blob = speaker_rows.to_blob(voice("ann"))
    holding = [path.name for path in files if blob in path.read_bytes()]
    assert holding != []
    assert all(name.startswith("library.db") for name in holding)


@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_captions_whose_times_do_not_fit_the_audio_get_a_warning(talks, shift):
    """An advertisement in another version of the recording shifts them."""
    text = spoken(*TEXTS)
    moved = tuple(
        replace(each, start=each.start + shift, end=each.end + shift, words=())
        for each in text.segments
    )
    captions = Transcript("captions", "manual", "en", 20.0 + shift, moved)
    item = talks.item(talks.key).item
    talks.remove([talks.key])
    list(add(talks, talks.sources_of_test, str(Path(item.url).parent), Event()))
    assert talks.save_captions(Captions(item, captions), "auto") == "kept"
    for _ in range(2):  # the warning is stored once
        find(talks)
    warnings = talks.transcript(talks.key).warnings
    assert [("after the recording" in each) for each in warnings] == ([True] if shift else [])
