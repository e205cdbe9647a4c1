"""Export files appear complete or not at all."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from homescribe import plugins
from homescribe.errors import UserError
from homescribe.formats.filenames import file_name
from homescribe.formats.markdown import to_md
from homescribe.formats.whisper import to_json, to_txt
from homescribe.formats.writer import prepare, write
from transcripts import HOSTILE, ITEM, spoken


def test_every_format_is_written_completely(tmp_path):
    directory = tmp_path / "new" / "folder"
    exporters = {name: plugins.load("exporters", name) for name in plugins.names("exporters")}
    said = spoken(*HOSTILE)
    paths = write(directory, replace(ITEM, title="caf\ud83d é"), said, exporters)
    assert [path.suffix[1:] for path in paths] == [
        *("txt", "srt", "vtt", "tsv", "json", "lrc", "md", "docx", "csv", "jsonl", "txt", "json"),
    ]
    assert sorted(paths) == sorted(directory.iterdir())
    for path in paths:
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
        content = path.read_bytes()
        if path.suffix == ".docx":
            assert zipfile.is_zipfile(path)
            continue
        assert content.endswith(b"}" if path.suffix == ".json" else b"\n")
        content.decode()
        assert b"\r" not in content


def umask():
    current = os.umask(0)
    os.umask(current)
    return current


def test_a_recording_without_speech_gets_no_file_of_nothing(tmp_path):
    exporters = {name: plugins.load("exporters", name) for name in plugins.names("exporters")}
    silent = replace(spoken(" "), duration=60.0)
    paths = write(tmp_path, ITEM, silent, exporters)
    assert [path.suffix[1:] for path in paths] == ["json", "md", "docx"]
    assert sorted(paths) == sorted(tmp_path.iterdir())
    result = json.loads(paths[0].read_text())
    assert result["homescribe"]["speech"] is False
    assert "No speech was found." in paths[1].read_text()
    (path, _) = write(tmp_path, ITEM, spoken("yes"), {"json": to_json, "md": to_md})
    assert json.loads(path.read_text())["homescribe"]["speech"] is True


def test_writing_again_replaces(tmp_path):
    (first,) = write(tmp_path, ITEM, spoken("a longer text than the second"), {"txt": to_txt})
    earlier = tmp_path / "earlier"
    earlier.hardlink_to(first)
    (second,) = write(tmp_path, ITEM, spoken("short"), {"txt": to_txt})
    assert first == second
    assert second.read_text() == "short\n"
    assert earlier.read_text() == "a longer text than the second\n"  # for readers that have it open
    assert sorted(tmp_path.iterdir()) == [second, earlier]


def one_line(error):
    """Return the message of a UserError, after checking that message and hint are one line each."""
    assert error.type is UserError
    assert error.value.hint
    assert "\n" not in error.value.message + error.value.hint
    return error.value.message


def test_a_directory_that_is_a_file(tmp_path):
    occupied = tmp_path / "occupied"
    occupied.write_text("mine")
    for directory in (occupied, occupied / "below"):
        with pytest.raises(UserError) as error:
            write(directory, ITEM, spoken("a"), {"txt": to_txt})
        assert one_line(error) == f"{directory} is not a directory."
        with pytest.raises(UserError):
            prepare(directory)
    assert occupied.read_text() == "mine"


def test_a_directory_that_is_not_writable():
    # Not writable even for root.
    directory = Path("/sys" if sys.platform == "linux" else "/System")
    with pytest.raises(UserError) as error:
        prepare(directory)
    assert one_line(error) == f"{directory} is not writable."


def test_a_directory_with_the_name_of_the_file(tmp_path):
    (tmp_path / file_name(ITEM, "txt")).mkdir()
    with pytest.raises(UserError) as error:
        write(tmp_path, ITEM, spoken("a"), {"txt": to_txt})
    assert one_line(error).startswith(f"Cannot write to {tmp_path}: ")
    assert len(list(tmp_path.iterdir())) == 1


CHILD = """
import resource, signal, sys
from pathlib import Path
from homescribe.core import Item, Segment, Transcript
from homescribe.errors import UserError
from homescribe.formats.whisper import to_txt
from homescribe.formats.writer import write

item = Item("youtube", "jNQXAC9IVRw", "https://youtu.be/jNQXAC9IVRw", "Me at the zoo")
said = Transcript("e", "m", "en", 1.0, (Segment(0.0, 1.0, "x" * 100_000),))
# No file may exceed 50 kB: the system fails the write in the middle, or kills the process.
signal.signal(signal.SIGXFSZ, getattr(signal, sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write(Path(sys.argv[1]), item, said, {"tsv": lambda item, said: "small", "txt": to_txt})
except UserError as error:
    print(error)
"""


def write_in_a_child(directory, on_limit):
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(directory), on_limit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_write_error_in_the_middle_of_a_file(tmp_path):
    (old,) = write(tmp_path, replace(ITEM, upload_date=None), spoken("old"), {"txt": to_txt})
    done = write_in_a_child(tmp_path, "SIG_IGN")
    assert done.stdout == f"Cannot write to {tmp_path}: File too large.\n", done.stderr
    assert old.read_text() == "old\n"
    whole = tmp_path / "Me at the zoo [jNQXAC9IVRw].tsv"
    assert sorted(tmp_path.iterdir()) == sorted([old, whole])
    assert whole.read_text() == "small"


def test_killed_in_the_middle_of_a_file(tmp_path):
    (old,) = write(tmp_path, replace(ITEM, upload_date=None), spoken("old"), {"txt": to_txt})
    assert write_in_a_child(tmp_path, "SIG_DFL").returncode == -signal.SIGXFSZ
    assert old.read_text() == "old\n"
    (leftover,) = tmp_path.glob(".homescribe-*.part")
    prepare(tmp_path)
    assert leftover.exists()  # another run could be writing it
    os.utime(leftover, (time.time() - 3700, time.time() - 3700))
    prepare(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [old.stem + ".tsv", old.name]


def test_prepare_leaves_no_file(tmp_path):
    prepare(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
