"""Translate what Modal's client raises about a request into our errors.

There are three kinds: the machine's or the account's (UserError: the run stops and calls stay collectable),
an object that Modal does not know (Missing), and a service that does not answer now (Unavailable: the
request is sent again). What a call raises is none of them: see `results.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import modal.exception

from homescribe.backends.modal.results import (
    NotReady,
    RaisedByCall,
    failure_of,
    raised_by_call,
    raised_by_download,
)
from homescribe.backends.modal.spending import spending_refused
from homescribe.backends.wire import one_line, text_of
from homescribe.errors import (
    Cancelled,
    HomescribeError,
    PermanentError,
    RetryableError,
    SetupError,
    UserError,
)


class Unavailable(RetryableError):
    """Modal, or the network on the way to it, does not answer now."""


class Missing(RetryableError):
    """Modal knows no such app, call or environment."""


class Expired(RetryableError):
    """Modal knows the call, and no longer has its result."""


LOG_IN = "Run: modal setup (or: modal token set). Then run again."
UPDATE = "Run: pip install -U modal"
STOPPED = "If the app was stopped meanwhile, run again: that deploys it."

# Modal refuses an old client and a request to a stopped app with the same status.
OLD_CLIENT = re.compile(r"\b(client|version|upgrade)\b", re.IGNORECASE)

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
    (modal.exception.ConflictError, SetupError, "Modal refuses: {}", STOPPED),
    (
        modal.exception.UnimplementedError,
        SetupError,
        "Modal no longer supports a request: {}",
        UPDATE,
    ),
    (modal.exception.NotFoundError, Missing, "Modal has no such object: {}", ""),
    (modal.exception.OutputExpiredError, Expired, "The result has expired.", ""),
    (
        modal.exception.ImageBuildError,
        SetupError,
        "Modal cannot build the image: {}",
        "Run homescribe modal deploy to see why.",
    ),
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
            detail = text_of(error) or type(error).__name__
            refused = spending_refused(detail)
            if refused is not None and ours is not Missing:  # which may be named so
                return refused
            if hint == STOPPED and OLD_CLIENT.search(detail):
                hint = UPDATE
            return ours(message.format(detail), hint)
    if _is_connection_error(error):
        # The client does not wrap every refusal in a class of its own.
        refused = spending_refused(_status_message(error))
        return refused or Unavailable(text_of(error) or type(error).__name__)
    return None


def _status_message(error: BaseException) -> str:
    """Return what the service said with the status of a request that it refused; "" for other errors."""
    import grpclib.exceptions

    return one_line(error.message or "") if isinstance(error, grpclib.exceptions.GRPCError) else ""


def _is_connection_error(error: BaseException) -> bool:
    """Return whether `error` comes from the libraries that Modal's client uses and does not always wrap."""
    import aiohttp
    import grpclib.exceptions
    import h2.exceptions

    return isinstance(
        error,
        aiohttp.ClientError
        | grpclib.exceptions.GRPCError
        | grpclib.exceptions.StreamTerminatedError
        | h2.exceptions.ProtocolError
        | OSError,
    )


@contextmanager
def request_errors() -> Iterator[None]:
    """Translate what is raised while a call is submitted or its result is requested."""
    try:
        yield
    except (RaisedByCall, NotReady, HomescribeError, Cancelled):
        raise
    except Exception as error:
        translated = translate(error)
        if raised_by_download(error) and not isinstance(translated, UserError | Missing):
            # Storage that is busy answers 503, which the client raises as ExecutionError.
            raise Unavailable(text_of(error) or type(error).__name__) from error
        if translated is None:
            raise
        raise translated from error


@contextmanager
def account_errors() -> Iterator[None]:
    """Translate what is raised outside of any call of a recording: the user has to act on all of it."""
    try:
        with request_errors():
            yield
    except (RetryableError, PermanentError) as error:
        message = f"Modal cannot be used now: {error.message}"
        raise SetupError(message, error.hint or "Try again later.") from error


@contextmanager
def fetch_errors(model: str) -> Iterator[None]:
    """Translate what a container raises while it downloads weights."""
    try:
        yield
    except UserError:  # what the engine says about the model
        raise
    except BaseException as error:
        if not raised_by_call(error):
            raise
        failure = failure_of(error).error
        assert failure is not None
        raise SetupError(
            f"The weights of {model} could not be downloaded at Modal: {failure.message}",
            failure.hint or "See `modal app logs`, then run again.",
        ) from error
