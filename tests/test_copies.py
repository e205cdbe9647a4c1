"""Files with the same content are one item, transcribed once, and each of them gets its export."""

import io
import json
import shutil
import threading
import zipfile
from pathlib import Path

import httpx
import pytest

from command_line import CommandLine
from fake_plugins import FakeBackend, FakeSources, run, transcript
from homescribe import demo
from homescribe.core import SourceOptions, SubtitleOptions
from homescribe.formats.exporters import load_exporters
from homescribe.formats.filenames import NAME_BYTES, file_names
from homescribe.formats.writer import write
from homescribe.library import Library
from homescribe.pipeline import add
from homescribe.sources.local_files import FileSource
from older_libraries import make_older
from web_server import serving

STOP = threading.Event()  # never set


@pytest.fixture
def source(tmp_path):
    return FileSource(SourceOptions(cache=tmp_path / "cache"))


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


@pytest.fixture
def talks(tmp_path, clips):
    """A folder with a recording, two copies of it, one of them with its name, and another recording."""
    root = tmp_path / "talks"
    (root / "sub").mkdir(parents=True)
    for name in ("lecture.mp3", "backup.mp3", "sub/lecture.mp3"):
        shutil.copy(clips / "ep1.mp3", root / name)
    shutil.copy(clips / "ep2.mp3", root / "other.mp3")
    return root


def listed(library, source, place):
    """Add `place`; return the paths of each item, its own first, as text without the common part."""
    [result] = add(library, FakeSources(source), str(place), STOP)
    assert result.error is None
    found = places(library, place if place.is_dir() else place.parent)
    return found, result


def places(library, root):
    return sorted(
        [
            path.removeprefix(f"{root}/")
            for path in (record.item.url, *(c.url for c in record.copies))
        ]
        for record in library.items()
    )


THREE = ["backup.mp3", "lecture.mp3", "sub/lecture.mp3"]


def test_copies_are_named_once(library, source, talks):
    found, result = listed(library, source, talks)
    assert found == [THREE, ["other.mp3"]]
    [warning] = result.warnings
    assert f"{talks / 'lecture.mp3'} (as {talks / 'backup.mp3'})" in warning
    assert f"{talks / 'sub/lecture.mp3'} (as {talks / 'backup.mp3'})" in warning
    assert (len(result.items), len(result.new)) == (2, 2)
    found, result = listed(library, source, talks)
    assert (found, result.warnings, result.new) == ([THREE, ["other.mp3"]], (), ())
    # A new copy does not take the place of the file that is known, though its name comes first.
    shutil.copy(talks / "other.mp3", talks / "another.mp3")
    found, result = listed(library, source, talks)
    assert found == [THREE, ["other.mp3", "another.mp3"]]
    assert [warning.count("(as ") for warning in result.warnings] == [1]


def test_each_copy_gets_its_export_and_the_words_are_transcribed_once(
    library, source, talks, tmp_path
):
    listed(library, source, talks)
    backend = FakeBackend()
    assert len(list(run(library, source, backend))) == 2
    assert len(backend.submitted) == 2
    [record] = [record for record in library.items() if record.copies]
    out = tmp_path / "out"
    exporters = load_exporters(["txt", "json"], SubtitleOptions())
    paths = write(out, record.item, library.transcript(record.item.key), exporters, record.copies)
    assert len(set(paths)) == 6
    titles = sorted(path.name.partition(" [")[0] for path in paths)
    assert titles == ["backup"] * 2 + ["lecture"] * 4
    urls = {json.loads(path.read_text())["homescribe"]["url"] for path in out.glob("*.json")}
    assert urls == {str(talks / name) for name in THREE}


def test_names_of_copies_are_different_and_stay(library, source, talks):
    listed(library, source, talks)
    [record] = [record for record in library.items() if record.copies]
    names = file_names(record.item, record.copies, "srt")
    assert names == file_names(record.item, record.copies, "srt")
    assert len({name.casefold() for name in names}) == 3
    assert names[1] == f"lecture [file {record.item.id}].srt"
    assert names[2].startswith(f"lecture [file {record.item.id} copy ")
    assert all(len(name.encode()) <= NAME_BYTES for name in names)


@pytest.mark.parametrize("done", [True, False])
def test_a_copy_takes_the_place_of_the_first_file_when_that_is_deleted(
    library, source, talks, done
):
    listed(library, source, talks)
    [record] = [record for record in library.items() if record.copies]
    if done:
        library.save(record.item, transcript())
    (talks / "backup.mp3").unlink()
    found, result = listed(library, source, talks)
    assert found == [["lecture.mp3", "sub/lecture.mp3"], ["other.mp3"]]
    assert (result.warnings, result.new) == ((), ())
    after = library.item(record.item.key)
    assert (after.item.title, after.state) == ("lecture", "done" if done else "pending")
    # It comes back as a copy, which was known before.
    shutil.copy(talks / "lecture.mp3", talks / "backup.mp3")
    found, result = listed(library, source, talks)
    assert found[0] == ["lecture.mp3", "backup.mp3", "sub/lecture.mp3"]
    assert result.warnings == ()


def test_the_audio_is_read_from_a_copy_if_the_first_file_is_missing_or_changed(
    library, source, talks, clips
):
    listed(library, source, talks)
    (talks / "backup.mp3").unlink()
    shutil.copy(clips / "dub.mp3", talks / "lecture.mp3")
    used = []
    backend = FakeBackend(lambda audio: used.append(audio.path.name) or transcript())
    outcomes = list(run(library, source, backend))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert sorted(used) == ["lecture.mp3", "other.mp3"]
    assert backend.calls[outcomes[0].item.key].path in (
        talks / "sub/lecture.mp3",
        talks / "other.mp3",
    )
    assert {record.item.title for record in library.items()} == {"backup", "other"}


def test_without_any_file_the_first_one_is_reported(library, source, talks):
    listed(library, source, talks)
    shutil.rmtree(talks)
    errors = [outcome.error.message for outcome in run(library, source, FakeBackend())]
    assert sorted(errors) == [f"{talks / name} is missing." for name in ("backup.mp3", "other.mp3")]


@pytest.mark.parametrize("name", THREE)
def test_a_copy_with_another_content_is_an_item_of_its_own(library, source, talks, clips, name):
    listed(library, source, talks)
    [record] = [record for record in library.items() if record.copies]
    library.save(record.item, transcript())
    shutil.copy(clips / "dub.mp3", talks / name)
    found, result = listed(library, source, talks)
    rest = [each for each in THREE if each != name]
    assert found == sorted([[name], rest, ["other.mp3"]])
    assert (result.warnings, [item.url for item in result.new]) == ((), [str(talks / name)])
    assert library.item(record.item.key).state == "done"
    assert library.sources()[0].items == 3


def test_copies_that_were_added_each_by_its_path(library, source, talks):
    for name in THREE:
        _, result = listed(library, source, talks / name)
        assert len(result.warnings) == (name != THREE[0])
    assert places(library, talks) == [THREE]
    # A file that was moved is no copy.
    (talks / "backup.mp3").rename(talks / "moved.mp3")
    _, result = listed(library, source, talks / "moved.mp3")
    assert places(library, talks) == [["moved.mp3", "lecture.mp3", "sub/lecture.mp3"]]


def test_a_moved_file_is_no_copy_of_itself(library, source, talks):
    listed(library, source, talks / "other.mp3")
    (talks / "other.mp3").rename(talks / "moved.mp3")
    _, result = listed(library, source, talks / "moved.mp3")
    assert (places(library, talks), result.warnings) == ([["moved.mp3"]], ())


def test_a_file_that_moved_and_then_got_another_content_leaves_no_item(
    library, source, talks, clips
):
    listed(library, source, talks)
    (talks / "other.mp3").rename(talks / "moved.mp3")
    listed(library, source, talks)
    shutil.copy(clips / "dub.mp3", talks / "moved.mp3")
    found, result = listed(library, source, talks)
    assert (found, len(result.new)) == ([THREE, ["moved.mp3"]], 1)


def test_sources_with_copies_are_removed(library, source, talks, tmp_path):
    other = tmp_path / "archive"
    shutil.copytree(talks, other)
    listed(library, source, talks)
    _, result = listed(library, source, other)
    assert "(as " in result.warnings[0]
    assert [len(record.copies) for record in library.items()] == [5, 1]
    library.remove_source(str(talks), with_items=True)
    assert places(library, other) == [THREE, ["other.mp3"]]
    # Of an item that is removed, everything goes; the next listing has it again.
    [key] = [record.item.key for record in library.items() if record.copies]
    library.remove([str(other / "sub/lecture.mp3")])
    assert key not in {record.item.key for record in library.items()}
    assert listed(library, source, other)[0] == [THREE, ["other.mp3"]]


def test_a_disk_that_is_not_connected_for_a_while(library, source, talks, tmp_path):
    other = tmp_path / "archive"
    shutil.copytree(talks, other)
    listed(library, source, talks)
    listed(library, source, other)
    talks.rename(tmp_path / "disk")
    assert places(library, other)[0][0].startswith(str(talks))  # until the next listing
    listed(library, source, other)
    assert places(library, other) == [THREE, ["other.mp3"]]
    (tmp_path / "disk").rename(talks)
    _, result = listed(library, source, talks)
    assert result.warnings == ()
    assert [len(record.copies) for record in library.items()] == [5, 1]


def test_a_copy_in_a_folder_that_may_not_be_read_stays_known(library, source, talks, monkeypatch):
    listed(library, source, talks)
    exists = Path.exists

    def denied(path, **options):
        if path.parent.name == "sub":
            raise PermissionError(13, "Permission denied")
        return exists(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "exists", denied)
        listed(library, source, talks / "backup.mp3")
    assert places(library, talks)[0] == THREE


def test_files_of_an_older_library_are_known(library, source, talks, tmp_path):
    listed(library, source, talks)
    library.close()
    make_older(library.path, 12)
    with Library(library.directory) as migrated:
        assert places(migrated, talks) == [["backup.mp3"], ["other.mp3"]]
        found, result = listed(migrated, source, talks)
        assert found == [THREE, ["other.mp3"]]
        assert [warning.count("(as ") for warning in result.warnings] == [2]


def test_many_copies_are_counted(library, source, talks):
    for number in range(10):
        shutil.copy(talks / "other.mp3", talks / f"other {number}.mp3")
    _, result = listed(library, source, talks)
    assert result.warnings[0].endswith(" and 7 more")


def test_copies_on_the_page_and_in_its_zip(library, source, talks):
    listed(library, source, talks)
    for record in list(library.items()):
        library.save(record.item, transcript())
    [record] = [record for record in library.items() if record.copies]
    with serving(library.directory) as address:
        page = httpx.get(f"{address}/items/{record.item.key}", timeout=60)
        assert page.text.count("The same recording:") == 2
        assert f"The same recording: {talks / 'sub/lecture.mp3'}" in page.text
        packed = httpx.get(f"{address}/export/txt.zip", timeout=60)
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert len(set(archive.namelist())) == 4


@pytest.mark.models
def test_copies_at_the_command_line(tmp_path):
    talks, out = tmp_path / "talks", tmp_path / "out"
    talks.mkdir()
    for name in ("one.mp3", "two.mp3"):
        shutil.copy(demo.samples() / "fox-20s.mp3", talks / name)
    command_line = CommandLine(
        tmp_path, engine="faster-whisper", model=demo.model("faster-whisper")
    )
    code, _, err = command_line.run("transcribe", talks / "one.mp3", talks / "two.mp3", "-o", out)
    assert (code, f"{talks / 'two.mp3'} (as {talks / 'one.mp3'})" in err) == (0, True), err
    assert [path.name.partition(" ")[0] for path in sorted(out.iterdir())] == ["one", "two"]
    _, text, _ = command_line.run("list")
    assert f"also: {talks / 'two.mp3'}" in text
    _, text, _ = command_line.run("list", "--json")
    assert [item["copies"] for item in json.loads(text)] == [[str(talks / "two.mp3")]]
    _, text, _ = command_line.run("show", talks / "two.mp3")
    assert f"copy      {talks / 'two.mp3'}" in text
    code, _, err = command_line.run("transcribe", talks / "two.mp3", "-o", tmp_path / "again")
    assert ("same content" in err, len(list((tmp_path / "again").iterdir()))) == (False, 2)
