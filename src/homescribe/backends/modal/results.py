"""The result of a call, told apart from what the connection to Modal raises.

`FunctionCall.get` raises what the call raised in its container as if it were raised here, and in the same
way what goes wrong between here and Modal. The same class can be either: a ConnectionError of the container
ends the call, one of this machine says nothing about it. A container of ours replies instead of raising, but
Modal's own code there can raise anything, for example when a container cannot be started.

What tells them apart is the line that raised it. Modal's client raises a call's exception in one function,
which is found in the exception's traceback.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterator
from importlib import import_module
from operator import attrgetter
from types import CodeType
from typing import TypeVar, cast

import modal.exception

from homescribe.backends.modal.spending import spending_refused
from homescribe.backends.wire import PlainReply, Reply, describe, text_of
from homescribe.errors import HomescribeError, ItemError, RetryableError, SetupError

T = TypeVar("T")

LOGS = "See `modal app logs`."


class RaisedByCall(Exception):
    """What ended a call: `error` was raised in its container, or by Modal in its place."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class EndedByModal(RetryableError):
    """Modal itself ended the call: its container ended, or could not be started."""


class NotReady(Exception):
    """The call has not ended."""


def _code(module: str, name: str) -> CodeType | None:
    """Return the code of a function of Modal's client; None in a version that has no such function."""
    try:
        function = inspect.unwrap(attrgetter(name)(import_module(module)))
    except (ImportError, AttributeError):
        return None
    return getattr(function, "__code__", None)


# The function that returns or raises the result of a call, the one that downloads a large result, and the
# one that raises TimeoutError while there is none; a connection that cannot be made in time raises that, too.
# In a version of the client without these functions, an exception is judged by its class alone: then a
# ConnectionError of a container looks like one of this machine, and the call is requested again until
# `max_silence`.
RESULT = _code("modal._utils.function_utils", "_process_result")
DOWNLOAD = _code("modal._utils.blob_utils", "blob_download")
POLL = _code("modal._functions", "_Invocation.poll_function")


def raised_by_call(error: BaseException) -> bool:
    """Return whether `error` is the result of a call."""
    codes = set(_codes(error))
    return RESULT in codes and DOWNLOAD not in codes


def is_not_ready(error: BaseException) -> bool:
    """Return whether `error` says that a call has not ended."""
    if not isinstance(error, TimeoutError):
        return False
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return POLL is None or (traceback is not None and traceback.tb_frame.f_code is POLL)


def raised_by_download(error: BaseException) -> bool:
    """Return whether `error` was raised while a large result was downloaded."""
    return DOWNLOAD is not None and DOWNLOAD in _codes(error)


def _codes(error: BaseException) -> Iterator[CodeType]:
    """Yield the code of all lines that an exception, and those that led to it, went through."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        if (each := left.pop()) is None or id(each) in seen:
            continue
        seen.add(id(each))
        traceback = each.__traceback__
        while traceback is not None:
            yield traceback.tb_frame.f_code
            traceback = traceback.tb_next
        left += [each.__cause__, each.__context__]


async def separated(request: Awaitable[T]) -> T:
    """Await a request. Raises RaisedByCall for what is the result of a call, NotReady if there is none yet.

    The result of a call includes SystemExit and its like, which would end the event loop.
    """
    try:
        return await request
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        if raised_by_call(error) or not isinstance(error, Exception):
            raise RaisedByCall(error) from error
        if is_not_ready(error):
            raise NotReady from error
        raise


def reply_of(result: object) -> Reply:
    """Return the reply that a call returned. One that cannot be read is a failure of that call."""
    try:
        return Reply.parse(cast(PlainReply, result))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        return Reply(error=RetryableError(f"Its result cannot be read: {describe(error)}"))


def failure_of(error: BaseException) -> Reply:
    """Return the failure of the call that raised `error`.

    A UserError is about the container and not about the recording.
    """
    detail = text_of(error) or type(error).__name__
    if isinstance(error, modal.exception.InternalFailure | modal.exception.RemoteError):
        refused = spending_refused(detail)
        if refused is not None:
            return Reply(error=refused)
    if isinstance(error, modal.exception.FunctionTimeoutError):
        return _died(f"It took longer than a call may take: {detail}")
    if isinstance(error, modal.exception.InternalFailure):
        return Reply(error=EndedByModal(f"Its container ended: {detail}"), died=True)
    if isinstance(error, modal.exception.RemoteError):
        return Reply(error=EndedByModal(f"Modal ended the call: {detail}"))
    if isinstance(error, modal.exception.DeserializationError | modal.exception.ExecutionError):
        return Reply(error=RetryableError(f"Its result cannot be read: {detail}"))
    if isinstance(error, ItemError):
        return Reply(error=error)
    if isinstance(error, HomescribeError):  # of a container of an older version
        return Reply(error=SetupError(text_of(error.message), text_of(error.hint)))
    return Reply(error=SetupError(f"Its container raised {describe(error)}", LOGS))


def _died(message: str) -> Reply:
    return Reply(error=RetryableError(message), died=True)
