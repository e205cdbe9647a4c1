"""A transcript is split into chapters and paragraphs."""

from homescribe.core import Chapter, Segment
from homescribe.formats.paragraphs import sections
from transcripts import transcript


def positions(*arguments):
    """Return the title and start of each section, and the positions of its segments by paragraph."""
    return [
        (
            section.title,
            section.start,
            [[line.position for line in paragraph.lines] for paragraph in section.paragraphs],
        )
        for section in sections(*arguments)
    ]


def test_without_chapters_there_is_one_section_without_title():
    assert positions(transcript(Segment(0, 2, "a"), Segment(2, 4, "b")), ()) == [
        (None, 0.0, [[0, 1]])
    ]


def test_a_segment_belongs_to_the_chapter_that_contains_its_middle():
    segments = (Segment(0, 4, "a"), Segment(4, 9, "b"), Segment(9, 12, "c"))
    chapters = (Chapter(10, 20, "second"), Chapter(5, 10, "first"))  # in no order
    assert positions(transcript(*segments), chapters) == [
        (None, 0.0, [[0]]),
        ("first", 5, [[1]]),
        ("second", 10, [[2]]),
    ]


def test_a_chapter_without_segments_is_kept():
    chapters = (Chapter(0, 5, "first"), Chapter(5, 5, "empty"), Chapter(5, 9, "last"))
    assert positions(transcript(Segment(0, 2, "a"), Segment(5, 7, "b")), chapters) == [
        ("first", 0, [[0]]),
        ("empty", 5, []),
        ("last", 5, [[1]]),
    ]


def test_a_pause_begins_a_paragraph_and_blank_segments_are_left_out():
    segments = (Segment(0, 2, "a"), Segment(2, 3, " "), Segment(3.9, 5, "b"), Segment(7, 8, "c"))
    assert positions(transcript(*segments), ()) == [(None, 0.0, [[0, 2], [3]])]


def test_a_change_of_speaker_begins_a_paragraph():
    segments = (
        Segment(0, 2, "a", speaker="SPEAKER_00"),
        Segment(2, 3, "b", speaker="SPEAKER_00"),
        Segment(3, 4, "c", speaker="SPEAKER_01"),
        Segment(4, 5, "d"),
    )
    (section,) = sections(transcript(*segments), ())
    found = [(paragraph.speaker, len(paragraph.lines)) for paragraph in section.paragraphs]
    assert found == [("SPEAKER_00", 2), ("SPEAKER_01", 1), (None, 1)]
