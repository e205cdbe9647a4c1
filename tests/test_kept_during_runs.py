"""Runs keep the audio of downloads, and use it instead of a download."""

import errno
import io
import multiprocessing
import os
import random
import threading
import time
import wave
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

from fake_plugins import FakeBackend, FakeSource, item, run, transcript
from homescribe import config
from homescribe.assemble import audio_limit, keep_audio_policy
from homescribe.audio import SAMPLE_RATE, decode
from homescribe.audio.speech_copy import write_speech_copy
from homescribe.core import Audio, TranscriptionOptions
from homescribe.errors import Cancelled, PermanentError, RetryableError, UserError
from homescribe.library import Library, kept_audio
from homescribe.pipeline import audio_copies
from homescribe.pipeline.audio_copies import KeepAudio, NewAudio, keep_audio, usable
from homescribe.pipeline.speech_upload import COPY, speech_upload

SPEECH, ALL = KeepAudio("speech"), KeepAudio("all")
GO = threading.Event()
Usage = namedtuple("Usage", "total used free")


def wav(seconds=2.0, channels=1, seed=0):
    """A wav file of noise."""
    noise = np.random.default_rng(seed).normal(0, 3000, (round(seconds * SAMPLE_RATE), channels))
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setparams((channels, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes(noise.astype("<i2").tobytes())
    return data.getvalue()


def two_seconds(number, **fields):
    return item(number, duration=2.0, **fields)


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as library:
        yield library


@pytest.fixture
def source():
    return FakeSource(fetching=lambda item: wav())


def engine():
    return FakeBackend(lambda work: transcript(duration=2.0))


def add(library, *items):
    for each in items:
        library.fail(each, RetryableError("not yet"))
    library.retry()


def seen(backend_transcript=None, refuse=()):
    """A backend, and the audio that it was given: path, size and duration."""
    given = []

    def transcribing(work):
        given.append((work.path, work.path.read_bytes(), work.duration, work.temporary))
        if work.item.key in refuse:
            raise PermanentError("No.")
        return transcript(duration=2.0)

    return FakeBackend(transcribing), given


def files(library):
    if not library.audio.path.exists():
        return []
    return sorted(library.audio.path.iterdir())


def test_nothing_is_kept_by_default(library, source):
    add(library, two_seconds(1))
    list(run(library, source, engine()))
    assert files(library) == []


def test_a_copy_for_speech_is_kept_and_the_recording_itself_is_transcribed(library, source):
    add(library, two_seconds(1))
    backend, given = seen()
    [outcome] = run(library, source, backend, keep_audio=SPEECH)
    assert (outcome.error, outcome.notes) == (None, ())
    assert given[0][1] == wav()
    kept = library.audio.find(two_seconds(1).key)
    assert files(library) == [kept.path]
    assert (kept.kind, kept.duration, kept.path.suffix) == ("speech", 2.0, ".opus")
    assert kept.bytes == kept.path.stat().st_size < 12_000
    assert not list((library.directory / "downloads").rglob("audio.*"))


def test_all_keeps_the_file_as_it_was_downloaded(library, source):
    add(library, two_seconds(1))
    list(run(library, source, engine(), keep_audio=ALL))
    kept = library.audio.find(two_seconds(1).key)
    assert kept.path.read_bytes() == wav()
    assert (kept.kind, kept.duration, kept.path.suffix) == ("all", 2.0, ".webm")


def test_all_copies_the_file_where_there_are_no_links(library, source, monkeypatch):
    def no_links(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(audio_copies.os, "link", no_links)
    add(library, two_seconds(1))
    list(run(library, source, engine(), keep_audio=ALL))
    kept = library.audio.find(two_seconds(1).key)
    assert kept.path.read_bytes() == wav()
    assert files(library) == [kept.path]


@pytest.mark.parametrize("keep", [SPEECH, ALL])
def test_again_needs_no_download(library, source, keep):
    one = two_seconds(1)
    add(library, one)
    list(run(library, source, engine(), keep_audio=keep))
    backend, given = seen()
    [outcome] = run(library, source, backend, again=[one.key], keys=[one.key], keep_audio=keep)
    assert outcome.transcript
    assert source.fetched == [one.key]
    path, _, duration, temporary = given[0]
    assert path == kept_audio(library, one)
    assert (duration, temporary) == (2.0, False)
    assert path.exists()


@pytest.mark.timeout(60)
def test_kept_audio_needs_no_pause_and_no_site(library, source):
    """Ten of them would take ten pauses, and a site that waits would let none through."""
    many = [two_seconds(number) for number in range(10)]
    add(library, *many)
    list(run(library, source, engine(), keep_audio=SPEECH))
    source.pause = (60.0, 60.0)
    library.block_site("site", 4e9, "Later.")
    keys = [each.key for each in many]
    outcomes = list(run(library, source, engine(), again=keys, keys=keys))
    assert [outcome.error for outcome in outcomes] == [None] * 10
    assert len(source.fetched) == 10


def test_audio_that_vanished_is_downloaded(library, source):
    one = two_seconds(1)
    add(library, one)
    list(run(library, source, engine(), keep_audio=SPEECH))
    kept_audio(library, one).unlink()
    list(run(library, source, engine(), again=[one.key], keep_audio=SPEECH))
    assert source.fetched == [one.key] * 2
    assert kept_audio(library, one).exists()
    assert len(files(library)) == 1


def test_a_failure_keeps_the_audio_for_the_next_attempt(library, source):
    one = two_seconds(1)
    add(library, one)
    backend, _ = seen(refuse=[one.key])
    [outcome] = run(library, source, backend, keep_audio=SPEECH)
    assert outcome.error
    library.retry([one.key])
    [outcome] = run(library, source, engine(), keep_audio=SPEECH)
    assert outcome.transcript
    assert source.fetched == [one.key]


@pytest.mark.parametrize("keep", [SPEECH, ALL])
def test_a_download_that_breaks_off_is_not_kept(library, keep):
    """It would be transcribed instead of a second download, which may be whole."""
    source = FakeSource(fetching=lambda item: wav(2.0))
    add(library, item(1, duration=60.0))
    [outcome] = run(library, source, engine(), keep_audio=keep)
    assert files(library) == []
    assert "The audio was not kept. The audio ends early: 2 of 60" in outcome.notes[0]


@pytest.mark.parametrize("keep", [SPEECH, ALL])
def test_what_cannot_be_decoded_is_not_kept(library, keep):
    source = FakeSource(fetching=lambda item: b"no audio" * 1000)
    add(library, two_seconds(1))
    [outcome] = run(library, source, engine(), keep_audio=keep)
    assert outcome.transcript  # this engine takes anything
    assert "not kept" in outcome.notes[0]
    assert files(library) == []


def test_a_full_disk_fails_no_transcript(library, source, monkeypatch):
    monkeypatch.setattr(audio_copies.shutil, "disk_usage", lambda path: Usage(0, 0, 500_005_000))
    add(library, two_seconds(1))
    [outcome] = run(library, source, engine(), keep_audio=SPEECH)
    assert outcome.transcript
    assert (
        "500.0 MB of the disk are free, it needs 7.5 kB, and 500.0 MB stay free" in outcome.notes[0]
    )
    assert files(library) == []


def test_a_disk_that_fills_up_meanwhile_fails_no_transcript(library, source, monkeypatch):
    def full(source, target, stop, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audio_copies, "write_speech_copy", full)
    add(library, two_seconds(1))
    [outcome] = run(library, source, engine(), keep_audio=SPEECH)
    assert outcome.transcript
    assert outcome.notes == ("The audio was not kept: the disk is full.",)


@pytest.mark.parametrize("error", [MemoryError("s3cr3t"), RuntimeError("s3cr3t")])
def test_an_unforeseen_exception_fails_no_transcript(library, source, monkeypatch, error):
    failures = [error]

    def broken(*arguments, **options):
        if failures:
            raise failures.pop()
        return write_speech_copy(*arguments, **options)

    monkeypatch.setattr(audio_copies, "write_speech_copy", broken)
    add(library, two_seconds(1), two_seconds(2))
    outcomes = list(run(library, source, engine(), keep_audio=SPEECH))
    assert [bool(outcome.transcript) for outcome in outcomes] == [True, True]
    reason = f"The audio was not kept: internal error ({type(error).__name__})."
    assert sorted(outcome.notes for outcome in outcomes) == [(), (reason,)]
    assert len(files(library)) == 1


def test_a_row_that_cannot_be_stored_fails_no_transcript(library, source, monkeypatch):
    def full(*arguments, **options):
        raise UserError("The disk is full: nothing more can be written to it.")

    monkeypatch.setattr(library.audio, "add", full)
    add(library, two_seconds(1))
    [outcome] = run(library, source, engine(), keep_audio=SPEECH)
    assert outcome.transcript
    assert outcome.notes == (
        "The audio was not kept. The disk is full: nothing more can be written to it.",
    )


def test_files_on_this_disk_are_not_copied(library, tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(wav())
    local = Audio(two_seconds(1), path, duration=2.0, temporary=False)
    assert keep_audio(local, SPEECH, library.audio.new_path, GO) is None


def test_a_stop_leaves_no_file(library, tmp_path):
    path = tmp_path / "audio.wav"
    path.write_bytes(wav())
    stop = threading.Event()
    stop.set()
    for keep in (SPEECH, ALL):
        with pytest.raises(Cancelled):
            keep_audio(Audio(two_seconds(1), path), keep, library.audio.new_path, stop)
    assert files(library) == []


# --- The limit -------------------------------------------------------------------------------------


def test_the_oldest_audio_goes_above_the_limit(library, source):
    items = [two_seconds(number) for number in range(4)]
    size = len(wav())
    for each in items:
        add(library, each)
        list(run(library, source, engine(), keep_audio=KeepAudio("all", limit=2 * size)))
    assert [kept_audio(library, each) is not None for each in items] == [False, False, True, True]
    assert len(files(library)) == 2
    assert all(library.transcript(each.key) for each in items)


def test_audio_that_a_run_needs_stays_until_it_is_transcribed(library, source):
    """Each is kept before any is transcribed."""
    items = [two_seconds(number) for number in range(3)]
    add(library, *items)
    size = len(wav())
    present = []

    def transcribing(work):
        present.append(work.path.exists())
        return transcript(duration=2.0)

    keys = [each.key for each in items]
    list(run(library, source, engine(), keep_audio=KeepAudio("all", limit=5 * size)))
    limited = KeepAudio("all", limit=size)
    list(run(library, source, FakeBackend(transcribing), again=keys, keys=keys, keep_audio=limited))
    assert present == [True] * 3
    assert source.fetched == keys
    assert library.audio.total().files == 1


def test_a_recording_larger_than_the_limit_is_not_kept(library, source):
    add(library, two_seconds(1))
    [outcome] = run(library, source, engine(), keep_audio=KeepAudio("all", limit=1000))
    assert outcome.transcript
    assert outcome.notes == (
        "The audio was not kept: it has 64.0 kB, and keep_audio_limit is 1.0 kB.",
    )
    assert files(library) == []


@pytest.mark.parametrize(
    ("written", "gigabytes"),
    [(50, 50), ("50", 50), ("50 GB", 50), ("500MB", 0.5), ("1.5 tb", 1500), (".5", 0.5), (0, 0)],
)
def test_the_limit_is_an_amount_of_data(written, gigabytes, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(f"keep_audio_limit = {written!r}\nkeep_audio = 'speech'\n")
    environ = {"HOMESCRIBE_CONFIG": str(file)}
    found, _ = config.load({}, environ)
    assert audio_limit(found) == round(gigabytes * 1e9)
    assert keep_audio_policy(found) == KeepAudio("speech", round(gigabytes * 1e9))
    found, _ = config.load({"keep_audio_limit": str(written)}, {})
    assert found.keep_audio_limit == gigabytes
    assert keep_audio_policy(found) is None


@pytest.mark.parametrize("written", ["many", "-1", "50 G", "1e3 GB", "nan", "", "5 GB GB"])
def test_what_is_no_amount_is_refused(written):
    with pytest.raises(UserError, match="keep_audio_limit") as caught:
        config.load({"keep_audio_limit": written}, {})
    assert "in GB, or with a unit: 500MB, 1.5TB" in caught.value.hint


# --- Tracks, channels and uploads ------------------------------------------------------------------


def test_a_copy_for_speech_is_not_used_where_it_lacks_something(library, source):
    one = two_seconds(1)
    add(library, one)
    list(run(library, source, engine(), keep_audio=SPEECH))
    kept = library.audio.find(one.key)
    default = TranscriptionOptions()
    assert usable(kept, default)
    assert not usable(kept, replace(default, audio_track=2))
    assert not usable(kept, replace(default, speakers="channels"))
    assert usable(kept, replace(default, speakers="2"))
    other = replace(kept, track=2)
    assert not usable(other, default)
    assert not usable(other, replace(default, audio_track=2))
    assert usable(replace(kept, kind="all"), replace(default, audio_track=2))
    options = TranscriptionOptions(audio_track=2)
    list(run(library, source, engine(), again=[one.key], options=options))
    assert source.fetched == [one.key] * 2


def test_a_copy_is_not_made_twice_for_an_upload(library, tmp_path):
    folder = tmp_path / "item"
    folder.mkdir()
    path = folder / "audio.wav"
    path.write_bytes(wav())
    audio = Audio(two_seconds(1), path, duration=2.0)
    new = keep_audio(audio, SPEECH, library.audio.new_path, GO)
    assert isinstance(new, NewAudio)
    sent = speech_upload(audio, folder, GO, new)
    assert sent.path == folder / COPY
    assert sent.path.samefile(new.path)
    assert sent.duration == 2.0
    new.path.unlink()
    assert sent.path.exists()
    assert speech_upload(audio, folder, GO, replace(new, warnings=("Odd.",))) is audio


def test_kept_audio_is_made_smaller_for_an_upload_too(library, source):
    one = two_seconds(1)
    add(library, one)
    list(run(library, source, engine(), keep_audio=ALL))
    backend, given = seen()
    list(run(library, source, backend, again=[one.key], keys=[one.key], prepare=speech_upload))
    assert source.fetched == [one.key]
    assert given[0][0].name == COPY
    assert len(given[0][1]) < len(wav()) / 4
    assert kept_audio(library, one).read_bytes() == wav()


def test_a_file_that_nothing_names_is_swept_by_the_next_run(library, source):
    lost = library.audio.new_path("fake:site-1", ".opus")
    lost.write_bytes(b"of a process that was killed before it stored the row")
    lost.with_name(lost.name + ".part").write_bytes(b"half")
    list(run(library, source, engine()))
    assert files(library) == []


def keep_all_of(directory, keys):
    """Transcribe these items again, and keep their audio, of which only half fits."""
    with Library(directory) as library:
        options = {"again": keys, "keys": keys, "keep_audio": KeepAudio("speech", limit=30_000)}
        list(run(library, FakeSource(fetching=lambda item: wav()), engine(), **options))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_killed_run_leaves_no_row_without_a_file(library):
    """Whenever a process dies, rows and files agree, but for files that the next run deletes."""
    items = [two_seconds(number) for number in range(10)]
    add(library, *items)
    keys = [each.key for each in items]
    rng, longest, kills = random.Random(1), 0.0, 0
    fork = multiprocessing.get_context("fork")
    for number in range(30):
        library.audio.remove(keys[: number % len(keys)])
        process = fork.Process(target=keep_all_of, args=(library.directory, keys))
        began = time.monotonic()
        process.start()
        process.join(60 if number % 5 == 0 else rng.uniform(longest / 4, longest))
        if number % 5 == 0:
            longest = time.monotonic() - began
        process.kill()
        process.join()
        kills += process.exitcode != 0
        assert library.audio.missing() == []
        assert library.check() == []
        library.retry(permanent=True)
    assert kills >= 5
    keep_all_of(library.directory, keys)
    assert library.audio.missing() == []
    assert library.audio.unrecorded() == []
    assert library.audio.total().bytes <= 30_000
    assert len(files(library)) == library.audio.total().files > 0


# --- Times -----------------------------------------------------------------------------------------


def shift(recording, copy):
    """Seconds by which `copy` is later than `recording`, by correlation."""
    size = len(recording) + len(copy)
    product = np.fft.irfft(np.fft.rfft(copy, size) * np.conj(np.fft.rfft(recording, size)), size)
    best = int(product.argmax())
    return (best if best < size // 2 else best - size) / SAMPLE_RATE


def test_times_in_a_copy_are_those_of_the_recording(library, tmp_path):
    """An encoder has a delay, which the file states and a decoder removes: at the start and at the end."""
    path = tmp_path / "audio.wav"
    path.write_bytes(wav(90.0))
    new = keep_audio(Audio(two_seconds(1), path, duration=90.0), SPEECH, library.audio.new_path, GO)
    recording, copy = decode(path), decode(new.path)
    assert abs(len(copy) - len(recording)) < 0.01 * SAMPLE_RATE
    for start in (0, 40 * SAMPLE_RATE, 80 * SAMPLE_RATE):
        part = slice(start, start + 5 * SAMPLE_RATE)
        assert abs(shift(recording[part], copy[part])) < 0.005
