"""The benchmarks' own logic: what counts as an error, the manifest, conversions of weights."""

import json
import struct
import wave

import numpy as np
import pytest
from benchmarks import (
    accuracy,
    accuracy_tables,
    corpus,
    derived_recordings,
    engine_speed,
    plot,
    report,
    scoring,
    weights,
)
from benchmarks.corpus import Recording, TimedWord, Utterance
from benchmarks.implementations import PEERS, homescribe_name, is_english_only, loader
from benchmarks.scoring import Errors, Share

from homescribe import demo

RATE = 16_000


def result(*segments, language="en", words=()):
    """Return a transcript: segments are (start, end, text) or (start, end, text, language)."""
    keys = ("start", "end", "text", "language")
    return {
        "language": language,
        "segments": [dict(zip(keys, (*s, None)[:4], strict=True)) for s in segments],
        "words": [{"start": start, "end": start + 0.1, "word": word} for start, word in words],
    }


def recording(tmp_path, **known):
    return Recording(known.pop("id", "r"), tmp_path / "r.wav", known.pop("seconds", 60.0), **known)


def write_silence(path, seconds):
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes(bytes(2 * int(seconds * RATE)))


# --- Words -----------------------------------------------------------------------------------------


def test_english_spellings_are_normalized_before_words_are_compared():
    assert scoring.errors("Mister Smith's colour", "Mr. Smith's color", "en").wrong == 0


def test_each_substituted_missing_and_added_word_is_an_error():
    found = scoring.errors("one cat sat on the mat", "one dog sat the mat today", "en")
    assert found == Errors(wrong=3, total=6, lost=0, invented=0)


def test_characters_are_counted_in_languages_without_spaces():
    assert scoring.errors("客観的実在", "客観的実体", "ja", by_character=True) == Errors(1, 5, 0, 0)


def test_accents_of_other_languages_are_kept():
    assert scoring.errors("eaux et forêts", "eaux et forets", "fr").wrong == 1


def test_five_words_in_a_row_are_a_passage_and_four_are_not():
    said = "alpha bravo charlie delta echo foxtrot golf hotel india juliet"
    assert scoring.errors(said, "alpha bravo charlie delta echo", "en").lost == 1
    assert scoring.errors(said, "alpha bravo charlie delta echo foxtrot", "en").lost == 0
    assert scoring.errors("alpha juliet", said, "en").invented == 1


def test_an_empty_transcript_loses_everything():
    assert scoring.errors("alpha bravo charlie delta echo", "", "en") == Errors(5, 5, 1, 0)


def test_all_words_on_a_recording_without_speech_are_wrong(tmp_path):
    silence = recording(tmp_path, reference="")
    assert scoring.recording_errors(silence, result((0, 2, " Thank you."))) == Errors(2, 0, 0, 0)


def test_a_recording_without_a_reference_is_not_scored(tmp_path):
    assert scoring.recording_errors(recording(tmp_path), result((0, 2, " Thank you."))) is None


# --- Times, languages, punctuation -------------------------------------------------------------------


def test_start_of_an_utterance_is_compared_with_the_nearest_segment(tmp_path):
    utterances = (Utterance(1.0, 2.0, "", "en"), Utterance(5.0, 6.0, "", "en"))
    spoken = recording(tmp_path, utterances=utterances)
    distances = scoring.start_distances(spoken, result((0.8, 2, " a"), (4, 6, " b")))
    assert distances == pytest.approx([0.2, 1.0])
    assert scoring.start_distances(spoken, result()) == [float("inf")] * 2


def test_start_of_a_segment_is_compared_with_its_first_word(tmp_path):
    words = tuple(
        TimedWord(n, n + 0.5, word) for n, word in enumerate(["so", "we", "went", "to", "sea"])
    )
    written = result((0.2, 1, " So we"), (1, 1.5, " uh"), (1.5, 3, " Went to"), (3.5, 5, " see."))
    timed = recording(tmp_path, words=words)
    assert scoring.segment_start_distances(timed, written) == pytest.approx([0.2, 0.5])
    utterances = (Utterance(0.0, 2.0, "so we", "en"), Utterance(2.1, 5.0, "went to sea", "en"))
    spoken = recording(tmp_path, utterances=utterances)
    assert scoring.segment_start_distances(spoken, written) == pytest.approx([0.2, 0.6])
    inside = result((0.0, 5.0, " So we went to sea."))  # "went" starts no segment
    assert scoring.segment_start_distances(spoken, inside) == pytest.approx([0.0])
    assert scoring.segment_start_distances(timed, result()) == []


def test_word_times_are_compared_at_words_that_are_in_both(tmp_path):
    words = (TimedWord(1.0, 1.2, "Mr"), TimedWord(1.5, 2.0, "quilter"), TimedWord(2.0, 2.1, "is"))
    spoken = recording(tmp_path, words=words)
    written = result(words=[(0.9, " Mr."), (1.2, " um"), (1.3, " Quitter"), (2.3, " is")])
    assert scoring.word_distances(spoken, written) == pytest.approx([0.1, 0.3])


def test_language_of_an_utterance_is_that_of_most_of_its_text(tmp_path):
    utterances = (Utterance(0, 10, "", "en"), Utterance(10, 20, "", "de"))
    mixed = recording(tmp_path, language="en", utterances=utterances)
    own = result((0, 9, " a", "en"), (9, 12, " b", "en"), (12, 20, " c", "de"))
    assert scoring.utterance_languages(mixed, own) == Share(2, 2)
    assert scoring.utterance_languages(mixed, result((0, 20, " a"))) == Share(1, 2)
    assert scoring.utterance_languages(mixed, result()) == Share(0, 2)


def test_sentence_ends_and_capitals_count_at_words_that_were_recognized(tmp_path):
    spoken = recording(tmp_path, reference="He saw Anna. She left! WHO KNOWS. I do")
    written = result((0, 5, " he saw Anna She went. Who knows. I do"))
    assert scoring.sentence_ends(spoken, written) == Share(1, 2)  # "left" was not recognized
    assert scoring.capitals(spoken, written) == Share(2, 3)  # He, Anna, She


def test_a_reference_without_punctuation_says_nothing_about_it(tmp_path):
    spoken = recording(tmp_path, reference="he saw anna she left")
    assert scoring.sentence_ends(spoken, result((0, 5, " He saw Anna."))) == Share(0, 0)


# --- Recordings --------------------------------------------------------------------------------------


def test_manifest_needs_only_the_name_of_the_file(tmp_path):
    write_silence(tmp_path / "talk.wav", 2)
    corpus.write(tmp_path, [{"file": "talk.wav", "utts": None, "words": None, "note": "unused"}])
    assert corpus.read(tmp_path) == [Recording("talk", tmp_path / "talk.wav", 2.0)]


def test_everything_in_a_manifest_is_read(tmp_path):
    write_silence(tmp_path / "talk.wav", 1)
    entry = {
        "file": "talk.wav",
        "id": "t",
        "language": "en",
        "kind": "longform",
        "ref": "Hi. Ciao.",
        "seconds": 9.5,
        "utts": [{"start": 1, "end": 2, "text": "Hi.", "language": "en"}, {"start": 3, "end": 4}],
        "words": [{"start": 1, "end": 1.5, "word": " Hi"}],
    }
    corpus.write(tmp_path, [entry])
    [found] = corpus.read(tmp_path)
    assert (found.id, found.seconds, found.group) == ("t", 9.5, "en, long form")
    assert found.utterances == (Utterance(1, 2, "Hi.", "en"), Utterance(3, 4, "", None))
    assert found.words == (TimedWord(1, 1.5, "Hi"),)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "is missing"),
        ("[", "not JSON"),
        ('[{"id": "a"}]', "no `file`"),
        ('[{"file": "a.wav"}]', "not in the folder"),
        ('[{"file": "b.wav"}, {"file": "b.wav"}]', "two recordings with the id b"),
    ],
)
def test_an_unusable_manifest_is_explained(tmp_path, manifest, message):
    write_silence(tmp_path / "b.wav", 0.1)
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(SystemExit, match=message):
        corpus.read(tmp_path)


def test_several_languages_make_a_group_and_characters_count_if_one_needs_it(tmp_path):
    english, german, japanese = (Utterance(0, 1, "", code) for code in ("en", "de", "ja"))
    both = recording(tmp_path, language="en", utterances=(english, german))
    assert (both.group, both.mixed, both.by_character) == ("en+de", True, False)
    assert recording(tmp_path, language="en", utterances=(english, japanese)).by_character


def test_english_only_models_are_measured_in_english_and_without_speech(tmp_path):
    english = recording(tmp_path, language="en")
    nobody = recording(tmp_path, reference="")
    german = recording(tmp_path, language="de")
    mixed = recording(tmp_path, language="en", utterances=(Utterance(0, 1, "", "de"),))
    every = [english, nobody, german, mixed]
    assert corpus.for_model(every, english_only=True) == [english, nobody]
    assert corpus.for_model(every, english_only=False) == every
    assert is_english_only("weights/tiny.en/")
    assert is_english_only("tiny.en.pt")
    assert not is_english_only("base")


def test_a_slow_reader_says_the_same_words_later(tmp_path):
    generator = np.random.default_rng(1)
    samples = (0.1 * generator.standard_normal(10 * RATE)).astype(np.float32)
    derived_recordings.write_wav(tmp_path / "r.wav", samples)
    words = tuple(TimedWord(0.5 + i, 1.0 + i, f"w{i}") for i in range(9))
    spoken = recording(tmp_path, reference="w", language="en", words=words, seconds=10.0)
    derived_recordings.write_slow([spoken], tmp_path, seed=1)
    [slow] = corpus.read(tmp_path)
    assert [w.word for w in slow.words] == [w.word for w in words]
    assert slow.seconds > 11
    made = derived_recordings.decode(slow.path)
    for old, new in zip(words, slow.words, strict=True):
        there = round(new.start * RATE)
        here = round(old.start * RATE)
        assert np.allclose(
            made[there : there + RATE // 2], samples[here : here + RATE // 2], atol=0.01
        )


def test_clips_are_cut_from_speech_until_there_are_enough(tmp_path):
    write_silence(tmp_path / "r.wav", 12)
    silent = Recording("none", tmp_path / "missing.wav", 60.0, reference="")
    derived_recordings.write_clips([recording(tmp_path), silent], tmp_path, count=5, seconds=5.0)
    clips = corpus.read(tmp_path)
    assert len(clips) == 5
    assert len(derived_recordings.decode(clips[-1].path)) == 5 * RATE


def test_engine_speed_takes_the_long_recordings_of_a_manifest(tmp_path):
    for name in ("a", "b"):
        write_silence(tmp_path / f"{name}.wav", 1)
    corpus.write(tmp_path, [{"file": "a.wav", "kind": "longform"}, {"file": "b.wav"}])
    assert [r.id for r in engine_speed.recordings_at(tmp_path)] == ["a"]
    assert [r.id for r in engine_speed.recordings_at(tmp_path / "b.wav")] == ["b"]
    (tmp_path / "manifest.json").unlink()
    assert [r.id for r in engine_speed.recordings_at(tmp_path)] == ["a", "b"]


# --- Tables ------------------------------------------------------------------------------------------


def test_tables_have_a_row_for_each_measure_that_the_recordings_allow(tmp_path):
    english = recording(tmp_path, id="talk", language="en", reference="Hello world. Good day.")
    silence = recording(tmp_path, id="none", reference="", seconds=1800.0)
    transcripts = {
        "talk": result((0, 2, " Hello word. Good day.")),
        "none": result((0, 1, " Thank you."), language="und"),
    }
    text = accuracy_tables.tables([english, silence], {"this": transcripts})
    assert "| en (4 words) | 25.0 % |" in text
    assert "| words in an hour without speech (30 minutes measured) | 4 |" in text
    assert "| sentence ends kept | 100.0 % |" in text
    assert "| none | 2 words |" in text
    assert "starts within" not in text
    assert "language recognized" not in text


def test_comparison_has_only_the_recordings_that_changed(tmp_path):
    recordings = [recording(tmp_path, id=i, language="en", reference="hello world") for i in "ab"]
    before = {"a": result((0, 1, " hello world")), "b": result((0, 1, " hello world"))}
    now = {"a": result((0, 1, " Hello world.")), "b": result((0, 1, " hello"), language="de")}
    text = accuracy_tables.changes(recordings, before, now)
    assert "| b | 0.0 % en | 50.0 % de |" in text
    assert "| a |" not in text
    assert accuracy_tables.changes(recordings, before, before) == "No differences."


def test_saved_transcripts_are_not_made_again(tmp_path, monkeypatch):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny.pt").touch()
    made = []

    def transcribe(name, model, recordings):
        made.append((name, [r.id for r in recordings]))
        return {r.id: result((0, 1, " text")) for r in recordings}

    monkeypatch.setattr(accuracy, "transcribe_in_child", transcribe)
    recordings = [recording(tmp_path, id="a"), recording(tmp_path, id="b")]
    save, model = tmp_path / "saved.json", str(tmp_path / "tiny")
    accuracy.measure(model, ["x"], recordings[:1], accuracy.read_saved(save), save)
    found = accuracy.measure(model, ["x"], recordings, accuracy.read_saved(save), save)
    assert made == [("x", ["a"]), ("x", ["b"])]
    assert found["x"].keys() == {"a", "b"}
    assert json.loads(save.read_text())["tiny: x"].keys() == {"a", "b"}


def test_speed_is_the_median_of_the_rounds_and_can_be_drawn(tmp_path):
    spoken = recording(tmp_path, language="en", reference="hello world")
    runs = [engine_speed.Run(s, 2 * s, int(s), ("hello",)) for s in (9.0, 3.0, 4.0)]
    row = engine_speed.summarize("homescribe", "base", [spoken], runs)
    assert (row["wall_seconds"], row["cpu_seconds"], row["peak_bytes"]) == (4.0, 8.0, 9)
    assert "| homescribe | 4.0 | 15.0 | 8.0 | 0 | 50.0 % |" in engine_speed.rows_table([row])
    assert "4.0 (words wrong: 50.0 %)" in plot.svg([row])


def test_every_name_has_an_implementation():
    assert set(accuracy.DEFAULT_PEERS) <= set(PEERS)
    assert set(engine_speed.DEFAULT) <= {*engine_speed.OURS, *PEERS}
    assert homescribe_name("faster-whisper", 1) == "homescribe faster-whisper greedy"
    for beam_size in (None, 1, 5):
        assert callable(loader(homescribe_name("openai-whisper", beam_size)))


def test_report_names_the_processor_and_every_command(tmp_path):
    assert report.processor()
    modules = [command[0] for command in report.commands("DIR", "tiny.en")]
    assert set(modules) == {"accuracy", "engine_speed", "derived_recordings"}
    assert all(
        "--english" in c for c in report.commands("DIR", "tiny.en") if c[0] == "derived_recordings"
    )


# --- Weights -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint():
    return weights.load_checkpoint(demo.model("openai-whisper"))


def test_ctranslate2_weights_become_those_of_openai_whisper(checkpoint):
    converted = weights.from_ctranslate2(demo.model("faster-whisper"))
    assert converted["dims"] == checkpoint["dims"]
    state = checkpoint["model_state_dict"]
    assert converted["model_state_dict"].keys() == state.keys()
    for name, tensor in converted["model_state_dict"].items():
        assert np.allclose(tensor.float(), state[name].float(), atol=0.02), name


def read_ggml(path):
    """Return the header, the tokens and the tensors of a ggml file, by a reader of its own."""
    data, position = path.read_bytes(), 0

    def integers(count):
        nonlocal position
        values = struct.unpack_from(f"<{count}i", data, position)
        position += 4 * count
        return values

    def take(size):
        nonlocal position
        position += size
        return data[position - size : position]

    header = integers(12)
    bands, bins = integers(2)
    filters = np.frombuffer(take(4 * bands * bins), "<f4").reshape(bands, bins)
    tokens = [take(integers(1)[0]) for _ in range(integers(1)[0])]
    tensors = {}
    while position < len(data):
        rank, length, kind = integers(3)
        shape = integers(rank)[::-1]
        name, form = take(length).decode(), "<f2" if kind else "<f4"
        size = int(np.prod(shape)) * np.dtype(form).itemsize
        tensors[name] = np.frombuffer(take(size), form).reshape(shape)
    return header, filters, tokens, tensors


def test_ggml_file_has_all_of_the_model(tmp_path, checkpoint):
    weights.write_ggml(checkpoint, tmp_path / "ggml.bin")
    (magic, *dims, kind), filters, tokens, tensors = read_ggml(tmp_path / "ggml.bin")
    assert magic.to_bytes(4, "big") == b"ggml"
    assert dict(zip(weights.DIMENSIONS, dims, strict=True)) == checkpoint["dims"]
    assert kind == weights.GGML_FLOAT16
    assert filters.shape == (checkpoint["dims"]["n_mels"], 201)
    assert filters.sum() > 0
    assert tokens[:2] == [b"!", b'"']
    assert b" the" in tokens
    state = checkpoint["model_state_dict"]
    assert tensors.keys() == state.keys()
    for name, tensor in tensors.items():
        expected = state[name].float().numpy().reshape(tensor.shape)
        assert np.allclose(tensor, expected, rtol=1e-3, atol=1e-4), name
    assert tensors["encoder.conv1.bias"].shape == (checkpoint["dims"]["n_audio_state"], 1)
    assert tensors["encoder.ln_post.weight"].dtype == np.float32
    assert tensors["decoder.token_embedding.weight"].dtype == np.float16
