"""Names and spellings to expect: a window is decoded without them, then with them, and never worse."""

import pytest
import whisper
from whisper.tokenizer import get_tokenizer

from homescribe import demo
from homescribe.engines.prompt_tokens import fits_prompt
from homescribe.engines.window_prompt import (
    CARRIED_TOKENS,
    MAX_GIVEN_TOKENS,
    MAX_PROMPT_TOKENS,
    WindowPrompt,
)
from test_scheduler import result, scripted, speaking, window  # noqa: F401 - a fixture

NAMES = "Kubernetes, Ann Lee, Perrin Peerson."


@pytest.fixture(scope="module")
def tokenizer():
    return get_tokenizer(multilingual=False)


@pytest.fixture
def transcribed(tokenizer, scripted):  # noqa: F811
    """Transcribe windows of speech. Returns the texts, and the prompts of each window's attempts."""

    def run(answer, *windows, **options):
        prompts = {}

        def decode(task):
            mark = round(task.features)
            before = tokenizer.decode(list(task.options.previous)).strip()
            prompts.setdefault(mark, []).append(before)
            text, *values = answer(mark, before)
            return result(tokenizer, text, *values)

        transcribe, _, _ = scripted(decode, initial_prompt=NAMES)
        found = transcribe(windows, **options)
        return ["".join(s.text for s in one.segments).strip() for one in found], prompts

    return run


def test_every_window_is_decoded_with_the_names_too(transcribed):
    windows = [speaking(n, 30.0 * n) for n in range(1, 4)]
    texts, prompts = transcribed(
        lambda mark, before: (f"{'Ann Lee' if before else 'Anly'} {mark}.", 0.0, 19.8), *windows
    )
    assert texts == ["Ann Lee 1.", "Ann Lee 2.", "Ann Lee 3."]
    assert prompts == {1: ["", NAMES], 2: ["", NAMES], 3: ["", NAMES]}


def test_the_words_before_a_window_come_after_the_names(transcribed):
    texts = {1: "And so, he went to the", 2: "house of Ann Lee."}
    _, prompts = transcribed(
        lambda mark, before: (texts[mark], 0.0, 19.8), speaking(1, 0.0), speaking(2, 20.0)
    )
    assert prompts[2] == ["", NAMES, f"{NAMES} {texts[1]}"]


@pytest.mark.parametrize(
    "worse",
    [
        ("one two three", 0.0, 19.8),  # Whisper ended it early
        ("", 0.0, 19.8),
        ("one two three four five six", 0.0, 19.8, -0.5),  # less sure
        ("no " * 40, 0.0, 19.8),
    ],
)
def test_names_that_make_a_window_worse_are_not_used(transcribed, worse):
    text = "one two three four five six"
    texts, prompts = transcribed(
        lambda mark, before: worse if before else (text, 0.0, 19.8), speaking(1, 0.0)
    )
    assert (texts, prompts) == ([text], {1: ["", NAMES]})


@pytest.mark.parametrize("worse", ["house.", "Kubernetes, Ann Lee, Perrin Peerson."])
def test_a_sentence_that_goes_on_is_not_made_worse_either(transcribed, worse):
    def answer(mark, before):
        if mark == 1:
            return ("And so, he went to the", 0.0, 19.8)
        went_on = before.startswith(NAMES) and before != NAMES
        return (worse if went_on else "house of Ann Lee.", 0.0, 19.8)

    texts, _ = transcribed(answer, speaking(1, 0.0), speaking(2, 20.0))
    assert texts[1] == "house of Ann Lee."


def test_a_window_that_needed_several_attempts_gets_no_names(transcribed):
    tries = []

    def answer(mark, before):
        tries.append(before)
        return ("mumble", 0.0, 19.8, -1.4) if len(tries) == 1 else ("Hello there.", 0.0, 19.8)

    texts, prompts = transcribed(answer, speaking(1, 0.0))
    assert (texts, prompts) == (["Hello there."], {1: ["", ""]})


@pytest.mark.parametrize("temperature", [(0.0,), (0.0, 0.2, 0.4)])
@pytest.mark.parametrize(
    "copied", ["Kubernetes, Ann Lee.", "ann lee perrin", "Hello. Ann Lee, Perrin Peerson"]
)
def test_a_copy_of_the_names_is_no_transcript(transcribed, tokenizer, temperature, copied):
    def answer(mark, before):
        return (copied if before else "Nothing of that.", 0.0, 19.8)

    expected = "Nothing of that." if not copied.startswith("Hello") else copied
    texts, _ = transcribed(answer, speaking(1, 0.0), temperature=temperature)
    assert texts == [expected]


def test_what_a_speaker_says_is_no_copy():
    prompt = WindowPrompt(NAMES)
    assert not prompt.is_copied("Ann Lee.")
    assert not prompt.is_copied("Perrin Peerson and Ann Lee know Kubernetes.")
    assert not WindowPrompt("Martin Luther King").is_copied("Martin Luther King.")
    assert WindowPrompt("A talk about the sea and the wind.").is_copied("A talk about the sea and")
    assert not WindowPrompt(None).is_copied("")


def test_copies_without_the_names_in_the_prompt_are_what_was_said(transcribed):
    """Somebody reads the list out."""
    texts, _ = transcribed(lambda mark, before: (NAMES, 0.0, 19.8), speaking(1, 0.0))
    assert texts == [NAMES]


@pytest.mark.parametrize(
    ("spoken", "prompt"), [((), ""), ([(0.1, 0.6)], ""), ([(0.1, 2.0)], NAMES)]
)
def test_hardly_any_speech_gets_no_names(transcribed, spoken, prompt):
    _, prompts = transcribed(lambda mark, before: ("Hm.", 0.0, 2.0), window(1, spoken=spoken))
    assert prompts[1] == ["", *([prompt] if prompt else [])]


def test_without_speech_detection_every_window_gets_the_names(transcribed):
    _, prompts = transcribed(lambda mark, before: ("Hm.", 0.0, 2.9), window(1), vad_filter=False)
    assert prompts[1] == ["", NAMES]


def test_the_prompt_stays_within_what_whisper_reads(tokenizer):
    prompt = WindowPrompt("Kubernetes, " * 200 + "Ann Lee.")
    carried = tokenizer.encode(" one two three" * 100)
    tokens = prompt.tokens(tokenizer, carried, names=True)
    assert len(tokens) == MAX_PROMPT_TOKENS == 223
    assert tokens[-CARRIED_TOKENS:] == tuple(carried[-CARRIED_TOKENS:])
    assert tokenizer.decode(list(tokens[:MAX_GIVEN_TOKENS])).endswith("Kubernetes, Ann Lee.")
    assert prompt.tokens(tokenizer, carried, names=False) == tuple(carried[-MAX_PROMPT_TOKENS:])


# --- What fits, counted without a model --------------------------------------------------------------

MANY = [f"{first} {last}" for first in ("Ann", "Zoë", "Łukasz") for last in ("Nguyễn", "Peerson")]


@pytest.mark.parametrize("model", ["demo", "tiny.en", str(demo.model("faster-whisper"))])
def test_tokens_are_counted_as_the_model_counts_them(tokenizer, model):
    fits = fits_prompt(model)
    text = ", ".join(MANY * 20)
    most = max(
        n for n in range(len(text)) if len(tokenizer.encode(f" {text[:n]}")) <= MAX_GIVEN_TOKENS
    )
    assert fits(text[:most])
    assert not fits(text[: most + 2])


def test_other_vocabularies_have_a_margin(monkeypatch):
    """No model is downloaded to count its tokens."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    multilingual = whisper.tokenizer.get_tokenizer(multilingual=True)
    fits = fits_prompt("someone/unknown-model")
    names = []
    while fits(", ".join([*names, MANY[len(names) % 6]])):
        names.append(MANY[len(names) % 6])
    assert MAX_GIVEN_TOKENS * 0.5 < len(multilingual.encode(", ".join(names))) <= MAX_GIVEN_TOKENS
