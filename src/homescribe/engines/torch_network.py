"""Whisper's network on torch, for many windows at once: the same tokens as whisper.decode, in a batch.

What openai-whisper does on every call is done once here: weights are kept in the type they are used in
(all but LayerNorm), keys and values are written into memory set aside before, the rules for timestamps are
tensor operations over all rows, and rows that have ended are dropped. On a CPU every window is encoded by
itself and matrices have whole groups of rows, so that a row's result does not depend on its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE
from homescribe.engines.scheduler import Task, Written
from homescribe.engines.timing import words

SAMPLES = 30 * SAMPLE_RATE  # of a window, filled up with silence
FRAMES = 3000  # of its spectrogram
LATEST_START = (
    50  # timestamp tokens of 0.02 s: the first must be within a second, as in whisper.decode
)
TIMES = 1501  # timestamp tokens, the last of the vocabulary
CANDIDATES = 8  # words of which one will be chosen
GROUP = 4  # rows that CPU kernels take at once; with fewer they round differently


class TorchNetwork:
    """An openai-whisper `model` made ready for batches. `batch` windows fit into memory at once."""

    def __init__(self, model: Any, batch: int, dtype: Any = None) -> None:

        self.model = model
        self.batch = batch
        self.device = model.device
        self.dtype = dtype or fast_dtype(self.device.type)
        self.heads = model.dims.n_text_head
        self.tokenizers: dict[tuple[str, str], Any] = {}
        keep_norms(model, self.dtype)
        self.embedding = model.decoder.token_embedding.weight
        self.times = self.embedding[-TIMES:].float()

    # --- What it knows ---------------------------------------------------------------------------

    @property
    def languages(self) -> list[str]:
        from whisper.tokenizer import LANGUAGES

        model = self.model
        return list(LANGUAGES)[: model.num_languages] if model.is_multilingual else ["en"]

    def tokenizer(self, language: str, task: str) -> Any:
        """whisper's tokenizer for `language` and `task`."""
        from whisper.tokenizer import get_tokenizer

        if (language, task) not in self.tokenizers:
            self.tokenizers[language, task] = get_tokenizer(
                self.model.is_multilingual,
                num_languages=self.model.num_languages,
                language=language,
                task=task,
            )
        return self.tokenizers[language, task]

    # --- Hearing ---------------------------------------------------------------------------------

    def encode(self, samples: Sequence[NDArray[np.float32]]) -> list[Any]:
        """Per window the encoder's output, shape (n_audio_ctx, n_audio_state)."""
        import torch

        with torch.inference_mode():
            mel = self.spectrogram(samples).to(self.dtype)
            if self.dtype == torch.bfloat16:
                return [self._listen(one[None])[0] for one in mel]
            if self.device.type == "cpu":
                return [self.model.encoder(one[None])[0] for one in mel]
            return [one.clone() for one in self.model.encoder(mel)]

    def spectrogram(self, samples: Sequence[NDArray[np.float32]]) -> Any:
        """whisper.log_mel_spectrogram of each window, filled up with zeros: (n, n_mels, 3000).

        With zeros after the logarithm, as whisper.transcribe does it. Silence would have low numbers.
        """
        import torch
        from whisper.audio import HOP_LENGTH, N_FFT, mel_filters

        audio = torch.zeros(len(samples), SAMPLES, device=self.device)
        for row, one in zip(audio, samples, strict=True):
            row[: len(one)] = torch.from_numpy(one)
        hann = torch.hann_window(N_FFT, device=self.device)
        power = torch.stft(audio, N_FFT, HOP_LENGTH, window=hann, return_complex=True)
        power = power[..., :-1].abs() ** 2
        mel = mel_filters(self.device, self.model.dims.n_mels) @ power
        log = mel.clamp(min=1e-10).log10()
        log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0)
        mel = (log + 4.0) / 4.0
        for row, one in zip(mel, samples, strict=True):
            row[:, len(one) // HOP_LENGTH :] = 0.0
        return mel

    def hear_language(self, features: Sequence[Any]) -> list[dict[str, float]]:
        """Probability of every language, per window."""
        import torch

        tokenizer = self.tokenizer("en", "transcribe")
        with torch.inference_mode():
            state = _State(self, torch.stack(list(features)), 1)
            start = torch.full((len(features), 1), tokenizer.sot, device=self.device)
            logits = self._logits(self._forward(start, state)[:, -1])
            tokens = list(tokenizer.all_language_tokens)
            shares = logits[:, tokens].softmax(-1).tolist()
        return [dict(zip(tokenizer.all_language_codes, row, strict=True)) for row in shares]

    # --- Writing ---------------------------------------------------------------------------------

    def write(self, tasks: Sequence[Task]) -> list[Written]:
        """Tokens of each task's window. The tasks have prompts of one length and one beam size."""
        import torch

        with torch.inference_mode():
            if tasks[0].beam_size > 1:
                written = [self._search(task) for task in tasks]
            else:
                written = _Writing(self, tasks).run()
            if tasks[0].words:
                self._align(tasks, written)
        return written

    def _search(self, task: Task) -> Written:
        """Beam search is whisper.decode's own, one window at a time."""
        import whisper

        half = self.dtype == _half()
        features = task.features if half else task.features.float()
        start = task.prompt.index(task.tokenizer.sot)
        options = whisper.DecodingOptions(
            task=task.task,
            language=task.language,
            temperature=task.temperature,
            beam_size=task.beam_size if task.temperature == 0 else None,
            prompt=list(task.prompt[1:start]) or None,
            fp16=half,
        )
        result = whisper.decode(self.model, features[None], options)[0]
        return Written(tuple(result.tokens), result.avg_logprob, result.no_speech_prob)

    def _align(self, tasks: Sequence[Task], written: list[Written]) -> None:
        """Give `written` their words, from what the alignment heads looked at: one pass for all."""
        import torch

        said = [text_tokens(one, task) for task, one in zip(tasks, written, strict=True)]
        busy = [i for i, tokens in enumerate(said) if tokens]
        if not busy:
            return
        rows = []
        for i in busy:
            tokenizer = tasks[i].tokenizer
            head = (*tokenizer.sot_sequence, tokenizer.no_timestamps)
            rows.append([*head, *said[i], tokenizer.eot])
        longest = max(map(len, rows))
        filled = [row + row[-1:] * (longest - len(row)) for row in rows]
        state = _State(self, torch.stack([tasks[i].features for i in busy]), longest)
        looks: list[Any] = []
        hidden = self._forward(torch.tensor(filled, device=self.device), state, looks)
        chosen = self.model.alignment_heads.indices().T.tolist()
        for place, i in enumerate(busy):
            before = len(tasks[i].tokenizer.sot_sequence)
            logits = self._logits(hidden[place, before : before + len(said[i])])
            index = torch.tensor(said[i], device=self.device)[:, None]
            chances = logits[:, : rows[place][-1]].softmax(-1).gather(1, index)[:, 0].tolist()
            heads = torch.stack([looks[layer][place, head] for layer, head in chosen])
            path = _path(heads[:, : len(rows[place]), : tasks[i].frames // 2], before)
            found = words(path, said[i], chances, tasks[i].tokenizer)
            written[i] = replace(written[i], words=tuple(found))

    # --- The network -----------------------------------------------------------------------------

    def _forward(self, tokens: Any, state: _State, looks: list[Any] | None = None) -> Any:
        """The decoder's last hidden states for `tokens` (rows, n), which follow those before in `state`.

        With `looks` it is given, per layer, the cross-attention before softmax: (rows, heads, n, 1500).
        """
        decoder = self.model.decoder
        count = tokens.shape[1]
        x = decoder.token_embedding(tokens)
        x = (x + decoder.positional_embedding[state.length : state.length + count]).to(self.dtype)
        for block, memory in zip(decoder.blocks, state.layers, strict=True):
            h = block.attn_ln(x)
            own = block.attn
            q, k, v = (self._split(self._linear(p, h)) for p in (own.query, own.key, own.value))
            x = x + self._linear(block.attn.out, self._join(memory.attend(q, k, v, state.length)))
            q = self._split(self._linear(block.cross_attn.query, block.cross_attn_ln(x)))
            x = x + self._linear(block.cross_attn.out, self._join(memory.look(q, looks)))
            h = block.mlp[1](self._linear(block.mlp[0], block.mlp_ln(x)))
            x = x + self._linear(block.mlp[2], h)
        state.length += count
        return decoder.ln(x)

    def _listen(self, mel: Any) -> Any:
        """The encoder for one window, in bfloat16: torch's own attention gains nothing from it on a CPU."""
        import torch.nn.functional as F  # noqa: N812 (its usual name)

        encoder = self.model.encoder
        x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).permute(0, 2, 1)
        x = (x + encoder.positional_embedding).to(self.dtype)
        for block in encoder.blocks:
            h = block.attn_ln(x)
            own = block.attn
            q, k, v = (self._split(self._linear(p, h))[0] for p in (own.query, own.key, own.value))
            x = x + self._linear(own.out, _attend_by_head(q, k, v))
            h = block.mlp[1](self._linear(block.mlp[0], block.mlp_ln(x)))
            x = x + self._linear(block.mlp[2], h)
        return encoder.ln_post(x)

    def _logits(self, hidden: Any) -> Any:
        """float32 of shape (rows, n_vocab) from the decoder's output (rows, width)."""
        import torch

        logits = _grouped(hidden, self.embedding, None).float()
        if self.dtype == torch.bfloat16:
            # Eight bits make the best of 50,000 a tie: those that matter are computed again.
            fine = hidden.float()
            best = logits[:, :-TIMES].topk(CANDIDATES).indices
            logits.scatter_(1, best, (self.embedding[best].float() @ fine[:, :, None])[..., 0])
            logits[:, -TIMES:] = _grouped(fine, self.times, None)
        return logits

    def _linear(self, layer: Any, x: Any) -> Any:
        return _grouped(x, layer.weight, layer.bias)

    def _split(self, x: Any) -> Any:
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def _join(self, x: Any) -> Any:
        return x.transpose(1, 2).flatten(2)


class _State:
    """What the decoder remembers of a batch: keys and values of the text so far and of the audio."""

    def __init__(self, network: TorchNetwork, features: Any, room: int) -> None:
        self.length = 0  # tokens so far
        self.layers = [
            _Memory(network, block, features, room) for block in network.model.decoder.blocks
        ]

    def keep(self, rows: Any) -> None:
        for memory in self.layers:
            memory.keep(rows)


class _Memory:
    """Keys and values of one layer; (rows, heads, places, width of a head)."""

    def __init__(self, network: TorchNetwork, block: Any, features: Any, room: int) -> None:
        rows, _, width = features.shape
        shape = (rows, network.heads, room, width // network.heads)
        self.scale = shape[-1] ** -0.5
        self.keys = features.new_empty(shape)
        self.values = features.new_empty(shape)
        cross = block.cross_attn
        self.audio_keys = network._split(network._linear(cross.key, features)).contiguous()
        self.audio_values = network._split(network._linear(cross.value, features)).contiguous()

    def attend(self, q: Any, k: Any, v: Any, before: int) -> Any:
        """Attention of the new tokens to themselves and to those before them."""
        count = q.shape[2]
        self.keys[:, :, before : before + count] = k
        self.values[:, :, before : before + count] = v
        keys, values = self.keys[:, :, : before + count], self.values[:, :, : before + count]
        scores = (q @ keys.transpose(-1, -2)).float() * self.scale
        if count > 1:
            later = scores.new_full((count, count), -math.inf).triu(1)
            scores[..., before:] += later
        return scores.softmax(-1).to(values.dtype) @ values

    def look(self, q: Any, looks: list[Any] | None) -> Any:
        """Attention to the audio."""
        scores = (q @ self.audio_keys.transpose(-1, -2)).float() * self.scale
        if looks is not None:
            looks.append(scores)
        return scores.softmax(-1).to(q.dtype) @ self.audio_values

    def keep(self, rows: Any) -> None:
        self.keys, self.values = self.keys[rows], self.values[rows]
        self.audio_keys = self.audio_keys[rows]
        self.audio_values = self.audio_values[rows]


class _Writing:
    """One batch from its prompts to the end of every row."""

    def __init__(self, network: TorchNetwork, tasks: Sequence[Task]) -> None:
        import torch

        self.network, self.tasks = network, tasks
        dims = network.model.dims
        prompts = [list(task.prompt) for task in tasks]
        self.prompts = torch.tensor(prompts, device=network.device)
        # As in whisper.decode: half the context for the text, and not beyond the context.
        self.steps = min(dims.n_text_ctx // 2, dims.n_text_ctx - len(prompts[0]) + 1)
        features = torch.stack([task.features for task in tasks])
        self.state = _State(network, features, len(prompts[0]) + self.steps)
        self.rules = Rules(tasks[0].tokenizer, dims.n_vocab, network.device)
        self.noise = [_Noise(task, dims.n_vocab) for task in tasks]
        self.rows: list[int | None] = list(
            range(len(tasks))
        )  # the task of each; None when it ended
        self.tokens: list[list[int]] = [[] for _ in tasks]
        self.sums = [0.0] * len(tasks)

    def run(self) -> list[Written]:
        import torch

        hidden = self.network._forward(self.prompts, self.state)
        silence = self._hear_silence(hidden)
        past = self.rules.start(len(self.tasks))
        for step in range(self.steps):
            logits = self.network._logits(hidden[:, -1])
            self.rules.apply(logits, past)
            chosen = self._choose(logits)
            chances = logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(-1)
            going = self._note(chosen.tolist(), chances.tolist())
            if not going:
                break
            past = self.rules.after(past, chosen)
            if len(going) <= len(self.rows) * 3 // 4:
                kept = torch.tensor(going, device=self.network.device)
                self.state.keep(kept)
                past = past.keep(kept)
                self.rows = [self.rows[row] for row in going]
            if step + 1 < self.steps:
                assert past.last is not None
                hidden = self.network._forward(past.last[:, None], self.state)
        return [
            Written(tuple(tokens), total / (len(tokens) + 1), chance)
            for tokens, total, chance in zip(self.tokens, self.sums, silence, strict=True)
        ]

    def _hear_silence(self, hidden: Any) -> list[float]:
        """Chance of "no speech", which is told where the first token after the prompt's start stands."""
        tokenizer = self.tasks[0].tokenizer
        start = self.tasks[0].prompt.index(tokenizer.sot)
        chances = self.network._logits(hidden[:, start]).softmax(-1)
        silence: list[float] = chances[:, tokenizer.no_speech].tolist()
        return silence

    def _choose(self, logits: Any) -> Any:
        chosen = logits.argmax(-1)
        for row, task in enumerate(self.rows):
            if task is not None and self.tasks[task].temperature > 0:
                heat = logits[row] / self.tasks[task].temperature
                chosen[row] = (heat + self.noise[task]().to(heat.device)).argmax()
        return chosen

    def _note(self, chosen: list[int], chances: list[float]) -> list[int]:
        """Keep what was chosen. Returns the rows that go on."""
        going = []
        for row, (token, chance) in enumerate(zip(chosen, chances, strict=True)):
            task = self.rows[row]
            if task is None:
                continue
            self.sums[task] += chance
            if token == self.rules.eot or self.tasks[task].cancelled():
                self.rows[row] = None
            else:
                self.tokens[task].append(token)
                going.append(row)
        return going


class _Noise:
    """Gumbel noise by which one window is sampled: the same in any company, from the task's own seed."""

    def __init__(self, task: Task, size: int) -> None:
        import torch

        self.size = size
        self.generator = torch.Generator().manual_seed(task.seed)

    def __call__(self) -> Any:
        import torch

        uniform = torch.rand(self.size, generator=self.generator).clamp_(min=1e-20)
        return -(-uniform.log()).log()


# --- Rules for timestamps --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Past:
    """What the rules need to know of each row: its last two tokens and its last timestamp."""

    last: Any  # (rows,), None before the first token
    second: Any
    latest: Any  # one before the first timestamp token when there was none

    def keep(self, rows: Any) -> Past:
        second = None if self.second is None else self.second[rows]
        return Past(self.last[rows], second, self.latest[rows])


class Rules:
    """whisper.decoding's SuppressTokens, SuppressBlank and ApplyTimestampRules over all rows at once."""

    def __init__(self, tokenizer: Any, vocabulary: int, device: Any) -> None:
        import torch

        self.begin, self.eot = tokenizer.timestamp_begin, tokenizer.eot
        self.device = device
        never = {
            *tokenizer.non_speech_tokens,
            *(tokenizer.transcribe, tokenizer.translate, tokenizer.sot, tokenizer.sot_prev),
            *(tokenizer.sot_lm, tokenizer.no_speech, tokenizer.no_timestamps),
        }
        self.never = torch.zeros(vocabulary, device=device)
        self.never[sorted(never)] = -math.inf
        self.places = torch.arange(vocabulary - self.begin, device=device) + self.begin

    def start(self, rows: int) -> Past:
        import torch

        return Past(None, None, torch.full((rows,), self.begin - 1, device=self.device))

    def apply(self, logits: Any, past: Past) -> None:
        """Make impossible, in place, what may not come next."""
        logits += self.never
        text, times = logits[:, : self.begin], logits[:, self.begin :]
        if past.last is None:  # a window begins with a timestamp
            text.fill_(-math.inf)
            times[:, LATEST_START + 1 :] = -math.inf
            return
        # Timestamps come in pairs, except before the end.
        time = past.last >= self.begin
        opens = time if past.second is None else time & (past.second >= self.begin)
        ends = time & ~opens
        times.masked_fill_(opens[:, None], -math.inf)
        logits[:, : self.eot].masked_fill_(ends[:, None], -math.inf)
        # They never go back; only the end of a segment may be said again, as the start of the next.
        bound = past.latest + (~ends).long()
        times.masked_fill_(self.places < bound[:, None], -math.inf)
        # Together more likely than any one word, a timestamp it must be.
        likely = times.logsumexp(-1) > text.amax(-1)
        text.masked_fill_(likely[:, None], -math.inf)

    def after(self, past: Past, chosen: Any) -> Past:
        """The past with `chosen` in it."""
        latest = chosen.where(chosen >= self.begin, past.latest)
        return Past(chosen, past.last, latest)


# --- Precision -------------------------------------------------------------------------------------


def fast_dtype(device: str) -> Any:
    """The type in which matrices are multiplied fastest with the words kept right: float16 on a GPU,
    bfloat16 on CPUs that multiply it themselves (AVX512-BF16, AMX), float32 on others.
    """
    import torch

    if device == "cuda":
        return torch.float16
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return torch.bfloat16 if native else torch.float32


def keep_norms(model: Any, dtype: Any) -> None:
    """All weights of `model` to `dtype`, but those of LayerNorm, which computes in float32."""
    import torch

    for module in model.modules():
        if not isinstance(module, torch.nn.LayerNorm):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)


def _half() -> Any:
    import torch

    return torch.float16


def _grouped(x: Any, weight: Any, bias: Any) -> Any:
    """x @ weight.T + bias, in whole groups of rows on a CPU, so that a row's sum is always the same sum."""
    import torch.nn.functional as F  # noqa: N812 (its usual name)

    rows = x.numel() // x.shape[-1]
    if x.is_cuda or rows % GROUP == 0:
        return F.linear(x, weight, bias)
    flat = F.pad(x.reshape(rows, -1), (0, 0, 0, -rows % GROUP))
    return F.linear(flat, weight, bias)[:rows].view(*x.shape[:-1], -1)


def _attend_by_head(q: Any, k: Any, v: Any) -> Any:
    """Attention over a window of (heads, places, width of a head), joined to (1, places, width).

    One head's scores fit into a processor's cache, all of them do not.
    """
    import torch

    out = []
    for query, key, value in zip(q * q.shape[-1] ** -0.5, k, v, strict=True):
        out.append((query @ key.T).softmax(-1) @ value)
    return torch.stack(out, 1).flatten(1)[None]


def _path(heads: Any, before: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The way of text through time that the alignment heads (heads, tokens, frames) looked along.

    As whisper.timing.find_alignment. `before` tokens stand before the text, one after it.
    """
    from whisper.timing import dtw, median_filter

    weights = heads.softmax(-1)
    mean, deviation = weights.mean(-2, keepdim=True), weights.std(-2, keepdim=True, unbiased=False)
    weights = median_filter((weights - mean) / deviation, 7)
    matrix = weights.mean(0)[before:-1]
    text, time = dtw(-matrix)
    return np.asarray(text), np.asarray(time)


def text_tokens(written: Written, task: Task) -> list[int]:
    return [token for token in written.tokens if token < task.tokenizer.eot]
