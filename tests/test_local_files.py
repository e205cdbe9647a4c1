"""Recordings on this machine's disk."""

import os
import re
import shutil
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from fake_plugins import FakeSources, transcript
from homescribe import audio, demo
from homescribe.audio import isolated
from homescribe.core import Call, Item, SourceOptions
from homescribe.errors import Cancelled, PermanentError, RetryableError, UserError
from homescribe.library import Library
from homescribe.pipeline import add, sync
from homescribe.sources import local_files, unfinished_files
from homescribe.sources.fingerprints import FileId
from homescribe.sources.local_files import FileSource

STOP = threading.Event()  # never set


@pytest.fixture
def source(tmp_path):
    return FileSource(SourceOptions(cache=tmp_path / "cache"))


@pytest.fixture
def talks(tmp_path, clips):
    """A folder with recordings, other files and hidden files."""
    root = tmp_path / "talks"
    for name, clip in {
        "part 10.mp3": "ep2.mp3",
        "part 9.mp3": "ep1.mp3",
        "Deep/er/one.WEBM": "ep1.webm",
        ".hidden.mp3": "ep2.m4a",
        ".trash/two.mp3": "dub.mp3",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clips / clip, root / name)
    (root / "notes.txt").write_text("no recording")
    (root / "folder.mp3").mkdir()
    return root


def only(source, url):
    [one] = source.list(str(url), STOP)
    return one, list(one.items)


def wav(path, seconds, speech=()):
    """Write silence with a constant value in some seconds: [(second, value)]. 10 s are 320 kB at 16 kHz."""
    samples = np.zeros(seconds * 16_000, np.int16)
    for second, value in speech:
        samples[second * 16_000 : (second + 1) * 16_000] = value
    with av.open(path, "w") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_folder_lists_its_recordings_in_natural_order(source, talks):
    one, items = only(source, talks)
    assert (one.url, one.title, one.newest_first) == (str(talks), "talks", False)
    assert [item.title for item in items] == ["one", "part 9", "part 10"]
    assert [item.channel for item in items] == ["er", "talks", "talks"]
    nine = items[1]
    assert (nine.source, nine.url) == ("file", str(talks / "part 9.mp3"))
    assert nine.duration == pytest.approx(7.0, abs=0.1)
    assert len(nine.upload_date) == 10
    assert source.rate_limit_key(nine) == ""


def test_a_path_and_a_file_url_are_the_same_file(source, talks):
    path = talks / "part 9.mp3"
    one, [item] = only(source, path)
    assert (one.url, one.title, item.url) == (str(path), "part 9", str(path))
    again, items = only(source, path.as_uri())
    assert (again.url, items) == (one.url, [item])
    audio = source.fetch(item, Path("unused"), STOP)
    assert (audio.path, audio.temporary) == (path, False)


def test_a_relative_path_becomes_absolute(source, talks, monkeypatch):
    monkeypatch.chdir(talks.parent)
    assert only(source, "talks")[0].url == str(talks)
    assert only(source, "./talks/../talks/")[0].url == str(talks)


def test_patterns(source, talks):
    def titles(pattern):
        return [item.title for item in only(source, f"{talks}/{pattern}")[1]]

    assert titles("*.mp3") == ["part 9", "part 10"]
    assert titles("**/*") == ["one", "part 9", "part 10"]
    assert titles("part ?.mp3") == ["part 9"]
    with pytest.raises(UserError, match="No recording matches") as caught:
        titles("*.flac")
    assert ".flac" in caught.value.hint


def test_an_existing_file_whose_name_looks_like_a_pattern(source, talks, clips):
    shutil.copy(clips / "ep1.m4a", talks / "talk [2026].m4a")
    assert [item.title for item in only(source, talks / "talk [2026].m4a")[1]] == ["talk [2026]"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing.mp3", "no file or folder"),
        ("dangling.mp3", "no file or folder"),
        ("empty", "empty is empty"),
        ("gone/talks/part 1.mp3", "The folder .*/gone does not exist"),
        ("gone/talks/*.mp3", "The folder .*/gone does not exist"),
        ("*.flac", "No recording matches"),
        ("notes.txt", "not"),
        ("zero.mp3", "empty"),
        ("pipe.mp3", "neither a file nor a folder"),
    ],
)
def test_a_path_without_a_recording_is_an_error_of_one_line(source, talks, name, words):
    (talks / "empty").mkdir()
    (talks / "zero.mp3").touch()
    (talks / "dangling.mp3").symlink_to(talks / "nowhere.mp3")
    os.mkfifo(talks / "pipe.mp3")
    with pytest.raises(UserError, match=words) as caught:
        only(source, talks / name)
    assert "\n" not in caught.value.message


def test_a_broken_file_in_a_folder_becomes_an_item_that_fails_later(source, talks):
    """The other files are listed, and the broken one is not skipped silently."""
    (talks / "broken.mp3").write_bytes(b"this is no sound" * 100)
    items = only(source, talks)[1]
    assert [item.title for item in items] == ["broken", "one", "part 9", "part 10"]
    assert items[0].duration is None


def test_a_moved_and_renamed_file_is_the_same_item(source, talks):
    [before] = only(source, talks / "part 9.mp3")[1]
    (talks / "part 9.mp3").rename(talks / "Deep" / "renamed.mp3")
    [after] = only(source, talks / "Deep" / "renamed.mp3")[1]
    assert after.key == before.key
    with pytest.raises(RetryableError, match="is missing") as caught:
        source.fetch(before, talks, STOP)
    assert "moved" in caught.value.hint


def test_two_copies_have_one_key(source, talks):
    shutil.copy(talks / "part 9.mp3", talks / "a copy.mp3")
    items = {item.title: item for item in only(source, talks)[1]}
    assert sorted(items) == ["a copy", "one", "part 10", "part 9"]
    assert items["a copy"].key == items["part 9"].key
    assert items["a copy"].key == only(source, talks / "part 9.mp3")[1][0].key


def test_a_file_that_has_changed_is_not_transcribed(source, talks, clips):
    path = talks / "part 9.mp3"
    [before] = only(source, path)[1]
    shutil.copy(clips / "dub.mp3", path)
    with pytest.raises(RetryableError, match="has changed"):
        source.fetch(before, talks, STOP)
    [after] = only(source, path)[1]
    assert after.key != before.key


def test_different_files_with_one_fingerprint_are_two_items(source, tmp_path):
    """Tracks of one session have the same length, and may be silent in every sample."""
    folder = tmp_path / "session"
    folder.mkdir()
    for name, value in (("guest", 1000), ("host", 2000)):
        wav(folder / f"{name}.wav", 120, [(11, value)])
    shutil.copy(folder / "host.wav", folder / "the host again.wav")
    assert len({local_files.fingerprint(path) for path in folder.iterdir()}) == 1
    items = only(source, folder)[1]
    assert [item.title for item in items] == ["guest", "host", "the host again"]
    assert items[0].key != items[1].key == items[2].key
    for item in items:
        assert source.fetch(item, folder, STOP).path == Path(item.url)
    wav(folder / "guest.wav", 120, [(11, 3000)])
    with pytest.raises(RetryableError, match="has changed"):
        source.fetch(items[0], folder, STOP)


def test_the_fingerprint_of_a_large_file_reads_only_samples(tmp_path):
    """A sparse file of 1 TiB: reading all of it would take hours."""
    with (tmp_path / "large.wav").open("wb") as file:
        file.truncate(2**40)
    first = local_files.fingerprint(tmp_path / "large.wav")
    with (tmp_path / "large.wav").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert local_files.fingerprint(tmp_path / "large.wav") != first


def test_an_unreadable_file_does_not_stop_the_listing(source, talks, monkeypatch):
    def denied(path):
        if path.name == "part 9.mp3":
            raise PermissionError(13, "Permission denied")
        return FileId("0" * 16, "0" * 16)

    monkeypatch.setattr(local_files, "fingerprint", denied)  # root may read everything
    monkeypatch.setattr(local_files, "content_hash", lambda path, _: FileId("w" + path.name, ""))
    items = only(source, talks)[1]
    assert "part 9" in [item.title for item in items]
    [nine] = [item for item in items if item.title == "part 9"]
    with pytest.raises(RetryableError, match="Permission denied"):
        source.fetch(nine, talks, STOP)


def test_a_name_that_is_not_unicode(source, talks, clips):
    path = os.fsencode(talks) + b"/caf\xe9.mp3"
    shutil.copy(clips / "ep1.mp3", path)
    (talks / "part 9.mp3").unlink()  # the same recording
    items = only(source, talks)[1]
    [odd] = [item for item in items if item.title.startswith("caf")]
    assert odd.url.encode().startswith(b"file:///")
    assert odd.url.endswith("caf%E9.mp3")
    assert odd.title.encode() == b"caf"
    assert os.fsencode(source.fetch(odd, talks, STOP).path) == path


def test_links_to_folders_are_not_followed(source, talks):
    (talks / "Deep" / "up").symlink_to(talks)
    assert len(only(source, talks)[1]) == 3


def test_cancelling_a_listing(source, talks):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        list(next(source.list(str(talks), stop)).items)


@pytest.mark.parametrize(
    ("url", "matches"),
    [
        ("talks", True),
        ("talks/*.mp3", True),
        ("talks/*.flac", True),  # matches nothing, but is not a web address
        ("nowhere/*", False),
        ("missing.mp3", True),  # a misspelled name, and not a web address
        ("./missing", True),
        ("/missing", True),
        ("~/missing", True),
        ("file:///missing.mp3", True),
        ("missing", False),
        ("https://host.example/talk.mp3", False),
        ("youtube.com/@handle", False),
        ("@handle", False),
        ("ytsearch5:talk.mp3", False),
    ],
)
def test_paths_match_and_web_addresses_do_not(source, talks, monkeypatch, url, matches):
    monkeypatch.chdir(talks.parent)
    assert source.matches(url) is matches


def test_a_path_with_special_characters(source, tmp_path, clips):
    folder = tmp_path / "50 % $HOME ~ #1 ü"
    folder.mkdir()
    shutil.copy(clips / "ep1.mp3", folder / "why?.mp3")
    [item] = only(source, folder)[1]
    assert item == Item(
        source="file",
        id=item.id,
        url=str(folder / "why?.mp3"),
        title="why?",
        channel="50 % $HOME ~ #1 ü",
        duration=item.duration,
        upload_date=item.upload_date,
    )
    assert source.fetch(item, tmp_path, STOP).path.exists()


def test_the_guide_names_every_extension():
    guide = Path(__file__).parents[1] / "docs" / "guides" / "sources.md"
    paragraph = guide.read_text().partition("known by their extension:")[2].partition("Hidden")[0]
    assert set(re.findall(r"`(\.\w+)`", paragraph)) == local_files.EXTENSIONS


# --- Mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", " ", "\t\n", "file:", "file://", "FILE:///"])
def test_a_blank_address_is_not_the_current_folder(source, talks, monkeypatch, url):
    monkeypatch.chdir(talks)
    assert source.matches(url)  # so that no other source is tried
    with pytest.raises(UserError, match="address is empty"):
        list(source.list(url, STOP))
    assert len(only(source, ".")[1]) == 3


def test_the_hint_for_a_truncated_local_file(source, tmp_path):
    wav(tmp_path / "talk.wav", 10)
    whole = (tmp_path / "talk.wav").read_bytes()
    (tmp_path / "talk.wav").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RetryableError, match="ends early") as caught:
        audio.decode(tmp_path / "talk.wav", duration=10.0)
    assert "copy a local file again" in caught.value.hint


def test_messages_show_the_name_of_a_local_file_but_not_of_a_download(tmp_path):
    for name, said in {
        "audio.249.webm": "The recording is not",
        "talk.webm": "talk.webm is",
    }.items():
        (tmp_path / name).write_bytes(b"no audio")
        with pytest.raises(PermanentError, match=said):
            audio.probe(tmp_path / name)


def test_the_length_is_that_of_the_audio_track_to_transcribe(tmp_path):
    path = tmp_path / "film.mkv"
    with av.open(path, "w") as out:
        streams = [out.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for stream, seconds in zip(streams, (4, 9), strict=True):
            samples = np.zeros((1, seconds * 16_000), np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = 16_000
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))

    def fetched(track):
        source = FileSource(SourceOptions(cache=tmp_path / "cache", audio_track=track))
        _, [item] = only(source, path)
        return source.fetch(item, tmp_path, STOP)

    assert fetched(1).duration == pytest.approx(4.0, abs=0.2)
    assert fetched(2).duration == pytest.approx(9.0, abs=0.2)
    with pytest.raises(PermanentError, match="no audio track 3: the file has 2"):
        fetched(3)


def test_a_file_that_cannot_be_probed_does_not_keep_the_others_from_being_listed(
    tmp_path, monkeypatch
):
    for name in ("a.mp3", "b.mp3"):
        (tmp_path / name).write_bytes(name.encode())

    def broken(path):
        if path.name == "a.mp3":
            raise ZeroDivisionError("a bug in a demuxer")
        return 10.0

    monkeypatch.setattr(isolated, "probe", broken)
    [listing] = FileSource(SourceOptions(cache=tmp_path)).list(str(tmp_path), threading.Event())
    assert {item.title: item.duration for item in listing.items} == {"a": None, "b": 10.0}


# --- Unfinished files ----------------------------------------------------------------------------


def aged(path, seconds):
    changed = time.time() - seconds
    os.utime(path, (changed, changed))


def warned(source, url):
    """Return the titles of a listing's items, and its warnings."""
    [one] = source.list(str(url), STOP)
    return [item.title for item in one.items], one.warnings


@pytest.fixture
def settling(monkeypatch):
    monkeypatch.setattr(unfinished_files, "CHANGING", 30.0)


@pytest.mark.parametrize(("seconds", "listed"), [(5, False), (-5, False), (40, True), (-400, True)])
def test_a_folder_leaves_out_what_has_just_changed(source, talks, settling, seconds, listed):
    for path in talks.rglob("*.*"):
        aged(path, 100)
    aged(talks / "part 9.mp3", seconds)
    titles, warnings = warned(source, talks)
    assert titles == ["one", *(["part 9"] if listed else []), "part 10"]
    assert len(warnings) == (0 if listed else 1)
    assert all("changed in the last 30 seconds: part 9.mp3" in warning for warning in warnings)


def test_a_folder_in_which_everything_has_just_changed_is_no_error(source, tmp_path, settling):
    for number in range(8):
        (tmp_path / f"{number}.mp3").write_bytes(b"half")
    titles, [warning] = warned(source, tmp_path)
    assert titles == []
    assert "0.mp3, 1.mp3, 2.mp3, 3.mp3, 4.mp3 and 3 more" in warning


def test_the_bundled_recordings_are_listed_right_after_the_installation(source, monkeypatch):
    monkeypatch.setattr(unfinished_files, "CHANGING", float("inf"))
    monkeypatch.setattr(unfinished_files, "INCOMPLETE", float("inf"))
    titles, warnings = warned(source, demo.samples())
    assert (len(titles), warnings) == (3, [])


def test_a_file_that_is_named_is_taken_with_a_warning(source, talks, settling):
    aged(talks / "part 9.mp3", 5)
    titles, [warning] = warned(source, talks / "part 9.mp3")
    assert (titles, "part 9.mp3 changed in the last 30 seconds" in warning) == (["part 9"], True)
    aged(talks / "part 9.mp3", 50)
    assert warned(source, talks / "part 9.mp3") == (["part 9"], [])


@pytest.mark.parametrize("bytes_left", [0.5, 20, 50])
def test_a_wav_that_is_shorter_than_its_header_says_is_left_out_for_an_hour(
    source, tmp_path, bytes_left
):
    path = tmp_path / "half.wav"
    wav(path, 10)
    wav(tmp_path / "whole.wav", 11)
    whole = path.read_bytes()
    path.write_bytes(whole[: bytes_left if bytes_left > 1 else len(whole) // 2])
    titles, [warning] = warned(source, tmp_path)
    assert (titles, "left out" in warning, "half.wav" in warning) == (["whole"], True, True)
    aged(path, 3700)
    [listing] = source.list(str(tmp_path), STOP)
    assert [item.title for item in listing.items] == ["half", "whole"]
    assert (listing.warnings, listing.incomplete) == ([], {str(path): "half.wav"})
    path.write_bytes(whole)
    [listing] = source.list(str(tmp_path), STOP)
    assert [item.title for item in listing.items] == ["half", "whole"]
    assert (listing.warnings, listing.incomplete) == ([], {})


def test_an_incomplete_wav_is_reported_once(library, source, tmp_path):
    sources = FakeSources(source)
    folder = tmp_path / "cut"
    folder.mkdir()

    def cut(name, seconds):
        path = folder / name
        wav(path, seconds)
        path.write_bytes(path.read_bytes()[:-500])
        aged(path, 3700)

    for n in range(7):
        cut(f"{n}.wav", 1 + n)
    [result] = add(library, sources, str(folder), STOP)
    assert result.warnings == (
        "incomplete, since shorter than the header says: "
        "0.wav, 1.wav, 2.wav, 3.wav, 4.wav and 2 more",
    )
    for _ in range(2):
        [result] = sync(library, sources, STOP)
        assert (result.new, result.warnings) == ((), ())
    cut("late.wav", 30)
    [result] = sync(library, sources, STOP)
    assert result.warnings == ("incomplete, since shorter than the header says: late.wav",)
    # Another content at a known address, which is incomplete, too:
    cut("0.wav", 40)
    [result] = sync(library, sources, STOP)
    assert result.warnings == ("incomplete, since shorter than the header says: 0.wav",)
    [result] = sync(library, sources, STOP)
    assert result.warnings == ()


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36])
def test_a_wav_from_a_pipe_is_complete(source, tmp_path, length):
    path = tmp_path / "piped.wav"
    wav(path, 10)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = length.to_bytes(4, "little")
    path.write_bytes(content)
    assert warned(source, tmp_path) == (["piped"], [])


# --- Replaced files ------------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


def relisted(library, source, folder):
    """Add `folder` again; return the records of the library by key, and the warnings."""
    [result] = add(library, FakeSources(source), str(folder), STOP)
    return {record.item.key: record for record in library.items()}, result.warnings


def nine(records):
    [item] = [record.item for record in records.values() if record.item.title == "part 9"]
    return item


def test_a_changed_file_takes_the_place_of_its_failed_item(source, library, talks):
    path = talks / "part 9.mp3"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    half = nine(relisted(library, source, talks)[0])
    library.fail(half, PermanentError("No audio.", ""))
    path.write_bytes(whole)
    after, warnings = relisted(library, source, talks)
    assert (half.key in after, warnings) == (False, ())
    assert [record.item.title for record in after.values()] == ["one", "part 9", "part 10"]
    assert {record.state for record in after.values()} == {"pending"}
    assert library.sources()[0].items == 3


def test_the_transcript_of_a_changed_file_is_kept(source, library, talks, clips):
    old = nine(relisted(library, source, talks)[0])
    library.save(old, transcript())
    shutil.copy(clips / "dub.mp3", talks / "part 9.mp3")
    after, [warning] = relisted(library, source, talks)
    assert (len(after), after[old.key].state) == (4, "done")
    assert f"remove {old.key}" in warning
    assert library.sources()[0].items == 3
    assert relisted(library, source, talks)[1] == ()  # said once


def test_a_replaced_recording_that_is_at_another_path_keeps_its_item(source, library, talks, clips):
    old = nine(relisted(library, source, talks)[0])
    library.save(old, transcript())
    (talks / "part 9.mp3").rename(talks / "first.mp3")
    shutil.copy(clips / "dub.mp3", talks / "part 9.mp3")
    after, warnings = relisted(library, source, talks)
    assert (len(after), warnings) == (4, ())
    assert after[old.key].item.url == str(talks / "first.mp3")
    assert library.sources()[0].items == 4


def test_a_replaced_file_that_another_source_lists_stays_there(source, library, talks, clips):
    other = talks.parent / "other"
    other.mkdir()
    shutil.copy(talks / "part 9.mp3", other)
    relisted(library, source, other)
    old = nine(relisted(library, source, talks)[0])
    shutil.copy(clips / "dub.mp3", talks / "part 9.mp3")
    after, warnings = relisted(library, source, talks)
    assert (len(after), old.key in after, warnings) == (4, True, ())
    assert [record.items for record in library.sources()] == [1, 3]


def test_a_replaced_file_that_was_added_by_its_path_and_in_a_folder(source, library, talks, clips):
    path = talks / "part 9.mp3"
    old = nine(relisted(library, source, path)[0])
    relisted(library, source, talks)
    shutil.copy(clips / "dub.mp3", path)
    after, _ = relisted(library, source, talks)
    assert (len(after), old.key in after) == (3, False)


def test_a_changed_file_with_a_call_in_flight_is_kept(source, library, talks, clips):
    path = talks / "part 9.mp3"
    old = nine(relisted(library, source, path)[0])
    library.add_call(Call(old, "modal", 0.0, "call-1"))
    shutil.copy(clips / "dub.mp3", path)
    after, _ = relisted(library, source, path)
    assert after[old.key].state == "in flight"


def test_a_file_that_is_unreadable_for_a_while_is_not_replaced(source, library, talks, monkeypatch):
    path = talks / "part 9.mp3"
    before = set(relisted(library, source, talks)[0])
    real = local_files.fingerprint

    def denied(file):
        if file == path:
            raise PermissionError(13, "Permission denied")
        return real(file)

    with monkeypatch.context() as patched:
        patched.setattr(local_files, "fingerprint", denied)
        after, _ = relisted(library, source, talks)
    assert (before <= set(after), len(after)) == (True, 4)
    assert set(relisted(library, source, talks)[0]) == before
