"""Speakers in the library: how they are stored, named, recognized, searched and forgotten."""

import random
from dataclasses import replace

import pytest

from homescribe.core import Item, Listing, Segment, Speaker, Transcript, Turn, Word
from homescribe.errors import UserError
from homescribe.library import Library, Naming, Person, speaker_rows
from homescribe.speakers.voices import MAYBE, SAME

MODEL = "test-voices"
ANN, BOB = "SPEAKER_00", "SPEAKER_01"


def voice(seed, noise=0.0, other=1):
    """An embedding of length 1. With `noise` from 0 to 1 it moves towards another voice."""
    made = random.Random(seed)
    values = [made.gauss(0, 1) for _ in range(64)]
    drift = random.Random(f"{seed} {other}")
    values = [(1 - noise) * value + noise * drift.gauss(0, 1) for value in values]
    length = sum(value * value for value in values) ** 0.5
    return tuple(value / length for value in values)


def item(number, **changes):
    return replace(
        Item("podcast", f"id{number}", f"https://feed/{number}", f"Episode {number}"), **changes
    )


def conversation(*lines, voices=("ann", "bob"), noise=0.0, take=1, model=MODEL):
    """A transcript. Each line is (speaker number, text) and takes five seconds."""
    segments, turns = [], []
    for number, (who, text) in enumerate(lines):
        start, label = number * 5.0, f"SPEAKER_{who:02}"
        words = tuple(
            Word(start + n, start + n + 0.5, f" {word}", 0.9, label)
            for n, word in enumerate(text.split())
        )
        segments.append(Segment(start, start + 5, f" {text}", words=words, speaker=label))
        turns.append(Turn(start, start + 5, label))
    present = sorted({who for who, _ in lines})
    speakers = tuple(
        Speaker(
            f"SPEAKER_{who:02}",
            sum(5.0 for speaking, _ in lines if speaking == who),
            voice(voices[who], noise, take) if voices[who] else (),
            model,
        )
        for who in present
    )
    return Transcript(
        *("faster-whisper", "base", "en", len(lines) * 5.0, tuple(segments)),
        speakers=speakers,
        turns=tuple(turns),
    )


TALK = conversation((0, "good morning"), (1, "hello lighthouse"), (0, "and goodbye"))


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path) as opened:
        yield opened


def show(library, *numbers, url="https://feed"):
    """Add a source with these episodes."""
    library.record("podcast", Listing(url, "A show", iter(())), [item(n) for n in numbers])


def stored_embeddings(library):
    return library._db.execute("SELECT count(*) FROM speaker_embeddings").fetchone()[0]


def test_speakers_turns_and_words_are_stored_and_their_embeddings_stay_inside(library):
    library.save(item(1), TALK)
    kept = library.transcript("podcast:id1")
    assert kept == replace(
        TALK, speakers=tuple(replace(each, embedding=()) for each in TALK.speakers)
    )
    (blob,) = library._db.execute(
        "SELECT embedding FROM speaker_embeddings WHERE label = ?", (ANN,)
    ).fetchone()
    assert len(blob) == 4 * 64
    assert [*memoryview(blob).cast("f")] == pytest.approx(voice("ann"), abs=1e-7)


def test_a_removed_recording_leaves_no_speakers(library):
    library.save(item(1), TALK)
    assert stored_embeddings(library) == 2
    library.remove(["podcast:id1"])
    assert stored_embeddings(library) == 0
    assert library.check() == []


def test_an_embedding_is_not_printed():
    assert "0." not in repr(Speaker("SPEAKER_00", 3, voice("ann"), MODEL))


# --- Names -------------------------------------------------------------------------------------------


def names(library, number=1):
    """The speakers of an episode as outputs show them."""
    return list(library.transcript(f"podcast:id{number}").speaker_names.values())


def named_by(library, number=1):
    return [each.named_by for each in library.speakers(f"podcast:id{number}")]


def similar(similarity, seed="ann"):
    """A voice with exactly this cosine similarity to that of `seed`."""
    own, other = voice(seed), voice("somebody else")
    along = sum(a * b for a, b in zip(own, other, strict=True))
    across = [b - along * a for a, b in zip(own, other, strict=True)]
    length = sum(value * value for value in across) ** 0.5
    rest = (1 - similarity**2) ** 0.5
    return tuple(similarity * a + rest * b / length for a, b in zip(own, across, strict=True))


def with_voice(transcript, *embeddings):
    """The transcript with these embeddings."""
    speakers = tuple(
        replace(each, embedding=embedding)
        for each, embedding in zip(transcript.speakers, embeddings, strict=True)
    )
    return replace(transcript, speakers=speakers)


ALONE = conversation((0, "this is me"))
THREE = conversation((0, "one"), (1, "two"), (2, "three"), voices=("ann", "bob", "cid"))


@pytest.fixture
def season(library):
    """A show with four episodes. Ann hosts all of them; in the third she may be somebody else."""
    show(library, 1, 2, 3, 4)
    library.save(item(1), TALK)
    library.save(item(2), conversation((0, "the guest"), (1, "me again"), voices=("cid", "ann")))
    library.save(item(3), with_voice(ALONE, similar((SAME + MAYBE) / 2)))
    library.save(item(4), with_voice(ALONE, similar(MAYBE - 0.02)))
    return library


def test_a_name_is_known_in_the_other_episodes_of_the_show(season):
    naming = season.name_speaker("podcast:id1", ANN, "  Ann\nLee ")
    assert naming == Naming("Ann Lee", recordings=1, maybe=1)
    assert names(season, 1) == ["Ann Lee", "Speaker 2"]
    assert names(season, 2) == ["Speaker 1", "Ann Lee"]
    assert names(season, 3) == ["Ann Lee?"]
    assert names(season, 4) == ["Speaker 1"]
    assert named_by(season, 1) == ["person", None]
    assert named_by(season, 2) == [None, "voice"]


def test_the_next_episode_knows_the_host_when_it_is_stored(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    show(season, 5)
    season.save(item(5), conversation((0, "hi"), (1, "hello"), voices=("dan", "ann"), noise=0.1))
    assert names(season, 5) == ["Speaker 1", "Ann"]


def test_a_voice_is_known_in_its_own_show_only(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    show(season, 9, url="https://another")
    season.save(item(9), ALONE)
    assert names(season, 9) == ["Speaker 1"]


def test_a_voice_is_known_in_its_channel(library):
    """Videos that were added one by one."""
    for number, channel in ((1, "Talks"), (2, "Talks"), (3, "Other")):
        library.record(
            "ytdlp",
            Listing(f"https://video/{number}", "A video", iter(())),
            [item(number, channel=channel)],
        )
        library.save(item(number), ALONE)
    library.name_speaker("podcast:id1", ANN, "Ann")
    assert [names(library, n) for n in (1, 2, 3)] == [["Ann"], ["Ann"], ["Speaker 1"]]


def test_a_voice_has_one_speaker_in_a_recording_and_the_most_similar_one(library):
    show(library, 1, 2)
    library.save(item(1), ALONE)
    two = conversation((0, "one"), (1, "two"))
    library.save(item(2), with_voice(two, similar(SAME + 0.05), similar(SAME + 0.2)))
    library.name_speaker("podcast:id1", ANN, "Ann")
    assert names(library, 2) == ["Speaker 1", "Ann"]


def test_voices_of_different_models_are_not_compared(library):
    show(library, 1, 2)
    library.save(item(1), ALONE)
    library.save(item(2), conversation((0, "this is me"), model="another"))
    library.name_speaker("podcast:id1", ANN, "Ann")
    assert names(library, 2) == ["Speaker 1"]


def test_a_name_that_a_person_gave_is_never_replaced(season):
    season.name_speaker("podcast:id2", BOB, "Annabel")
    season.name_speaker("podcast:id1", ANN, "Ann")
    assert names(season, 2) == ["Speaker 1", "Annabel"]


def test_a_confirmed_voice_is_known_better(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    show(season, 5)
    season.save(item(5), with_voice(ALONE, similar(MAYBE - 0.03)))  # close to that of episode 3
    assert names(season, 5) == ["Speaker 1"]
    assert season.confirm_speaker("podcast:id3", ANN).name == "Ann"
    assert names(season, 3) == ["Ann"]
    assert names(season, 5) == ["Ann"]
    assert names(season, 4) == ["Ann"]


def test_a_rejected_voice_stays_rejected(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    assert season.reject_speaker("podcast:id3", ANN).name is None
    assert names(season, 3) == ["Speaker 1"]
    season.name_speaker("podcast:id2", BOB, "Ann")
    assert names(season, 3) == ["Speaker 1"]
    season.save(item(3), with_voice(ALONE, similar((SAME + MAYBE) / 2)))  # transcribed again
    assert names(season, 3) == ["Speaker 1"]


def test_a_wrong_name_that_is_replaced_is_rejected(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    season.name_speaker("podcast:id3", ANN, "Eve")
    assert names(season, 3) == ["Eve"]
    assert names(season, 1) == ["Ann", "Speaker 2"]
    season.name_speaker("podcast:id3", ANN, "")
    assert names(season, 3) == ["Speaker 1"]
    season.undo_naming()
    season.undo_naming()
    assert names(season, 3) == ["Ann?"]


def test_a_new_spelling_is_for_all_recordings(season):
    season.name_speaker("podcast:id1", ANN, "An")
    season.name_speaker("podcast:id1", ANN, "Ann")
    assert [names(season, n) for n in (1, 2, 3)] == [
        ["Ann", "Speaker 2"],
        ["Speaker 1", "Ann"],
        ["Ann?"],
    ]
    (known,) = season.voices()
    season.rename_voice(known.id, "Anna")
    assert names(season, 2) == ["Speaker 1", "Anna"]
    season.undo_naming()
    assert names(season, 2) == ["Speaker 1", "Ann"]


def test_one_name_in_two_recordings_is_one_voice(season):
    """A person says so, even where the voices differ."""
    season.name_speaker("podcast:id1", ANN, "Ann")
    season.name_speaker("podcast:id4", ANN, "ann")
    assert names(season, 4) == ["Ann"]
    (known,) = season.voices()
    assert (known.name, known.samples) == ("Ann", 2)
    assert names(season, 3) == ["Ann"]  # it is close to that of episode 4


def test_a_voice_of_another_show_is_the_same_if_it_sounds_the_same(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    show(season, 8, url="https://another")
    show(season, 9, url="https://third")
    season.save(item(8), ALONE)
    season.save(item(9), conversation((0, "no"), voices=("zoe",)))
    season.name_speaker("podcast:id8", ANN, "Ann")
    season.name_speaker("podcast:id9", ANN, "Ann")  # another Ann
    assert [each.name for each in season.voices()] == ["Ann", "Ann"]
    assert sorted(each.samples for each in season.voices()) == [1, 2]


def state(library):
    tables = ("speakers", "voices", "rejected_voices")
    return {table: library._db.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


def test_undo_restores_all_that_a_naming_changed(season):
    """Any actions, one after the other, then all of them undone."""
    chosen = random.Random(3)
    history = []
    for _ in range(40):
        key = f"podcast:id{chosen.randint(1, 4)}"
        speaker = chosen.choice(season.speakers(key))
        before = state(season)
        action = chosen.choice(["name", "name", "confirm", "reject", "rename"])
        try:
            if action == "name":
                season.name_speaker(key, speaker.label, chosen.choice(["Ann", "Bob", "ann", ""]))
            elif action == "confirm":
                season.confirm_speaker(key, speaker.label)
            elif action == "reject":
                season.reject_speaker(key, speaker.label)
            elif season.voices():
                season.rename_voice(season.voices()[0].id, chosen.choice(["Cleo", "Dora"]))
        except UserError:
            continue
        if [*map(tuple, state(season)["speakers"])] != [*map(tuple, before["speakers"])]:
            history.append(before)
    assert len(history) > 15
    assert season.check() == []
    for before in reversed(history):
        season.undo_naming()
        assert {name: [*map(tuple, rows)] for name, rows in state(season).items()} == {
            name: [*map(tuple, rows)] for name, rows in before.items()
        }
    with pytest.raises(UserError, match="no naming to undo"):
        season.undo_naming()


def test_undo_also_removes_the_name_from_recordings_stored_since(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    show(season, 5)
    season.save(item(5), ALONE)
    assert names(season, 5) == ["Ann"]
    assert "podcast:id1" in season.undo_naming()
    assert names(season, 5) == ["Speaker 1"]
    assert season.voices() == []


def test_without_its_recordings_a_voice_is_unknown_and_its_names_stay(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    season.remove(["podcast:id1"])
    show(season, 5)
    season.save(item(5), ALONE)
    assert names(season, 5) == ["Speaker 1"]
    season.name_speaker("podcast:id5", ANN, "Eve")
    assert names(season, 2) == ["Speaker 1", "Ann"]
    season.undo_naming()
    with pytest.raises(UserError):  # of the first naming nothing is left that could be undone
        [season.undo_naming() for _ in range(2)]
    assert season.check() == []


def test_a_question_mark_at_the_end_of_a_name_would_mean_maybe(season):
    assert season.name_speaker("podcast:id1", ANN, "Ann? ?").name == "Ann"


def test_two_speakers_with_one_label_are_one(library):
    """A plug-in's engine may return anything."""
    twice = replace(TALK, speakers=(*TALK.speakers, replace(TALK.speakers[0], seconds=1.0)))
    library.save(item(1), twice)
    assert [each.seconds for each in library.speakers("podcast:id1")] == [10.0, 5.0]


@pytest.mark.parametrize("missing", ["speaker", "recording"])
def test_naming_what_does_not_exist_is_an_error(season, missing):
    key, label = ("podcast:id1", "SPEAKER_09") if missing == "speaker" else ("podcast:no", ANN)
    with pytest.raises(UserError, match="There is no"):
        season.name_speaker(key, label, "Ann")
    assert season.voices() == []


def test_speakers_of_channels_have_names_without_a_voice(library):
    show(library, 1, 2)
    for number in (1, 2):
        library.save(item(number), conversation((0, "hi"), (1, "ho"), voices=("", "")))
    library.name_speaker("podcast:id1", ANN, "Ann")
    assert names(library, 1) == ["Ann", "Speaker 2"]
    assert names(library, 2) == ["Speaker 1", "Speaker 2"]
    library.undo_naming()
    assert names(library, 1) == ["Speaker 1", "Speaker 2"]


# --- Transcribed again -------------------------------------------------------------------------------


def test_names_are_kept_when_a_recording_is_transcribed_again(library):
    library.save(item(1), TALK)
    library.name_speaker("podcast:id1", ANN, "Ann")
    library.name_speaker("podcast:id1", BOB, "Bob")
    # The labels are the other way round.
    swapped = conversation((1, "good morning"), (0, "hello"), (1, "bye"), voices=("bob", "ann"))
    library.save(item(1), swapped)
    assert names(library) == ["Bob", "Ann"]
    library.undo_naming()
    assert names(library) == ["Speaker 1", "Ann"]


def test_names_are_matched_by_time_where_voices_cannot_be_compared(library):
    library.save(item(1), TALK)
    library.name_speaker("podcast:id1", ANN, "Ann")
    swapped = conversation((1, "good morning"), (0, "hi"), (1, "bye"), model="another")
    library.save(item(1), swapped)
    assert names(library) == ["Speaker 1", "Ann"]


# --- Forgotten voices --------------------------------------------------------------------------------


def bytes_of(library, embedding):
    """How often the bytes of an embedding, or a part of them, are in the files of the library."""
    blob = speaker_rows.to_blob(embedding)
    files = [path.read_bytes() for path in library.directory.glob("library.db*")]
    return sum(data.count(blob[at : at + 16]) for data in files for at in range(0, len(blob), 16))


def long_voice(seed):
    """An embedding of the length that is in use: a page of the file has few of them."""
    return voice(seed) * 3


def test_of_a_forgotten_voice_no_byte_is_left(library):
    """Also after rows were moved from page to page."""
    chosen = random.Random(1)

    def store(number):
        host = "ann" if chosen.random() < 0.5 else f"host {number}"
        voices = [long_voice(who) for who in (host, f"guest {number}", "bob")]
        library.save(item(number), with_voice(THREE, *voices))

    show(library, *range(100))
    library.save(item(0), with_voice(THREE, *map(long_voice, ("ann", "guest", "bob"))))
    for number in range(1, 100):
        store(number)
    for number in chosen.sample(range(1, 100), 60):
        library.remove([f"podcast:id{number}"])
        if chosen.random() < 0.5:
            show(library, number)
            store(number)
    library.name_speaker("podcast:id0", ANN, "Ann")
    assert bytes_of(library, voice("ann")) > 500
    (known,) = library.voices()
    assert library.forget_voice(known.id) == known.recordings + known.maybe > 10
    assert bytes_of(library, voice("ann")) == 0
    assert bytes_of(library, voice("bob")) > 500  # nobody asked to forget him
    assert library.voices() == []
    assert "Ann" not in names(library, 0)
    library.save(item(1), TALK)  # the voice may be learned again
    assert library.check() == []


def test_names_of_a_forgotten_voice_may_stay(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    (known,) = season.voices()
    season.forget_voice(known.id, keep_names=True)
    assert [names(season, n) for n in (1, 2, 3)] == [
        ["Ann", "Speaker 2"],
        ["Speaker 1", "Ann"],
        ["Speaker 1"],  # it was a question
    ]
    with pytest.raises(UserError, match="no naming to undo"):
        season.undo_naming()
    show(season, 5)
    season.save(item(5), ALONE)
    assert names(season, 5) == ["Speaker 1"]


def test_all_voices_are_forgotten_also_those_without_a_name(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    assert season.forget_all_voices() == 6
    assert stored_embeddings(season) == 0
    assert [bytes_of(season, voice(who)) for who in ("ann", "bob", "cid")] == [0, 0, 0]


def test_people_are_counted_with_their_minutes(season):
    season.name_speaker("podcast:id1", ANN, "Ann")
    season.name_speaker("podcast:id1", BOB, "Bob")
    assert season.people() == [Person("Ann", 2, 15.0), Person("Bob", 1, 5.0)]
    assert [each.sources for each in season.voices()] == [("A show",), ("A show",)]


# --- Search ------------------------------------------------------------------------------------------


DEBATE = conversation(
    (0, "the lighthouse keeper lights the lamp"),
    (1, "my lamp is broken and the harbour is dark"),
    (0, "then repair it"),
    (1, "a lighthouse needs no lamp"),
)


@pytest.fixture
def debates(library):
    """Two episodes; in the second, Ann and Bob have changed places."""
    library.record(
        "podcast",
        Listing("https://feed", "A show", iter(())),
        [item(1, upload_date="2026-01-01"), item(2, upload_date="2026-02-01")],
    )
    library.save(item(1), DEBATE)
    library.save(item(2), conversation((0, "fog and a lamp"), (1, "rain"), voices=("bob", "ann")))
    library.name_speaker("podcast:id1", ANN, "Ann Lee")
    library.name_speaker("podcast:id1", BOB, "Bob")
    return library


def found(library, query, **options):
    return [(hit.key[-1], hit.start, hit.speaker) for hit in library.search(query, **options)]


def test_hits_say_who_speaks(debates):
    assert found(debates, "harbour")[0][2] == "Bob"
    assert found(debates, '"repair it"')[0][2] == "Ann Lee"
    assert found(debates, "rain")[0][2] == "Ann Lee"


def test_a_hit_ends_where_another_speaker_begins_unless_the_match_goes_on(debates):
    (hit,) = debates.search("harbour")
    assert hit.text == "my lamp is broken and the harbour is dark"
    (hit,) = debates.search("dark repair")
    assert hit.text == "my lamp is broken and the harbour is dark — then repair it"
    assert [hit.text[a:b] for a, b in hit.highlights] == ["dark", "repair"]


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("speaker:bob lamp", {}),
        ("lamp speaker:Bob", {}),
        ('lamp SPEAKER:"bób"', {}),
        ("lamp speaker:„Bob“", {}),
        ("lamp", {"speaker": "Bob"}),
        ("lamp", {"speaker": "Bob", "raw": True}),
    ],
)
def test_search_finds_what_one_person_says(debates, query, options):
    assert sorted(found(debates, query, **options)) == [
        ("1", 6.0, "Bob"),  # not Ann's lamp, five seconds before
        ("2", 3.0, "Bob"),
    ]


def test_all_words_must_be_said_by_the_person(debates):
    assert found(debates, "lighthouse lamp", speaker="Bob") == [("1", 16.0, "Bob")]
    assert found(debates, "keeper harbour", speaker="Bob") == []
    assert found(debates, "keeper harbour", speaker="Ann") == []
    assert found(debates, "keeper harbour") != []


def test_a_speaker_alone_lists_what_she_says_the_newest_recording_first(debates):
    assert [(hit.key[-1], hit.text) for hit in debates.search("speaker:ann")] == [
        ("2", "rain"),
        ("1", "the lighthouse keeper lights the lamp"),
        ("1", "then repair it"),
    ]
    (second,) = debates.search("", speaker="Ann", offset=1, limit=1)
    assert (second.start, second.end, second.url) == (0.0, 5.0, "https://feed/1#t=0")
    assert found(debates, "speaker:ann", until="2026-01-15") == [
        ("1", 0.0, "Ann Lee"),
        ("1", 10.0, "Ann Lee"),
    ]


def test_a_part_of_a_name_is_enough_and_the_whole_name_is_preferred(debates):
    assert {hit.speaker for hit in debates.search("speaker:lee")} == {"Ann Lee"}
    assert {hit.speaker for hit in debates.search("speaker:le")} == {"Ann Lee"}
    debates.name_speaker("podcast:id1", BOB, "Lee")
    assert {hit.speaker for hit in debates.search("speaker:lee")} == {"Lee"}


def test_an_unknown_name_is_answered_with_the_known_ones(debates):
    with pytest.raises(UserError, match="No speaker is called Eve") as caught:
        debates.search("speaker:Eve lamp")
    assert caught.value.hint == "Names: Ann Lee, Bob"
    with pytest.raises(UserError) as caught:
        debates.search("speaker:bop lamp")
    assert caught.value.hint == "Did you mean Bob?"
    debates.forget_all_voices()
    with pytest.raises(UserError) as caught:
        debates.search("speaker:Bob")
    assert "homescribe speakers rename" in caught.value.hint


def test_long_speech_is_listed_in_parts(library):
    library.save(item(1), conversation(*[(0, f"line {n} " + "and on " * 20) for n in range(7)]))
    library.name_speaker("podcast:id1", ANN, "Ann")
    hits = library.search("speaker:ann")
    assert [hit.start for hit in hits] == [0.0, 10.0, 20.0, 30.0]
    assert all(len(hit.text) < 310 for hit in hits)


def test_speakers_beyond_the_bits_of_a_passage_are_found(library):
    crowd = conversation(
        *[(n, f"number {n}") for n in range(70)],
        *[(0, "and so on") for _ in range(20)],
        *[(69, "farewell"), (63, "farewell, too")],
        voices=[f"voice {n}" for n in range(70)],
    )
    library.save(item(1), crowd)
    library.name_speaker("podcast:id1", "SPEAKER_69", "Last")
    library.name_speaker("podcast:id1", "SPEAKER_63", "Near")
    assert [hit.text for hit in library.search("farewell speaker:last")] == ["farewell"]
    assert [hit.text for hit in library.search("farewell speaker:near")] == ["farewell, too"]


def test_a_corrected_line_keeps_its_speaker(debates):
    line = debates.correct("podcast:id1", 1, "my lantern is broken")
    assert line.speaker == BOB
    assert {word.speaker for word in line.words} == {BOB}
    assert found(debates, "lantern", speaker="Bob") == [("1", 6.0, "Bob")]
