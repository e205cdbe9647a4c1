"""Why nothing new can be stored in the library: it is read-only, or its disk is full. Every page says so."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.exceptions import HTTPException

from homescribe.core import DISK_RESERVE
from homescribe.text.display import size

FULL_BYTES = 1 << 20  # free bytes below which SQLite may not be able to write
# Errors of the system that mean that nothing can be stored.
NOT_STORED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})


def storage_problem(directory: Path) -> str | None:
    """Return a sentence about the library in `directory`, None if it can be written."""
    if is_read_only(directory):
        return (
            f"The library is read-only, because {directory / 'library.db'} or its folder is not writable: "
            "nothing can be added, transcribed or corrected."
        )
    try:
        free = shutil.disk_usage(directory).free
    except OSError:  # reading the library says what is wrong
        return None
    if free < FULL_BYTES:
        return "The disk of the library is full: nothing can be stored until you free some space."
    if free < DISK_RESERVE:
        return (
            f"The disk of the library is almost full ({size(free)} are free): "
            f"nothing is downloaded until {size(DISK_RESERVE)} are free."
        )
    return None


def is_read_only(directory: Path) -> bool:
    """Return whether the library in `directory` cannot be changed, however much space there is."""
    paths = (directory, directory / "library.db")
    return not all(os.access(each, os.W_OK) for each in paths if each.exists())


def check_space(folder: Path, needed: int) -> None:
    """Raise HTTPException 507 if `needed` more bytes in `folder` leave fewer than DISK_RESERVE free."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # writing reports what is wrong
        return
    if free - needed < DISK_RESERVE:
        raise HTTPException(
            507,
            f"The disk is too full: {size(free)} are free, uploads need {size(needed)}, and "
            f"{size(DISK_RESERVE)} stay free.",
        )


@contextmanager
def stored() -> Iterator[None]:
    """Answer with status 507 and the reason if a file cannot be stored during the block."""
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_STORED:
            raise
        raise HTTPException(
            507, f"The recording cannot be stored: {os.strerror(error.errno)}."
        ) from error
