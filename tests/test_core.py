"""Deep links: the address of a recording that opens at a second."""

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homescribe import Item, link


def item(url, source="youtube"):
    return Item(source, "an-id", url, "A title")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "https://www.youtube.com/watch?v=jNQXAC9IVRw",
            "https://www.youtube.com/watch?v=jNQXAC9IVRw&t=83s",
        ),
        ("https://youtu.be/jNQXAC9IVRw", "https://youtu.be/jNQXAC9IVRw?t=83s"),
        (
            "https://m.youtube.com/watch?v=jNQXAC9IVRw&list=PL1#comments",
            "https://m.youtube.com/watch?v=jNQXAC9IVRw&list=PL1&t=83s",
        ),
        ("https://music.youtube.com/watch?v=x", "https://music.youtube.com/watch?v=x&t=83s"),
        ("https://WWW.YouTube.com/watch?v=x", "https://WWW.YouTube.com/watch?v=x&t=83s"),
        ("https://www.youtube.com/live/x?si=y", "https://www.youtube.com/live/x?si=y&t=83s"),
        (
            "https://www.youtube-nocookie.com/embed/x",
            "https://www.youtube-nocookie.com/embed/x?t=83s",
        ),
    ],
)
def test_youtube_opens_at_the_second(url, expected):
    assert link(item(url), 83.9) == expected


@pytest.mark.parametrize("old", ["t=5", "t=1m5s", "start=5", "t=5&start=7"])
def test_a_time_in_the_address_is_replaced(old):
    url = f"https://www.youtube.com/watch?{old}&v=x"
    assert link(item(url), 83.9) == "https://www.youtube.com/watch?v=x&t=83s"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://vimeo.com/76979871", "https://vimeo.com/76979871#t=83s"),
        ("https://vimeo.com/76979871#t=5s", "https://vimeo.com/76979871#t=83s"),
        ("https://player.vimeo.com/video/7?h=a", "https://player.vimeo.com/video/7?h=a#t=83s"),
    ],
)
def test_vimeo_has_the_second_in_the_fragment(url, expected):
    assert link(item(url, "vimeo"), 83.9) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.org/episodes/7", "https://example.org/episodes/7#t=83"),
        ("https://example.org/7.mp3?a=1&t=2", "https://example.org/7.mp3?a=1&t=2#t=83"),
        ("https://example.org/7#notes", "https://example.org/7#t=83"),
        ("https://notyoutube.com/watch?v=x", "https://notyoutube.com/watch?v=x#t=83"),
        ("https://youtube.com.example.org/x", "https://youtube.com.example.org/x#t=83"),
    ],
)
def test_other_sites_get_a_media_fragment(url, expected):
    assert link(item(url, "podcast"), 83.9) == expected


def test_a_file_is_opened_by_its_address(tmp_path):
    path = tmp_path / "My talk #1 100%.mp3"
    address = link(item(str(path), "file"), 83.9)
    assert address == f"{tmp_path.as_uri()}/My%20talk%20%231%20100%25.mp3#t=83"


def test_a_file_whose_name_is_no_utf8(tmp_path):
    address = link(item(f"{tmp_path}/caf\udce9.mp3", "file"), 0)
    assert address == f"{tmp_path.as_uri()}/caf%E9.mp3#t=0"


def test_a_negative_time_is_the_start():
    assert link(item("https://youtu.be/x"), -0.5) == "https://youtu.be/x?t=0s"


@pytest.mark.parametrize(
    "url", ["http://[broken", "https://youtu.be/?a=\ud800", "http://\u2100.example.org/"]
)
def test_an_invalid_address_is_not_changed(url):
    """An invalid address in a feed must not stop an export."""
    assert link(item(url, "podcast"), 83.9) == url


@given(
    st.sampled_from(["https://www.youtube.com/watch", "https://youtu.be/x"]),
    st.dictionaries(
        st.sampled_from(["v", "list", "si", "index"]), st.text("aZ09_- &=é#", min_size=1)
    ),
    st.floats(0, 100_000),
)
@example("https://www.youtube.com/watch", {"v": "id", "si": "0a0B0c0D0e0F0g0H0i0J"}, 83.0)
def test_other_parts_of_the_address_are_kept(address, query, seconds):
    found = urlsplit(link(item(f"{address}?{urlencode(query)}"), seconds))
    assert dict(parse_qsl(found.query)) == {**query, "t": f"{int(seconds)}s"}
