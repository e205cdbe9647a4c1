"""The speaker of each word, and segments split where the speaker changes."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homescribe.core import Segment, Skipped, Speaker, Transcript, Turn, Word
from homescribe.speakers.assignment import with_speakers
from homescribe.speakers.diarizer import Diarization
from homescribe.speakers.turn_index import TurnIndex

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"


def said(text, start, end, *, times=None, **fields):
    """A segment with a word for each word of `text`, spread evenly unless `times` has their (start, end)."""
    texts = [" " + word for word in text.split()]
    step = (end - start) / len(texts)
    times = times or [(start + n * step, start + (n + 1) * step) for n in range(len(texts))]
    words = tuple(Word(a, b, t, 0.9) for (a, b), t in zip(times, texts, strict=True))
    return Segment(start, end, "".join(texts), words=words, **fields)


def made(*segments, **fields):
    return Transcript("engine", "model", "en", 100.0, tuple(segments), **fields)


def spoken(*turns):
    """A Diarization of (start, end, label)."""
    found = tuple(Turn(*turn) for turn in sorted(turns))
    labels = dict.fromkeys(turn.speaker for turn in found)
    return Diarization(found, tuple(Speaker(label, embedding=(1.0,)) for label in labels))


def result(transcript, diarization, **options):
    """[(speaker, text)] of the segments."""
    found = with_speakers(transcript, diarization, **options)
    return [(segment.speaker, segment.text.strip()) for segment in found.segments]


def test_a_segment_is_split_where_the_speaker_changes():
    segment = said("How are you? I am fine.", 0, 6, avg_logprob=-0.3, flags=("retried",))
    found = with_speakers(made(segment), spoken((0, 3, A), (3, 6, B)))
    [first, second] = found.segments
    assert (first.speaker, first.text, first.start, first.end) == (A, " How are you?", 0, 3)
    assert (second.speaker, second.text, second.start, second.end) == (B, " I am fine.", 3, 6)
    assert [word.speaker for word in first.words + second.words] == [A] * 3 + [B] * 3
    assert {first.avg_logprob, second.avg_logprob} == {-0.3}
    assert first.flags == second.flags == ("retried",)


def test_turns_and_speakers_are_stored_with_their_seconds():
    found = with_speakers(made(said("a b", 0, 2)), spoken((0, 3, A), (5, 9, B), (10, 12, A)))
    assert [(speaker.label, speaker.seconds) for speaker in found.speakers] == [(A, 5), (B, 4)]
    assert found.speakers[0].embedding == (1.0,)
    assert [turn.speaker for turn in found.turns] == [A, B, A]


def test_labels_are_in_the_order_of_first_words():
    """B's turn comes first, but nothing of it was transcribed."""
    found = with_speakers(made(said("Hello there.", 10, 12)), spoken((0, 5, B), (10, 15, A)))
    assert found.segments[0].speaker == A == found.speakers[0].label
    assert found.turns[0].speaker == B == found.speakers[1].label
    assert found.speakers[0].seconds == 5
    swapped = with_speakers(made(said("Hello there.", 10, 12)), spoken((0, 5, A), (10, 15, B)))
    assert swapped.segments[0].speaker == A
    assert [turn.speaker for turn in swapped.turns] == [B, A]


def test_a_word_outside_of_all_turns_is_of_the_nearest():
    transcript = made(said("Before it. Hm.", 0, 3, times=[(0, 1), (1, 2), (4.6, 5)]))
    assert result(transcript, spoken((2.5, 4, A), (5.2, 9, B), (20, 30, A))) == [
        (A, "Before it."),
        (B, "Hm."),
    ]


def test_a_word_outside_of_all_turns_belongs_to_its_sentence_first():
    """It is nearer to the turn of the other, who has finished."""
    times = [(0, 1), (1, 2), (2.1, 2.2), (2.6, 4), (4, 4.5), (4.5, 5)]
    transcript = made(said("That's it. Oh I know her.", 0, 5, times=times))
    turns = spoken((0, 2.05, A), (2.5, 5, B), (20, 30, A))
    assert result(transcript, turns) == [(A, "That's it."), (B, "Oh I know her.")]


def test_a_segment_far_from_any_turn_has_no_speaker():
    transcript = made(said("Thank you.", 50, 52), said("Hello there.", 60, 62))
    assert result(transcript, spoken((60, 64, A))) == [(None, "Thank you."), (A, "Hello there.")]


def test_a_word_at_the_edge_of_a_turn_stays_with_its_sentence():
    """The turn ends a little before the last word does, and the next one begins within it."""
    transcript = made(said("So that is all. Why is that?", 0, 7))
    assert result(transcript, spoken((0, 3.2, A), (3.4, 7, B))) == [
        (A, "So that is all."),
        (B, "Why is that?"),
    ]
    assert result(transcript, spoken((0, 4.8, A), (4.9, 7, B))) == [
        (A, "So that is all."),
        (B, "Why is that?"),
    ]


def test_a_single_word_in_the_middle_of_a_sentence_changes_no_speaker():
    transcript = made(said("I went to the market with her yesterday morning.", 0, 9))
    turns = spoken((0, 4, A), (4, 5, B), (5, 9, A), (20, 30, B))
    assert result(transcript, turns) == [(A, transcript.segments[0].text.strip())]


def test_an_interjection_is_kept():
    transcript = made(said("I went there. Really? And it was closed.", 0, 7))
    turns = spoken((0, 3, A), (3, 4, B), (4, 7, A), (20, 30, B))
    assert result(transcript, turns) == [
        (A, "I went there."),
        (B, "Really?"),
        (A, "And it was closed."),
    ]


def test_an_interjection_while_the_other_speaks_is_kept():
    """Its turn is about as long as the sentence, the other's is not."""
    transcript = made(said("I went there. Mhm. And it was closed.", 0, 8))
    found = with_speakers(transcript, spoken((0, 8, A), (3.1, 4, B), (20, 30, B)))
    assert [segment.speaker for segment in found.segments] == [A, B, A]
    assert found.segments[1].flags == ("overlap",)


def test_a_word_after_a_pause_is_kept_apart():
    times = [(0, 1), (1, 2), (2, 3), (3.4, 3.9), (4.3, 5), (5, 6), (6, 7)]
    transcript = made(said("and then he no it was late", 0, 7, times=times))
    turns = spoken((0, 3.1, A), (3.3, 4, B), (4.2, 7, A), (20, 30, B))
    assert result(transcript, turns) == [(A, "and then he"), (B, "no"), (A, "it was late")]


def test_words_of_two_speakers_at_once_stay_with_the_one_who_spoke_before():
    transcript = made(said("one two three four five six seven eight", 0, 8))
    turns = spoken((0, 5, A), (3, 8, B))
    assert result(transcript, turns) == [
        (A, "one two three four five"),
        (B, "six seven eight"),
    ]


def test_who_spoke_before_goes_on_whoever_spoke_first_of_all():
    transcript = made(said("one two three four five six seven eight", 10, 18))
    turns = spoken((0, 5, A), (10, 15, B), (13, 18, A))
    assert result(transcript, turns) == [
        (A, "one two three four five"),
        (B, "six seven eight"),
    ]


def test_a_word_far_from_any_turn_belongs_to_its_segment():
    times = [(0, 1), (1, 2), (2, 3), (8, 9)]
    transcript = made(said("So that was. It", 0, 9, times=times))
    assert result(transcript, spoken((0, 3, A), (20, 30, B))) == [(A, "So that was. It")]


def test_overlaps_are_marked_only_where_they_are():
    first, second, third = said("a b.", 0, 4), said("c d.", 4, 8), said("e f.", 8, 12, flags=("x",))
    found = with_speakers(made(first, second, third), spoken((0, 8, A), (6, 12, B)))
    assert [segment.flags for segment in found.segments] == [(), ("overlap",), ("x",)]


def test_a_word_that_was_split_off_is_joined_to_the_rest_of_its_sentence():
    """Whisper's segment ended after the first word of the answer."""
    transcript = made(said("Is it late? Well", 0, 4), said("I think so.", 4, 7))
    assert result(transcript, spoken((0, 3, A), (3, 7, B))) == [
        (A, "Is it late?"),
        (B, "Well I think so."),
    ]
    one = made(said("Well", 3, 4), said("I think so.", 4, 7))  # Whisper's own segments stay
    assert result(one, spoken((3, 7, B))) == [(A, "Well"), (A, "I think so.")]


def test_a_voice_of_under_two_seconds_is_no_speaker():
    transcript = made(said("Hello there. Yes. Good night now.", 0, 6))
    turns = spoken((0, 2, A), (2, 3, C), (3, 6, B), (10, 20, A), (20, 21.5, B))
    found = with_speakers(transcript, turns)
    assert [speaker.label for speaker in found.speakers] == [A, B]
    assert {turn.speaker for turn in found.turns} == {A, B}
    assert "Yes." in found.text
    assert len(with_speakers(transcript, turns, least=3).speakers) == 3
    short = with_speakers(made(said("Hi.", 0, 1)), spoken((0, 1, A)))
    assert [speaker.label for speaker in short.speakers] == [A]  # one remains


def test_fewer_speakers_than_asked_for_are_a_warning():
    transcript = made(said("Hello there. Yes. Good night now.", 0, 6))
    turns = Diarization(
        (Turn(0, 3, A), Turn(3, 6, B), Turn(6, 6.2, C)),
        (Speaker(A, 3), Speaker(B, 3), Speaker(C, 0.2), Speaker("SPEAKER_03", 0)),
    )
    found = with_speakers(replace(transcript, warnings=("It is short.",)), turns, least=4)
    assert [speaker.seconds for speaker in found.speakers] == [3, 3]
    warning = "4 speakers were asked for; 2 have enough speech."
    assert found.warnings == ("It is short.", warning)
    assert with_speakers(found, turns, least=2).warnings == ("It is short.",)
    one = with_speakers(transcript, Diarization((Turn(0, 6, A),), (Speaker(A, 6),)), least=2)
    assert one.warnings == ("2 speakers were asked for; 1 has enough speech.",)


def test_sentences_of_a_segment_without_word_times_are_told_apart():
    segment = Segment(0, 8, " How was it there? It was rather fine.")
    assert result(made(segment), spoken((0, 4, A), (4, 8, B))) == [
        (A, "How was it there?"),
        (B, "It was rather fine."),
    ]


def test_scripts_without_spaces_are_split_too():
    segment = Segment(0, 8, "你好吗今天。我很好谢谢。")
    found = with_speakers(made(segment), spoken((0, 4, A), (4, 8, B)))
    assert [part.text for part in found.segments] == ["你好吗今天。", "我很好谢谢。"]


def test_a_segment_whose_words_are_not_in_its_text_is_not_split():
    segment = replace(said("How are you? I am fine.", 0, 6), text=" How do you do?")
    found = with_speakers(made(segment), spoken((0, 4, A), (4, 6, B)))
    assert [(part.text, part.speaker) for part in found.segments] == [(" How do you do?", A)]
    assert len(found.segments[0].words) == 6


def test_once_more_gives_the_same():
    transcript = made(said("How are you? I am fine.", 0, 6), said("Me, too.", 6, 8))
    turns = spoken((0, 3, A), (3, 7, B), (6, 8, A))
    once = with_speakers(transcript, turns)
    assert with_speakers(once, turns) == once


def test_nobody_speaks():
    transcript = made(said("Thank you.", 0, 2))
    found = with_speakers(transcript, Diarization((), ()))
    assert found == transcript
    assert with_speakers(made(), spoken((0, 5, A))).segments == ()


TIMES = st.floats(0, 60, allow_nan=False)
WORDS = st.sampled_from(
    ["yes", "no.", "well,", "I", "think?", "über", "再见。", "so...", '"It\'s"']
)


@st.composite
def transcripts(draw):
    segments, at = [], 0.0
    for _ in range(draw(st.integers(0, 6))):
        at += draw(st.floats(0, 3))
        texts = draw(st.lists(WORDS, min_size=1, max_size=12))
        start, words = at, []
        for text in texts:
            end = at + draw(st.floats(0, 1.5))
            words.append(Word(at, end, " " + text, 0.5))
            at = end + draw(st.sampled_from([0.0, 0.0, 0.4]))
        text = "".join(word.word for word in words)
        text = draw(st.sampled_from([text, text.lstrip(), text + " "]))
        with_words = draw(st.booleans())
        language = draw(st.sampled_from([None, "de"]))
        segments.append(
            Segment(start, at, text, words=tuple(words) if with_words else (), language=language)
        )
    skipped = (Skipped(90.0, 95.0, "no_speech"),)
    return replace(made(*segments, skipped=skipped, warnings=("w",)), duration=at + 100)


@st.composite
def diarizations(draw):
    turns = []
    for label in draw(st.sets(st.sampled_from([A, B, C]))):
        at = 0.0
        for _ in range(draw(st.integers(1, 8))):
            start = at + draw(st.floats(0, 5))
            at = start + draw(st.floats(0.1, 8))
            turns.append((start, at, label))
    return spoken(*turns)


@given(transcripts(), diarizations())
def test_text_words_and_times_stay(transcript, diarization):
    found = with_speakers(transcript, diarization)
    assert "".join(s.text for s in found.segments) == "".join(s.text for s in transcript.segments)
    before = [word for segment in transcript.segments for word in segment.words]
    after = [word for segment in found.segments for word in segment.words]
    assert [replace(word, speaker=None) for word in after] == before
    assert all(
        word.speaker == segment.speaker for segment in found.segments for word in segment.words
    )
    at = 0.0
    for segment in found.segments:
        assert at <= segment.start <= segment.end
        at = segment.end
    assert [s.start for s in found.segments[:1]] == [s.start for s in transcript.segments[:1]]
    assert [s.end for s in found.segments[-1:]] == [s.end for s in transcript.segments[-1:]]
    labels = {speaker.label for speaker in found.speakers}
    assert {s.speaker for s in found.segments} - {None} <= labels
    assert {turn.speaker for turn in found.turns} == labels
    assert (found.skipped, found.warnings) == (transcript.skipped, transcript.warnings)
    assert {s.language for s in found.segments} == {s.language for s in transcript.segments}


@given(diarizations(), TIMES, TIMES)
def test_the_index_agrees_with_a_plain_search(diarization, one, other):
    start, end = min(one, other), max(one, other) + 0.01
    turns, index = diarization.turns, TurnIndex(diarization.turns)

    def within(turn):
        return max(0.0, min(turn.end, end) - max(turn.start, start))

    expected = {}
    for turn in turns:
        if within(turn) > 0:
            expected[turn.speaker] = expected.get(turn.speaker, 0.0) + within(turn)
    assert index.seconds(start, end) == pytest.approx(expected)
    distances = {turn.speaker: [] for turn in turns}
    for turn in turns:
        distances[turn.speaker].append(max(turn.start - end, start - turn.end, 0.0))
    nearest = index.nearest(start, end, 1.0)
    least = min((min(each) for each in distances.values()), default=9.0)
    assert (nearest is None) == (least > 1.0)
    if nearest is not None:
        assert min(distances[nearest]) == least
    points = sorted({start, end, *(t for turn in turns for t in (turn.start, turn.end))})
    several = sum(
        b - a
        for a, b in pairwise(points)
        if start <= a < end and sum(t.start <= a and b <= t.end for t in turns) > 1
    )
    assert index.overlap(start, end) == pytest.approx(several, abs=1e-6)


# --- Without the times of words --------------------------------------------------------------------

LONG = "so how did you come to the mountains I was born there and never left"


@pytest.mark.parametrize("timed", [True, False])
def test_a_change_of_speaker_in_mid_sentence_splits_a_segment_with_and_without_word_times(timed):
    segment = said(LONG, 0, 15)
    if not timed:
        segment = replace(segment, words=())
    change = segment.start + 15 * 8 / 15  # after "mountains"
    found = with_speakers(made(segment), spoken((0, change, A), (change, 15, B)))
    first, second = found.segments
    assert (first.speaker, second.speaker) == (A, B)
    assert first.text + second.text == segment.text
    assert first.end == pytest.approx(change, abs=0.7)
    assert first.text.split()[-1] in {"the", "mountains", "I"}
    assert (first.start, second.end) == (0, 15)


def test_without_word_times_a_sentence_stays_whole_unless_both_speak_for_long():
    segment = replace(said(LONG, 0, 15), words=())
    assert result(made(segment), spoken((0, 13.5, A), (13.5, 15, B))) == [(A, LONG)]
    # Sentences are divided first: a change between them is not estimated.
    two = replace(said("How are you? I am fine.", 0, 6), words=())
    assert result(made(two), spoken((0, 3, A), (3, 6, B))) == [
        (A, "How are you?"),
        (B, "I am fine."),
    ]


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        (
            "我们今天谈论北方的山脊，早上的读数已经来了",
            ("我们今天谈论北方的山脊，", "早上的读数已经来了"),
        )
    ],
)
def test_without_spaces_a_sentence_is_split_between_clauses(text, clauses):
    segment = Segment(0, 10, text)
    found = result(made(segment), spoken((0, 5.5, A), (5.5, 10, B)))
    assert found == [(A, clauses[0]), (B, clauses[1])]


@pytest.mark.parametrize(
    "texts",
    [
        ("「今日は山へ行きました。」", "「本当ですか、それは。」", "はい、とても楽しかった。"),
        ("今日は山へ行きました｡", "本当ですか、それは！？", "はい、とても楽しかった。"),
        ("वह कल घर आया था॥", " क्या वह आज भी यहाँ है?", " हाँ वह अभी यहाँ है।"),
        ("Նա երեկ տուն եկավ։", " Նա այսօր էլ այստեղ է։", " Այո նա հիմա այստեղ է։"),
    ],
)
def test_without_word_times_sentences_of_every_script_are_divided(texts):
    length = sum(map(len, texts)) / 4
    first = len(texts[0]) / 4
    second = first + len(texts[1]) / 4
    turns = spoken((0, first, A), (first, second, B), (second, length, A))
    found = result(made(Segment(0, length, "".join(texts))), turns)
    assert found == [(who, text.strip()) for who, text in zip((A, B, A), texts, strict=True)]


@given(
    st.text("ab .,，?。\n", max_size=40),
    st.lists(st.tuples(st.floats(0, 20), st.floats(0.1, 9), st.sampled_from([A, B])), max_size=5),
)
def test_without_word_times_the_text_stays(text, turns):
    found = with_speakers(
        made(Segment(0, 20, text)), spoken(*((at, at + length, who) for at, length, who in turns))
    )
    assert "".join(segment.text for segment in found.segments) == text
    assert all(a.end <= b.start for a, b in pairwise(found.segments))
