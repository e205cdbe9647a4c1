"""The examples in CONTRIBUTING.md work as they are printed."""

import re
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from command_line import CommandLine, install_package
from fake_youtube import CLIPS
from homescribe import Library, demo
from homescribe.library import migrations, schema

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
# Name of the file in the first line: its whole text.
FILES = {
    match[1]: match[0]
    for block in re.findall(r"^```python\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)
    if (match := re.match(r"# (\w+\.py)\n.+", block, re.DOTALL))
}
[ENTRY_POINTS] = re.findall(r"^```toml\n(.+?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def installed(tmp_path):
    """A folder for PYTHONPATH in which a package with all examples and entry points is installed."""
    folder = tmp_path / "site-packages"
    entry_points = tomllib.loads(ENTRY_POINTS)["project"]["entry-points"]
    install_package(folder, "examples", FILES, entry_points)
    return folder


@pytest.mark.models
def test_the_source_the_engine_and_the_format_do_a_whole_job(installed, server, tmp_path):
    playlist = "# two talks\n/media/ep1.mp3\n/media/ep2.m4a\n"
    server.routes["/talks.m3u"] = lambda *_: (200, playlist, {"Content-Type": "text/plain"})
    command_line = CommandLine(
        tmp_path,
        {"PYTHONPATH": str(installed)},
        engine="plain-whisper",
        model=demo.model("faster-whisper"),
    )
    out = tmp_path / "out"
    code, _, err = command_line.run(
        "transcribe", server.url("/talks.m3u"), "-f", "fountain", "-o", out
    )
    assert code == 0, err
    with Library(tmp_path / "library") as library:
        items = [record.item for record in library.items()]
        assert {item.source for item in items} == {"m3u"}
        assert {library.transcript(item.key).engine for item in items} == {"plain-whisper"}
    written = {path.name: path.read_text() for path in out.iterdir()}
    assert {name.rpartition(".")[2] for name in written} == {"fountain"}
    for title, clip in [("ep1.mp3", "ep1"), ("ep2.m4a", "ep2")]:
        [text] = [text for text in written.values() if f"Title: {title}\n" in text]
        spoken = re.findall(r"\w+", text.partition("NARRATOR\n")[2].lower())
        assert spoken == re.findall(r"\w+", CLIPS[clip][2].lower())


def test_the_migration_changes_an_older_library(tmp_path, monkeypatch):
    with Library(tmp_path):
        pass
    exec(FILES["schema.py"], namespace := vars(schema) | {})
    monkeypatch.setattr(schema, "VERSION_N", namespace["VERSION_N"], raising=False)
    exec(FILES["migrations.py"], namespace := vars(migrations) | {})
    before = len(migrations.MIGRATIONS)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, namespace["version_N"]))
    with Library(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "library.db")) as db:
        assert "place" in {row[1] for row in db.execute("PRAGMA table_info(items)")}
        assert db.execute("PRAGMA user_version").fetchone() == (before + 1,)
    assert (tmp_path / f"library-v{before}.db").exists()
