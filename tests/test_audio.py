"""Audio is decoded completely, at the right time, and safely."""

import io
import json
import math
import random
import subprocess
import sys
import tempfile
import wave
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest

from fuzz import mutated, write_recordings
from homescribe import audio, demo
from homescribe.audio import waveform
from homescribe.errors import HomescribeError, PermanentError, RetryableError

SAMPLES = sorted(p for p in demo.samples().iterdir() if p.suffix not in (".txt", ".json"))
RATE = audio.SAMPLE_RATE


def tone(seconds, rate=RATE, hertz=440.0, loudness=0.5):
    time = np.arange(round(seconds * rate)) / rate
    return (loudness * np.sin(2 * math.pi * hertz * time) * 32767).astype(np.int16)


def wav(samples, rate=RATE, channels=1):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(np.ascontiguousarray(samples).tobytes())
    return file.getvalue()


def encoded(samples, codec, container, rate=48_000, **options):
    """Return int16 mono `samples` encoded as the bytes of a file."""
    with tempfile.TemporaryDirectory() as folder:  # "faststart" reads back its output
        path = Path(folder) / "encoded"
        _encode(path, samples, codec, container, rate, options)
        return path.read_bytes()


def _encode(path, samples, codec, container, rate, options):
    with av.open(str(path), "w", format=container, container_options=options) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        fit = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate)
        fifo = av.AudioFifo()
        for piece in fit.resample(frame):
            fifo.write(piece)
        size = stream.codec_context.frame_size or 1024
        while piece := fifo.read(size, partial=True):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))


def video_only(path):
    with av.open(str(path), "w", format="matroska") as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.name)
def test_samples_are_decoded_completely_from_a_path_and_from_bytes(path):
    truth = json.loads(path.with_suffix(".json").read_text())
    waveform = audio.decode(path)
    assert waveform.dtype == np.float32
    assert waveform.ndim == 1
    assert truth[-1]["end"] < len(waveform) / RATE < truth[-1]["end"] + 3
    assert 0.3 < np.abs(waveform).max() <= 1
    np.testing.assert_array_equal(waveform, audio.decode(path.read_bytes()))
    assert audio.probe(path) == pytest.approx(len(waveform) / RATE, abs=0.1)
    sentence = truth[0]
    loud = waveform[round(sentence["start"] * RATE) : round(sentence["end"] * RATE)]
    quiet = waveform[: round((sentence["start"] - 0.1) * RATE)]
    assert np.abs(loud).mean() > 20 * np.abs(quiet).mean()


def test_blocks_are_equally_long_and_join_to_the_waveform():
    path = SAMPLES[0]
    pieces = list(audio.blocks(path, seconds=7.5))
    assert {len(p) for p in pieces[:-1]} == {round(7.5 * RATE)}
    assert 0 < len(pieces[-1]) <= round(7.5 * RATE)
    np.testing.assert_array_equal(np.concatenate(pieces), audio.decode(path))


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("libopus", "webm"),
        ("libopus", "ogg"),
        ("aac", "mp4"),
        ("aac", "adts"),
        ("aac", "mpegts"),
        ("libmp3lame", "mp3"),
        ("flac", "flac"),
        ("pcm_s16le", "wav"),
        ("alac", "ipod"),
        ("pcm_s24be", "aiff"),
        ("pcm_s16le", "matroska"),
    ],
)
def test_every_common_container(codec, container):
    waveform = audio.decode(encoded(tone(3, 48_000), codec, container))
    assert len(waveform) / RATE == pytest.approx(3, abs=0.1)
    middle = waveform[RATE : 2 * RATE]
    assert np.argmax(np.abs(np.fft.rfft(middle))) == pytest.approx(440, abs=2)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.5 / math.sqrt(2), rel=0.05)


def test_stereo_is_neither_louder_nor_clipped():
    both = np.repeat(tone(1, loudness=0.95)[:, None], 2, axis=1)
    assert np.abs(audio.decode(wav(both, channels=2))).max() == pytest.approx(0.95, abs=0.01)


def test_a_late_start_and_a_gap_become_silence(tmp_path):
    """Audio of a video that begins at 1 s and lacks 4..7 s."""
    path = tmp_path / "gaps.mkv"
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=10)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        sound = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for number in range(100):
            image = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            out.mux(video.encode(image))
            second, tenth = divmod(number, 10)
            if tenth == 0 and second not in (0, 4, 5, 6):
                frame = av.AudioFrame.from_ndarray(tone(1)[None], format="s16", layout="mono")
                frame.sample_rate, frame.pts = RATE, second * RATE
                out.mux(sound.encode(frame))
        out.mux(video.encode(None))
    waveform = audio.decode(path)
    seconds = waveform[: 10 * RATE].reshape(10, RATE)
    assert [bool(np.abs(s[200:-200]).max() > 0.1) for s in seconds] == [
        *(False, True, True, True, False, False, False, True, True, True)
    ]


def test_the_sample_rate_may_change_midway():
    both = encoded(tone(2, 44_100), "aac", "adts", 44_100)
    both += encoded(tone(2, 24_000), "aac", "adts", 24_000)
    waveform = audio.decode(both)
    assert len(waveform) / RATE == pytest.approx(4, abs=0.3)
    for second in (1, 3):
        spectrum = np.abs(np.fft.rfft(waveform[second * RATE : second * RATE + RATE // 2]))
        assert np.argmax(spectrum) * 2 == pytest.approx(440, abs=4)


# --- Damaged and missing audio ---------------------------------------------------------------------


def test_a_truncated_file_is_not_a_short_recording():
    for path in SAMPLES:
        whole = path.read_bytes()
        duration = audio.probe(path)
        assert len(audio.decode(whole, duration=round(duration))) > 0
        if path.suffix == ".m4a":  # its index is at the end
            whole = encoded(tone(60), "aac", "mp4", RATE, movflags="faststart")
            duration = 60
        with pytest.raises(RetryableError, match="ends early"):
            audio.decode(whole[: len(whole) * 2 // 3], duration=duration)


@pytest.mark.parametrize(
    ("decoded", "expected", "short"),
    [
        (598.5, 600, False),  # a site's rounding
        (1.2, 3.0, False),
        (0.5, 3.0, True),
        (590, 600, False),
        (585, 600, True),
        (3575, 3600, False),
        (3565, 3600, True),
        (35_960, 36_000, True),  # never more than 30 s, however long
        (700, 600, False),
    ],
)
def test_how_much_may_be_missing(decoded, expected, short):
    if short:
        with pytest.raises(RetryableError):
            audio.check_duration(decoded, expected)
    else:
        audio.check_duration(decoded, expected)


def test_damage_in_the_middle_is_skipped_but_not_counted_as_silence():
    whole = bytearray(encoded(tone(60), "aac", "mp4", RATE, movflags="faststart"))
    body = whole.index(b"mdat") + 4
    third = (len(whole) - body) // 3
    whole[body + third : body + third + 800] = bytes(800)  # a few packets
    waveform = audio.decode(bytes(whole), duration=60)
    assert len(waveform) / RATE == pytest.approx(60, abs=1)
    whole[body + third : body + 2 * third] = b"\xff" * third
    with pytest.raises(RetryableError, match="ends early"):
        audio.decode(bytes(whole), duration=60)


def test_a_file_that_is_no_recording_gives_one_line(tmp_path):
    video_only(tmp_path / "video.mkv")
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "text.mp3").write_text("This is a letter, not a song.\n" * 1000)
    (tmp_path / "noise.webm").write_bytes(np.random.default_rng(0).bytes(200_000))
    (tmp_path / "zeros.m4a").write_bytes(bytes(200_000))
    (tmp_path / "nothing.wav").write_bytes(wav(tone(0)))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    (tmp_path / "folder.mp3").mkdir()
    (tmp_path / "head.m4a").write_bytes(SAMPLES[2].read_bytes()[:2000])
    messages = set()
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(PermanentError) as caught:
            audio.decode(path)
        assert "\n" not in caught.value.message
        messages.add(caught.value.message)
    assert "empty.mp3 is empty." in messages
    assert "The file has no audio stream." in messages
    assert "text.mp3 is not audio or video that can be decoded." in messages
    with pytest.raises(PermanentError, match="is empty"):
        audio.decode(b"")
    with pytest.raises(RetryableError, match="no longer there"):
        audio.decode(tmp_path / "gone.mp3")
    for name in ("video.mkv", "text.mp3", "empty.mp3"):
        with pytest.raises(PermanentError):
            audio.probe(tmp_path / name)


def test_an_estimated_length_is_not_returned(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(encoded(tone(3), "aac", "adts", RATE))
    assert audio.probe(path) is None
    path.write_bytes(encoded(tone(3), "libmp3lame", "mp3", RATE, write_xing="0"))
    assert audio.probe(path) is None
    path.write_bytes(encoded(tone(3), "libmp3lame", "mp3", RATE))
    assert audio.probe(path) == pytest.approx(3, abs=0.2)


# --- Hostile media ---------------------------------------------------------------------------------

OPENERS = {  # text that makes ffmpeg open other files
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:40\n#EXTINF:37,\n{0}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile {0}\n",
    "concat-protocol": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nconcat:{0}|{0}\n#EXT-X-ENDLIST\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
    ' mediaPresentationDuration="PT37S"><Period><AdaptationSet mimeType="audio/webm">'
    '<Representation id="1" bandwidth="9"><BaseURL>{0}</BaseURL><SegmentBase/></Representation>'
    "</AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
}


@pytest.mark.parametrize("kind", OPENERS)
@pytest.mark.parametrize("suffix", ["mp3", "m3u8", "ffconcat", "mpd", "sdp"])
def test_no_file_makes_us_open_another(tmp_path, kind, suffix):
    target = tmp_path / "secret.webm"
    target.write_bytes(SAMPLES[0].read_bytes())
    path = tmp_path / f"song.{suffix}"
    path.write_text(OPENERS[kind].format(target))
    with pytest.raises(PermanentError, match="not audio or video"):
        audio.decode(path)
    with pytest.raises(PermanentError):
        audio.decode(path.read_bytes())


def test_absurd_rates_and_channels_are_refused():
    for rate, channels in ((1, 1), (8, 1), (4_000_000, 1), (16_000, 200), (16_000, 2_000)):
        head = bytearray(wav(np.zeros(channels * 1000, np.int16)))
        head[22:24] = channels.to_bytes(2, "little")
        head[24:28] = rate.to_bytes(4, "little")
        head[32:34] = min(65_535, channels * 2).to_bytes(2, "little")
        with pytest.raises(PermanentError):
            audio.decode(bytes(head))


def with_gap(path, hours):
    """Two seconds of sound with a gap of `hours` between them in the timestamps."""
    with av.open(str(path), "w") as out:
        sound = out.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for pts in (0, round(hours * 3600) * RATE):
            frame = av.AudioFrame.from_ndarray(tone(1)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, pts
            out.mux(sound.encode(frame))
    return path


@pytest.mark.parametrize("hours", [26, 10**6])
def test_a_gap_of_days_in_the_timestamps_does_not_become_silence(tmp_path, hours):
    warnings = []
    blocks = list(audio.blocks(with_gap(tmp_path / "gap.mkv", hours), warnings=warnings))
    assert sum(map(len, blocks)) == pytest.approx(2 * RATE, rel=0.01)
    (warning,) = warnings
    assert f"jump by {hours} hours at 1 s" in warning
    assert "later times are that much earlier" in warning


def test_a_gap_of_minutes_becomes_silence(tmp_path):
    warnings = []
    blocks = list(audio.blocks(with_gap(tmp_path / "gap.mkv", 0.5), warnings=warnings))
    assert sum(map(len, blocks)) == pytest.approx(1801 * RATE, rel=0.01)
    assert warnings == []


def test_a_recording_longer_than_a_week_is_refused(monkeypatch):
    monkeypatch.setattr(waveform, "MAX_SECONDS", 2)
    with pytest.raises(PermanentError, match="longer than a week"):
        audio.decode(wav(tone(3)))


# --- Odd but honest media --------------------------------------------------------------------------


def multitrack(path, *tracks, picture=0.0):
    """Write int16 mono `tracks` as the audio tracks of one file, beside a picture of some seconds."""
    with av.open(str(path), "w") as out:
        streams = [
            out.add_stream(
                "pcm_s16le" if path.suffix == ".mkv" else "aac", rate=RATE, layout="mono"
            )
            for _ in tracks
        ]
        for stream, language in zip(streams, ("eng", "fra", "deu"), strict=False):
            stream.metadata["language"] = language
        if picture:
            video = out.add_stream("mpeg4", rate=10)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            for _ in range(round(picture * 10)):
                frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        for stream, samples in zip(streams, tracks, strict=True):
            fit = av.AudioResampler(stream.codec_context.format, "mono", RATE)
            frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            frame.sample_rate = RATE
            fifo = av.AudioFifo()
            for piece in fit.resample(frame):
                fifo.write(piece)
            while piece := fifo.read(stream.codec_context.frame_size or 1024, partial=True):
                out.mux(stream.encode(piece))
            out.mux(stream.encode(None))
    return path


def loudness(waveform):
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def test_a_stream_that_appears_after_opening_is_skipped():
    whole = encoded(tone(5), "aac", "flv")
    # A tag of FLV: type (9 is video), length of its data, time, 0, the data, length of the tag.
    data = b"\x22" + bytes(40)
    tag = (
        b"\x09"
        + len(data).to_bytes(3, "big")
        + bytes(7)
        + data
        + (11 + len(data)).to_bytes(4, "big")
    )
    position, tags = 13, []
    while position < len(whole):
        tags.append(position)
        position += 11 + int.from_bytes(whole[position + 1 : position + 4], "big") + 4
    at = tags[len(tags) // 2]
    with av.open(io.BytesIO(whole[:at] + tag + whole[at:])) as container:
        container.streams.best("audio")
        if len(container.streams) == 1:  # else this version of ffmpeg looked far enough ahead
            with pytest.raises(IndexError):
                list(container.demux(container.streams.audio[0]))
    waveform = audio.decode(whole[:at] + tag + whole[at:])
    assert len(waveform) == pytest.approx(len(audio.decode(whole)), abs=RATE // 10)


def test_the_length_of_the_sound_counts_and_not_that_of_a_longer_picture(tmp_path):
    path = multitrack(tmp_path / "talk.mp4", tone(11), picture=14)
    assert audio.probe(path) == pytest.approx(11, abs=0.2)
    assert len(audio.decode(path, duration=14)) == pytest.approx(11 * RATE, rel=0.02)
    with pytest.raises(RetryableError, match="11 of 60 seconds"):  # a preview of something longer
        audio.decode(path, duration=60)


def test_a_file_of_the_users_own_that_ends_early_is_a_warning(tmp_path):
    path = tmp_path / "talk.wav"
    path.write_bytes(wav(tone(9)))
    warnings = []
    blocks = list(audio.blocks(path, duration=56, strict=False, warnings=warnings))
    assert sum(map(len, blocks)) == 9 * RATE
    assert warnings == ["The audio ends early: 9 of 56 seconds could be decoded."]


def test_joined_mp3s_have_no_known_length_and_are_decoded_whole(tmp_path):
    first, second = (encoded(tone(seconds), "libmp3lame", "mp3", RATE) for seconds in (3, 11))
    path = tmp_path / "joined.mp3"
    path.write_bytes(first + second)
    assert audio.probe(path) is None
    assert len(audio.decode(path)) == pytest.approx(14 * RATE, rel=0.02)
    path.write_bytes(first + b"TAG" + bytes(125))  # an ID3v1 tag at the end is no second file
    assert audio.probe(path) == pytest.approx(3, abs=0.2)
    path.write_bytes(first + b"APETAGEX" + bytes(9000))  # with a large tag ffmpeg only estimates
    assert audio.probe(path) is None


def test_channels_of_opposite_phase_do_not_cancel_out():
    one = tone(4)
    expected = loudness(audio.decode(wav(one)))
    opposite = np.stack([one, -one], 1).reshape(-1)
    assert loudness(audio.decode(wav(opposite, channels=2))) == pytest.approx(expected, rel=0.01)
    # One speaker on each channel is mixed, and neither is lost.
    other = tone(4, hertz=1000.0)
    both = np.stack([one, other], 1).reshape(-1)
    mixed = audio.decode(wav(both, channels=2))
    np.testing.assert_allclose(mixed, (one.astype(float) + other) / 2 / 32768, atol=2e-4)


def test_a_silent_first_track_gives_way_to_the_next(tmp_path):
    path = multitrack(tmp_path / "two.mkv", np.zeros(3 * RATE, np.int16), tone(3))
    warnings = []
    waveform = np.concatenate(list(audio.blocks(path, warnings=warnings)))
    assert loudness(waveform) > 0.3
    assert warnings == ["Audio track 2 of 2 (fra) was used: track 1 is silent."]
    np.testing.assert_array_equal(waveform, audio.decode(path.read_bytes()))


def test_of_several_tracks_one_is_used_and_named_and_another_can_be_chosen(tmp_path):
    path = multitrack(tmp_path / "two.mkv", tone(3), tone(2, loudness=0.1))
    warnings = []
    assert loudness(np.concatenate(list(audio.blocks(path, warnings=warnings)))) > 0.3
    second = np.concatenate(list(audio.blocks(path, track=2, warnings=warnings)))
    assert loudness(second) < 0.1
    assert warnings == [
        "Audio track 1 of 2 (eng) was used.",
        "Audio track 2 of 2 (fra) was used.",
    ]
    with pytest.raises(PermanentError, match="no audio track 3: the file has 2"):
        list(audio.blocks(path, track=3))
    silent = multitrack(tmp_path / "silent.mkv", *[np.zeros(RATE, np.int16)] * 2)
    assert not audio.decode(silent).any()


@pytest.mark.parametrize("stated", [0.25, 0.9])
def test_a_wav_header_that_states_too_little_hides_nothing(tmp_path, stated):
    whole = wav(tone(8))
    at = whole.index(b"data") + 4
    length = round((len(whole) - at - 4) * stated) // 2 * 2
    path = tmp_path / "short.wav"
    path.write_bytes(whole[:at] + length.to_bytes(4, "little") + whole[at + 4 :])
    assert audio.probe(path) == pytest.approx(8)
    assert len(audio.decode(path)) == 8 * RATE
    assert len(audio.decode(path.read_bytes())) == 8 * RATE


def test_a_chunk_after_the_samples_of_a_wav_is_not_taken_for_sound(tmp_path):
    path = tmp_path / "tagged.wav"
    path.write_bytes(wav(tone(3)) + b"LIST" + (9000).to_bytes(4, "little") + bytes(9000))
    assert audio.probe(path) == pytest.approx(3)
    assert len(audio.decode(path)) == 3 * RATE


PEAK = """
import sys
from pathlib import Path
from benchmarks.memory import peak_bytes
from homescribe import audio
total = sum(len(b) for b in audio.blocks(Path(sys.argv[1])))
print(total / 16000, peak_bytes())
"""


def peak(path):
    """Return the seconds decoded and the peak memory in bytes of a process that streams `path`."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent.parent,
    )
    seconds, peak_bytes = done.stdout.split()
    return float(seconds), int(peak_bytes)


@pytest.mark.slow
def test_memory_does_not_grow_with_length(tmp_path):
    for minutes in (5, 120):
        with wave.open(str(tmp_path / f"{minutes}.wav"), "wb") as out:
            out.setparams((1, 2, RATE, 0, "NONE", ""))
            for _ in range(minutes):
                out.writeframes(tone(60).tobytes())
    short, long = peak(tmp_path / "5.wav"), peak(tmp_path / "120.wav")
    assert (short[0], long[0]) == (300, 120 * 60)
    assert long[1] < short[1] + 20e6  # the whole waveform would take 460 MB


# --- Errors ----------------------------------------------------------------------------------------


def error_classes():
    found = {av.error.FFmpegError}
    while more := {c for parent in found for c in parent.__subclasses__()} - found:
        found |= more
    return sorted(found, key=lambda c: c.__name__)


@pytest.mark.parametrize("kind", error_classes(), ids=lambda c: c.__name__)
def test_every_error_of_pyav_has_a_reaction(kind):
    with pytest.raises(HomescribeError) as caught, audio.translated("talk.mp3"):
        raise kind(1, "made for this test")
    assert "talk.mp3" in caught.value.message
    assert isinstance(caught.value.__cause__, kind)
    expected = PermanentError
    is_memory = issubclass(kind, MemoryError)  # of this recording: the run goes on
    if is_memory or (issubclass(kind, OSError) and not issubclass(kind, PermissionError)):
        expected = RetryableError
    assert type(caught.value) is expected


def test_a_file_that_refers_to_places_before_its_start_is_damaged(tmp_path, capfd):
    """Not a disk that fails, and PyAV prints no traceback."""
    good = write_recordings(tmp_path / "good")
    for seed in (19, 314, 343, 433, 582):
        extension, data = mutated(random.Random(seed), good)
        path = tmp_path / f"talk.{extension}"
        path.write_bytes(data)
        with suppress(PermanentError):
            audio.probe(path)
            list(audio.blocks(path, warnings=[]))
    assert capfd.readouterr().err == ""
