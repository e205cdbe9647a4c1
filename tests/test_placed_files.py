"""Exports beside the media and by a template: named as players expect, and never over another file."""

import os
import shutil
from dataclasses import replace
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from command_line import alone  # noqa: F401 - a fixture
from homescribe.cli.export_writer import STDOUT, ExportWriter, Target
from homescribe.cli.main import run as run_command
from homescribe.core import Item, Segment, SubtitleOptions, TranscriptionOptions
from homescribe.errors import UserError
from homescribe.formats.exporters import load_exporters
from homescribe.formats.filenames import NAME_BYTES, file_name
from homescribe.formats.name_template import checked_template, templated_path
from homescribe.formats.placed_files import beside, download_name, write_beside
from homescribe.library import Library
from transcripts import HOSTILE, ITEM, spoken, transcript

SAID = spoken(" Hello.")


@pytest.fixture
def talks(tmp_path):
    """A library with the transcript of talks/talk.mp4, and the folder."""
    folder = tmp_path / "talks"
    folder.mkdir()
    add(tmp_path, folder / "talk.mp4", "0a1b")
    return folder


def add(tmp_path, path, identity, said=SAID):
    path.write_bytes(b"video")
    with Library(tmp_path / "library") as library:
        library.save(Item("file", identity, str(path), path.stem), said)


def export(capsys, *arguments):
    code = run_command(["export", *arguments])
    captured = capsys.readouterr()
    return code, captured.err


# --- Beside the media ------------------------------------------------------------------------------


def test_subtitles_beside_the_media_have_the_name_that_players_pair(talks, capsys):
    code, err = export(capsys, "--beside", "-f", "srt,vtt,txt,lrc")
    assert (code, "4 files written beside the recordings" in err) == (0, True), err
    assert sorted(path.name for path in talks.iterdir()) == [
        *("talk.en.srt", "talk.en.vtt", "talk.lrc", "talk.mp4", "talk.txt"),
    ]


def test_without_a_format_it_is_srt(talks, capsys):
    assert export(capsys, "--beside")[0] == 0
    assert "Hello." in (talks / "talk.en.srt").read_text()


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (replace(SAID, language="de"), "talk.2.de.srt"),
        (replace(SAID, language="jw"), "talk.2.jv.srt"),  # ISO 639: Javanese
        (replace(SAID, language="und"), "talk.2.srt"),
        (
            replace(SAID, language="de", options=TranscriptionOptions(task="translate")),
            "talk.2.en.srt",
        ),
    ],
)
def test_the_name_has_the_language_of_the_text(tmp_path, said, name):
    path = tmp_path / "talk.2.mp4"
    path.touch()
    assert beside(Item("file", "0a", str(path), "Other title"), said, "srt").name == name


@pytest.mark.parametrize(
    ("path", "extension", "name"),
    [
        ("/talks/talk.2.mp4", "srt", "talk.2.en.srt"),  # whether or not the file is still there
        ("/talks/talk.mp4", "lrc", "talk.lrc"),
        ("/talks/t\udcfflk.mp4", "vtt", "tlk.en.vtt"),
        ("/talks/talk.mp4", "txt", file_name(Item("file", "0a", "/talks/talk.mp4", "T"), "txt")),
    ],
)
def test_a_download_has_the_name_that_players_pair(path, extension, name):
    assert download_name(Item("file", "0a", path, "T"), SAID, extension) == name


def test_a_download_of_a_recording_elsewhere_has_its_title():
    assert download_name(ITEM, SAID, "srt") == file_name(ITEM, "srt")


def test_a_file_of_somebody_else_is_kept(talks, capsys):
    theirs = talks / "talk.en.srt"
    theirs.write_text("made by hand")
    code, err = export(capsys, "--beside", "-f", "srt,txt")
    assert code == 1
    assert "homescribe did not write it" in err
    assert "It was kept. Move or rename it" in err
    assert theirs.read_text() == "made by hand"


@pytest.mark.parametrize("how", [["--beside"], ["-o", "talks", "--output-template", "%(stem)s.en"]])
def test_a_file_that_is_kept_does_not_stop_the_other_formats(talks, capsys, how):
    (talks / "talk.en.srt").write_text("made by hand")
    (talks / "talk.en.vtt").write_text("made by hand")
    code, err = export(capsys, *how, "-f", "srt,vtt,txt,lrc")
    assert code == 1
    assert sorted(path.suffix for path in talks.iterdir()) == [
        *(".lrc", ".mp4", ".srt", ".txt", ".vtt"),
    ]
    assert (talks / "talk.en.srt").read_text() == "made by hand"
    for name in ("talk.en.srt", "talk.en.vtt"):
        assert f"{name} exists, and homescribe did not write it" in err
    assert "2 files written" in err
    assert err.count("Move or rename it") == 1


def test_a_kept_file_of_a_copy_does_not_stop_the_others(talks, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    copy = other / "same.mp4"
    copy.write_bytes(b"video")
    said = spoken(" Hello.")
    item = Item("file", "0a1b", str(talks / "talk.mp4"), "talk")
    (talks / "talk.en.srt").write_text("made by hand")
    with Library(tmp_path / "library") as library:
        placed = write_beside(
            item,
            said,
            load_exporters(["srt", "txt"], SubtitleOptions()),
            library,
            [replace(item, url=str(copy))],
        )
    assert [path.name for path in placed.paths] == ["same.en.srt", "talk.txt", "same.txt"]
    assert [error.message.partition(" exists")[0] for error in placed.refused] == [
        str(talks / "talk.en.srt")
    ]


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (["--beside", "-f", "srt,txt"], "homescribe export --beside -f srt,txt\n"),
        (
            ["-o", "talks", "-f", "srt", "--output-template", "%(stem)s.en.%(ext)s"],
            "homescribe export -f srt -o talks --output-template '%(stem)s.en.%(ext)s'\n",
        ),
    ],
)
def test_the_advice_repeats_the_options(talks, capsys, given, advice):
    (talks / "talk.en.srt").write_text("made by hand")
    assert f"To write them: {advice}" in export(capsys, *given)[1]


# --- Standard output --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["docx", "csv", "tsv", "vtt", "srt", "lrc"])
def test_several_recordings_are_not_printed_as_one_file(talks, tmp_path, capsysbinary, name):
    add(tmp_path, talks / "other.mp4", "ffff")
    command = ["export", "-f", name, "-o", "-"]
    assert run_command(command) == 2
    captured = capsysbinary.readouterr()
    assert captured.out == b""
    assert f"Several recordings cannot be printed as one {name} file." in captured.err.decode()
    assert run_command([*command, "file:ffff"]) == 0
    assert capsysbinary.readouterr().out


def test_a_second_recording_of_a_run_is_not_printed_after_the_first(talks, tmp_path, capsys):
    writer = ExportWriter(["csv"], Target(STDOUT), SubtitleOptions(), default=STDOUT)
    with Library(tmp_path / "library") as library:
        writer.write_or_report(library, library.item("file:0a1b").item, SAID)
        first = capsys.readouterr().out
        writer.write_or_report(library, library.item("file:0a1b").item, SAID)
        writer.report()
    captured = capsys.readouterr()
    assert ("Hello." in first, captured.out, writer.failed) == (True, "", 1)
    assert "To write them: homescribe export -f csv\n" in captured.err


def test_several_recordings_are_printed_where_the_format_allows_it(talks, tmp_path, capsys):
    add(tmp_path, talks / "other.mp4", "ffff")
    assert run_command(["export", "-f", "txt", "-o", "-"]) == 0
    assert capsys.readouterr().out.count("Hello.") == 2


def test_its_own_file_is_replaced_until_somebody_edits_it(talks, tmp_path, capsys):
    export(capsys, "--beside", "-f", "srt")
    add(tmp_path, talks / "talk.mp4", "0a1b", spoken(" Better."))
    assert export(capsys, "--beside", "-f", "srt")[0] == 0
    ours = talks / "talk.en.srt"
    assert "Better." in ours.read_text()
    ours.write_text(ours.read_text().replace("Better", "Best"))
    add(tmp_path, talks / "talk.mp4", "0a1b", spoken(" Worse."))
    code, err = export(capsys, "--beside", "-f", "srt")
    assert (code, "edited since" in err) == (1, True)
    assert "Best." in ours.read_text()


def test_another_recording_with_the_same_name_does_not_replace_it(talks, tmp_path, capsys):
    export(capsys, "--beside", "-f", "srt")
    add(tmp_path, talks / "talk.mp3", "ffff", spoken(" Another."))
    code, err = export(capsys, "--beside", "-f", "srt")
    assert code == 1, err
    assert "Hello." in (talks / "talk.en.srt").read_text()


def test_a_link_is_kept(talks, tmp_path, capsys):
    export(capsys, "--beside", "-f", "srt")
    link, target = talks / "talk.en.srt", tmp_path / "moved.srt"
    link.rename(target)
    link.symlink_to(target)
    before = target.read_text()
    add(tmp_path, talks / "talk.mp4", "0a1b", spoken(" Better."))
    assert export(capsys, "--beside", "-f", "srt")[0] == 1
    assert link.is_symlink()
    assert target.read_text() == before


def test_recordings_elsewhere_are_counted_or_go_to_a_directory(talks, tmp_path, capsys):
    with Library(tmp_path / "library") as library:
        library.save(ITEM, SAID)
    code, err = export(capsys, "--beside", "-f", "srt")
    assert code == 0
    assert "1 recording not on this computer, so nothing is written beside." in err
    export(capsys, "--beside", "-f", "srt", "-o", "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [
        "2005-04-24 Me at the zoo [jNQXAC9IVRw].srt"
    ]
    assert (talks / "talk.en.srt").exists()


def test_a_recording_that_is_gone_creates_no_folder(talks, capsys):
    shutil.rmtree(talks)
    code, err = export(capsys, "--beside", "-f", "srt")
    assert (code, "does not exist any more" in err) == (1, True)
    assert not talks.exists()


def test_export_needs_a_format_or_beside(talks, capsys):
    code, err = export(capsys, "-o", "out")
    assert (code, "Missing option '-f'" in err) == (2, True)


@pytest.mark.parametrize(
    "options",
    [
        ["--beside", "-o", "-"],
        ["--beside", "--output-template", "%(title)s"],
        ["--output-template", "%(title)s", "-o", "-"],
    ],
)
def test_options_that_exclude_each_other(talks, capsys, options):
    code, err = export(capsys, "-f", "srt", *options)
    assert (code, "exclude each other" in err) == (2, True)


# --- Templates -------------------------------------------------------------------------------------


def test_a_template_names_folders_and_files(tmp_path, capsys):
    with Library(tmp_path / "library") as library:
        library.save(ITEM, SAID)
    template = "%(channel)s/%(upload_date).4s/%(title).5s (%(language)s, 100%%)"
    code, err = export(capsys, "-f", "srt,txt", "-o", "out", "--output-template", template)
    assert code == 0, err
    folder = tmp_path / "out" / "jawed" / "2005"
    assert sorted(path.name for path in folder.iterdir()) == [
        "Me at (en, 100%).srt",
        "Me at (en, 100%).txt",
    ]


def test_two_recordings_with_one_name_get_two_files_and_keep_them(tmp_path, capsys):
    with Library(tmp_path / "library") as library:
        library.save(ITEM, spoken(" First."))
        library.save(replace(ITEM, id="b"), spoken(" Second."))
    for _ in range(2):
        code, err = export(capsys, "-f", "txt", "-o", "out", "--output-template", "%(title)s")
        assert code == 0, err
        found = {path.name: path.read_text() for path in (tmp_path / "out").iterdir()}
        assert found == {
            "Me at the zoo.txt": "First.\n",
            "Me at the zoo [youtube b].txt": "Second.\n",
        }


def test_a_template_never_replaces_a_file_of_somebody_else(tmp_path, capsys):
    with Library(tmp_path / "library") as library:
        library.save(ITEM, SAID)
    (tmp_path / "Me at the zoo.txt").write_text("mine")
    code, _ = export(capsys, "-f", "txt", "-o", ".", "--output-template", "%(title)s")
    assert code == 1
    assert (tmp_path / "Me at the zoo.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "template",
    [
        *("/%(title)s", "../%(title)s", "%(title)s/", "a//b", ".", "%(nothing)s", "%(title)d"),
        *("100%", "a\\b", " ", "%(title", "a/../../b"),
    ],
)
def test_a_template_that_leads_elsewhere_is_an_error(template):
    with pytest.raises(UserError):
        checked_template(template)


TITLES = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        [*HOSTILE, "..", "../../etc/passwd", "CON", "nul.txt", "", "a/b\\c", ".hidden"]
    ),
)


@given(TITLES, TITLES, st.booleans())
@example("Inc.", "Inc. ..", False)
def test_no_title_leads_out_of_the_directory(title, channel, tagged):
    item = replace(ITEM, title=title, channel=channel)
    template = checked_template("%(channel)s/%(title)s/%(title)s %(id)s")
    path = templated_path(template, item, SAID, "srt", tagged=tagged)
    assert len(path.parts) == 3
    assert not path.is_absolute()
    assert path == PurePosixPath(os.path.normpath(path))
    assert path.name.endswith(" [jNQXAC9IVRw].srt" if tagged else ".srt")
    for part in path.parts:
        assert 0 < len(part.encode()) <= NAME_BYTES
        assert not part.startswith((".", "-"))
        assert not part.endswith((".", " "))
        assert not set(part) & set('/\\:*?"<>|\0\n')
        assert part.partition(".")[0].lower() not in ("con", "nul")


def test_a_missing_field_is_what_yt_dlp_writes():
    item = replace(ITEM, channel=None, upload_date=None)
    template = checked_template("%(channel)s %(upload_date)s.%(ext)s")
    said = transcript(Segment(0, 1, "a"))
    assert str(templated_path(template, item, said, "txt")) == "NA NA.txt"
