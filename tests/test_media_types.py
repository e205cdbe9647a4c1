"""The type of a recording comes from its content, so that a file without an extension plays, too."""

from types import SimpleNamespace

import httpx
import pytest
from av.stream import Disposition

import fuzz
from homescribe import Item, Listing, demo
from homescribe.audio import media_type, media_types
from homescribe.errors import PermanentError
from homescribe.library import Library
from pages import until
from web_server import serving

TYPES = {
    "aac": "audio/aac",
    "ac3": None,
    "aiff": "audio/aiff",
    "avi": None,
    "caf": "audio/x-caf",
    "flac": "audio/flac",
    "flv": None,
    "m4a": "audio/mp4",
    "mka": "audio/x-matroska",
    "mkv": "video/x-matroska",
    "mov": "video/mp4",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "ts": "video/mp2t",
    "wav": "audio/wav",
    "webm": "audio/webm",
    "wma": None,
}
# Names that say nothing, or something wrong.
NAMES = {
    "interview": ("wav", "audio/wav"),
    "voice.bin": ("mp3", "audio/mpeg"),
    "memo.mp3": ("ogg", "audio/ogg"),
    "talk.txt": ("webm", "audio/webm"),
    "film.MP3.part": ("mp4", "video/mp4"),
    "old.mp4": ("avi", None),
    "notes.mp3": (None, None),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    fuzz.write_recordings(folder)
    return folder


@pytest.mark.parametrize("extension", TYPES)
def test_the_type_is_that_of_the_content(recordings, tmp_path, extension):
    path = tmp_path / "recording"
    path.write_bytes((recordings / f"good.{extension}").read_bytes())
    assert media_type(path) == TYPES[extension]


def test_a_cover_image_is_no_picture(recordings):
    """PyAV cannot write one."""
    path = recordings / "good.mp4"
    assert media_type(path) == "video/mp4"
    streams = [SimpleNamespace(disposition=Disposition.attached_pic)]
    container = SimpleNamespace(streams=SimpleNamespace(video=streams))
    assert not media_types._has_picture(container)
    streams.append(SimpleNamespace(disposition=Disposition.default))
    assert media_types._has_picture(container)


def test_what_has_no_audio_has_no_type(tmp_path):
    path = tmp_path / "talk.mp3"
    path.write_text("not audio")
    with pytest.raises(PermanentError):
        media_type(path)


@pytest.fixture
def base(request, tmp_path, recordings):
    """A library of files with the names of NAMES."""
    if "page" in request.fixturenames:
        request.getfixturevalue("browser")  # must outlive the server's thread
    folder = tmp_path / "talks"
    folder.mkdir()
    for name, (kind, _) in NAMES.items():
        content = (recordings / f"good.{kind}").read_bytes() if kind else b"not audio" * 100
        (folder / name).write_bytes(content)
    (folder / "short").write_bytes((demo.samples() / "fox-20s.mp3").read_bytes())
    items = [Item("file", path.name, str(path), path.name) for path in folder.iterdir()]
    with Library(tmp_path / "library") as library:
        library.record("file", Listing(str(folder), "talks", iter(())), items)
    with serving(tmp_path / "library") as address:
        yield address


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_is_served_with_the_type_of_its_content(base, name):
    kind = NAMES[name][1]
    answer = httpx.get(f"{base}/media/file:{name}", headers={"Range": "bytes=0-9"})
    found = answer.headers["content-type"] if answer.status_code == 206 else None
    assert found == kind
    page = httpx.get(f"{base}/items/file:{name}").text
    assert ('<audio id="media"' in page) == bool(kind and kind.startswith("audio/"))
    assert ('<video id="media"' in page) == bool(kind and kind.startswith("video/"))


@pytest.mark.browser
def test_a_file_without_an_extension_plays(page):
    page.goto("/items/file:short")
    page.keyboard.press("Space")
    until(page, "document.getElementById('media').currentTime > 0.3")
