"""Uploaded recordings that wait for the engine: a queue with a limit, threads and a folder of its own.

Many uploads would otherwise occupy every thread that answers pages. The folder is in the library, and what a
killed server left there is deleted at the next start.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import filelock
from starlette.exceptions import HTTPException

MAX_UPLOADS = 8  # received, waiting or being transcribed
RETRY_AFTER = 30  # seconds

Result = TypeVar("Result")


class Uploads:
    """The uploads of one server. The servers of a library share `folder`; each has a part of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / secrets.token_hex(8)
        self._lock = filelock.FileLock(self._lock_file(self._own), thread_local=False)
        self._active = 0
        self._threads = ThreadPoolExecutor(MAX_UPLOADS, thread_name_prefix="upload")

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue, before the body is read. HTTPException 429 if there is none.

        Called in the event loop only.
        """
        if self._active >= MAX_UPLOADS:
            raise HTTPException(
                429,
                "Too many recordings are waiting. Try again later.",
                headers={"Retry-After": str(RETRY_AFTER)},
            )
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    async def run(self, work: Callable[[], Result]) -> Result:
        """Call `work` in a thread of the queue."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    @contextmanager
    def directory(self) -> Iterator[Path]:
        """Provide a directory for one recording, which is deleted afterwards."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if not self._lock.is_locked:  # first the lock, so that no other server deletes the folder
            self._lock.acquire()
        self._own.mkdir(mode=0o700, exist_ok=True)
        # An engine that is given up may still read the recording, which Windows does not delete then.
        with tempfile.TemporaryDirectory(dir=self._own, ignore_cleanup_errors=True) as directory:
            yield Path(directory)

    def sweep(self) -> None:
        """Delete what servers left that do not run any more."""
        for left in self._folder.glob("*/"):
            lock = filelock.FileLock(self._lock_file(left), timeout=0, fallback_to_soft=False)
            with suppress(filelock.Timeout, OSError), lock:
                shutil.rmtree(left, ignore_errors=True)
                self._lock_file(left).unlink(missing_ok=True)

    def close(self) -> None:
        """Delete this server's folder. Recordings that are being transcribed are given up."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._own, ignore_errors=True)
        if self._lock.is_locked:
            self._lock.release(force=True)
        with suppress(OSError):
            self._lock_file(self._own).unlink(missing_ok=True)
            self._folder.rmdir()  # only if no other server uses it

    def _lock_file(self, folder: Path) -> Path:
        return folder.with_suffix(".lock")
