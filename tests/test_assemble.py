"""The command line, the page and homescribe.transcribe() build the same parts from a Config."""

from pathlib import Path

import pytest

import homescribe
from fake_plugins import FakeBackend, FakeSource, FakeSources, item, listing
from homescribe import assemble
from homescribe.config import Config
from homescribe.core import SourceOptions, TranscriptionOptions
from homescribe.errors import UserError
from homescribe.pipeline import Run

URL = "https://site.example/"


@pytest.fixture
def runs(monkeypatch):
    """Fake sources and backends in place of the plug-ins; the arguments of every Run."""
    backend = FakeBackend()
    arguments = []

    def fake_sources(options):
        return FakeSources(FakeSource([listing(URL, [item(1)])]))

    class RecordedRun(Run):
        def __init__(self, library, sources, backend, **options):
            arguments.append(options)
            super().__init__(library, sources, backend, **options)

    monkeypatch.setattr(assemble, "Run", RecordedRun)
    monkeypatch.setattr(assemble, "Sources", fake_sources)
    monkeypatch.setattr("homescribe.plugins.load", lambda group, name: lambda: backend)
    return arguments


def test_a_run_has_the_settings_of_the_config(runs, tmp_path):
    config = Config(
        library=tmp_path, engine="e", model="m", language="DE", sleep_interval=3.0, disk=0.5
    )
    with assemble.open_library(config) as library, assemble.open_sources(config, library) as opened:
        assemble.build_run(config, library, opened, keys=["fake:site-1"], limit=7)
    [arguments] = runs
    assert arguments["options"].language == "de"
    assert {name: arguments[name] for name in ("engine", "model", "keys", "limit", "disk")} == {
        "engine": "e",
        "model": "m",
        "keys": ["fake:site-1"],
        "limit": 7,
        "disk": 500_000_000,
    }
    assert arguments["sleep_interval"] == 3.0


def test_sources_get_the_cookies_and_the_librarys_cache(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(assemble, "Sources", given.append)
    config = Config(library=tmp_path, cookies=Path("cookies.txt"), cookies_from_browser="firefox")
    with assemble.open_library(config) as library:
        assemble.open_sources(config, library)
    assert given == [SourceOptions(tmp_path / "cache", Path("cookies.txt"), "firefox")]


def test_a_library_that_must_exist_is_not_created(tmp_path):
    with pytest.raises(UserError, match="There is no library at"):
        assemble.open_library(Config(library=tmp_path / "mistyped"), must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_transcribe_yields_stored_transcripts_first_and_passes_its_options(runs, tmp_path):
    options = TranscriptionOptions(beam_size=2)
    [first] = homescribe.transcribe(URL, library=tmp_path, options=options)
    assert first.transcript.text == "hello world"
    assert runs[0]["options"] is options
    [again] = homescribe.transcribe(URL, library=str(tmp_path))
    assert again.transcript == first.transcript
