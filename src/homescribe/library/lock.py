"""The run lock: one run at a time for a library, across processes.

The process of an active run locks `run.lock`. The system releases the lock when that process ends, even by
kill -9. `run.pid` holds its id. It is ignored while the lock is free: a killed process leaves it behind.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from homescribe import private_files
from homescribe.core import SECOND
from homescribe.errors import AnotherRun, SetupError, UserError

if TYPE_CHECKING:
    import filelock

# `holder` takes the lock for a moment to see whether it is free. A run waits for that, and so does a second
# `holder`, but only shortly: usually it is a run that holds the lock, and callers ask often.
RUN_TIMEOUT = 0.1 * SECOND
HOLDER_TIMEOUT = 0.005 * SECOND
POLL_INTERVAL = 0.001 * SECOND


@contextmanager
def run_lock(directory: Path) -> Iterator[None]:
    """Hold the run lock of the library in `directory`.

    Raises AnotherRun naming the process that holds it; UserError when the directory is not writable;
    SetupError when its disk cannot lock files.
    """
    import filelock  # here, because only a run needs it

    path, pid_file = directory / "run.lock", directory / "run.pid"
    with _writable(path):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    lock = _file_lock(path, RUN_TIMEOUT)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise AnotherRun(
            f"Another run is active in {directory} (process {_pid(pid_file) or 'unknown'}).",
            "Wait until it has finished or stop it; reading and searching work meanwhile.",
        ) from None
    except OSError as error:
        raise SetupError(
            f"{path} cannot be locked: {error.strerror}.",
            "Keep the library on a local disk: choose another folder with --library DIR.",
        ) from error
    try:
        with _writable(pid_file):
            private_files.write_file(pid_file, b"%d\n" % os.getpid())
        yield
    finally:
        with suppress(OSError):
            pid_file.unlink()
        lock.release()


def holder(directory: Path) -> str | None:
    """Return the id of the process that holds the run lock, "" when it is unknown.

    None when no process holds it, and where `directory` is not writable, so that it cannot be tried.
    """
    path, pid_file = directory / "run.lock", directory / "run.pid"
    if not pid_file.exists():  # as usual between runs: then the lock need not be tried
        return None
    import filelock

    try:
        with _file_lock(path, HOLDER_TIMEOUT):
            return None
    except filelock.Timeout:
        return _pid(pid_file)
    except OSError:
        return None


def _file_lock(path: Path, timeout: float) -> filelock.FileLock:
    import filelock

    return filelock.FileLock(
        path,
        timeout=timeout,
        poll_interval=POLL_INTERVAL,
        thread_local=False,  # the lock belongs to the Library
        # A lock by the mere existence of a file would outlive a killed process.
        fallback_to_soft=False,
    )


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise UserError(
            f"Cannot write {path}: {error.strerror}.",
            "Free some space and run the same command again; nothing is lost."
            if full
            else "Make it writable, or choose another folder with --library DIR.",
        ) from error


def _pid(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()[:32]
    except OSError:
        return ""
