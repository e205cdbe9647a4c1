"""The methods of the library for search and statistics: a base class of Library."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path

from homescribe.library import search, spelling, stats
from homescribe.library.filters import item_filter
from homescribe.library.records import Status
from homescribe.library.search import Hit, HitCount, Order
from homescribe.library.stats import ChannelRecord, Day, RunRecord

MAX_COUNTED = 1000  # hits, a fraction of a second


class QueryMethods(ABC):
    """Search, and the library in numbers."""

    path: Path

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a snapshot of the library."""

    def search(
        self,
        query: str,
        *,
        speaker: str | None = None,
        raw: bool = False,
        as_typed: bool = False,
        channel: str | None = None,
        source: str | None = None,
        language: str | None = None,
        captions: str | None = None,
        since: str | None = None,
        until: str | None = None,
        order: Order = "rank",
        limit: int = 20,
        offset: int = 0,
    ) -> list[Hit]:
        """Matches of `query` in speech, titles and descriptions, best first; with order "date", those of the
        newest recording first.

        All words must be said within about 25 seconds, "quoted words" as a phrase. Case and accents do not
        matter. With `speaker`, or speaker:ann or speaker:"Ann Lee" in the query, they must all be said by
        this person; without other words, all that this person says is returned, the newest recording first.

        `raw` takes the query as FTS5 syntax (AND, OR, NOT, NEAR, prefix*) and raises UserError when it is
        invalid. `as_typed`: the last word may be incomplete. Filters are those of `page`.
        """
        chosen = item_filter(
            channel=channel,
            source=source,
            language=language,
            captions=captions,
            since=since,
            until=until,
        )
        with self._reading() as db:
            return search.find(
                *(db, query, chosen),
                speaker=speaker,
                raw=raw,
                as_typed=as_typed,
                order=order,
                limit=limit,
                offset=offset,
            )

    def count_hits(
        self,
        query: str,
        *,
        speaker: str | None = None,
        raw: bool = False,
        channel: str | None = None,
        source: str | None = None,
        language: str | None = None,
        captions: str | None = None,
        since: str | None = None,
        until: str | None = None,
        most: int = MAX_COUNTED,
    ) -> HitCount:
        """How many hits `search` finds in all, and in how many recordings; `most` are counted."""
        hits = self.search(
            query,
            speaker=speaker,
            raw=raw,
            channel=channel,
            source=source,
            language=language,
            captions=captions,
            since=since,
            until=until,
            order="date",
            limit=most + 1,
        )
        return search.number_of(hits, most)

    def did_you_mean(self, query: str) -> str | None:
        """`query` with words that were said, in place of those that nobody said; None if there is none.

        Words are compared for a quarter of a second at most.
        """
        with self._reading() as db:
            return spelling.corrected_query(db, query)

    def status(self) -> Status:
        """The number of items in each state, hours of audio, and the size of the file."""
        with self._reading() as db:
            return stats.status(db, self.path, time.time())

    def channels(self) -> list[ChannelRecord]:
        """Every channel that items name, the one with the most items first."""
        with self._reading() as db:
            return stats.channels(db)

    def check_channel(self, name: str | None) -> None:
        """Raise UserError, with the names that are close to `name`, if it is no channel's name or id."""
        if name is not None:
            with self._reading() as db:
                stats.check_channel(db, name)

    def languages(self) -> list[str]:
        """The languages of the transcripts, the most frequent first."""
        with self._reading() as db:
            return stats.languages(db)

    def item_sources(self) -> list[str]:
        """The sources of the items ("youtube", "file"), the most frequent first."""
        with self._reading() as db:
            return stats.item_sources(db)

    def pace(self) -> float | None:
        """Speed of the latest transcripts, times realtime; None before there are any."""
        with self._reading() as db:
            return stats.pace(db)

    def days(self) -> list[Day]:
        """Every day on which something was transcribed, the earliest first."""
        with self._reading() as db:
            return stats.days(db)

    def runs(self) -> list[RunRecord]:
        """Runs with their speed and price, the latest first."""
        with self._reading() as db:
            return stats.runs(db)
