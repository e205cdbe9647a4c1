"""Where notifications go: what a command and a webhook have in common."""

from __future__ import annotations

from threading import Event
from typing import Protocol

from homescribe.notifications.notification import Kind, Notification


class NotDelivered(Exception):
    """A notification was not delivered; its message is a sentence for the user."""


class Target(Protocol):
    """Gets notifications, one after the other, in a thread of its own."""

    name: str  # of the setting
    most_failures: int | None  # in a row, after which nothing more is delivered in this run

    def wants(self, kind: Kind) -> bool:
        """Whether this target gets notifications of a kind."""

    def deliver(self, notification: Notification, ending: Event) -> None:
        """Deliver a notification. Raises NotDelivered; also soon after `ending` was set."""
