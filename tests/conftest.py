"""Fixtures that several test modules share."""

import os
import warnings

import pytest
from hypothesis import settings

from fake_youtube import FakeTube, make_clips
from homescribe import demo
from homescribe.audio import decode
from homescribe.sources import unfinished_files
from loopback import LoopbackServer
from modal_session import hub, modal_cloud, one_standin, place, standin  # noqa: F401 - fixtures
from pages import axe, browser, page, youtube_requests  # noqa: F401 - fixtures

# No deadline for one example: the machine may be busy with something else.
settings.register_profile("homescribe", deadline=None)
settings.load_profile("homescribe")


# Fixture: the marker of every test that uses it.
MARKERS = {
    "browser": "browser",
    "standin": "containers",
    "one_standin": "containers",
    "whisper_results": "models",
}


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    for item in items:
        for name in item.fixturenames:
            if name in MARKERS:
                item.add_marker(MARKERS[name])


@pytest.fixture(autouse=True)
def _settled_files(monkeypatch):
    """Tests list files that they have just written."""
    monkeypatch.setattr(unfinished_files, "CHANGING", 0.0)


@pytest.fixture(autouse=True, scope="session")
def no_silent_end():
    """Let nothing end pytest with os._exit: the remaining tests would not run, perhaps with exit code 0."""
    end, pytest_process = os._exit, os.getpid()

    def guarded(code):
        if os.getpid() != pytest_process:  # a fork
            end(code)
        raise AssertionError(f"something called os._exit({code}) in the process of the tests")

    os._exit = guarded
    yield
    os._exit = end


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Folder with ep1 and ep2 as .webm, .m4a and .mp3: seven seconds of speech each (fake_youtube.CLIPS)."""
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def server(clips):
    """Web server with `clips` under /media/."""
    with LoopbackServer(clips) as running:
        yield running


@pytest.fixture
def faketube(server, tmp_path, monkeypatch):
    """Fake YouTube with one channel of 430 videos, used by every yt-dlp that the test starts."""
    folder = tmp_path / "faketube"
    folder.mkdir()
    fake = FakeTube(folder, server.base).save()
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.fixture(scope="session")
def whisper_results():
    """Results of openai-whisper for the bundled recordings; for the shortest also with word times."""
    import torch
    import whisper

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more are slower on a model this small
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # its tokenizer leaves a file open
        model = whisper.load_model(str(demo.model("openai-whisper")), device="cpu")
        results = [
            model.transcribe(decode(path), fp16=False, language="en", word_timestamps=with_words)
            for path in sorted(demo.samples().glob("*.[mw][pe4]*"))
            for with_words in ((False, True) if "fox" in path.name else (False,))
        ]
    torch.set_num_threads(threads)
    return results
