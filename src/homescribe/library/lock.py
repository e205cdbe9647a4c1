"""One run at a time for a library, across processes. The system lets go of the lock when its holder dies."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from homescribe.errors import SetupError, UserError

LOCKED_BYTE = (
    1 << 20
)  # Windows forbids reading what is locked, and the process's number is to be read


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
        if not _taken(file, path):
            file.seek(0)
            holder = file.read(32).decode("ascii", "replace").strip()
            raise UserError(
                f"Another run is at work in {path.parent} (process {holder or 'unknown'}).",
                "Wait until it has finished or stop it first; reading and searching work meanwhile.",
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield


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
