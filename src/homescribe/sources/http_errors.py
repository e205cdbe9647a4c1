"""The homescribe error for each exception of requests and each HTTP status: decided only here."""

from __future__ import annotations

import contextlib
import email.utils
import re
import time
from collections.abc import Mapping

import requests
import urllib3

from homescribe.core import HOUR
from homescribe.errors import (
    HomescribeError,
    PermanentError,
    RetryableError,
    SiteBusy,
    SourceBlocked,
    UserError,
)
from homescribe.sources.private_networks import PrivateAddressError
from homescribe.text import sanitize

MAX_RETRY_AFTER = 24 * HOUR


class NotFoundError(PermanentError):
    """There is nothing at the address (HTTP 404)."""


class PrivateNetworkRefused(RetryableError):
    """A public address leads into a private network, to which no request was made."""


def connection_error(error: Exception, url: str) -> HomescribeError:
    """Return the error for an exception that was raised by a request of `url`."""
    shown = sanitize.public_url(url)
    if isinstance(error, PrivateAddressError):
        return PrivateNetworkRefused(
            f"{shown} leads to {sanitize.one_line(error.host)} ({error.address}), "
            "which is on a private network.",
            "If that is right: --allow-private-networks, or allow_private_networks = true in config.toml.",
        )
    if isinstance(error, ValueError):  # InvalidURL, InvalidSchema, UnicodeError, ...
        return PermanentError(
            f"{shown} is not a valid web address, or redirects to an invalid one."
        )
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return PermanentError(f"{shown} redirects too many times.")
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return RetryableError(f"{shown}: the TLS connection failed ({_root_cause(error)}).")
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return RetryableError(f"{shown} does not respond.", "Check the network.")
    return RetryableError(
        f"{shown}: the connection failed ({_root_cause(error)}).", "Check the network."
    )


def _root_cause(error: BaseException) -> str:
    """Return the message of the innermost exception; the outer ones repeat addresses."""
    for _ in range(8):
        candidates = (getattr(error, "reason", None), *error.args)
        inner = next((one for one in candidates if isinstance(one, BaseException)), None)
        if inner is None:
            break
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return sanitize.public_message(text)


def status_error(status: int, headers: Mapping[str, str], url: str) -> HomescribeError:
    """Return the error for a response of `url` whose HTTP status is not a success."""
    shown = sanitize.public_url(url)
    wait = retry_after(headers.get("Retry-After"))
    if status == 429:
        return SourceBlocked(f"{shown}: too many requests (HTTP 429).", "", wait or HOUR)
    if status == 404:
        return NotFoundError(f"{shown} is not available (HTTP {status}).")
    if status in (410, 451):
        return PermanentError(f"{shown} is not available (HTTP {status}).")
    if status in (401, 402, 407):
        return PermanentError(
            f"{shown} needs a subscription or a password (HTTP {status}).",
            "Use the feed's private address, or put the name and password into ~/.netrc.",
        )
    if status in (403, 408, 425) or status >= 500:
        failure = "refuses access" if status == 403 else "failed"
        message = f"{shown}: the server {failure} (HTTP {status})."
        return SiteBusy(message, "", wait) if wait else RetryableError(message)
    return PermanentError(f"{shown} cannot be downloaded (HTTP {status}).")


def listing_error(error: HomescribeError, hint: str = "") -> UserError:
    """Return `error` as a UserError: a listing that fails has no item yet that could record the error.

    It is SourceBlocked if the site asks to wait. `hint` is for an error without one.
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, RetryableError) and error.retry_after is not None:
        return SourceBlocked(error.message, error.hint, error.retry_after)
    return UserError(error.message, error.hint or hint)


def retry_after(value: str | None) -> float | None:
    """Return the seconds in a Retry-After header, a number or a date, at most MAX_RETRY_AFTER.

    https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
    """
    if not value:
        return None
    if re.fullmatch(r"\s*\d{1,9}\s*", value):
        return min(float(value), MAX_RETRY_AFTER)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        date = email.utils.parsedate_to_datetime(value).timestamp()
        return min(max(0.0, date - time.time()), MAX_RETRY_AFTER)
    return None
