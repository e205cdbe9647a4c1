"""Whisper on torch: the same tokens as whisper.decode, whatever else is in the batch."""

import random
from contextlib import contextmanager
from itertools import pairwise
from threading import Event

import numpy as np
import pytest
import torch
import whisper

from homescribe import demo
from homescribe.audio import decode
from homescribe.engines.models import load_openai_whisper
from homescribe.engines.timestamp_rules import TimestampRules
from homescribe.engines.torch_network import TorchNetwork
from homescribe.engines.whisper_network import (
    DecodingOptions,
    DecodingTask,
    LanguageTask,
    padded_frames,
)
from homescribe.engines.windows import Window, split_windows
from speech_samples import SAMPLES, assert_words, sample_text

pytestmark = pytest.mark.models

CHECKPOINT = demo.model("openai-whisper")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other are slow on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network():
    return TorchNetwork(whisper.load_model(str(CHECKPOINT), "cpu"), 8, torch.float32)


@pytest.fixture(scope="module")
def reference():
    return whisper.load_model(str(CHECKPOINT), "cpu")


@pytest.fixture(scope="module")
def windows():
    """Windows of several lengths from the samples, some with noise."""
    noise = np.random.default_rng(0)
    found = []
    for name, limit in (("channel-40s", 30), ("numbers-60s", 17), ("fox-20s", 9)):
        waveform = decode(SAMPLES[name])
        if limit == 9:
            waveform = waveform + 0.005 * noise.standard_normal(len(waveform)).astype(np.float32)
        found += split_windows([waveform], limit=float(limit))
    return found


def test_a_model_is_loaded_without_random_weights_and_is_the_same(reference):
    state = torch.random.get_rng_state()
    loaded = load_openai_whisper("demo", "cpu")
    assert torch.equal(torch.random.get_rng_state(), state), "weights were filled at random first"
    weights, expected = loaded.state_dict(), reference.state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert torch.equal(loaded.decoder.mask, reference.decoder.mask)


def task(network, window, stop=None, **options):
    language, kind = options.get("language", "en"), options.get("task", "transcribe")
    options = DecodingOptions(network.tokenizer(language, kind), **options)
    features = network.encode([window.samples], padded_frames(window.samples))[0]
    return DecodingTask(
        window.samples, network.decode, options, stop or Event(), options.batch_key, 0, features
    )


def decode_all(network, tasks):
    """Decode `tasks` in batches of equal padded lengths. Returns results in the order of `tasks`."""
    results = {}
    for length in {padded_frames(t.samples) for t in tasks}:
        same = [t for t in tasks if padded_frames(t.samples) == length]
        results.update(zip(map(id, same), network.decode(same), strict=True))
    return [results[id(t)] for t in tasks]


def mel(window, bins=80):
    """Spectrogram as whisper.transcribe computes it for the last window of a file, but less padded."""
    long = whisper.log_mel_spectrogram(window.samples, bins, padding=whisper.audio.N_SAMPLES)
    return whisper.pad_or_trim(long[:, : len(window.samples) // 160], padded_frames(window.samples))


@contextmanager
def cut(model, window):
    """Whisper's encoder takes windows of 30 seconds. Make it take the padded length of `window`."""
    whole = model.encoder.positional_embedding
    model.encoder.positional_embedding = whole[: padded_frames(window.samples) // 2]
    yield
    model.encoder.positional_embedding = whole


def reference_tokens(model, window, bins=80, **options):
    settings = whisper.DecodingOptions(fp16=False, **{"language": "en", **options})
    with cut(model, window):
        return model.decode(mel(window, bins), settings)


def test_tokens_are_those_of_whisper_decode(network, reference, windows):
    assert len(windows) > 6
    results = decode_all(network, [task(network, w) for w in windows])
    for window, ours in zip(windows, results, strict=True):
        theirs = reference_tokens(reference, window)
        assert ours.tokens == tuple(theirs.tokens)
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)
        assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-4)


def test_tokens_with_a_prompt_are_those_of_whisper_decode(network, reference, windows):
    tokenizer = network.tokenizer("en", "transcribe")
    text = tokenizer.encode(" The number of the chapter.")
    results = decode_all(network, [task(network, w, previous=tuple(text)) for w in windows[:3]])
    for window, ours in zip(windows[:3], results, strict=True):
        theirs = reference_tokens(reference, window, prompt=text)
        assert ours.tokens == tuple(theirs.tokens)
        assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-4)


def test_beam_search_in_a_batch_has_the_tokens_of_whisper_decode(network, reference, windows):
    for beams in (2, 5):
        results = decode_all(network, [task(network, w, beam_size=beams) for w in windows])
        for window, ours in zip(windows, results, strict=True):
            theirs = reference_tokens(reference, window, beam_size=beams)
            assert ours.tokens == tuple(theirs.tokens)
            assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)
            assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-4)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # in whisper.decode
def test_beam_search_on_random_weights_has_the_tokens_of_whisper_decode(windows):
    """Beams of random weights differ at every token, and windows of one length end at different ones."""
    model = random_model(80, 51_864)
    network = TorchNetwork(random_model(80, 51_864), 8, torch.float32)
    same = [Window(0.0, w.samples[: 5 * 16_000]) for w in windows[:3]]
    tasks = [task(network, w, beam_size=4) for w in same]
    for one, window, ours in zip(tasks, same, network.decode(tasks), strict=True):
        assert network.decode([one])[0].tokens == ours.tokens
        theirs = reference_tokens(model, window, beam_size=4)
        assert len(ours.tokens) == len(theirs.tokens)
        # Sums of log probabilities are rounded otherwise, which decides between random texts in the end.
        assert ours.tokens[:100] == tuple(theirs.tokens[:100])
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-3)


def test_a_window_with_less_padding_is_that_of_whisper(network, reference, windows):
    assert {padded_frames(w.samples) for w in windows} > {3000}
    for window in windows[-3:]:
        features = network.encode([window.samples], padded_frames(window.samples))[0]
        assert len(features) == padded_frames(window.samples) // 2 < 1500
        with cut(reference, window), torch.inference_mode():
            theirs = reference.encoder(mel(window)[None])[0]
        assert torch.allclose(features, theirs, atol=1e-3)
        ours = network.decode([task(network, window)])[0]
        assert ours.tokens == tuple(reference_tokens(reference, window).tokens)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_window_has_the_same_text_in_any_batch(dtype, windows):
    network = TorchNetwork(whisper.load_model(str(CHECKPOINT), "cpu"), 8, dtype)
    tasks = [task(network, w) for w in windows[1:5]]
    hot = [task(network, windows[-1], temperature=0.6, seed=1)]
    together = [w.tokens for w in decode_all(network, tasks + hot)]
    assert together == [network.decode([t])[0].tokens for t in tasks + hot]
    order = list(range(len(together)))
    random.Random(1).shuffle(order)
    mixed = decode_all(network, [(tasks + hot)[i] for i in order])
    assert [w.tokens for w in mixed] == [together[i] for i in order]


def test_bfloat16_has_few_words_wrong():
    network = TorchNetwork(whisper.load_model(str(CHECKPOINT), "cpu"), 8, torch.bfloat16)
    norms = [p for n, p in network.whisper.named_parameters() if "ln" in n]
    assert {p.dtype for p in norms} == {torch.float32}
    assert network.whisper.decoder.blocks[0].mlp[0].weight.dtype == torch.bfloat16
    tokenizer = network.tokenizer("en", "transcribe")
    tokens = []
    for window in split_windows([decode(SAMPLES["fox-20s"])]):
        tokens += network.decode([task(network, window)])[0].tokens
    text = tokenizer.decode([t for t in tokens if t < tokenizer.eot])
    assert_words(sample_text("fox-20s"), text)


def random_model(n_mels, n_vocab):
    """Random weights with the vocabulary and spectrogram of a family of models, and a small width."""
    torch.manual_seed(n_mels + n_vocab)
    dims = whisper.model.ModelDimensions(n_mels, 1500, 64, 2, 2, n_vocab, 448, 64, 2, 2)
    model = whisper.model.Whisper(dims).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model


@pytest.mark.parametrize(
    ("n_mels", "n_vocab"), [(80, 51_864), (80, 51_865), (128, 51_866)], ids=["en", "v2", "v3"]
)
def test_every_family_of_models(n_mels, n_vocab, windows):
    """English-only, multilingual, and large-v3: languages, tasks and tokens are those of whisper."""
    model = random_model(n_mels, n_vocab)
    network = TorchNetwork(random_model(n_mels, n_vocab), 8, torch.float32)
    assert len(network.languages) == {51_864: 1, 51_865: 99, 51_866: 100}[n_vocab]
    some = windows[:2]
    if model.is_multilingual:
        for window in some:
            features = network.encode([window.samples], padded_frames(window.samples))[0]
            one = LanguageTask(
                window.samples, network.detect_language, None, Event(), (), 0, features
            )
            probabilities = network.detect_language([one])[0]
            with cut(model, window):
                _, theirs = model.detect_language(mel(window, n_mels))
            assert probabilities == pytest.approx(theirs, abs=1e-4)
            assert max(probabilities, key=probabilities.get) == max(theirs, key=theirs.get)
    languages = [("en", "transcribe")]
    if model.is_multilingual:
        languages += [("de", "transcribe"), ("ja", "translate")]
    for language, kind in languages:
        tasks = [task(network, w, language=language, task=kind) for w in some]
        for window, ours in zip(some, decode_all(network, tasks), strict=True):
            theirs = reference_tokens(model, window, n_mels, language=language, task=kind)
            assert ours.tokens == tuple(theirs.tokens)
            assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-3)


def test_timestamp_rules_are_those_of_whisper(network):
    """Compared with ApplyTimestampRules over random logits and histories."""
    tokenizer = network.tokenizer("en", "transcribe")
    begin, eot = tokenizer.timestamp_begin, tokenizer.eot
    theirs = whisper.decoding.ApplyTimestampRules(tokenizer, 1, 50)
    suppress = whisper.decoding.DecodingTask(
        network.whisper, whisper.DecodingOptions(language="en", fp16=False)
    ).logit_filters[1]
    generator = torch.Generator().manual_seed(3)
    ours = TimestampRules(tokenizer, 51_864, "cpu")
    history, tokens = ours.start(16), torch.full((16, 1), tokenizer.sot)
    draw = random.Random(0)
    for step in range(12):
        logits = 3 * torch.randn(16, 51_864, generator=generator)
        logits[::3, begin:] += 4
        expected = logits.clone()
        suppress.apply(expected, tokens)
        theirs.apply(expected, tokens)
        ours.apply(logits, history)
        assert torch.equal(logits.isinf(), expected.isinf()), step
        assert torch.equal(logits, expected)
        chosen = torch.tensor(
            [draw.choice((~row.isinf()).nonzero()[:, 0].tolist()) for row in logits]
        )
        chosen[chosen == eot] = begin + 1400  # rows that go on
        history, tokens = ours.append(history, chosen), torch.cat([tokens, chosen[:, None]], 1)


def shorten_at_sentence_ends(alignment):
    """The first rule of whisper.timing.add_word_timestamps, which is not a function of its own."""
    durations = np.array([one.end - one.start for one in alignment])
    longest = 2 * min(0.7, float(np.median(durations[durations.nonzero()])))
    marks = ".。!！?？"
    for before, one in pairwise(alignment):
        if one.end - one.start > longest:
            if one.word in marks:
                one.end = one.start + longest
            elif before.word in marks:
                one.start = one.end - longest


def test_word_timestamps_are_those_of_whisper(network, reference):
    window = next(split_windows([decode(SAMPLES["fox-20s"])]))
    ours = network.decode([task(network, window, word_timestamps=True)] * 2)[1]
    tokenizer = network.tokenizer("en", "transcribe")
    text = [t for t in ours.tokens if t < tokenizer.eot]
    with cut(reference, window):
        theirs = whisper.timing.find_alignment(
            reference, tokenizer, text, mel(window), len(window.samples) // 160
        )
    shorten_at_sentence_ends(theirs)
    whisper.timing.merge_punctuations(theirs, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
    theirs = [t for t in theirs if t.word]
    assert [a.word.word for a in ours.words] == [t.word for t in theirs]
    assert [a.word.start for a in ours.words] == pytest.approx([t.start for t in theirs], abs=0.021)
    assert [a.word.probability for a in ours.words] == pytest.approx(
        [t.probability for t in theirs], abs=0.01
    )
    assert sum(a.tokens for a in ours.words) == len(text)


def test_a_cancelled_row_ends_during_decoding(network, windows):
    stop = Event()
    stop.set()
    both = [task(network, windows[-1]), task(network, windows[-1], stop=stop)]
    whole, cancelled = network.decode(both)
    assert len(whole.tokens) > 5
    assert len(cancelled.tokens) == 0


def test_sampling_is_reproducible(network, windows):
    """On torch only: CTranslate2 samples from generators of its threads, which no seed reaches."""
    once, again = (
        network.decode([task(network, windows[-1], temperature=0.8, seed=7)]) for _ in "ab"
    )
    other = network.decode([task(network, windows[-1], temperature=0.8, seed=8)])
    assert once == again
    assert once != other
