"""Which token may come next: Whisper's rules for suppressed tokens and timestamps, on all rows at once.

The same rules as whisper.decoding's SuppressTokens, SuppressBlank and ApplyTimestampRules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from homescribe.engines.tokenizer import Tokenizer
from homescribe.engines.whisper_network import MAX_INITIAL_TIMESTAMP

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenHistory:
    """What the rules need of each row, shape (rows,)."""

    last: Tensor | None  # the last token; None before the first
    second_last: Tensor | None
    latest_timestamp: Tensor  # one less than the first timestamp token if there was none

    def keep(self, rows: Tensor) -> TokenHistory:
        """Drop all rows but `rows`."""
        last = None if self.last is None else self.last[rows]
        second = None if self.second_last is None else self.second_last[rows]
        return TokenHistory(last, second, self.latest_timestamp[rows])


class TimestampRules:
    """The rules for one tokenizer and size of vocabulary."""

    def __init__(self, tokenizer: Tokenizer, vocabulary: int, device: torch.device | str) -> None:
        import torch

        self.begin, self.eot = tokenizer.timestamp_begin, tokenizer.eot
        self.device = device
        suppressed = {
            *tokenizer.non_speech_tokens,
            *(tokenizer.transcribe, tokenizer.translate, tokenizer.sot, tokenizer.sot_prev),
            *(tokenizer.sot_lm, tokenizer.no_speech, tokenizer.no_timestamps),
        }
        self.suppressed = torch.zeros(vocabulary, device=device)
        self.suppressed[sorted(suppressed)] = -math.inf
        self.timestamps = torch.arange(vocabulary - self.begin, device=device) + self.begin

    def start(self, rows: int) -> TokenHistory:
        """Return the history before the first token."""
        import torch

        return TokenHistory(None, None, torch.full((rows,), self.begin - 1, device=self.device))

    def apply(self, logits: Tensor, history: TokenHistory) -> None:
        """Set the logits (rows, vocabulary) of forbidden tokens to minus infinity, in place."""
        logits += self.suppressed
        text, timestamps = logits[:, : self.begin], logits[:, self.begin :]
        if history.last is None:  # a window starts with a timestamp
            text.fill_(-math.inf)
            timestamps[:, MAX_INITIAL_TIMESTAMP + 1 :] = -math.inf
            return
        # Timestamps come in pairs, except before the end of the text.
        timestamp = history.last >= self.begin
        opens_segment = (
            timestamp
            if history.second_last is None
            else timestamp & (history.second_last >= self.begin)
        )
        ends_segment = timestamp & ~opens_segment
        timestamps.masked_fill_(opens_segment[:, None], -math.inf)
        logits[:, : self.eot].masked_fill_(ends_segment[:, None], -math.inf)
        # They increase; only the end of a segment may be repeated, as the start of the next.
        least = history.latest_timestamp + (~ends_segment).long()
        timestamps.masked_fill_(self.timestamps < least[:, None], -math.inf)
        # If timestamps together are more likely than any text token, the next token is a timestamp.
        likely = timestamps.logsumexp(-1) > text.amax(-1)
        text.masked_fill_(likely[:, None], -math.inf)

    def append(self, history: TokenHistory, chosen: Tensor) -> TokenHistory:
        """Return `history` with the tokens `chosen`, one per row, appended."""
        latest = chosen.where(chosen >= self.begin, history.latest_timestamp)
        return TokenHistory(chosen, history.last, latest)
