"""Subtitles can be read by people, and their text and times by other programs, whatever the text contains."""

import html
import itertools
import re
import unicodedata
from dataclasses import replace

import pysubs2
import pytest
import srt
import webvtt
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from homescribe.core import Segment, SubtitleOptions, Word
from homescribe.formats.line_breaks import FORBIDDEN, break_cost, ends_sentence
from homescribe.formats.reading_cues import GAP, LINE_WIDTH, LONGEST_CUE
from homescribe.formats.subtitles import to_srt, to_vtt
from homescribe.text.scripts import display_width, tokens
from homescribe.text.word_times import in_order, spread
from transcripts import HOSTILE, ITEM, spoken, transcript

BY_SEGMENT = SubtitleOptions(max_line_width=1000)  # Whisper's own cues, one for each segment

# pysubs2 takes any line with two times for the beginning of a cue, in Whisper's files too.
HOLDS_TWO_TIMES = re.compile(r"(\d{1,2}:\d{1,2}:\d{1,2}[.,]\d.*){2}")


def kept(text):
    """Return what a cue can hold of `text`: its lines without empty ones and without control characters."""
    text = re.sub(r"\r\n|\r", "\n", text.strip())
    text = "".join(
        " " if c in "\v\f\x85" else "\ufffd" if unicodedata.category(c) == "Cs" else c
        for c in text
        if c in "\t\n\v\f\x85" or unicodedata.category(c) != "Cc"
    )
    text = re.sub("--+>", "->", text)
    text = "\n".join(line for line in text.split("\n") if line.strip())
    return re.sub(r"\n(?=\s*-?\d+\.?\d*\s*(\n|$))", " ", text)


def read_vtt(file):
    """Return start and end in milliseconds and text of each cue, as the other readers do."""
    captions = webvtt.from_string(file, strict=True)
    # `raw_text` is as in the file; `text` is without what looks like a tag.
    return [
        (
            cue.start_time.in_milliseconds(),
            cue.end_time.in_milliseconds(),
            html.unescape(cue.raw_text),
        )
        for cue in captions
    ]


def read_srt(file):
    return [
        (
            round(cue.start.total_seconds() * 1000),
            round(cue.end.total_seconds() * 1000),
            cue.content,
        )
        for cue in srt.parse(file)
    ]


def read_pysubs2(file):
    events = pysubs2.SSAFile.from_string(file, keep_html_tags=True)
    found = [(event.start, event.end, event.text.replace("\\N", "\n")) for event in events]
    if file.startswith("WEBVTT"):
        return [(start, end, html.unescape(text)) for start, end, text in found]
    return found


READERS = [(to_vtt, read_vtt), (to_srt, read_srt), (to_vtt, read_pysubs2), (to_srt, read_pysubs2)]


def starts(cues):
    return [(start, text) for start, _, text in cues]


def unspaced(text):
    return "".join(text.split())


def texts(said, options=SubtitleOptions()):  # noqa: B008 - frozen
    """Return the text of each cue."""
    return [text for _, _, text in read_srt(to_srt(ITEM, said, options))]


# --- Any text is read back -----------------------------------------------------------------------


@pytest.mark.parametrize(("exporter", "read"), READERS)
def test_hostile_text_is_read_back(exporter, read):
    # Each between two others: text that breaks out of its cue would change the next one.
    for text in HOSTILE:
        if read is read_pysubs2 and HOLDS_TWO_TIMES.search(text):
            continue
        found = read(exporter(ITEM, spoken("before", text, "after"), BY_SEGMENT))
        assert starts(found) == [(0, "before"), (2000, kept(text)), (4000, "after")], repr(text)


@pytest.mark.parametrize(("exporter", "read"), READERS)
def test_hostile_words_are_read_back(exporter, read):
    for text in HOSTILE:
        if read is read_pysubs2 and HOLDS_TWO_TIMES.search(text):
            continue
        said = (
            Segment(n, n + 1, word, words=(Word(n, n + 1, word, 1.0),))
            for n, word in enumerate(["a", text, "b"])
        )
        found = read(exporter(ITEM, transcript(*said), BY_SEGMENT))
        assert starts(found) == [(0, "a"), (1000, kept(text)), (2000, "b")], repr(text)


@pytest.mark.parametrize(("exporter", "read"), READERS)
def test_hostile_text_in_cues_for_reading_is_read_back(exporter, read):
    for text in HOSTILE:
        if read is read_pysubs2 and HOLDS_TWO_TIMES.search(text):
            continue
        # Pauses keep it apart from its neighbours.
        said = transcript(Segment(0, 1, "before"), Segment(9, 11, text), Segment(20, 21, "after"))
        first, *middle, last = read(exporter(ITEM, said))
        assert (first[2], last[2]) == ("before", "after")
        assert unspaced("".join(shown for _, _, shown in middle)) == unspaced(kept(text)), text


@pytest.mark.parametrize("options", [BY_SEGMENT, SubtitleOptions()])
@pytest.mark.parametrize(("exporter", "read"), READERS)
def test_times_are_read_back(exporter, read, options):
    begin = [0.0, 3.0005, 59.9994, 63.9996, 3599.9999, 3605.0, 35_999.5, 100 * 3600 - 2]
    said = transcript(*(Segment(start, start + 1, f"at {start}") for start in begin))
    found = [milliseconds for milliseconds, _, _ in read(exporter(ITEM, said, options))]
    assert found == [round(start * 1000.0) for start in begin]


def test_vtt_is_escaped_so_that_browsers_show_all_of_it():
    file = to_vtt(ITEM, spoken("a < b && c > d, <i>x</i> &amp;"))
    assert "\na &lt; b &amp;&amp; c &gt; d, &lt;i&gt;x&lt;/i&gt; &amp;amp;\n" in file
    assert "\na < b && c > d, <i>x</i> &amp;\n" in to_srt(
        ITEM, spoken("a < b && c > d, <i>x</i> &amp;")
    )


def test_a_segment_without_words_is_still_shown():
    """Whisper's writer would drop it, because another segment has words."""
    said = transcript(
        Segment(0, 1, " corrected by hand"),
        Segment(3, 5, " hello", words=(Word(3.1, 4.9, " hello", 0.9),)),
        Segment(6, 7, ""),
    )
    for options in (BY_SEGMENT, SubtitleOptions()):
        assert starts(read_srt(to_srt(ITEM, said, options))) == [
            (0, "corrected by hand"),
            (3100, "hello"),
        ]


# --- Cues for reading ----------------------------------------------------------------------------

LONG = (
    " When the river was low, you could walk across it without getting your shoes wet. My grandfather, who"
    " had lived there all his life, said that he had never seen it like that before, except in the summer"
    " of the great fire. Nobody knew why."
)


def test_a_long_segment_is_divided_at_sentences_and_clauses():
    said = transcript(Segment(0, 15, LONG))
    assert texts(said) == [
        "When the river was low, you could walk\nacross it without getting your shoes wet.",
        "My grandfather, who had lived there\nall his life, said that he had never",
        "seen it like that before,\nexcept in the summer of the great fire.",
        "Nobody knew why.",
    ]


def test_a_line_ends_with_a_clause_rather_than_with_a_preposition():
    assert texts(spoken("The dog ran over the hill, and the cat slept in the sun.")) == [
        "The dog ran over the hill,\nand the cat slept in the sun."
    ]
    for line in "\n".join(texts(transcript(Segment(0, 15, LONG)))).split("\n"):
        assert line.rpartition(" ")[2] not in {"the", "of", "in", "a", "his"}, line


def test_no_word_is_left_alone():
    said = transcript(
        Segment(0, 6, " " + "The quick brown fox jumps over the lazy dog and then sleeps")
    )
    (cue,) = texts(said)
    assert all(len(line) > 20 for line in cue.split("\n"))
    # 43 characters: two even lines, not 42 and one.
    (cue,) = texts(spoken("The quick brown fox jumps over the lazy dogs"))
    assert all(len(line) > 15 for line in cue.split("\n"))


def test_a_short_pause_leaves_no_word_alone():
    begin = [0.0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4, 2.8, 4.3]
    text = " Nobody knew what had happened in the valley below."
    words = tuple(Word(at, at + 0.4, w, 1.0) for at, w in zip(begin, tokens(text), strict=True))
    said = transcript(Segment(0, 4.7, text, words=words))
    assert texts(said) == ["Nobody knew what had happened\nin the valley below."]


def test_no_line_is_only_a_number():
    """Readers take it for the number of the next cue."""
    text = " Onehundredandtwentypeoplesignedthecontract 1969"
    cues = read_pysubs2(to_srt(ITEM, transcript(Segment(0, 4, text))))
    shown = [line for _, _, text in cues for line in text.split("\n")]
    assert shown == ["Onehundredandtwentypeoplesignedthecontract", "1969"]
    assert len(cues) == 2


def test_titles_and_initials_end_no_sentence():
    for text in ("Mr.", "J.", "U.S.", "z.B."):
        assert not ends_sentence(text), text
    for text in ("end.", "No.", 'said."', "何。", "ماذا؟", "…", "何。》", "ទេ។"):
        assert ends_sentence(text), text


def test_a_pause_divides_cues():
    words = [Word(n, n + 0.4, f" word{n}", 1.0) for n in (0.0, 0.5, 1.0, 3.5, 4.0)]
    said = transcript(Segment(0, 5, "".join(w.word for w in words), words=tuple(words)))
    assert texts(said) == ["word0.0 word0.5 word1.0", "word3.5 word4.0"]


def test_a_short_cue_is_shown_longer_if_there_is_room():
    def shown(*segments, duration):
        return read_srt(to_srt(ITEM, transcript(*segments, duration=duration)))

    assert shown(Segment(5, 5.3, " Yes."), duration=60) == [(5000, 6000, "Yes.")]
    # Forty characters need two seconds.
    text = "Forty characters are in this sentence, s"
    assert shown(Segment(5, 6, text), duration=60) == [(5000, 7000, text)]
    # The recording ends: it is shown earlier.
    assert shown(Segment(9.7, 10, " Yes."), duration=10) == [(9200, 10_000, "Yes.")]
    first, second = shown(Segment(0, 4, "Is it true?"), Segment(4.3, 6, "It is."), duration=60)
    assert (first[1], second[0]) == (4300 - round(GAP * 1000), 4300)


def test_chinese_and_japanese_are_measured_by_width_and_divided_between_characters():
    text = "沃森是认知计算技术的杰出代表，他可以像人类一样思考，积累经验，不断学习。"
    cues = texts(transcript(Segment(0, 9, text)))
    assert unspaced("".join(cues)) == text
    for line in "\n".join(cues).split("\n"):
        assert display_width(line) <= LINE_WIDTH
        assert line[-1] in "，。", line
    # A full-width character takes two columns, so 22 of them need a second line.
    (cue,) = texts(transcript(Segment(0, 6, "漢字仮名交じり文は日本語の普通の書き方だと言う")))
    assert "\n" in cue
    kana = "きょうはとてもいいてんきですねとかれはいったがわたしはそうはおもわなかった" * 2
    for line in "\n".join(texts(transcript(Segment(0, 9, kana)))).split("\n"):
        assert display_width(line) <= LINE_WIDTH
        assert line[0] not in "ょっー"


def test_segments_without_marks_in_scripts_without_spaces_are_kept_apart():
    said = transcript(Segment(0, 1.5, "他可以思考"), Segment(1.5, 3, "不断学习"))
    assert re.split(r"\s", "\n".join(texts(said))) == ["他可以思考", "不断学习"]


@pytest.mark.parametrize(
    ("text", "following", "divisible"),
    [
        ("猫", "は", True),
        ("猫", "。", False),
        ("「", "猫", False),
        ("し", "ょ", False),
        ("ラ", "ー", False),
        ("학", "교", False),  # Korean has spaces
        ("ก", "า", False),
        ("เ", "ก", False),
        ("ก", "ข", True),
        ("well", "-known", False),
    ],
)
def test_where_scripts_without_spaces_may_be_divided(text, following, divisible):
    assert (break_cost(text, following, spaced=False) < FORBIDDEN) == divisible


def test_right_to_left_text_stays_in_logical_order():
    text = "وطوق على المركز أن يكون التقسم وتدالى غدن الجمع على بعض مناطق الدولة، مع ريح معتدله"
    cues = texts(transcript(Segment(0, 8, text)))
    assert " ".join(" ".join(cues).split()) == text
    assert all(len(line) <= LINE_WIDTH for line in "\n".join(cues).split("\n"))


def test_a_word_longer_than_a_line_is_divided():
    said = transcript(Segment(0, 4, " See https://example.org/" + 80 * "x" + " now."))
    cues = texts(said)
    assert unspaced("".join(cues)) == "Seehttps://example.org/" + 80 * "x" + "now."
    assert all(len(line) <= LINE_WIDTH for line in "\n".join(cues).split("\n"))


def test_no_cue_lasts_longer_than_its_limit():
    (cue,) = read_srt(to_srt(ITEM, transcript(Segment(0, 60, " Hello."))))
    assert cue == (0, 7000, "Hello.")


@pytest.mark.slow
def test_the_cues_of_a_transcript_of_a_day_are_made_in_seconds():
    """The work grows with the length, not with its square."""
    said = transcript(*(Segment(15 * n, 15 * n + 15, LONG) for n in range(2000)))
    assert len(texts(said)) == 4 * 2000


# --- Properties of any transcript ----------------------------------------------------------------

WORD = st.sampled_from(
    [
        " the",
        " a",
        " river.",
        " wet,",
        " Nobody",
        " 1969",
        " -5",
        "-known",
        " x" * 3,
        " Mr.",
        "…",
        "—",
    ]
) | st.text(
    st.characters(exclude_categories=["Cs", "Cc"])
    | st.sampled_from("abc .,!?。、「」のはっー漢字กาเ가בא<>&-0 1"),
    min_size=1,
    max_size=60,
)


@st.composite
def transcripts(draw):
    """Transcripts with words, some at equal times, others out of order, and segments without words."""
    now, segments = 0.0, []
    for _ in range(draw(st.integers(0, 4))):
        start = now = now + draw(st.sampled_from([0, 0, 0.01, 0.2, 1.0, 3.0, 30.0]))
        words = []
        for text in draw(st.lists(WORD, min_size=1, max_size=25)):
            now += draw(st.sampled_from([0, 0, 0.1, 0.5, 2.0]))
            end = now + draw(st.sampled_from([0, 0.01, 0.2, 0.4, 1.5, 9.0]))
            words.append(Word(now, end, text, 1.0))
            now = draw(st.sampled_from([end, now]))
        end = max(now, max(word.end for word in words))
        timed = tuple(words) if draw(st.booleans()) else ()
        segments.append(Segment(start, end, "".join(word.word for word in words), words=timed))
        now = draw(st.sampled_from([end, now]))
    end = max((segment.end for segment in segments), default=0.0)
    return transcript(*segments, duration=end + draw(st.sampled_from([0, 5])))


@settings(max_examples=200)
@given(transcripts())
def test_every_word_is_in_the_cues_in_order_and_within_the_limits(said):
    cues = read_srt(to_srt(ITEM, said))
    expected = unspaced("".join(segment.text for segment in said.segments))
    found = unspaced("".join(text for _, _, text in cues))
    assert re.sub("-+>", ">", found) == re.sub("-+>", ">", expected)
    for start, end, text in cues:
        assert 0 <= start <= end <= round(1000 * said.duration) + 1
        assert end - start <= 1000 * LONGEST_CUE + 1
        lines = text.split("\n")
        assert len(lines) <= 2
        assert all(line.strip() and display_width(line) <= LINE_WIDTH for line in lines)
    for (_, end, _), (start, _, _) in itertools.pairwise(cues):
        assert end <= start
    assert read_vtt(to_vtt(ITEM, said)) == cues


@pytest.mark.slow
@given(transcripts())
def test_each_word_is_shown_while_it_is_spoken(said):
    said = replace(said, segments=tuple(s for s in said.segments if s.words))
    words = [word for segment in said.segments for word in segment.words if word.word.strip()]
    in_time = all(0 < word.end - word.start < LONGEST_CUE for word in words)
    in_time = in_time and all(a.end <= b.start for a, b in itertools.pairwise(words))
    assume(in_time and "->" not in "".join(word.word for word in words))
    shown = [
        (start, end)
        for start, end, text in read_srt(to_srt(ITEM, said))
        for letter in unspaced(text)
    ]
    for word in words:
        size = len(unspaced(word.word))
        letters, shown = shown[:size], shown[size:]
        assert letters[0][0] <= 1000 * word.start + 0.5
        assert letters[-1][1] >= 1000 * word.end - 0.5
    assert shown == []


@given(transcripts(), st.sampled_from([SubtitleOptions(), SubtitleOptions(max_words_per_line=2)]))
def test_highlighting_shows_the_same_text_one_word_after_the_other(said, options):
    plain = read_srt(to_srt(ITEM, said, options))
    marked = read_srt(to_srt(ITEM, said, replace(options, highlight_words=True)))
    frames = [re.sub("</?u>", "", text) for _, _, text in marked]
    assert [text for text, _ in itertools.groupby(frames)] == [
        text for text, _ in itertools.groupby(text for _, _, text in plain)
    ]
    for (_, end, _), (start, _, _) in itertools.pairwise(marked):
        assert end <= start


def test_highlighted_words_are_underlined_while_they_are_spoken():
    words = (Word(1.0, 1.4, " a<b", 1.0), Word(1.6, 2.5, " yes.", 1.0))
    said = transcript(Segment(1, 3, " a<b yes.", words=words), duration=60)
    file = to_vtt(ITEM, said, SubtitleOptions(highlight_words=True))
    assert file == (
        "WEBVTT\n\n"
        "00:01.000 --> 00:01.400\n<u>a&lt;b</u> yes.\n\n"
        "00:01.400 --> 00:01.600\na&lt;b yes.\n\n"
        "00:01.600 --> 00:02.500\na&lt;b <u>yes.</u>\n\n"
    )


# --- Times of words ------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(0, 12), st.floats(0, 12)), min_size=1, max_size=30),
    st.floats(0, 4),
    st.floats(5, 12),
)
def test_words_in_order_have_a_length_and_do_not_overlap(times, start, end):
    words = in_order([Word(a, b, " x", 1.0) for a, b in times], start, end)
    assert len(words) == len(times)
    at = start
    for word in words:
        assert at <= word.start < word.end
        at = word.end
    assert at <= end


def test_valid_word_times_are_kept():
    words = (Word(1.0, 1.02, " a", 1.0), Word(1.02, 1.5, " b", 1.0), Word(2.0, 3.0, " c", 1.0))
    assert in_order(words, 1.0, 3.0) == words


def test_words_of_zero_length_take_time_from_their_neighbours():
    words = [Word(1.0, 1.0, " a", 1.0), Word(1.0, 2.0, " b", 1.0), Word(2.0, 2.0, " c", 1.0)]
    found = [(word.start, word.end) for word in in_order(words, 1.0, 2.0)]
    assert found == [(1.0, 1.06), (1.06, 1.94), (1.94, 2.0)]


def test_estimated_times_are_shares_of_the_letters():
    words = spread(tokens(" ab cdef"), 10.0, 16.0, 1.0)
    assert [(word.start, word.end, word.word) for word in words] == [
        (10.0, 12.0, " ab"),
        (12.0, 16.0, " cdef"),
    ]
