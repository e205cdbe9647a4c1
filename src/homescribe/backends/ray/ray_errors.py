"""Translate the exceptions of Ray's client into ours. No other module of this machine names them.

A request to a ledger has no part in any recording. So whatever it raises is about the cluster (UserError: the
run stops), about the ledger (LedgerGone: its calls are lost), or a failure of the moment (Unavailable).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ray.exceptions

from homescribe.backends.wire import one_line
from homescribe.errors import Cancelled, HomescribeError, RetryableError, SetupError


class Unavailable(RetryableError):
    """The cluster, or the network on the way to it, does not answer now."""


class LedgerGone(RetryableError):
    """There is no such ledger (any more)."""


TOKEN_REFUSED = "The cluster refuses this machine's token."
TOKEN_HINT = "Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH as on the cluster."
SAME_VERSION = (
    "Install the same versions of Ray and Python here and on all machines of the cluster."
)

# From the particular to the general: the first class that fits decides our class, message and hint.
# {} is replaced by Ray's message.
MAPPING: tuple[tuple[type[BaseException], type[HomescribeError], str, str], ...] = (
    (
        ray.exceptions.AuthenticationError,
        SetupError,
        TOKEN_REFUSED,
        TOKEN_HINT,
    ),
    (
        ray.exceptions.RuntimeEnvSetupError,
        SetupError,
        "homescribe could not be sent to the cluster: {}",
        SAME_VERSION,
    ),
    (ray.exceptions.ActorDiedError, LedgerGone, "The ledger has ended: {}", ""),
    (ray.exceptions.ActorUnschedulableError, LedgerGone, "The ledger has no machine: {}", ""),
    (ray.exceptions.RayError, Unavailable, "{}", ""),
    (ModuleNotFoundError, SetupError, "The cluster lacks a package: {}", SAME_VERSION),
    (Exception, Unavailable, "{}", ""),
)
MISMATCH = "version mismatch"  # in the message of a RuntimeError, when Ray or Python differ
UNAUTHENTICATED = ("invalid authentication token", "unauthenticated", "authentication token")
NO_ACTOR = "failed to look up actor"  # in the message of a ValueError


def translate(error: Exception) -> HomescribeError:
    """Return our error for whatever Ray's client raises."""
    detail = one_line(str(error)) or type(error).__name__
    words = detail.lower()
    if isinstance(error, ValueError) and NO_ACTOR in words:
        return LedgerGone("There is no such ledger on the cluster.")
    if isinstance(error, RuntimeError) and MISMATCH in words:
        return SetupError(
            f"Ray differs between this machine and the cluster: {detail}", SAME_VERSION
        )
    if isinstance(error, ModuleNotFoundError) and error.name == "grpc":
        return SetupError(
            "Ray's client needs the package 'grpcio', which is not installed.",
            "Run: pip install 'ray[client]'",
        )
    if any(each in words for each in UNAUTHENTICATED):
        _, kind, message, hint = MAPPING[0]
        return kind(message, hint)
    for kind_of_ray, kind, message, hint in MAPPING:
        if isinstance(error, kind_of_ray):
            return kind(message.format(detail), hint)
    raise AssertionError("the last row fits every exception")


@contextmanager
def cluster_errors() -> Iterator[None]:
    """Translate what a request to the cluster raises."""
    try:
        yield
    except (HomescribeError, Cancelled):
        raise
    except Exception as error:
        raise translate(error) from error
