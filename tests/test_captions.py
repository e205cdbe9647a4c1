"""Files of captions in the shapes that sites, hosts and programs write them, and in worse ones."""

import contextlib
import json
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import caption_samples
from homescribe.captions import caption_files, drift, timed_cues
from homescribe.captions.cue_transcript import STRAY, transcript_of
from homescribe.core import Segment, Speaker, Transcript, Turn
from homescribe.errors import PermanentError

WORDS = [
    "hey",
    "welcome",
    "to",
    "another",
    "typology",
    "interview",
    "so",
    "today",
    "I",
    "am",
    "here",
    "with",
    "Ann",
]


def read(body, kind="manual", **options):
    body = body if isinstance(body, bytes) else body.encode()
    return caption_files.read(body, kind, **options)


def shown(transcript):
    """[(start, end, text)] of the segments."""
    return [(round(s.start, 3), round(s.end, 3), s.text) for s in transcript.segments]


def spoken(transcript):
    """[(start, word)] of the words."""
    return [(round(w.start, 3), w.word) for s in transcript.segments for w in s.words]


# --- YouTube -------------------------------------------------------------------------------------


def test_automatic_captions_of_youtube_have_the_time_of_each_word():
    body = caption_samples.json3(WORDS, 13.0, automatic=True)
    found = read(body, "automatic", language="en", duration=13.0)
    assert (found.engine, found.model, found.language) == ("captions", "automatic", "en")
    assert found.is_captions
    assert shown(found) == [
        (0.0, 5.0, " hey welcome to another typology"),
        (5.0, 10.0, " interview so today I am"),
        (10.0, 13.0, " here with Ann"),
    ]
    assert spoken(found)[:6] == [
        *[(0.0, " hey"), (1.0, " welcome"), (2.0, " to"), (3.0, " another"), (4.0, " typology")],
        (5.0, " interview"),
    ]
    for segment in found.segments:
        assert segment.text == "".join(word.word for word in segment.words)
        assert segment.words[-1].end <= segment.end


def test_json3_and_vtt_of_the_same_automatic_captions_say_the_same():
    """As vtt each line is there three times."""
    body = caption_samples.rolling_vtt(WORDS, 13.0)
    assert body.count("typology") == 3
    found = read(body, "automatic")
    assert found.text == " ".join(WORDS)
    assert found.language == "en"
    assert spoken(found) == [
        (time, word)
        for time, word in spoken(read(caption_samples.json3(WORDS, 13.0, automatic=True)))
    ]


def test_captions_that_were_converted_from_scrolling_ones():
    """As by `yt-dlp --convert-subs srt`: without times of words, every line twice or three times."""
    text = caption_samples.rolling_vtt(WORDS, 13.0)
    text = text.replace(" align:start position:0%", "").partition("\n\n")[2]
    assert read(text).text == " ".join(WORDS)


def test_scrolling_captions_on_one_row():
    """Each cue repeats the last words of the one before it."""
    cues = [
        "right now, modeling this glass bottle. I'm Kevin and this is day two of",
        "I'm Kevin and this is day two of learn Fusion in 30 days. Today, we're",
        "learn Fusion in 30 days. Today, we're reinforcing concepts from day one while",
        "reinforcing concepts from day one while we also learn more",
    ]
    text = "".join(f"00:0{n}.000 --> 00:0{n + 1}.000\n{cue}\n\n" for n, cue in enumerate(cues))
    assert read(f"WEBVTT\n\n{text}").text == (
        "right now, modeling this glass bottle. I'm Kevin and this is day two of learn Fusion in 30 days. "
        "Today, we're reinforcing concepts from day one while we also learn more"
    )


def test_captions_that_grow_word_by_word():
    said = ["one", "two", "three", "four", "five", "six"]
    text = "".join(
        f"00:0{n}.000 --> 00:0{n + 1}.000\n{' '.join(said[: n + 1])}\n\n" for n in range(6)
    )
    assert read(f"WEBVTT\n\n{text}").text == "one two three four five six"


def test_what_a_person_repeats_stays():
    rows = ["No.", "No.", "I said no.", "No.", "Why?", "Because.", "Because?", "Because."]
    text = "".join(f"00:0{n}.000 --> 00:0{n + 1}.000\n{row}\n\n" for n, row in enumerate(rows))
    assert read(f"WEBVTT\n\n{text}").text == " ".join(rows)


def test_a_word_that_is_said_twice_in_scrolling_captions():
    words = [
        "yes",
        "yes",
        "yes",
        "yes",
        "yes",
        "no",
        "no",
        "no",
        "no",
        "no",
        "maybe",
        "maybe",
        "maybe",
        "maybe",
        "maybe",
        "no",
    ]
    assert read(caption_samples.rolling_vtt(words, 16.0)).text == " ".join(words)


def test_manual_captions_of_youtube():
    events = [
        {"tStartMs": 1200, "dDurationMs": 2000, "segs": [{"utf8": "First row\nsecond row"}]},
        {"tStartMs": 3200, "dDurationMs": 1800, "segs": [{"utf8": ">> Who is it?"}]},
        {"tStartMs": 6000, "segs": [{"utf8": "[Music]"}]},
    ]
    found = read(json.dumps({"events": events}), duration=9.0, language="en-GB")
    assert shown(found)[:2] == [(1.2, 3.2, " First row second row"), (3.2, 5.0, " >> Who is it?")]
    assert found.segments[2].start == 6.0
    assert found.segments[2].end <= 9.0
    assert (found.language, found.duration) == ("en", 9.0)
    assert spoken(found) == []


def test_a_line_of_a_sentence_lasts_as_long_as_it_takes_to_say():
    """YouTube writes three seconds for all lines that have no times of words."""
    sentence = (
        "This sentence has far more words than anybody could say within three seconds of time, " * 2
    )
    events = [
        {"tStartMs": 0, "dDurationMs": 3000, "segs": [{"utf8": sentence}]},
        {"tStartMs": 9000, "dDurationMs": 10, "aAppend": 1, "segs": [{"utf8": "\n"}]},
        {"tStartMs": 20000, "dDurationMs": 3000, "segs": [{"utf8": "Next."}]},
    ]
    first, second = read(json.dumps({"events": events}), "automatic").segments
    assert 6.0 < first.end < 12.0
    assert second.start == 20.0


def test_japanese_captions_have_no_spaces():
    events = [
        {
            "tStartMs": 0,
            "dDurationMs": 2000,
            "segs": [{"utf8": "灯台は"}, {"utf8": "岩の", "tOffsetMs": 900}],
        },
        {"tStartMs": 2000, "dDurationMs": 2000, "segs": [{"utf8": "上に\nある。"}]},
    ]
    found = read(json.dumps({"events": events}), "automatic", language="ja")
    assert found.text == "灯台は岩の上にある。"
    assert found.segments[0].text == "灯台は岩の"
    assert (0.9, "岩") in spoken(found)


# --- WebVTT --------------------------------------------------------------------------------------

VTT = """\ufeffWEBVTT - a title
X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000

NOTE
00:00:00.000 is not a cue

STYLE
::cue(v) { color: red }

REGION
id:fred

intro
00:01.500 --> 00:03.000 align:start position:10%,line-left
<v.loud Ann O'Neil>Fish &amp; <i>chips</i>,\r
she said.</v>

00:00:03.000 --> 00:00:05.250
<v Ben>AT&T &lt;b&gt;&nbsp;costs 3 < 4

1:00:05.000 --> 1:00:07.000
<ruby>漢<rt>kan</rt></ruby> text
and <c.colorE5E5E5.bg>more</c>
"""


def test_webvtt():
    found = read(VTT.replace("\n", "\r\n").replace("\r\r", "\r"))
    assert shown(found) == [
        (1.5, 3.0, " Fish & chips, she said."),
        (3.0, 5.25, " AT&T <b> costs 3 < 4"),
        (3605.0, 3607.0, " 漢 text and more"),
    ]
    assert found.speakers == (
        Speaker("SPEAKER_00", 1.5, name="Ann O'Neil", named_by="publisher"),
        Speaker("SPEAKER_01", 2.25, name="Ben", named_by="publisher"),
    )
    assert [s.speaker for s in found.segments] == ["SPEAKER_00", "SPEAKER_01", None]
    assert found.turns == (Turn(1.5, 3.0, "SPEAKER_00"), Turn(3.0, 5.25, "SPEAKER_01"))
    assert found.language == "und"


def test_scrolling_vtt_without_the_space_in_empty_rows():
    text = caption_samples.rolling_vtt(WORDS, 13.0).replace("\n \n", "\n\n")
    assert read(text).text == " ".join(WORDS)


def test_empty_cues_with_identifiers():
    text = "WEBVTT\n\n1\n00:01.000 --> 00:02.000\n\n2\n00:02.000 --> 00:03.000\nTwo.\n"
    text += "\n00:04.000 --> 00:05.000\n\nNOTE\nnot said\n\n00:06.000 --> 00:07.000\n"
    text += "\n00:07.000 --> 00:08.000\n\n00:08.000 --> 00:09.000\n"
    assert shown(read(text)) == [(2.0, 3.0, " Two.")]


def test_several_voices_of_one_cue():
    text = "WEBVTT\n\n00:00.000 --> 00:04.000\n<v Ann>Yes?\n<v Ben>No!</v>\n"
    assert shown(read(text)) == [(0.0, 2.286, " Yes?"), (2.286, 4.0, " No!")]


def test_labels_that_are_no_names():
    text = "".join(
        f"00:0{n}.000 --> 00:0{n + 1}.000\n<v {name}>Text</v>\n\n"
        for n, name in enumerate(["Speaker 1", "SPEAKER_00", "Speaker#2", "Unknown", "Spencer"])
    )
    assert [one.name for one in read(f"WEBVTT\n\n{text}").speakers] == [*[None] * 4, "Spencer"]


# --- SubRip --------------------------------------------------------------------------------------


def test_subrip_as_players_read_it():
    text = """
1
00:00:01,000 --> 00:00:02,500 X1:100 X2:200
{\\an8}<font color="#fff">Top &amp; <b>bold</b></font>

00:00:02.500 --> 00:00:04.000
without a number

after an empty line
3
00:00:04,000-->00:00:05,0
1984

4
00:00:05,000 --> 00:00:06,000

5
00:06 --> 00:07
{ok}
"""
    assert shown(read(text)) == [
        (1.0, 2.5, " Top & bold"),
        (2.5, 4.0, " without a number after an empty line"),
        (4.0, 5.0, " 1984"),
        (6.0, 7.0, " {ok}"),
    ]


def srt(*rows):
    return "".join(
        f"{n}\n00:00:{n:02},000 --> 00:00:{n + 1:02},000\n{row}\n\n" for n, row in enumerate(rows)
    )


def test_names_in_the_srt_of_a_podcast():
    """As the specification asks for: a name where another one begins to speak."""
    found = read(
        srt(
            "[Music]",
            "Ann: Welcome. My\nguest today",
            "is Ben.",
            "Dr. Ben O'Hara-Lee: Thank you.",
            "One rule: be kind.",
            "Ann:",
            "Note: he is right.",
            "Dr. Ben O'Hara-Lee: Ann: that was you.",
        )
    )
    assert [one.name for one in found.speakers] == ["Ann", "Dr. Ben O'Hara-Lee"]
    assert [(segment.speaker, segment.text) for segment in found.segments] == [
        (None, " [Music]"),
        ("SPEAKER_00", " Welcome. My guest today"),
        ("SPEAKER_00", " is Ben."),
        ("SPEAKER_01", " Thank you."),
        ("SPEAKER_01", " One rule: be kind."),
        ("SPEAKER_00", " Note: he is right."),
        ("SPEAKER_01", " Ann: that was you."),
    ]


@pytest.mark.parametrize(
    "rows",
    [
        ("Note: this is alone.", "Note: this is, too.", "And that."),
        ("Ann: once.", "Ben: once."),
        ("a", "b", "c", "d", "e", "Step: one", "Next: two", "Step: three", "Next: four"),
        ("at 10:30: a", "at 10:30: b", "see: a", "see: b"),
    ],
)
def test_lines_with_a_colon_are_not_taken_for_names(rows):
    found = read(srt(*rows))
    assert found.speakers == ()
    assert found.text == " ".join(rows)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(encoding):
    text = "1\n00:00:01,000 --> 00:00:02,000\nÄrger über “Öl”\n"
    assert read(text.encode(encoding)).text == "Ärger über “Öl”"


# --- Podcasting 2.0 ------------------------------------------------------------------------------


def test_podcast_json():
    segments = [
        {"speaker": "Ann", "startTime": 0.5, "endTime": 4, "body": "Welcome to the show."},
        {"speaker": "Ben", "startTime": "4.5", "endTime": "0:06.5", "body": " Thank you. "},
        {"speaker": "Ann", "startTime": 7, "body": "How are you?"},
        {"startTime": None, "body": "without a time"},
        {"speaker": 7, "startTime": 9, "endTime": True, "body": ["no text"]},
    ]
    found = read(json.dumps({"version": "1.0.0", "segments": segments}), language="en-us")
    assert shown(found) == [
        (0.5, 4.0, " Welcome to the show."),
        (4.5, 6.5, " Thank you."),
        (7.0, 8.5, " How are you?"),
    ]
    assert [one.name for one in found.speakers] == ["Ann", "Ben"]
    assert [s.speaker for s in found.segments] == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_00"]


def test_podcast_json_with_a_segment_for_each_word():
    """As the example of the specification has them."""
    said = [("Darth Vader", "I am your father. Search your feelings, you know it to be true.")]
    said += [("Luke", "No! That is not true. It is impossible, I say, and you know that too.")]
    segments = []
    for speaker, words in said:
        for word in words.split():
            at = len(segments) * 0.5
            segments.append(
                {"speaker": speaker, "startTime": at, "endTime": at + 0.25, "body": word}
            )
    found = read(json.dumps({"version": "1.0.0", "segments": segments}))
    assert [s.text for s in found.segments] == [
        " I am your father.",
        " Search your feelings, you know it to be true.",
        " No!",
        " That is not true.",
        " It is impossible, I say, and you know that too.",
    ]
    assert spoken(found)[:3] == [(0.0, " I"), (0.5, " am"), (1.0, " your")]
    assert [s.speaker for s in found.segments] == ["SPEAKER_00"] * 2 + ["SPEAKER_01"] * 3


def test_json_of_whisper():
    words = [
        {"start": 0.0, "end": 0.4, "word": " Good"},
        {"start": 0.5, "end": 1.0, "word": " day"},
    ]
    body = {
        "language": "de",
        "segments": [{"start": 0, "end": 1.5, "text": " Good day", "words": words}],
    }
    found = read(json.dumps(body))
    assert (found.language, shown(found)) == ("de", [(0.0, 1.5, " Good day")])
    assert spoken(found) == [(0.0, " Good"), (0.5, " day")]


def test_podcast_html():
    text = """<!doctype html><html><head><title>Not said</title><script>var a = "<p>no</p>";</script>
    <body><!-- <p>hidden</p> --><h1>Transcript</h1>
    <cite>Kevin:</cite> <time>0:00</time>
    <p>We have an <b>update</b> planned &amp; done.</p>
    <cite>Alban :</cite><time>0:09</time><p>Hey,</p><p>here's a cool feature.</p>
    <p><time>[1:02:03]</time> <cite>Kevin</cite> Good bye.</p></body></html>"""
    found = read(text)
    assert [(s.start, s.text) for s in found.segments] == [
        (0.0, " We have an update planned & done."),
        (9.0, " Hey, here's a cool feature."),
        (3723.0, " Good bye."),
    ]
    assert [one.name for one in found.speakers] == ["Kevin", "Alban"]
    assert found.warnings == ()


def test_long_paragraphs_are_split_at_their_sentences():
    said = "This sentence has five words. And this one has six more. " * 20
    found = read(f"<cite>Ann</cite><time>0:00</time><p>{said}</p><time>2:00</time><p>End.</p>")
    assert len(found.segments) == 41
    assert found.segments[1].text == " And this one has six more."
    assert all(one.end - one.start < 10 for one in found.segments)
    assert [a.end for a in found.segments[:-1]] == pytest.approx(
        [b.start for b in found.segments[1:]]
    )
    assert found.warnings == (
        "The publisher's transcript has times of paragraphs only: those of their sentences are estimated.",
    )


@pytest.mark.parametrize(
    "body",
    [
        "Ann: Welcome to the show.\nBen: Thank you.",
        "<html><body><p>Welcome to the show.</p></body></html>",
        "<cite>Ann</cite><p>Welcome to the show.</p>",
        '{"transcript": "Welcome to the show."}',
        '["Welcome", "to the show"]',
    ],
)
def test_text_without_times_is_not_taken(body):
    """No hit of a search would lead to its second, and subtitles would show everything at once."""
    with pytest.raises(PermanentError, match=r"no times|no text with times"):
        read(body)


# --- Broadcasters --------------------------------------------------------------------------------


def test_timed_text():
    text = """<?xml version="1.0" encoding="UTF-8"?>
    <tt:tt xmlns:tt="http://www.w3.org/ns/ttml" ttp:tickRate="1000" ttp:frameRate="25" xml:lang="de">
    <tt:head><tt:metadata>not said</tt:metadata></tt:head><tt:body><tt:div>
    <tt:p begin="00:00:01.000" end="00:00:02.000">Guten<tt:br/><tt:span style="s">Tag
    &amp; Nacht</tt:span></tt:p>
    <tt:p begin="2s" dur="500ms">zwei</tt:p><tt:p begin='3000t' end="00:00:04:05">drei</tt:p>
    <tt:p><tt:span begin="5s" end="6s">vier</tt:span> <tt:span begin="6s" end="7s">fünf</tt:span></tt:p>
    </tt:div></tt:body></tt:tt>"""
    found = read(text)
    assert found.language == "de"
    assert shown(found) == [
        (1.0, 2.0, " Guten Tag & Nacht"),
        (2.0, 2.5, " zwei"),
        (3.0, 4.2, " drei"),
        (5.0, 6.0, " vier"),
        (6.0, 7.0, " fünf"),
    ]


# --- Times ---------------------------------------------------------------------------------------


def vtt(*cues):
    return "WEBVTT\n\n" + "".join(
        f"{caption_samples.clock(start)} --> {caption_samples.clock(end)}\n{text}\n\n"
        for start, end, text in cues
    )


def test_cues_are_sorted_and_do_not_overlap():
    found = read(vtt((5, 9, "b"), (1, 7, "a"), (8, 6, "c"), (20, 21, "d"), (20, 22, "e")))
    assert [(s.start, s.text) for s in found.segments] == [
        (1.0, " a"),
        (5.0, " b"),
        (8.0, " c"),
        (20.0, " d e"),
    ]
    assert [s.end for s in found.segments[:2]] == [5.0, 8.0]
    assert found.segments[3].end == 22.0
    for before, after in zip(found.segments, found.segments[1:], strict=False):
        assert before.start < before.end <= after.start


@pytest.mark.parametrize(
    ("end", "duration", "expected"),
    [
        (100, 100, None),
        (104, 100, None),
        (100, 155, None),
        (7000, 7100, None),  # credits of a long recording
        (145, 100, "end 0:45 after the recording"),
        (100, 190, "end 1:30 before the recording"),
        (7000, 7200, "end 3:20 before the recording"),
    ],
)
def test_captions_that_do_not_fit_the_recording(end, duration, expected):
    found = read(vtt((0, 5, "a"), (end - 5, end, "b")), duration=duration)
    assert found.duration == (145 if end == 145 else duration)
    assert drift(found, duration) == (found.warnings[0] if expected else None)
    assert len(found.warnings) == (1 if expected else 0)
    assert expected is None or expected in found.warnings[0]


def test_a_line_long_after_the_recording_does_not_make_it_longer():
    advert = "1\n00:00:01,000 --> 00:00:02,000\nHi.\n\n2\n99:59:58,000 --> 99:59:59,000\nBy Subs.example\n"
    found = read(advert, duration=30.0)
    assert (found.text, found.duration) == ("Hi.", 30.0)
    assert found.warnings == (
        "Captions that begin after the recording, more than an hour after all others, are left out.",
    )
    assert read(advert).text == "Hi. By Subs.example"  # how long the recording is, nobody knows


def test_a_transcript_of_an_engine_has_no_drift():
    said = (Segment(0.0, 1.0, " a"),)
    assert drift(Transcript("faster-whisper", "small", "en", 900.0, said), 900.0) is None
    assert drift(Transcript("captions", "manual", "en", 900.0, said), 900.0) is not None


# --- Hostile files -------------------------------------------------------------------------------


def test_control_characters_and_endless_names():
    found = read(
        f"WEBVTT\n\n00:01.000 --> 00:02.000\n<v {'N' * 900}>a\x1b[31m\u202eb\x00\ud7ff</v>\n"
    )
    assert found.segments[0].text == " a[31mb\ud7ff"
    assert len(found.speakers[0].name) == 100


@pytest.mark.parametrize(
    "body",
    [
        "",
        "WEBVTT",
        "WEBVTT\n\n99999:00.000 --> 99999:05.000\nlate\n",
        "{" * 100_000,
        "[" * 100_000,
        '{"events": 7}',
        '{"events": [7, {"segs": 7}, {"tStartMs": "1", "segs": [{"utf8": 1}]}]}',
        '{"events": [{"tStartMs": 1e400, "segs": [{"utf8": "a"}]}]}',
        '{"events": [{"tStartMs": -5000, "segs": [{"utf8": "a"}]}]}',
        '{"segments": [{"startTime": NaN, "body": "a"}]}',
        f'{{"segments": [{{"startTime": {"9" * 4000}, "body": "a"}}]}}',
        "<tt",
        "<tt><p begin='x'>a</p></tt>",
        b"\xff\xfe\x00",
        b"\x00" * 1000,
    ],
)
def test_files_with_nothing_usable(body):
    with pytest.raises(PermanentError):
        read(body)


def test_limits(monkeypatch):
    monkeypatch.setattr(timed_cues, "MOST_CUES", 3)
    assert len(read(vtt((1, 2, "a"), (2, 3, "b"), (3, 4, "c"))).segments) == 3
    with pytest.raises(PermanentError, match="longer than those of any recording"):
        read(vtt((1, 2, "a"), (2, 3, "b"), (3, 4, "c"), (4, 5, "d")))
    monkeypatch.setattr(caption_files, "MAX_BYTES", 100)
    with pytest.raises(PermanentError, match="larger than"):
        read(b" " * 101)


BIG = 2_000_000  # bytes


@pytest.mark.parametrize(
    "body",
    [
        "WEBVTT\n\n00:01.000 --> 00:02.000\n" + "a " * (BIG // 2),
        "WEBVTT\n\n" + "00:01.000 --> 00:02.000\na b c d e f\n\n" * (BIG // 40),
        "WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<v A>b" * (BIG // 6),
        "1\n00:01.000 --> 00:02.000\n" + "a\n" * (BIG // 2),
        "<time>0:01</time><p>" + "a " * (BIG // 2),
        "<tt><p begin='1s'>" + "a " * (BIG // 2) + "</p>",
        json.dumps({"events": [{"tStartMs": 1, "segs": [{"utf8": "a "}] * (BIG // 15)}]}),
        json.dumps({"events": [[]] * (BIG // 4)}),
        json.dumps({"segments": [{"start": 1, "text": "a " * (BIG // 2)}]}),
    ],
    ids=lambda body: body[:40],
)
def test_a_file_over_the_limits_takes_little_memory(body, monkeypatch):
    """Words take a hundred times their bytes in memory, so that the limits must hold while a file is read."""
    monkeypatch.setattr(timed_cues, "MOST_CHARACTERS", 5_000)
    monkeypatch.setattr(caption_files, "MOST_VALUES", 5_000)
    tracemalloc.start()
    try:
        with pytest.raises(PermanentError, match="longer than those of any recording"):
            read(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25 * BIG


def test_more_speakers_than_any_recording_has_are_left_out():
    named = [{"startTime": n, "body": "Hi.", "speaker": f"Person {n}"} for n in range(501)]
    found = read(json.dumps({"segments": named}))
    assert (found.speakers, found.turns, len(found.segments)) == ((), (), 501)
    assert found.warnings == (
        "The publisher's transcript names more than 500 speakers: they are left out.",
    )
    assert len(read(json.dumps({"segments": named[:500]})).speakers) == 500


MANY = 20_000


@pytest.mark.parametrize(
    "body",
    [
        "WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<v A" * 10 * MANY,
        "WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<v A>b" * MANY,
        "WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<00:00:01.000>b" * MANY,
        "WEBVTT\n\n" + "00:01.000 --> 00:02.000\na b c d\n\n" * MANY,
        "WEBVTT\n\n00:01.000 --> 00:02.000\n" + "&amp" * 10 * MANY,
        "1\n00:01.000 --> 00:02.000\n" + "{\\" * 10 * MANY,
        "<time>0:01</time>" + "<!--" * 10 * MANY,
        "<time>0:01</time>" + "<p" * 10 * MANY,
        "<time>" * 5 * MANY,
        "<tt>" + "<p begin='1s'>a" * MANY,
        "<tt " + "a" * 10 * MANY,
        json.dumps({"events": [{"tStartMs": 1, "segs": [{"utf8": "a\n" * 10 * MANY}]}]}),
        json.dumps({"segments": [{"startTime": 1, "body": "a"}] * MANY}),
        "00:01 --> 00:02\n" + "-" * 50 * MANY,
        "WEBVTT\n\n00:01.000 --> 00:02.000\na" + " " * 20 * MANY,
        "WEBVTT\n\n00:01.000 --> 10:02.000\na. b" + "." * 10 * MANY + "x\n",
        "WEBVTT\n\n00:01.000 --> 10:02.000\n" + "".join(f"<v {n}>b" for n in range(MANY)),
        "<time>0:01</time><p>" + "A. " * 2 * MANY,
        json.dumps(
            {"segments": [{"start": n, "text": "a", "speaker": str(n)} for n in range(MANY)]}
        ),
    ],
    ids=lambda body: body[:30],
)
@pytest.mark.slow
def test_hostile_files_take_a_time_in_proportion_to_their_size(body):
    began = time.process_time()
    with contextlib.suppress(PermanentError):
        read(body)
    assert time.process_time() - began < 5.0


# --- Whatever a file says ------------------------------------------------------------------------

times = st.one_of(
    st.floats(0, 100), st.floats(-10, 1e6), st.sampled_from([0.0, 1.0, 1.005, 30.0, float("nan")])
)
texts = st.one_of(
    st.text("ab .\n", max_size=40),
    st.sampled_from(
        ["灯台は岩の\n上に", "One. Two! " * 30, "word", " ", "\ud800", "a\u2028b", "ก็"]
    ),
)
pieces = st.lists(st.tuples(texts, st.none() | times), min_size=1, max_size=4)
cues = st.lists(
    st.builds(
        timed_cues.cue, times, st.none() | times, pieces, st.sampled_from([None, "Ann", "Ben"])
    ),
    max_size=30,
).map(lambda found: [one for one in found if one is not None])


@given(cues, st.none() | st.floats(0, 200))
@settings(max_examples=300, deadline=None)
def test_segments_are_in_order_and_their_words_are_their_text(found, duration):
    try:
        transcript = transcript_of(found, "manual", "en", duration)
    except PermanentError:
        assert found == []
        return
    after = 0.0
    for segment in transcript.segments:
        assert after <= segment.start < segment.end <= transcript.duration
        after = segment.end
        assert segment.text.strip()
        if segment.words:
            assert "".join(word.word for word in segment.words) == segment.text
        for word in segment.words:
            assert segment.start <= word.start <= word.end <= segment.end
    said = "".join(transcript.text.split())
    if len(found) < 3 and STRAY not in transcript.warnings:  # no repetitions are left out
        ordered = sorted(found, key=lambda each: each.start)
        assert sorted(said) == sorted("".join("".join(one.text for one in ordered).split()))
    assert {one.speaker for one in transcript.turns} == {one.label for one in transcript.speakers}
