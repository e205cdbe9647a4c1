"""Every format says who speaks, and other programs read the same speakers back."""

import csv
import html
import io
import itertools
import json
import re
from dataclasses import replace

import pytest
import srt
import webvtt
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from homescribe import plugins
from homescribe.core import Chapter, Item, Segment, Speaker, SubtitleOptions, Turn, Word
from homescribe.formats import writer
from homescribe.formats.exporters import load_exporters
from homescribe.formats.lrc import to_lrc
from homescribe.formats.markdown import to_md
from homescribe.formats.paragraphs import sections
from homescribe.formats.reading_cues import LINE_WIDTH
from homescribe.formats.rttm import to_rttm
from homescribe.formats.subtitles import to_srt, to_vtt
from homescribe.formats.whisper import to_json, to_tsv, to_txt
from homescribe.text.scripts import display_width
from transcripts import ITEM, spoken, transcript

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"
FILE = Item("file", "0a1b", "/home/me/two voices.wav", "Two voices")


def conversation(*lines, names=("Ann", "Bob", None), words=True, turns=()):
    """A transcript of (speaker, text) that take two seconds each, with word times if `words`."""
    segments = []
    for number, (label, text) in enumerate(lines):
        start = 2.0 * number
        parts = re.findall(r"\s*\S+", text)
        each = 2.0 / len(parts)
        spoken_words = tuple(
            Word(start + each * n, start + each * (n + 1), part, 0.9, label)
            for n, part in enumerate(parts)
        )
        segments.append(
            Segment(start, start + 2, text, words=spoken_words if words else (), speaker=label)
        )
    speakers = tuple(
        Speaker(label, 10.0, (1.0, 0.0), "model", name, "person" if name else None)
        for label, name in zip((A, B, C), names, strict=True)
    )
    return replace(transcript(*segments), speakers=speakers, turns=tuple(turns))


TALK = conversation(
    (A, " Hello and welcome."),
    (A, " Who are you?"),
    (B, " I am Bob."),
    (C, " And I am not named."),
    (None, " Yes."),
    (A, " Good."),
)


def test_txt_names_the_speaker_where_another_one_spoke_before():
    assert to_txt(ITEM, TALK) == (
        "Ann: Hello and welcome.\n"
        "Who are you?\n"
        "Bob: I am Bob.\n"
        "Speaker 3: And I am not named.\n"
        "Unknown: Yes.\n"
        "Ann: Good.\n"
    )


def test_a_name_that_may_be_wrong_has_a_question_mark():
    (ann, *others) = TALK.speakers
    maybe = replace(TALK, speakers=(replace(ann, named_by="maybe"), *others))
    assert to_txt(ITEM, maybe).startswith("Ann?: Hello")
    assert "<v Ann?>Hello" in to_vtt(ITEM, maybe)
    assert json.loads(to_json(ITEM, maybe))["homescribe"]["speakers"][0]["named_by"] == "maybe"


def test_two_labels_with_one_name_are_one_person():
    said = conversation((A, " One."), (B, " Two."), (C, " Three."), names=("Ann", "Ann", "Bob"))
    assert to_txt(ITEM, said) == "Ann: One.\nTwo.\nBob: Three.\n"
    cues = [cue.content for cue in srt.parse(to_srt(ITEM, said))]
    assert cues == ["Ann: One.", "Two.", "Bob: Three."]


def test_without_speakers_nothing_is_named():
    names = [name for name in plugins.names("exporters") if name not in ("json", "rttm")]
    named = replace(spoken("Hello.", "Yes."), speakers=TALK.speakers)
    for name in names:
        exporter = plugins.load("exporters", name)
        assert exporter(ITEM, named) == exporter(ITEM, spoken("Hello.", "Yes.")), name
    assert to_rttm(ITEM, spoken("Hello.")) == ""


def test_srt_introduces_each_speaker_in_the_text():
    cues = [cue.content for cue in srt.parse(to_srt(ITEM, TALK))]
    assert cues == [
        "Ann: Hello and welcome.",
        "Who are you?",
        "Bob: I am Bob.",
        "Speaker 3: And I am not named.",
        "Unknown: Yes.",
        "Ann: Good.",
    ]


def test_vtt_has_the_speaker_of_each_cue_in_its_tag():
    cues = webvtt.from_string(to_vtt(ITEM, TALK), strict=True)
    assert [(cue.voice, cue.text) for cue in cues] == [
        ("Ann", "Hello and welcome."),
        ("Ann", "Who are you?"),
        ("Bob", "I am Bob."),
        ("Speaker 3", "And I am not named."),
        ("Unknown", "Yes."),
        ("Ann", "Good."),
    ]


@pytest.mark.parametrize("exporter", [to_srt, to_vtt])
@pytest.mark.parametrize(
    "options",
    [
        SubtitleOptions(),
        SubtitleOptions(max_line_width=1000),
        SubtitleOptions(max_line_width=20, max_line_count=2),
        SubtitleOptions(max_words_per_line=3),
    ],
    ids=str,
)
def test_no_cue_has_words_of_two_speakers(exporter, options):
    # The speaker changes inside a segment, too.
    words = [
        *(Word(n / 4, n / 4 + 0.25, f" a{n}", 0.9, A) for n in range(5)),
        *(Word(n / 4, n / 4 + 0.25, f" b{n}", 0.9, B) for n in range(5, 8)),
        *(Word(n / 4, n / 4 + 0.25, f" a{n}", 0.9, A) for n in range(8, 30)),
    ]
    said = transcript(Segment(0, 7.5, "".join(word.word for word in words), words=tuple(words)))
    said = replace(said, speakers=TALK.speakers)
    file = exporter(ITEM, said, options)
    cues = re.sub("(Ann|Bob):|<.*?>", "", file).split("\n\n")
    kinds = ["".join(sorted(set(re.findall(r"\b[ab](?=\d)", cue)))) for cue in cues]
    assert set(kinds) <= {"a", "b", ""}, file
    assert [kind for kind, _ in itertools.groupby(filter(None, kinds))] == ["a", "b", "a"]
    names = re.findall(r"<v (\w+)>" if exporter is to_vtt else r"(\w+): ", file)
    assert [name for name, _ in itertools.groupby(names)] == ["Ann", "Bob", "Ann"]


def test_lines_of_subtitles_have_room_for_the_name():
    long = " ".join(["a fairly long sentence that goes on"] * 4)
    said = conversation(
        (A, f" {long}."), (B, f" {'x' * 40} {long}."), names=("Ann", "Bartholomew Featherstone", "")
    )
    cues = [cue.content for cue in srt.parse(to_srt(ITEM, said))]
    assert all(display_width(line) <= LINE_WIDTH for cue in cues for line in cue.split("\n")), cues
    assert all(cue.count("\n") <= 1 for cue in cues)
    assert cues[0].startswith("Ann: a fairly")
    (second,) = (cue for cue in cues if "Bartholomew" in cue)
    assert second.startswith(f"Bartholomew Feather…:\n{'x' * 40}")


def test_the_name_is_not_highlighted():
    file = to_srt(ITEM, conversation((A, " Hello you.")), SubtitleOptions(highlight_words=True))
    assert [cue.content for cue in srt.parse(file)] == [
        "Ann: <u>Hello</u> you.",
        "Ann: Hello <u>you.</u>",
    ]


def test_scripts_without_spaces_have_one_after_the_name():
    said = conversation((A, "今天天气很好。"), words=False)
    assert next(srt.parse(to_srt(ITEM, said))).content == "Ann: 今天天气很好。"
    cues = srt.parse(to_srt(ITEM, said, SubtitleOptions(max_line_width=40)))
    assert next(cues).content == "Ann: 今天天气很好。"


def test_markdown_names_the_speaker_of_a_paragraph():
    item = replace(ITEM, chapters=(Chapter(0, 4, "First"), Chapter(4, 20, "Second")))
    said = conversation((A, " One."), (A, " Two."), (A, " Three."), (B, " Four."), (A, " Five."))
    lines = [line for line in to_md(item, said).split("\n") if re.match(r"\[|##", line)]
    found = [re.sub(r"\[[\d:]+\]\(.*?\) ", "", line) for line in lines]
    assert found == [
        "## First",
        "**Ann:** One. Two.",
        "## Second",
        "**Ann:** Three.",
        "**Bob:** Four.",
        "**Ann:** Five.",
    ]


def test_paragraphs_end_where_the_speaker_changes():
    (section,) = sections(TALK, ())
    assert [(each.speaker, len(each.lines)) for each in section.paragraphs] == [
        (A, 2),
        (B, 1),
        (C, 1),
        (None, 1),
        (A, 1),
    ]


def test_tsv_has_a_fourth_column():
    rows = list(csv.DictReader(io.StringIO(to_tsv(ITEM, TALK)), dialect="excel-tab"))
    assert [row["speaker"] for row in rows] == ["Ann", "Ann", "Bob", "Speaker 3", "Unknown", "Ann"]
    assert rows[2] == {"start": "4000", "end": "6000", "text": "I am Bob.", "speaker": "Bob"}


def test_lrc_names_the_speaker_where_another_one_spoke_before():
    lines = to_lrc(ITEM, TALK).splitlines()[3:]
    assert lines[:3] == [
        "[00:00.00]Ann: Hello and welcome.",
        "[00:02.00]Who are you?",
        "[00:04.00]Bob: I am Bob.",
    ]


def test_json_has_labels_and_what_is_known_of_each_speaker():
    said = replace(TALK, turns=(Turn(0.0, 4.0, A), Turn(3.5, 6.0, B)))
    file = to_json(ITEM, said)
    found = json.loads(file)
    assert [segment.get("speaker") for segment in found["segments"]] == [A, A, B, C, None, A]
    assert "speaker" not in found["segments"][4]
    assert [word.get("speaker") for word in found["segments"][2]["words"]] == [B, B, B]
    assert found["homescribe"]["speakers"][1:] == [
        {"label": B, "name": "Bob", "seconds": 10.0, "named_by": "person"},
        {"label": C, "name": None, "seconds": 10.0, "named_by": None},
    ]
    assert found["homescribe"]["turns"] == [
        {"start": 0.0, "end": 4.0, "speaker": A},
        {"start": 3.5, "end": 6.0, "speaker": B},
    ]
    assert "embedding" not in file


def test_rttm_is_read_by_pyannote():
    load_rttm = pytest.importorskip("pyannote.database.util").load_rttm
    turns = (Turn(0.0, 4.25, A), Turn(3.5, 6.0, B), Turn(6.0, 7.0, A))
    said = replace(
        conversation((A, " One."), (B, " Two."), names=("Ann Lee", "Bob", "")), turns=turns
    )
    (uri, annotation), *others = load_rttm(io.StringIO(to_rttm(FILE, said))).items()
    assert uri == "two_voices"
    assert not others
    found = [(s.start, s.end, label) for s, _, label in annotation.itertracks(yield_label=True)]
    assert found == [(0.0, 4.25, "Ann_Lee"), (3.5, 6.0, "Bob"), (6.0, 7.0, "Ann_Lee")]


def test_rttm_has_one_person_for_two_labels_with_one_name():
    turns = (Turn(0.0, 4.0, A), Turn(3.0, 6.0, B), Turn(5.0, 7.0, C), Turn(8.0, 9.0, A))
    said = replace(conversation((A, " One."), names=("Ann", "Ann", "Bob")), turns=turns)
    found = [line.split() for line in to_rttm(ITEM, said).splitlines()]
    assert [(float(line[3]), float(line[4]), line[7]) for line in found] == [
        (0.0, 6.0, "Ann"),
        (5.0, 2.0, "Bob"),
        (8.0, 1.0, "Ann"),
    ]


def test_rttm_of_a_transcript_without_turns_has_those_of_its_words():
    said = conversation((A, " One."), (A, " Two."), (B, " Three."), words=False)
    assert to_rttm(ITEM, said).splitlines() == [
        f"SPEAKER {ITEM.key} 1 0.000 4.000 <NA> <NA> Ann <NA> <NA>",
        f"SPEAKER {ITEM.key} 1 4.000 2.000 <NA> <NA> Bob <NA> <NA>",
    ]


def test_without_speakers_no_rttm_file_is_written(tmp_path):
    exporters = load_exporters(["rttm", "txt"], SubtitleOptions())
    (path,) = writer.write(tmp_path, ITEM, spoken("Hello."), exporters)
    assert path.suffix == ".txt"
    assert writer.nothing_to_write("rttm", spoken("Hello.")) == "no speakers were detected"
    assert len(writer.write(tmp_path, ITEM, TALK, exporters)) == 2


NAMES = st.one_of(
    st.text(st.sampled_from("<>&-:;\"' \t\n\r\x00\x1b\u202e\u2066\u2028[]*#|Aé今"), max_size=30),
    st.sampled_from(
        [
            "-->",
            "--",
            "<b>",
            "</v>",
            "a\nb",
            "\u202eevil",
            "a\tb",
            "&lt;",
            "[00:10]",
            "42",
            "=1+1",
            "a\n\n1",
        ]
    ),
)


@settings(max_examples=60, deadline=None)
@given(NAMES)
@example("--")
def test_no_name_breaks_a_file(name):
    said = conversation((A, " Hello."), (B, " Yes."), (A, " Good."), names=(name, "Bob", None))
    shown = said.speaker_names[A]
    shown = " ".join(
        re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", " ", shown).split()
    )
    shown = shown or A
    texts = ["Hello.", "Yes.", "Good."]

    assert to_txt(ITEM, said).splitlines()[::2] == [f"{shown}: Hello.", f"{shown}: Good."] or (
        "\u2028" in shown
    )
    rows = list(csv.reader(io.StringIO(to_tsv(ITEM, said)), "excel-tab", quoting=csv.QUOTE_NONE))
    assert [row[3] for row in rows] == ["speaker", shown, "Bob", shown]

    vtt = to_vtt(ITEM, said)
    assert vtt.count("-->") == 3
    assert [len(block.split("\n")) for block in vtt.strip().split("\n\n")] == [1, 2, 2, 2]
    voices = re.findall(r"^<v ([^<>]*)>([^<>]*)</v>$", vtt, re.MULTILINE)
    assert [(html.unescape(voice), text) for voice, text in voices] == [
        (shown, "Hello."), ("Bob", "Yes."), (shown, "Good."),
    ]  # fmt: skip
    cues = list(srt.parse(to_srt(ITEM, said)))
    assert [cue.index for cue in cues] == [1, 2, 3]
    assert [cue.content.endswith(text) for cue, text in zip(cues, texts, strict=True)] == [True] * 3

    lines = to_rttm(FILE, said).splitlines()
    assert [len(line.split()) for line in lines] == [10, 10, 10]
    for line in to_lrc(ITEM, said).splitlines()[3:]:
        assert len(re.findall(r"\[[^\]]*:", line)) == 1, line

    tokens = MarkdownIt("commonmark").parse(to_md(ITEM, said))
    assert not [token for token in tokens if token.type in ("html_block", "code_block", "fence")]
    inline = [token for token in tokens if token.type == "inline"][-3:]
    strong = []
    for token in inline:
        assert {child.type for child in token.children} <= {
            *("text", "text_special", "link_open", "link_close", "strong_open", "strong_close"),
        }, token.content
        texts = "".join(child.content for child in token.children)
        strong.append(texts)
    assert strong[0] == f"0:00 {shown}: Hello."


def test_a_browser_reads_the_speakers_of_a_vtt_file(browser):
    names = ("Ann & <Bob>", "--", None)
    file = to_vtt(ITEM, conversation((A, " 1 < 2."), (B, " Yes."), (A, " Good."), names=names))
    page = browser.new_context().new_page()
    cues = page.evaluate(
        """file => new Promise((done, failed) => {
            const video = document.createElement("video");
            const track = video.appendChild(document.createElement("track"));
            track.track.mode = "hidden";
            track.onload = () => done([...track.track.cues].map(cue => {
                const span = cue.getCueAsHTML().querySelector("span");
                return [span.title, span.textContent];
            }));
            track.onerror = failed;
            track.src = URL.createObjectURL(new Blob([file], {type: "text/vtt"}));
        })""",
        file,
    )
    page.context.close()
    assert cues == [["Ann & <Bob>", "1 < 2."], ["--", "Yes."], ["Ann & <Bob>", "Good."]]


# --- Several at once -------------------------------------------------------------------------------


def said(start, end, label, text, *, words=True):
    """A segment whose words take equal times."""
    parts = re.findall(r"\s*\S+", text)
    each = (end - start) / len(parts)
    spoken_words = tuple(
        Word(start + n * each, start + (n + 1) * each, part, 0.9, label)
        for n, part in enumerate(parts)
    )
    return Segment(start, end, text, words=spoken_words if words else (), speaker=label)


def at_once(*segments):
    return replace(transcript(*segments), speakers=TALK.speakers)


COMPLAINT = (
    " He began a confused complaint against the wizard, who had vanished behind the curtain."
)


def overlapping(words):
    return at_once(
        said(0.3, 5.0, A, COMPLAINT, words=words),
        said(0.4, 3.0, B, " The horizon seems distant.", words=words),
        said(5.5, 6.5, A, " He was gone.", words=words),
    )


@pytest.mark.parametrize("words", [True, False])
@pytest.mark.parametrize("options", [SubtitleOptions(), SubtitleOptions(max_line_width=42)])
def test_words_of_several_people_at_once_are_shown_when_each_is_said(words, options):
    cues = list(srt.parse(to_srt(ITEM, overlapping(words), options)))
    assert [cue.start for cue in cues] == sorted(cue.start for cue in cues)
    (horizon,) = (cue for cue in cues if "horizon" in cue.content)
    assert horizon.start.total_seconds() == pytest.approx(0.4, abs=0.3)
    assert horizon.end.total_seconds() >= 2.5
    assert horizon.content.replace("\n", " ") == "Bob: The horizon seems distant."
    (gone,) = (cue for cue in cues if "gone" in cue.content)
    assert gone.start.total_seconds() == pytest.approx(5.5, abs=0.51)
    # In vtt, the cues are the same ones, and each has its speaker.
    spoken_cues = webvtt.from_string(to_vtt(ITEM, overlapping(words), options)).captions
    assert [cue.voice for cue in spoken_cues if "horizon" in cue.text] == ["Bob"]
    starts = [cue.start_in_seconds for cue in spoken_cues]
    assert starts == sorted(starts)


@pytest.mark.parametrize("options", [SubtitleOptions(), SubtitleOptions(max_line_width=42)])
def test_a_cue_that_follows_another_speakers_introduces_its_own(options):
    cues = list(srt.parse(to_srt(ITEM, overlapping(True), options)))
    speakers = []
    for cue in cues:
        named = re.match("(Ann|Bob): ", cue.content)
        speakers.append(named[1] if named else speakers[-1])
    assert speakers == ["Bob" if "horizon" in cue.content else "Ann" for cue in cues]
    text = " ".join(re.sub(r"(Ann|Bob): |\n", " ", cue.content) for cue in cues)
    for segment in overlapping(True).segments:
        assert set(segment.text.split()) <= set(text.split())


def test_a_yes_inside_of_a_long_segment_is_shown_when_it_is_said():
    long = " ".join(f"word{n}" for n in range(40))
    talk = at_once(said(0.0, 20.0, A, f" {long}."), said(9.0, 9.4, B, " Yes."))
    cues = list(srt.parse(to_srt(ITEM, talk)))
    (place,) = (n for n, cue in enumerate(cues) if cue.content == "Bob: Yes.")
    assert cues[place].start.total_seconds() == pytest.approx(9.0)
    assert cues[place + 1].content.startswith("Ann: ")
    assert sum(cue.content.startswith("Ann: ") for cue in cues) == 2
    shown = re.findall(r"word\d+", " ".join(cue.content for cue in cues))
    assert shown == long.split()
    for cue in cues:
        assert all(display_width(line) <= LINE_WIDTH for line in cue.content.split("\n"))
        assert cue.end > cue.start
    assert "[00:09.00]Bob: Yes.\n" in to_lrc(ITEM, talk)


def test_people_who_speak_in_turn_are_shown_in_turn_although_times_are_inexact():
    talk = at_once(said(0.0, 2.2, A, " Who are you?"), said(2.0, 4.0, B, " I am Bob."))
    ann, bob = srt.parse(to_srt(ITEM, talk))
    assert ann.end <= bob.start
    assert bob.start.total_seconds() == pytest.approx(2.2, abs=0.1)


@given(
    st.lists(
        st.tuples(st.sampled_from([A, B, C]), st.integers(0, 200), st.integers(1, 80)), max_size=12
    ),
    st.sampled_from([SubtitleOptions(), SubtitleOptions(max_line_width=30, max_line_count=2)]),
)
@settings(deadline=None, max_examples=60)
def test_any_overlap_keeps_all_words_and_the_order_of_time(parts, options):
    segments = [
        said(start / 10, (start + length) / 10, label, f" a{n} b{n} c{n} d{n}.")
        for n, (label, start, length) in enumerate(sorted(parts, key=lambda part: part[1]))
    ]
    talk = at_once(*segments) if segments else replace(transcript(), speakers=TALK.speakers)
    cues = webvtt.from_string(to_vtt(ITEM, talk, options)).captions if segments else []
    starts = [cue.start_in_seconds for cue in cues]
    assert starts == sorted(starts)
    names = {A: "Ann", B: "Bob", C: "Speaker 3"}
    for label, name in names.items():
        expected = [word.word.strip() for s in segments if s.speaker == label for word in s.words]
        shown = [word for cue in cues if cue.voice == name for word in cue.text.split()]
        assert shown == expected
