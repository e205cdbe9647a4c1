"""The command line, the page and homescribe.transcribe() build the same parts from a Config."""

from pathlib import Path

import pytest

import homescribe
from fake_plugins import FakeBackend, FakeSource, FakeSources, captions, fill, item, listing
from homescribe import assemble
from homescribe.config import Config
from homescribe.core import Captions, SourceOptions, TranscriptionOptions
from homescribe.errors import UserError
from homescribe.library import Library
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
            super().__init__(library, sources, backend, **options)
            arguments.append(options | {"options": self._options})

    monkeypatch.setattr(assemble, "Run", RecordedRun)
    monkeypatch.setattr(assemble, "Sources", fake_sources)

    class Plugin:  # an engine that states nothing, and a backend
        default_engine, default_model = FakeBackend.default_engine, FakeBackend.default_model

        def __new__(cls):
            return backend

    monkeypatch.setattr("homescribe.plugins.load", lambda group, name: Plugin)
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


def test_sources_get_the_cookies_the_librarys_cache_and_the_audio_track(monkeypatch, tmp_path):
    given = []
    monkeypatch.setattr(assemble, "Sources", given.append)
    config = Config(
        library=tmp_path, cookies=Path("cookies.txt"), cookies_from_browser="firefox", audio_track=2
    )
    with assemble.open_library(config) as library:
        assemble.open_sources(config, library)
    assert given == [SourceOptions(tmp_path / "cache", Path("cookies.txt"), "firefox", 2)]
    assert config.transcription().audio_track == 2


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


def test_transcribe_yields_an_item_once_whose_captions_were_kept(runs, tmp_path):
    with Library(tmp_path) as library:
        fill(library, [item(1)])
        library.save_captions(Captions(item(1), captions()), "use")
    [only] = homescribe.transcribe(URL, library=tmp_path)
    assert only.transcript.engine == "fake"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"language": "klingon"}, "does not know the language 'klingon'"),
        ({"model": "enormous"}, "no model named 'enormous'"),
        ({"model": "enormous", "engine": "openai-whisper"}, "no model named 'enormous'"),
        ({"model": "base.en", "language": "fr"}, "knows only English, not 'fr'"),
        (
            {"model": "weights/tiny.en", "task": "translate"},
            "weights/tiny.en contains no model.bin",
        ),
        ({"model": "tiny.en", "task": "translate"}, "cannot translate"),
        ({"engine": "whisperer"}, "no engine named 'whisperer'"),
        ({"backend": "attic"}, "no backend named 'attic'"),
    ],
)
def test_options_are_checked_before_anything_is_listed(settings, said, tmp_path, monkeypatch):
    (tmp_path / "weights" / "tiny.en").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    config = Config(library=tmp_path / "library", **settings)
    with pytest.raises(UserError, match=said):
        assemble.check_options(config)
    names = {name: value for name, value in settings.items() if name not in ("language", "task")}
    with pytest.raises(UserError, match=said):
        next(
            homescribe.transcribe(
                URL, library=config.library, options=config.transcription(), **names
            )
        )
    assert not config.library.exists()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"language": "German", "model": "owner/name"},
        {"language": "en-GB", "model": "base.en", "engine": "openai-whisper"},
        {"model": "demo", "language": "de_DE", "task": "translate"},
    ],
)
def test_options_that_an_engine_has_are_accepted(settings):
    assemble.check_options(Config(**settings))


def test_the_language_of_given_options_may_be_a_name(runs, tmp_path):
    options = TranscriptionOptions(language="German")
    list(homescribe.transcribe(URL, library=tmp_path, options=options))
    assert runs[0]["options"] == TranscriptionOptions(language="de")
