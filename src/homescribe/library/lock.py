"""One run at a time for a library, across processes. The system lets go of the lock when its holder dies."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from homescribe.errors import SetupError, UserError

LOCKED_BYTE = (
    1 << 20
)  # Windows forbids reading what is locked, and the process's number is to be read

LOOKS, LOOK = 5, 0.02  # tries, and seconds between them


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """Hold `path` as this process. Raises UserError naming the process that holds it already."""
    # Never removed: a second process could lock the removed file while a third one locks a new one.
    try:
        opened = path.open("a+b")
    except OSError as error:
        raise UserError(
            f"Cannot write {path}: {error.strerror}.",
            "Give yourself the right to write it, or choose another folder with --library DIR.",
        ) from error
    with opened as file:
        # Who only looks (`holder`) has it for a moment.
        for _ in range(LOOKS):
            if taken := _taken(file, path):
                break
            time.sleep(LOOK)
        if not taken:
            raise UserError(
                f"Another run is at work in {path.parent} (process {_number(file) or 'unknown'}).",
                "Wait until it has finished or stop it first; reading and searching work meanwhile.",
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield


def holder(path: Path) -> str | None:
    """The number of the process that holds `path`, "" when it is unknown; None when nobody does."""
    try:
        opened = path.open("rb")
    except OSError:
        return None
    with opened as file:
        return None if _is_free(file) else _number(file)


def _number(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(32).decode("ascii", "replace").strip()


if sys.platform == "win32":

    def _taken(file: BinaryIO, path: Path) -> bool:
        import msvcrt

        file.seek(LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        file.seek(0)
        return True

    def _is_free(file: BinaryIO) -> bool:
        import msvcrt

        file.seek(LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        file.seek(LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        return True

else:

    def _taken(file: BinaryIO, path: Path) -> bool:
        import fcntl

        try:
            # flock belongs to the open file, not to the process: a second Library here is refused as well.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise SetupError(
                f"{path} cannot be locked: {error.strerror}.",
                "Keep the library on a disk of this machine: choose another folder with --library DIR.",
            ) from error
        return True

    def _is_free(file: BinaryIO) -> bool:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
