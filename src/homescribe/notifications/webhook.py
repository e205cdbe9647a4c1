"""Requests to the user's webhook, signed as https://www.standardwebhooks.com describes it.

webhook-id         the same in all attempts, so that a receiver can leave out what it has
webhook-timestamp  Unix time of this attempt
webhook-signature  "v1," and base64 of HMAC-SHA256(secret, "id.timestamp.body")
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from threading import Event
from urllib.parse import urlsplit

from homescribe.core import SECOND
from homescribe.errors import HomescribeError, RetryableError, UserError
from homescribe.notifications.delivery import NotDelivered
from homescribe.notifications.notification import Kind, Notification
from homescribe.sources.http_errors import PrivateNetworkRefused, retry_after
from homescribe.sources.http_post import post
from homescribe.text.sanitize import public_url

DELAYS = (2 * SECOND, 10 * SECOND, 30 * SECOND)  # before the second, third and fourth attempt
MOST_DELAY = 60 * SECOND  # that a Retry-After is granted
AGAIN = frozenset({408, 425, 429})  # statuses after which the same request may succeed, and 5xx
PREFIX = "whsec_"  # of a secret in base64


class Webhook:
    """Sends each notification as a POST request with JSON.

    Args:
        secret: text, or whsec_ and base64; None: requests are not signed.
        private_networks: a public address may lead into private networks.

    Raises UserError when the address or the secret is not valid.
    """

    name = "webhook"
    most_failures: int | None = 3

    def __init__(
        self, url: str, secret: str | None = None, *, private_networks: bool = False
    ) -> None:
        try:
            parts = urlsplit(url)
            valid = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
        except ValueError:
            valid = False
        if not valid:
            raise UserError(
                f"webhook: {public_url(url)!r} is not a web address.", "Begin it with https://"
            )
        self._url = url
        self._shown = public_url(url)
        self._key = None if secret is None else signing_key(secret)
        self._private_networks = private_networks

    def wants(self, kind: Kind) -> bool:
        return True

    def deliver(self, notification: Notification, ending: Event) -> None:
        """Send a notification, up to four times. Raises NotDelivered."""
        body = notification.body
        for delay in (*DELAYS, None):
            reason, wait = self._attempt(notification.id, body)
            if not reason:
                return
            if wait is None or delay is None:
                raise NotDelivered(reason)
            if ending.wait(min(max(delay, wait), MOST_DELAY)):
                raise NotDelivered(reason)

    def _attempt(self, number: str, body: bytes) -> tuple[str, float | None]:
        """Send it once. Returns why it was not accepted, "" if it was, and the least wait for another try.

        The wait is None where another try would fail, too.
        """
        try:
            status, headers = post(
                self._url,
                body,
                self._headers(number, body),
                private_networks=self._private_networks,
            )
        except PrivateNetworkRefused as error:
            return f"webhook: {error.message} {error.hint}", None
        except RetryableError as error:
            return f"webhook: {error.message}", 0.0
        except HomescribeError as error:
            return f"webhook: {error.message}", None
        if 200 <= status < 300:
            return "", None
        if 300 <= status < 400:
            reason = f"webhook: {self._shown} redirects (HTTP {status}), which is not followed."
            return reason, None
        reason = f"webhook: {self._shown} refuses the notification (HTTP {status})."
        if status in AGAIN or status >= 500:
            return reason, retry_after(headers.get("Retry-After")) or 0.0
        return reason, None

    def _headers(self, number: str, body: bytes) -> dict[str, str]:
        at = str(int(time.time()))
        headers = {"Content-Type": "application/json", "webhook-id": number}
        headers["webhook-timestamp"] = at
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, number, at, body)
        return headers


def signing_key(secret: str) -> bytes:
    """Return the bytes of a secret. UserError if it is whsec_ and no base64."""
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise UserError(
            "webhook_secret begins with whsec_, but is no base64 after that.",
            "Make one: echo whsec_$(openssl rand -base64 32)",
        ) from error


def signature(key: bytes, number: str, at: str, body: bytes) -> str:
    """Return the header webhook-signature."""
    signed = hmac.new(key, f"{number}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
