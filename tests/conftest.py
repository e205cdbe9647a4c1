"""Fixtures that several test modules share."""

import warnings

import pytest
from hypothesis import settings

from fakes import FakeTube, make_clips
from homescribe import demo
from homescribe.audio import decode
from loopback import LoopbackServer

# Tests are not timed: a machine may be busy with something else.
settings.register_profile("homescribe", deadline=None)
settings.load_profile("homescribe")


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """A folder with ep1 and ep2 as .webm, .m4a and .mp3: seven seconds of speech each (fakes.CLIPS)."""
    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def server(clips):
    """A web server that serves `clips` under /media/."""
    with LoopbackServer(clips) as running:
        yield running


@pytest.fixture
def faketube(server, tmp_path, monkeypatch):
    """A YouTube with one channel of 430 videos, for every yt-dlp started from here."""
    folder = tmp_path / "faketube"
    folder.mkdir()
    fake = FakeTube(folder, server.base).save()
    for name, value in fake.environment.items():
        monkeypatch.setenv(name, value)
    return fake


@pytest.fixture(scope="session")
def whisper_results():
    """openai-whisper's result objects for the bundled samples, and one with words for the shortest."""
    import torch
    import whisper

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more only wait for each other on a model this small
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
