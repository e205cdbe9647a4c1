"""Translate the exceptions of Modal's client into ours. No other module names Modal's exceptions.

There are three kinds: the machine's or the account's (UserError: the run stops and the call stays
collectable), the end of a call (Died, Missing, an error raised in the container), and a service that does
not answer now (Unavailable: the session tries again).
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from contextlib import contextmanager

import modal.exception

from homescribe.backends.wire import one_line
from homescribe.errors import (
    Cancelled,
    HomescribeError,
    PermanentError,
    RetryableError,
    SetupError,
)


class Unavailable(RetryableError):
    """Modal, or the network on the way to it, does not answer now."""


class Missing(RetryableError):
    """Modal knows no such app or call."""


class Died(RetryableError):
    """Modal ended the call: its container crashed, or it took too long."""


class RaisedInContainer(Exception):
    """One of our errors, raised in the container outside of any recording."""

    def __init__(self, error: HomescribeError) -> None:
        super().__init__(error)
        self.error = error


LOG_IN = "Run: modal setup (or: modal token set). Then run again."
UPDATE = "Run: pip install -U modal"

# From the particular to the general: the first class that fits decides our class, message and hint.
# {} is replaced by Modal's message.
MAPPING: tuple[tuple[type[BaseException], type[HomescribeError], str, str], ...] = (
    (modal.exception.AuthError, SetupError, "Modal refuses this machine's token: {}", LOG_IN),
    (
        modal.exception.PermissionDeniedError,
        SetupError,
        "This Modal account has no permission: {}",
        LOG_IN,
    ),
    (modal.exception.VersionError, SetupError, "Modal refuses this version: {}", UPDATE),
    (modal.exception.ConflictError, SetupError, "Modal refuses: {}", UPDATE),
    (
        modal.exception.UnimplementedError,
        SetupError,
        "Modal no longer supports a request: {}",
        UPDATE,
    ),
    (modal.exception.NotFoundError, Missing, "Modal has no such object: {}", ""),
    (modal.exception.OutputExpiredError, Missing, "The result has expired.", ""),
    (modal.exception.FunctionTimeoutError, Died, "It took longer than a call may take: {}", ""),
    (modal.exception.InternalFailure, Died, "Its container ended: {}", ""),
    (
        modal.exception.ImageBuildError,
        SetupError,
        "Modal cannot build the image: {}",
        "Run homescribe modal deploy to see why.",
    ),
    (modal.exception.RemoteError, Died, "Modal ended the call: {}", ""),
    (modal.exception.ExecutionError, RetryableError, "Modal's reply cannot be used: {}", UPDATE),
    (modal.exception.DeserializationError, RetryableError, "The result cannot be read: {}", UPDATE),
    (
        modal.exception.RequestSizeError,
        PermanentError,
        "The recording is too large for Modal: {}",
        "",
    ),
    (
        modal.exception.ResourceExhaustedError,
        Unavailable,
        "Modal accepts no more calls now: {}",
        "",
    ),
    (modal.exception.ServiceError, Unavailable, "{}", ""),
    (modal.exception.InternalError, Unavailable, "{}", ""),
    (modal.exception.ConnectionError, Unavailable, "{}", ""),
    (modal.exception.DataLossError, Unavailable, "{}", ""),
    (modal.exception.ClientClosed, Unavailable, "{}", ""),
    (modal.exception.TimeoutError, Unavailable, "{}", ""),
    (modal.exception.Error, SetupError, "Modal: {}", "See https://modal.com/docs"),
    (modal.exception.ModuleNotMountable, SetupError, "Modal cannot send the package: {}", ""),
)


def translate(error: BaseException) -> HomescribeError | None:
    """Return our error for one of Modal's or of its connection; None for anything else."""
    for kind, ours, message, hint in MAPPING:
        if isinstance(error, kind):
            detail = one_line(str(error)) or type(error).__name__
            return ours(message.format(detail), hint)
    if _is_connection_error(error):
        return Unavailable(one_line(str(error)) or type(error).__name__)
    return None


def _is_connection_error(error: BaseException) -> bool:
    """Return whether `error` comes from the libraries that Modal's client uses and does not always wrap."""
    import aiohttp
    import grpclib.exceptions
    import h2.exceptions

    if isinstance(error, builtins.TimeoutError):
        return False  # FunctionCall.get raises it when there is no result yet
    return isinstance(
        error,
        aiohttp.ClientError
        | grpclib.exceptions.GRPCError
        | grpclib.exceptions.StreamTerminatedError
        | h2.exceptions.ProtocolError
        | OSError,
    )


@contextmanager
def call_errors() -> Iterator[None]:
    """Translate what is raised while a call is submitted or collected."""
    try:
        yield
    except (Unavailable, Missing, Died, RaisedInContainer, Cancelled):
        raise
    except HomescribeError as error:  # Modal raises here what was raised in a container
        raise RaisedInContainer(error) from None
    except Exception as error:
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error


@contextmanager
def account_errors() -> Iterator[None]:
    """Translate what is raised outside of any call: the user has to act on all of it."""
    try:
        with call_errors():
            yield
    except RaisedInContainer as error:
        raise error.error from error
    except (RetryableError, PermanentError) as error:
        message = f"Modal cannot be used now: {error.message}"
        raise SetupError(message, error.hint or "Try again later.") from error
