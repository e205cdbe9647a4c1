"""The connection to Modal: sends requests again while Modal does not answer, and can be stopped."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import math
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from threading import Event
from typing import TypeVar

from homescribe.backends.modal.modal_errors import Unavailable, request_errors
from homescribe.backends.modal.results import NotReady, RaisedByCall, separated
from homescribe.errors import Cancelled, UserError

T = TypeVar("T")

TICK = 0.1  # seconds between looks at `stop`
# Seconds before a request that failed is sent again: the first pause, doubled up to the second.
PAUSES = (1.0, 30.0)


class Connection:
    """Sends requests from any number of threads.

    Modal's client waits in coroutines, so hundreds of open requests need one thread.

    Args:
        max_silence: seconds without a reply from Modal before a request raises UserError.
    """

    def __init__(self, max_silence: float) -> None:
        self._max_silence = max_silence
        self._closed = Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop waiting. Calls in flight continue at Modal."""
        self._closed.set()
        with contextlib.suppress(builtins.TimeoutError):
            asyncio.run_coroutine_threadsafe(_cancel_tasks(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def send(
        self,
        request: Callable[[], Coroutine[object, None, T]],
        stop: Event,
        limit: float = math.inf,
    ) -> T:
        """Send a request, again and again while Modal is unavailable or a result is not ready.

        Raises:
            RaisedByCall: it requested the result of a call, which raised something.
            Cancelled: soon after `stop` is set.
            UserError: Modal stays unavailable for `max_silence`, or refuses the request.
            ItemError: Modal refuses this request, not others.
        """
        last_reply, pause = time.monotonic(), PAUSES[0]
        while True:
            try:
                if self._closed.is_set():
                    raise Cancelled
                with request_errors():
                    return self._wait(separated(request()), stop, limit)
            except NotReady:
                last_reply, pause = time.monotonic(), PAUSES[0]
            except Unavailable as error:
                if time.monotonic() - last_reply > self._max_silence:
                    raise UserError(
                        f"Modal does not answer: {error.message}",
                        "Run again later: what was submitted is collected first.",
                    ) from error
                if stop.wait(pause):
                    raise Cancelled from error
                pause = min(2 * pause, PAUSES[1])

    def try_once(
        self, request: Callable[[], Coroutine[object, None, T]], stop: Event, limit: float
    ) -> T | None:
        """Send a request that helps and is not needed, once; return its reply, None if there is none.

        Raises Cancelled soon after `stop` is set.
        """
        try:
            return self._wait(separated(request()), stop, limit)
        except Cancelled:
            raise
        except Exception:  # noqa: BLE001 - whatever it is, nothing depends on it
            return None

    def _wait(self, request: Coroutine[object, None, T], stop: Event, limit: float) -> T:
        started = time.monotonic()
        future = asyncio.run_coroutine_threadsafe(request, self._loop)
        while not wait([future], timeout=TICK).done:
            if stop.is_set():
                future.cancel()
                raise Cancelled
            if time.monotonic() - started > limit:
                future.cancel()
                raise Unavailable(f"no reply for {limit:.0f} seconds")
        if future.cancelled():  # by `close`, or by the call: its container raised CancelledError
            if self._closed.is_set():
                raise Cancelled
            raise RaisedByCall(asyncio.CancelledError("cancelled in its container"))
        return future.result()


async def _cancel_tasks() -> None:
    """Cancel every other task of this event loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
