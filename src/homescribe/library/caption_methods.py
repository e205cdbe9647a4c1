"""The methods of the library for captions: a base class of Library."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager

from homescribe.core import CaptionPolicy, Captions, Item
from homescribe.errors import ItemError
from homescribe.library import caption_requests, failures
from homescribe.library.caption_requests import CaptionFigures, Stored


class CaptionMethods(ABC):
    """Captions, which are the first transcript of an item."""

    read_only: bool

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a snapshot of the library."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a transaction."""

    def apply_caption_policy(self, policy: CaptionPolicy) -> None:
        """Let runs replace the captions that the setting `captions` says, and no others.

        Nothing changes in a library that can only be read.
        """
        with self._reading() as db:
            if self.read_only or caption_requests.follows_policy(db, policy):
                return
        with self._writing() as db:
            caption_requests.apply_policy(db, policy)

    def captions_due(
        self, keys: Collection[str] | None = None, *, now: float | None = None
    ) -> list[Item]:
        """Pending items without a transcript whose captions are to be requested, in listing order.

        Of `keys` only, unless it is None. What had no captions is requested again after days.
        """
        with self._reading() as db:
            return caption_requests.due(db, keys, time.time() if now is None else now)

    def request_captions_again(self, keys: Collection[str]) -> None:
        """Let the captions of these items be requested at once, also of those that had none lately."""
        with self._writing() as db:
            caption_requests.make_due(db, keys)

    def save_captions(self, found: Captions, policy: CaptionPolicy) -> Stored:
        """Store the captions of an item, or that it has none.

        Returns whether they are its transcript: "kept", or to be replaced by a run ("upgrade"). A transcript
        of an engine, and corrected captions, stay as they are ("not stored").
        """
        with self._writing() as db:
            return caption_requests.save(db, found, policy, time.time())

    def fail_captions(self, item: Item, error: ItemError) -> None:
        """Record that a request for captions failed. The item itself stays pending."""
        with self._writing() as db:
            caption_requests.record_failure(db, item, error, time.time())

    def latest_caption_request(self) -> float | None:
        """Unix time of the latest request for captions; None before the first one."""
        with self._reading() as db:
            return caption_requests.latest_request(db, time.time())

    def caption_figures(self) -> CaptionFigures:
        """The number of items with a transcript, and how many of these are captions."""
        with self._reading() as db:
            return caption_requests.figures(db)

    def block_captions(self, key: str, until: float, reason: str) -> None:
        """Record that no captions are requested before `until` (Unix time) by this key of a rate limit."""
        with self._writing() as db:
            now = time.time()
            failures.block_site(db, f"{failures.CAPTIONS_OF}{key}", until, reason, now)

    def blocked_captions(self, now: float | None = None) -> dict[str, tuple[float, str]]:
        """Keys of rate limits for captions that refuse requests at `now`: until when (Unix time), and why."""
        with self._reading() as db:
            return failures.blocked_captions(db, time.time() if now is None else now)
