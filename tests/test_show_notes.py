"""Show notes: chapters where the topic changes, and quotes that are said as they stand."""

import random
import re
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from homescribe.core import MINUTE, Chapter, Item, Segment, Speaker
from homescribe.formats.show_notes import to_notes
from homescribe.formats.topics import SHORTEST_PART, divided, keywords, sentences
from transcripts import HOSTILE, ITEM, spoken, transcript

TOPICS = [
    ["railway", "station", "tickets", "platform", "locomotive", "conductor", "timetable"],
    ["garden", "tomatoes", "compost", "watering", "seedlings", "greenhouse", "fertilizer"],
    ["orchestra", "violin", "rehearsal", "conductor", "symphony", "audience", "melody"],
]
COMMON = ["and", "then", "the", "we", "saw", "that", "it", "was", "good", "with", "some"]


def talk(minutes=30, seed=1):
    """A talk whose topic changes after each third; a sentence every six seconds."""
    chance = random.Random(seed)
    count = minutes * 10
    segments = []
    for number in range(count):
        topic = TOPICS[number * len(TOPICS) // count]
        words = chance.choices(COMMON, k=7) + chance.choices(topic, k=4)
        chance.shuffle(words)
        segments.append(
            Segment(6.0 * number, 6.0 * number + 6, f" {' '.join(words).capitalize()}.")
        )
    return transcript(*segments)


def lines(notes, heading):
    (block,) = [block for block in notes.split("\n\n") if block.startswith(heading)]
    return block.splitlines()[1:]


def test_chapters_are_suggested_where_the_topic_changes():
    for seed in range(5):
        said = talk(seed=seed)
        parts = divided(sentences(said), said.duration)
        starts = [part[0].start for part in parts]
        # 600 s and 1200 s; a block of 150 words lasts 82 s.
        assert all(min(abs(start - true) for start in starts) <= 60 for true in (600, 1200)), starts
        assert all(b - a >= SHORTEST_PART for a, b in pairwise(starts))


def test_suggested_chapters_are_named_by_words_of_their_own():
    said = talk()
    third = len(sentences(said)) // 3
    found = keywords([sentences(said)[n * third : (n + 1) * third] for n in range(3)])
    for names, topic in zip(found, TOPICS, strict=True):
        assert set(re.findall(r"\w+", names.casefold())) <= set(topic), names
        assert "conductor" not in names  # of two topics
        assert len(names.split(", ")) == 3


def test_notes_have_title_chapters_and_quotes_with_links():
    said = talk()
    notes = to_notes(ITEM, said)
    assert notes.startswith(
        "Me at the zoo\njawed · 2005-04-24 · 30:00\nhttps://www.youtube.com/watch?v=jNQXAC9IVRw\n\n"
    )
    chapters = lines(notes, "Chapters (suggested)\n")
    assert chapters[0].startswith("0:00 ")  # video sites take no other
    assert len(chapters) >= 3
    quotes = lines(notes, "Quotes\n")
    assert 3 <= len(quotes) <= 12
    texts = [segment.text.strip() for segment in said.segments]
    for quote in quotes:
        text, seconds = re.fullmatch(r"“(.+)” [\d:]+ https://\S+&t=(\d+)s", quote).groups()
        assert texts.index(text) * 6 == int(seconds)


def test_no_path_of_this_computer_is_published():
    item = Item("file", "0a1b", "/home/me/secret/talk.mp3", "Talk")
    notes = to_notes(item, talk())
    assert "secret" not in notes
    assert re.fullmatch(r"“.+” [\d:]+", lines(notes, "Quotes\n")[0])


def test_an_address_without_its_secret_is_not_published():
    url = "https://a.example/ep?auth=4711secret4711secret"
    notes = to_notes(Item("podcast", "0a1b", url, "Talk"), talk())
    assert "a.example" not in notes
    assert re.fullmatch(r"“.+” [\d:]+", lines(notes, "Quotes\n")[0])
    assert "https://a.example/ep" in to_notes(
        Item("podcast", "0a1b", "https://a.example/ep", "Talk"), talk()
    )


@pytest.mark.parametrize(
    "text",
    [
        "القطار القديم يسير كل يوم من المدينة إلى البحر البعيد.",  # ar
        "הרכבת הישנה נוסעת בכל יום מן העיר אל הים הרחוק.",  # he
        "यह पुरानी रेलगाड़ी हर दिन शहर से समुद्र तक जाती है।",  # hi
        "ძველი მატარებელი ყოველ დღე მიდის ქალაქიდან შორეულ ზღვამდე და ბრუნდება.",  # ka
    ],
)
def test_scripts_without_capitals_have_quotes(text):
    (quote,) = lines(to_notes(ITEM, spoken(f" {text}")), "Quotes\n")
    assert quote.startswith(f"“{text}” 0:00 https://")


def test_a_sentence_without_its_beginning_is_no_quote():
    cut = " and the railway station sold tickets for every train of the line."
    assert "Quotes" not in to_notes(ITEM, spoken(cut))


def test_keywords_are_whole_words_with_their_vowel_signs():
    parts = [
        sentences(spoken(f" {' '.join([word] * 3)}।"))
        for word in ("रेलगाड़ी", "विश्वविद्यालय", "cafe\u0301s")
    ]
    assert keywords(parts) == ["रेलगाड़ी", "विश्वविद्यालय", "cafe\u0301s"]


def test_the_publishers_chapters_are_kept():
    item = replace(
        ITEM, chapters=(Chapter(60, 900, "Second"), Chapter(0, 60, "First\n9:99 forged"))
    )
    notes = to_notes(item, talk())
    assert lines(notes, "Chapters\n") == ["0:00 First 9:99 forged", "1:00 Second"]


def test_quotes_have_their_speaker_and_are_not_doubtful():
    text = " The railway station sold tickets for every train of the line."
    said = transcript(
        Segment(0, 5, text, speaker="A"),
        Segment(5, 10, text.replace("railway", "bus"), speaker="A", flags=("retried",)),
        Segment(10, 15, " Yes.", speaker="A"),
    )
    notes = to_notes(ITEM, replace(said, speakers=(Speaker("A", name="Ann"),)))
    (quote,) = lines(notes, "Quotes\n")
    assert quote.startswith(f"“{text.strip()}” Ann, 0:00 https://")
    assert "Chapters" not in notes


def test_a_sentence_may_have_several_segments_but_one_speaker():
    said = transcript(
        Segment(0, 2, " The quick brown fox", speaker="A"),
        Segment(2, 4, " jumps. Over the", speaker="A"),
        Segment(4, 6, " lazy dog.", speaker="B"),
    )
    found = sentences(said)
    assert [each.text for each in found] == ["The quick brown fox jumps.", "Over the", "lazy dog."]
    assert found[0].start == 0
    assert 2 < found[1].start < 4
    assert found[2].start == 4


def test_sentences_of_every_script_are_divided():
    for texts in (
        ["वह घर आया।", "क्या वह यहाँ है?"],
        ["وہ گھر آیا۔", "کیا وہ یہاں ہے؟"],
        ["He said “Come.”", "She came."],
        ["「はい。」", "「行きます。」"],
        ["ខ្ញុំទៅផ្ទះ។", "គាត់មក។"],
    ):
        said = transcript(Segment(0, 4, " ".join(texts)))
        assert [each.text for each in sentences(said)] == texts


def test_any_text_has_notes():
    for said in (spoken(*HOSTILE), spoken("no full stops at all", "none"), transcript()):
        notes = to_notes(replace(ITEM, title="a\nb"), said)
        assert notes.startswith("a b\n")
    chinese = [
        " 今天天气很好我们去公园散步。" if n % 2 else "火车站卖票给每一列火车的乘客。"
        for n in range(300)
    ]
    long = transcript(*(Segment(6.0 * n, 6.0 * n + 6, text) for n, text in enumerate(chinese)))
    assert "Quotes" in to_notes(ITEM, long)


def test_ten_hours_take_seconds():
    began = time.monotonic()
    to_notes(ITEM, talk(minutes=int(600 * MINUTE / 60)))
    assert time.monotonic() - began < 60
