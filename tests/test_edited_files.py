"""A file whose tags are edited, or that a program writes anew, is the same recording."""

import struct
import threading

import av
import numpy as np
import pytest

from fake_plugins import FakeBackend, FakeSources, run, transcript
from homescribe.core import Item, Listing, SourceOptions
from homescribe.errors import Cancelled, RetryableError
from homescribe.library import Library
from homescribe.pipeline import add
from homescribe.sources import audio_packets, fingerprints
from homescribe.sources.fingerprints import SAMPLE_BYTES, content_hash, fingerprint
from homescribe.sources.local_files import FileSource

STOP = threading.Event()  # never set
CODECS = {
    ".wav": "pcm_s16le",
    ".mp3": "libmp3lame",
    ".flac": "flac",
    ".m4a": "aac",
    ".opus": "libopus",
    ".mka": "aac",
    ".webm": "libopus",
    ".aiff": "pcm_s16be",
    ".wma": "wmav2",
    ".avi": "libmp3lame",
    ".flv": "libmp3lame",
    ".caf": "pcm_s16be",
    ".au": "pcm_s16be",
    ".wv": "wavpack",
    ".tta": "tta",
}


@pytest.fixture
def source(tmp_path):
    return FileSource(SourceOptions(cache=tmp_path / "cache"))


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


def only(source, url):
    [one] = source.list(str(url), STOP)
    return one, list(one.items)


def tagged(path, title, seconds=5, value=1000, codec=None, **options):
    """Write a recording with a title."""
    rng = np.random.default_rng(value)
    samples = rng.integers(-value, value, seconds * 16_000).astype(np.int16)
    with av.open(path, "w", options=options) as out:
        out.metadata["title"] = title
        rate = 22_050 if path.suffix == ".flv" else 16_000
        stream = out.add_stream(codec or CODECS[path.suffix], rate=rate, layout="mono")
        stream.bit_rate = 64_000
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(format=stream.codec_context.format, rate=stream.rate)
        for each in resampler.resample(frame):
            for packet in stream.encode(each):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return path


def written_anew(path, target=None, title="Copied by another program", **options):
    """Copy the packets of a recording into a new file, without encoding them again."""
    target = target or path
    new = target.with_name(f"new{target.suffix}")
    with av.open(path) as old, av.open(new, "w", options=options) as out:
        out.metadata["title"] = title
        stream = out.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    new.replace(target)
    return target


@pytest.mark.parametrize("sample", [SAMPLE_BYTES, 512])  # read completely, and by samples
@pytest.mark.parametrize("name", [f"talk{suffix}" for suffix in CODECS])
def test_edited_tags_are_the_same_recording(source, tmp_path, monkeypatch, name, sample):
    monkeypatch.setattr(fingerprints, "SAMPLE_BYTES", sample)
    path = tagged(tmp_path / name, "Talk")
    [before] = only(source, path)[1]
    old = path.read_bytes()
    tagged(path, "The talk with a much longer title" * 5)
    assert path.read_bytes() != old
    [after] = only(source, path)[1]
    assert after.key == before.key
    assert source.fetch(before, tmp_path, STOP).path == path
    tagged(path, "Talk", value=1001)
    assert only(source, path)[1][0].key != before.key
    with pytest.raises(RetryableError, match="has changed"):
        source.fetch(before, tmp_path, STOP)


def test_a_description_in_front_of_the_media_is_the_same_recording(source, tmp_path):
    path = tagged(tmp_path / "talk.m4a", "Talk")
    [before] = only(source, path)[1]
    tagged(path, "A title", movflags="faststart")
    assert only(source, path)[1][0].key == before.key


def test_a_trimmed_mp4_is_another_recording(source, tmp_path):
    """Programs that trim without encoding leave the media in the file, and change the length."""
    path = tagged(tmp_path / "talk.m4a", "Talk")
    [before] = only(source, path)[1]
    content = bytearray(path.read_bytes())
    content[content.index(b"mvhd") + 4 + 19] ^= 1
    path.write_bytes(content)
    assert only(source, path)[1][0].key != before.key


@pytest.mark.parametrize("header", [True, False])
def test_tags_at_the_end_of_an_mp3(source, tmp_path, header):
    path = tagged(tmp_path / "talk.mp3", "Talk", id3v2_version="0", write_id3v1="0")
    [before] = only(source, path)[1]
    items = b"Title\0" * 10
    flags = 0x80000000 if header else 0
    ape = b"APETAGEX" + struct.pack("<IIII8x", 2000, len(items) + 32, 1, flags)
    content = path.read_bytes()
    id3v2 = b"ID3\x04\0\0\0\0\x02\0" + bytes(256) + bytes(100)  # with padding after it
    path.write_bytes(
        id3v2 + content + (ape if header else b"") + items + ape + b"TAG" + b"title" * 25
    )
    assert only(source, path)[1][0].key == before.key
    path.write_bytes(content + b"TAG" + b"title" * 25)
    assert only(source, path)[1][0].key == before.key


@pytest.mark.parametrize("name", [f"talk{suffix}" for suffix in CODECS])
def test_a_damaged_file_has_an_id(tmp_path, name):
    content = tagged(tmp_path / name, "Talk", seconds=2).read_bytes()
    rng = np.random.default_rng(0)
    found = set()
    for _ in range(200):
        damaged = bytearray(content[: rng.integers(1, len(content))])
        for at in rng.integers(0, min(len(damaged), 200), 4):
            damaged[at] = rng.integers(0, 256)
        (tmp_path / name).write_bytes(damaged)
        found.add(fingerprint(tmp_path / name).tagged)
    assert len(found) > 190


@pytest.mark.slow
def test_a_recording_that_is_known_by_its_content_with_tags_keeps_its_key(source, tmp_path):
    """Until tags were left out, keys were hashes of all of a file."""
    (tmp_path / "talks").mkdir()
    path = tagged(tmp_path / "talks" / "talk.mp3", "Talk")
    both = fingerprint(path)
    assert both.id != both.tagged
    old = Item(source="file", id=both.tagged, url=str(path), title="talk")
    with Library(tmp_path / "library") as library:
        library.record("file", Listing(str(path.parent), "talks", iter(())), [old])
        library.save(old, transcript())
        for title in ("Talk", "Another title"):
            tagged(path, title)
            [result] = add(library, FakeSources(source), str(path.parent), STOP)
            assert ([item.key for item in result.items], result.new) == ([old.key], ())
        assert library.transcript(old.key) is not None
    tagged(path, "Talk")
    assert source.fetch(old, tmp_path, STOP).path == path


def with_longer_tags(content):
    """Return an Ogg file whose tags need a page more, as an editor writes it: other numbers and checksums."""
    pages = [b"OggS" + page for page in content.split(b"OggS")[1:]]
    more = bytearray(pages[1][:27] + b"\xff" * 200 + bytes(200 * 255))
    more[26] = 200
    edited = [pages[0], pages[1], bytes(more), *pages[2:]]
    for number, page in enumerate(edited):
        checksum = (number * 7919).to_bytes(4, "little")
        edited[number] = page[:14] + b"new " + number.to_bytes(4, "little") + checksum + page[26:]
    return b"".join(edited)


@pytest.mark.parametrize("sample", [SAMPLE_BYTES, 64, 7])
def test_tags_of_an_ogg_file_that_need_a_page_more(tmp_path, monkeypatch, sample):
    monkeypatch.setattr(fingerprints, "SAMPLE_BYTES", sample)
    path = tagged(tmp_path / "talk.opus", "Talk")
    before, whole = fingerprint(path), content_hash(path, STOP)
    content = path.read_bytes()
    path.write_bytes(with_longer_tags(content))
    assert fingerprint(path).id == before.id
    assert fingerprint(path).tagged != before.tagged
    assert content_hash(path, STOP).id == whole.id
    path.write_bytes(content[:-2000] + bytes(2000))
    assert fingerprint(path).id != before.id


def test_a_matroska_file_from_a_browser_has_clusters_of_unknown_length(tmp_path):
    live = tagged(tmp_path / "live.webm", "Talk", live="1")
    before = fingerprint(live)
    tagged(live, "A longer title of the talk", live="1")
    assert fingerprint(live).id == before.id != before.tagged
    tagged(live, "Talk", live="1", value=1001)
    assert fingerprint(live).id != before.id


def test_annotations_of_formats_that_pyav_does_not_write(tmp_path):
    audio = bytes(range(256)) * 20
    path = tmp_path / "talk"

    def same(*contents):
        found = set()
        for content in contents:
            path.write_bytes(content)
            found.add(fingerprint(path).id)
        return len(found) == 1

    def chunk(name, body, form=">4sI"):
        return struct.pack(form, name, len(body)) + body

    def caf(*chunks):
        return b"caff\0\1\0\0" + b"".join(chunks)

    sound = chunk(b"data", b"\0\0\0\1" + audio, ">4sq")
    edited = chunk(b"data", b"\0\0\0\2" + audio, ">4sq")
    info = chunk(b"info", b"\0\0\0\1title\0Talk\0", ">4sq")
    assert same(caf(sound), caf(info, edited), caf(edited, chunk(b"free", bytes(100), ">4sq")))
    assert not same(caf(sound), caf(chunk(b"data", bytes(4) + audio[1:], ">4sq")))
    au = [
        b".snd" + struct.pack(">IIIII", 24 + len(note), len(audio), 3, 8000, 1) + note + audio
        for note in (b"", b"a title\0")
    ]
    assert same(*au)
    aiff = [
        b"FORM" + bytes(4) + b"AIFF" + chunk(b"COMM", bytes(18)) + name + chunk(b"SSND", audio)
        for name in (b"", chunk(b"NAME", b"Talk"), chunk(b"ANNO", b"odd" + b"\0"))
    ]
    assert same(*aiff)
    tags = b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0)
    assert same(b"MAC " + audio, b"MAC " + audio + tags, b"MAC " + audio + b"TAG" + bytes(125))


# --- Files that another program wrote anew ---------------------------------------------------------


def listed(library, source, folder):
    """Add `folder`, and return its items and the new ones among them."""
    [result] = add(library, FakeSources(source), str(folder), STOP)
    assert result.error is None
    return list(result.items), list(result.new)


@pytest.fixture
def talks(tmp_path):
    """A folder with one recording of AAC in Matroska."""
    (tmp_path / "talks").mkdir()
    tagged(tmp_path / "talks" / "talk.mka", "Talk")
    return tmp_path / "talks"


def transcribed(library, source):
    """Run; return the keys of what reached the engine."""
    backend = FakeBackend(lambda _: transcript(duration=5.0))
    outcomes = list(run(library, source, backend))
    assert [outcome.error for outcome in outcomes if outcome.error] == []
    return backend.submitted


def test_a_file_that_was_written_anew_is_transcribed_once(library, source, talks):
    """A program that edits tags by copying makes other clusters, pages or chunks of the same packets."""
    [before], _ = listed(library, source, talks)
    assert transcribed(library, source) == [before.key]
    path = written_anew(talks / "talk.mka", cluster_time_limit="100")
    assert fingerprint(path).id != before.id
    for _ in range(2):
        [after], new = listed(library, source, talks)
        assert (after.key, new) == (before.key, [])
    assert transcribed(library, source) == []
    list(run(library, source, backend := FakeBackend(), keys=[before.key], again=[before.key]))
    assert backend.submitted == [before.key]


def test_a_recording_that_was_moved_into_another_container_and_folder(library, source, talks):
    [before], _ = listed(library, source, talks)
    transcribed(library, source)
    (talks / "new").mkdir()
    written_anew(talks / "talk.mka", talks / "new" / "talk.mp4")
    (talks / "talk.mka").unlink()
    [after], new = listed(library, source, talks)
    assert (after.key, new) == (before.key, [])
    assert library.item(before.key).item.url == str(talks / "new" / "talk.mp4")


def test_another_recording_of_the_same_length_is_new(library, source, talks):
    [before], _ = listed(library, source, talks)
    transcribed(library, source)
    tagged(talks / "talk.mka", "Talk", value=1001)
    [after], new = listed(library, source, talks)
    assert (after.key != before.key, new) == (True, [after])


def test_files_are_read_completely_only_if_they_may_be_known(library, source, talks, monkeypatch):
    listed(library, source, talks)
    transcribed(library, source)
    read = []
    monkeypatch.setattr(audio_packets, "identity", lambda path, stop: read.append(path.name))
    listed(library, source, talks)
    tagged(talks / "longer.mka", "Talk", seconds=8)
    tagged(talks / "as long.mka", "Talk", value=1001)
    listed(library, source, talks)
    assert read == ["as long.mka"]


def test_a_pending_item_of_an_older_library_is_transcribed_after_an_edit(library, source, talks):
    """Its key is a hash with the tags, which are edited after a listing by this version."""
    path = talks / "talk.mka"
    both = fingerprint(path)
    assert both.id != both.tagged
    old = Item(source="file", id=both.tagged, url=str(path), title="talk")
    library.record("file", Listing(str(talks), "talks", iter(())), [old])
    assert listed(library, source, talks)[1] == []
    tagged(path, "Another title")
    assert transcribed(library, source) == [old.key]
    tagged(path, "And another title")
    assert listed(library, source, talks)[1] == []


def test_the_audio_of_several_tracks_counts(tmp_path):
    """Two tracks in another order, or without the second one, are not the same recording."""
    first, second = tagged(tmp_path / "1.mka", "1"), tagged(tmp_path / "2.mka", "2", value=1001)

    def joined(name, *paths):
        with av.open(tmp_path / name, "w") as out:
            inputs = [av.open(path) for path in paths]
            streams = [out.add_stream_from_template(one.streams.audio[0]) for one in inputs]
            for one, stream in zip(inputs, streams, strict=True):
                for packet in one.demux():
                    if packet.dts is not None:
                        packet.stream = stream
                        out.mux(packet)
                one.close()
        return audio_packets.identity(tmp_path / name, STOP)

    both = joined("both.mka", first, second)
    assert both == joined("again.mkv", first, second)
    assert len({both, joined("other.mka", second, first), joined("one.mka", first)}) == 3


@pytest.mark.parametrize("content", [b"", b"no audio" * 100])
def test_a_file_without_audio_has_no_identity_by_its_audio(tmp_path, content):
    (tmp_path / "talk.mp3").write_bytes(content)
    assert audio_packets.identity(tmp_path / "talk.mp3", STOP) is None


def test_reading_the_audio_ends_when_it_takes_too_long_or_the_run_ends(tmp_path, monkeypatch):
    path = tagged(tmp_path / "talk.wav", "Talk")
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        audio_packets.identity(path, stop)
    monkeypatch.setattr(audio_packets, "LONGEST", 0.0)
    assert audio_packets.identity(path, STOP) is None
