"""Sources of other packages: found by entry points, completed by defaults, and reported when broken."""

import sys
from threading import Event

import pytest

from command_line import install_package
from homescribe import Item, SourceOptions, Sources, link, plugins
from homescribe.errors import SetupError, UserError
from homescribe.formats.filenames import file_name

# What a package must contain at least: the methods without a default.
MINIMAL = """
from homescribe.core import Audio, Item, Listing

class Radio:
    name = "radio"
    pause = (1.0, 2.0)
    def matches(self, url):
        return url.startswith("https://radio.example/")
    def list(self, url, stop):
        yield Listing(url, "Radio", iter([Item("radio", "1", url, "News", media_url=url + "/1.mp3")]))
    def fetch(self, item, directory, stop):
        return Audio(item, directory / "audio.mp3")
    def close(self):
        pass
"""
NEWS = Item("radio", "1", "https://radio.example/news", "News", upload_date="2026-03-01")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package `radio` with this module and this entry point."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(module, entry="radio = radio:Radio"):
        name, _, target = entry.partition(" = ")
        install_package(
            tmp_path, "radio-source", {"radio.py": module}, {"homescribe.sources": {name: target}}
        )
        plugins._entry_points.cache_clear()

    yield install
    sys.modules.pop("radio", None)
    plugins._entry_points.cache_clear()


def test_a_source_of_another_package_is_used_for_its_addresses_and_items(install, tmp_path):
    install(MINIMAL)
    with Sources(SourceOptions(cache=tmp_path)) as sources:
        name, source = sources.for_url("https://radio.example/news")
        assert (name, source.pause) == ("radio", (1.0, 2.0))
        assert sources.for_item(NEWS) is source


def test_a_source_of_another_package_has_defaults_for_what_it_lacks(install, tmp_path):
    install(MINIMAL)
    source = plugins.source_of(NEWS)
    assert source.__name__ == "Radio"
    assert link(NEWS, 83.9) == "https://radio.example/news#t=83"
    assert source.rate_limit_key(NEWS) == "radio.example"
    assert source.expected_bytes(NEWS, 3600.0) == 57_600_000
    assert source.file_date(NEWS) == "2026-03-01"
    assert source.file_tag(NEWS) is None
    assert source.local_path(NEWS) is None
    assert source.embedded_player(NEWS) is None
    assert source.caption_key(NEWS) == "radio.example captions"
    assert source.caption_pause == (5.0, 10.0)
    assert source(SourceOptions(cache=tmp_path)).captions(NEWS, tmp_path, Event()) is None


def test_a_source_of_another_package_describes_its_items_itself(install):
    install(
        MINIMAL
        + """
    @staticmethod
    def link(item, seconds):
        return f"{item.url}?from={seconds:.0f}"
"""
    )
    assert link(NEWS, 83.9) == "https://radio.example/news?from=84"
    assert plugins.source_of(NEWS) is plugins.source_of(NEWS)


@pytest.mark.parametrize(
    ("module", "entry", "message"),
    [
        ("1 / 0", "radio = radio:Radio", "ZeroDivisionError: division by zero"),
        ("x = 1", "radio = radio:Radio", "AttributeError: module 'radio' has no attribute 'Radio'"),
        ("import", "radio = radio:Radio", "SyntaxError"),
    ],
)
def test_a_source_that_cannot_be_imported_is_reported_in_one_line(install, module, entry, message):
    install(module, entry)
    with pytest.raises(SetupError) as caught:
        plugins.source_of(NEWS)
    start = "The source 'radio' of the package 'radio-source' cannot be loaded: "
    assert caught.value.message.startswith(start + message)
    assert "\n" not in caught.value.message
    assert "pip uninstall radio-source" in caught.value.hint


def test_a_source_that_needs_a_missing_package(install):
    install("import no_such_package")
    with pytest.raises(SetupError, match="'no_such_package', which is not installed") as caught:
        plugins.source_of(NEWS)
    assert caught.value.hint == "Run: pip install no_such_package"


def test_a_source_that_is_not_a_class_is_reported(install):
    install("def Radio(options): pass")
    with pytest.raises(SetupError, match="The source 'radio' is not a class"):
        plugins.source_of(NEWS)


def test_an_item_of_a_removed_source_still_has_a_link():
    assert link(NEWS, 83.9) == "https://radio.example/news#t=83"


def test_a_built_in_name_cannot_be_taken(install):
    install(MINIMAL, "podcast = radio:Radio")
    assert plugins.load("sources", "podcast").__module__ == "homescribe.sources.podcast"
    assert plugins.names("sources") == ["file", "podcast", "ytdlp"]


def test_an_unknown_name_lists_the_known_ones(install):
    install(MINIMAL)
    with pytest.raises(UserError) as caught:
        plugins.load("sources", "nothing")
    assert caught.value.message == "There is no source named 'nothing'."
    assert caught.value.hint == "Choose one of: file, podcast, radio, ytdlp."


@pytest.mark.parametrize(
    ("item", "tag", "player"),
    [
        (Item("youtube", "jNQXAC9IVRw", "https://youtu.be/jNQXAC9IVRw", "t"), "jNQXAC9IVRw", True),
        (Item("youtube", "short", "https://youtu.be/short", "t"), None, False),
        (Item("youtube", "../../../etc", "https://youtu.be/x", "t"), None, False),
        (Item("vimeo", "76979871000", "https://vimeo.com/7", "t"), None, False),
        (Item("podcast", "0123456789a", "https://host.example/", "t"), None, False),
        (Item("file", "0123456789a", "/talk.mp3", "t"), None, False),
    ],
)
def test_only_youtube_videos_have_a_tag_and_a_player(item, tag, player):
    source = plugins.source_of(item)
    assert source.file_tag(item) == tag
    assert (source.embedded_player(item) is not None) is player


def test_expected_bytes_of_an_hour():
    def hour(source):
        item = Item(source, "1", "/talk.mp3", "t")
        return plugins.source_of(item).expected_bytes(item, 3600.0)

    assert hour("youtube") == 22_500_000  # 50 kbit/s
    assert hour("podcast") == 57_600_000  # 128 kbit/s
    assert hour("file") == 0


def test_a_local_file_is_known_by_its_path_and_not_by_its_date(tmp_path):
    item = Item("file", "1", str(tmp_path / "talk.mp3"), "t", upload_date="2026-03-01")
    source = plugins.source_of(item)
    assert source.local_path(item) == tmp_path / "talk.mp3"
    assert source.file_date(item) is None


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("News-1", "2026-03-01 News [News-1].srt"),
        ("../../etc/x", "2026-03-01 News [radio 1].srt"),
        ("x" * 65, "2026-03-01 News [radio 1].srt"),
        ("", "2026-03-01 News [radio 1].srt"),
    ],
)
def test_an_unsafe_tag_is_not_used_in_a_file_name(install, tag, name):
    install(f"{MINIMAL}\n    @staticmethod\n    def file_tag(item):\n        return {tag!r}\n")
    assert file_name(NEWS, "srt") == name
