"""Lyrics have times and lines, and no text that a player reads as a tag."""

import re
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from homescribe.core import Segment
from homescribe.formats.lrc import to_lrc
from transcripts import ITEM, spoken, transcript

LRC_TAG = re.compile(r"\[([a-z]+|\d+):([^\]]*)\]")


def test_headers_times_and_lines():
    item = replace(ITEM, channel=None)
    said = transcript(
        Segment(0.004, 2, " Hello."),
        Segment(2, 3, " "),
        Segment(59.996, 62, " [Music]"),
        Segment(7384.125, 7386, " two hours later"),
    )
    assert to_lrc(item, said) == (
        "[ti:Me at the zoo]\n"
        "[length:123:06]\n"
        "[00:00.00]Hello.\n"
        "[01:00.00][Music]\n"
        "[123:04.12]two hours later\n"
    )


@given(st.lists(st.text(st.sampled_from("[]<>:10. artiof\n\r\x00\u2028é")), min_size=3))
@example(["x]\n[ar:forged", "[00:10.00]jump", "<00:01.00> word"])
@example(["a[", "b]", "[[00:10.00]]"])
def test_no_text_becomes_a_tag(texts):
    title, channel, *said = texts
    lines = to_lrc(replace(ITEM, title=title, channel=channel), spoken(*said)).splitlines()
    tags = [LRC_TAG.findall(line) for line in lines]
    assert all(len(found) == 1 for found in tags), lines
    headers = [name for name, value in (("ti", title), ("ar", channel)) if kept_line(value)]
    assert [name for ((name, _),) in tags if not name.isdigit()] == [*headers, "length"]
    assert sum(name.isdigit() for ((name, _),) in tags) == sum(bool(kept_line(t)) for t in said)
    assert not any(re.search(r"<\s*\d+\s*:", line) for line in lines)


def kept_line(text):
    return " ".join(text.replace("\x00", "").split())
