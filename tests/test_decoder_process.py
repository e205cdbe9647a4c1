"""Decoding in a process of its own: the same results, and a crash that ends nothing else."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from fake_plugins import FakeSources
from homescribe import audio
from homescribe.audio import container, decoder_process, isolated
from homescribe.audio.decoder_process import PROCESSES, DecoderProcesses
from homescribe.core import Audio, SourceOptions
from homescribe.errors import Cancelled, PermanentError, RetryableError
from homescribe.library import Library
from homescribe.pipeline import add
from homescribe.pipeline.audio_copies import KeepAudio, NotKept, keep_audio
from homescribe.pipeline.speech_upload import speech_upload
from homescribe.sources.local_files import FileSource

STOP = Event()  # never set

# Imported by the decoding process at its start. The names of files say what happens to it.
HOSTILE = """
import os, signal, time
from homescribe.audio import container
opened = container.opened

def hostile(source):
    for part in ("SIGSEGV", "SIGABRT", "SIGKILL"):
        if part in str(source):
            os.kill(os.getpid(), getattr(signal, part))
    if "slow" in str(source):
        time.sleep(60)
    if "full" in str(source):
        raise OSError(28, "No space left on device")
    if "odd" in str(source):
        raise ValueError("odd", b"bytes")
    return opened(source)

container.opened = hostile
from homescribe.audio import packet_hashes, waveform
packet_hashes.opened = waveform.opened = hostile

from homescribe.audio import speech_copy
blocks = speech_copy.blocks

def stalling(source, **options):
    for block in blocks(source, **options):
        yield block
        if "stalls" in str(source):
            time.sleep(60)

speech_copy.blocks = stalling
"""


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    """Decoding processes that crash as the name of a file says."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HOSTILE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    processes = DecoderProcesses()
    monkeypatch.setattr(isolated, "PROCESSES", processes)
    yield
    processes.close()


def named(clips, tmp_path, name):
    return Path(shutil.copy(clips / "ep1.mp3", tmp_path / name))


def test_the_results_are_the_same(clips, tmp_path):
    path = clips / "ep1.mp3"
    assert isolated.probe(path) == audio.probe(path)
    seconds, warnings = isolated.length(path, STOP, None)
    assert (round(seconds, 2), warnings) == (round(len(audio.decode(path)) / 16000, 2), ())
    here, there = tmp_path / "here.opus", tmp_path / "there.opus"
    assert isolated.write_speech_copy(path, there, STOP) == audio.write_speech_copy(
        path, here, STOP
    )
    assert here.read_bytes() == there.read_bytes()
    assert isolated.write_speech_copy(path, there, STOP, largest=10) is None
    assert isolated.hashes(path, STOP, 60.0) == audio.packet_hashes.packet_hashes(path, STOP, 60.0)


def test_a_name_that_is_not_utf8(clips, tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.mp3")
    try:
        shutil.copy(clips / "ep1.mp3", path)
    except OSError:
        pytest.skip("the file system refuses it")
    assert isolated.probe(path) == audio.probe(path)


def test_errors_are_the_same(tmp_path):
    text = tmp_path / "text.mp3"
    text.write_text("no audio")
    with pytest.raises(PermanentError) as here:
        audio.probe(text)
    with pytest.raises(PermanentError) as there:
        isolated.probe(text)
    assert (there.value.message, there.value.hint) == (here.value.message, here.value.hint)


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_a_crash_is_an_error_of_the_recording_and_the_next_one_is_decoded(
    hostile, clips, tmp_path, name
):
    with pytest.raises(
        PermanentError, match=f"crashes the decoder .signal {getattr(signal, name)}"
    ):
        isolated.probe(named(clips, tmp_path, f"{name}.mp3"))
    assert isolated.probe(clips / "ep1.mp3") == audio.probe(clips / "ep1.mp3")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_process_that_the_system_ends_may_be_tried_again(hostile, clips, tmp_path):
    with pytest.raises(RetryableError, match="system ended"):
        isolated.length(named(clips, tmp_path, "SIGKILL.mp3"), STOP, None)


def test_other_exceptions_keep_their_kind(hostile, clips, tmp_path):
    with pytest.raises(OSError, match="No space left") as full:
        isolated.length(named(clips, tmp_path, "full.mp3"), STOP, None)
    assert full.value.errno == errno.ENOSPC
    assert "Traceback" in full.value.__notes__[0]
    with pytest.raises(ValueError, match="odd b'bytes'"):
        isolated.probe(named(clips, tmp_path, "odd.mp3"))
    with pytest.raises(OSError, match="Not a directory") as caught:
        isolated.write_speech_copy(clips / "ep1.mp3", clips / "ep1.mp3" / "copy.opus", STOP)
    assert caught.value.errno == errno.ENOTDIR


def test_a_stop_ends_the_process_and_leaves_no_draft(hostile, clips, tmp_path):
    stop = Event()
    target = tmp_path / "copy.opus"
    isolated.probe(clips / "ep1.mp3")  # the process is started

    def when_begun():
        while not list(tmp_path.glob("copy*")):
            time.sleep(0.02)
        stop.set()

    Thread(target=when_begun, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        isolated.write_speech_copy(named(clips, tmp_path, "stalls.mp3"), target, stop)
    assert time.monotonic() - began < 10
    assert not list(tmp_path.glob("copy*"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_process_ends_with_the_one_that_it_decodes_for(hostile, clips, tmp_path):
    """Not only when its result is ready: that would be a file of which nobody knows."""
    path = named(clips, tmp_path, "slow.mp3")
    code = (
        "import sys, pathlib; from homescribe.audio import isolated; "
        "isolated.probe(pathlib.Path(sys.argv[1]))"
    )
    asking = subprocess.Popen([sys.executable, "-c", code, str(path)])
    children = Path(f"/proc/{asking.pid}/task/{asking.pid}/children")
    if not children.exists():
        asking.kill()
        pytest.skip("no list of child processes")

    def decoders():
        found = [Path(f"/proc/{each}/cmdline") for each in children.read_text().split()]
        return [each for each in found if each.exists() and b"decoder_child" in each.read_bytes()]

    while not (found := decoders()):
        time.sleep(0.05)
    time.sleep(2)  # it is ready, and has begun
    asking.kill()
    asking.wait()
    deadline = time.monotonic() + 5
    while any(each.exists() for each in found):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_recording_that_crashes_the_decoder_does_not_end_the_listing(hostile, clips, tmp_path):
    folder = tmp_path / "talks"
    folder.mkdir()
    for name in ("one.mp3", "SIGSEGV.mp3"):
        named(clips, folder, name)
    with (folder / "SIGSEGV.mp3").open("ab") as file:
        file.write(b"other content")
    source = FileSource(SourceOptions(cache=tmp_path / "cache"))
    with Library(tmp_path / "library") as library:
        list(add(library, FakeSources(source), str(folder), STOP))
        found = {record.item.title: record.item.duration for record in library.items()}
        [crashing] = [one for one in library.pending() if one.title == "SIGSEGV"]
    assert found["SIGSEGV"] is None
    assert found["one"] == audio.probe(folder / "one.mp3")
    assert source.fetch(crashing, tmp_path, STOP).path == folder / "SIGSEGV.mp3"


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("kind", ["speech", "all"])
def test_a_crash_costs_only_what_would_have_been_kept_or_uploaded(hostile, clips, tmp_path, kind):
    path = named(clips, tmp_path, "SIGSEGV.mp3")
    item = FileSource(SourceOptions(cache=tmp_path))._single_file(clips / "ep1.mp3")
    [item] = item.items
    downloaded = Audio(item, path)
    kept = keep_audio(
        downloaded, KeepAudio(kind), lambda key, suffix: tmp_path / f"k{suffix}", STOP
    )
    assert isinstance(kept, NotKept)
    assert "crashes the decoder" in kept.reason
    assert speech_upload(downloaded, tmp_path, STOP) == downloaded


def test_where_no_process_can_be_started_this_one_decodes(clips, tmp_path, monkeypatch):
    processes = DecoderProcesses()
    monkeypatch.setattr(isolated, "PROCESSES", processes)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    path, target = clips / "ep1.mp3", tmp_path / "copy.opus"
    assert isolated.probe(path) == audio.probe(path)
    assert isolated.length(path, STOP, None)[0] > 0
    assert isolated.hashes(path, STOP, 60.0)
    assert isolated.write_speech_copy(path, target, STOP)
    monkeypatch.setattr(sys, "executable", shutil.which("false") or sys.executable)
    processes._unavailable = False
    assert isolated.probe(path) == audio.probe(path)


def test_processes_are_used_again(clips):
    isolated.probe(clips / "ep1.mp3")
    [*before] = PROCESSES._idle
    isolated.probe(clips / "ep1.mp3")
    assert PROCESSES._idle == before
    assert decoder_process.PROCESSES is isolated.PROCESSES
    assert container.probe(clips / "ep1.mp3")


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_a_process_that_ends_while_it_writes_its_reply_is_an_error_of_the_recording(
    monkeypatch, tmp_path
):
    script = tmp_path / "half"
    script.write_text('#!/bin/sh\necho "{}"\nread request\nprintf \'{"resul\'\nexit 3\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(PermanentError, match="exit code 3"):
        decoder_process.DecoderProcess().call("hash_of", {}, None)
