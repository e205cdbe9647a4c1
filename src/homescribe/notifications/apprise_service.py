"""Messages to people when a run is over, through the services that Apprise knows: https://appriseit.com

Apprise makes the connections itself, with its own timeouts of a few seconds, to addresses of the user's
settings.
"""

from __future__ import annotations

import logging
from threading import Event
from urllib.parse import urlsplit

from homescribe.errors import UserError
from homescribe.notifications.delivery import NotDelivered
from homescribe.notifications.notification import Kind, Notification
from homescribe.text.sanitize import one_line, public_message


class AppriseService:
    """Sends a message for each run to one address or several, with white space between them.

    Raises UserError when Apprise does not know an address, ModuleNotFoundError when it is not installed.
    """

    name = "apprise"
    most_failures: int | None = None

    def __init__(self, addresses: str) -> None:
        import apprise

        # Its log lines become the warning. On a terminal, they would come in the middle of the progress.
        logging.getLogger("apprise").propagate = False
        self._services: list[tuple[str, apprise.Apprise]] = []
        for address in addresses.split():
            service = apprise.Apprise()
            scheme = one_line(urlsplit(address).scheme)  # the rest is secret
            if not service.add(address):
                raise UserError(
                    f"apprise: one address ({scheme or 'without a scheme'}) is not one that Apprise knows.",
                    "See https://appriseit.com for those of each service.",
                )
            self._services.append((scheme, service))
        if not self._services:
            raise UserError("apprise is empty.", "Remove it, or write an address: mailto://...")

    def wants(self, kind: Kind) -> bool:
        return kind == "run.done"

    def deliver(self, notification: Notification, ending: Event) -> None:
        """Send the message to all addresses. Raises NotDelivered where one does not accept it."""
        import apprise

        title, body = message_of(notification)
        reasons = []
        for scheme, service in self._services:
            if ending.is_set():
                reasons.append(f"{scheme}: the run was stopped")
                continue
            capture = apprise.LogCapture(level=logging.WARNING, fmt="%(message)s")  # type: ignore[no-untyped-call]
            with capture as lines:
                accepted = service.notify(
                    title=title, body=body, body_format=apprise.NotifyFormat.TEXT
                )
                said = lines.getvalue().strip().splitlines() if lines else []
            if not accepted:
                reasons.append(
                    f"{scheme}: {public_message(said[-1]) if said else 'no reason given'}"
                )
        if reasons:
            raise NotDelivered(f"apprise: not sent ({'; '.join(reasons)}).")


def message_of(notification: Notification) -> tuple[str, str]:
    """Return the title and the text of the message about a run."""
    variables = notification.variables
    done, failed = variables["HOMESCRIBE_RUN_DONE"], variables["HOMESCRIBE_RUN_FAILED"]
    lines = [f"{done} transcribed, {failed} failed."]
    if error := variables["HOMESCRIBE_RUN_ERROR"]:
        lines.append(f"The run ended early: {error}")
    failures = notification.data["failures"]
    if isinstance(failures, list):
        lines += [f"{one_line(each['title'])}: {each['error']['message']}" for each in failures[:5]]
        if len(failures) > 5:
            lines.append("...")
    return "homescribe: the run is over", "\n".join(lines)
