"""What a run tells of each outcome while it goes on, such as a notifier."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from homescribe.core import Outcome


class OutcomeListener(Protocol):
    """Is entered when a run begins and left when it has ended, also by an error."""

    warnings: list[str]  # sentences for the user, once the run has ended

    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
    def add(self, outcome: Outcome) -> None:
        """Take an outcome. What it says is stored already."""
