"""Write export files: whole or not at all.

Files are projections of the library: they can be made again at any time.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from homescribe.core import HOUR, Exporter, Item, Transcript
from homescribe.errors import UserError
from homescribe.formats.filenames import file_name

# A half-written file of a run that was killed is this old, in seconds: writing one takes milliseconds.
ABANDONED = 1 * HOUR
_PART = ".homescribe-{}.part"


def prepare(directory: Path) -> None:
    """Make `directory`, see that it can be written to, and remove what a killed run left half written.

    Called before work that takes hours, so that a wrong directory stops it at once (UserError).
    """
    with _refusals(directory):
        directory.mkdir(parents=True, exist_ok=True)
        part = directory / _PART.format(secrets.token_hex(8))
        part.touch(exist_ok=False)
        part.unlink()
        for leftover in directory.glob(_PART.format("*")):
            with suppress(FileNotFoundError):  # another run removes it too
                if leftover.stat().st_mtime < time.time() - ABANDONED:
                    leftover.unlink()


def write(
    directory: Path, item: Item, transcript: Transcript, exporters: Mapping[str, Exporter]
) -> list[Path]:
    """Write `item` below `directory` in each format, and tell the paths.

    Args:
        exporters: by extension, as `plugins.load("exporters", extension)` gives them.

    Raises:
        UserError: disk full, not allowed, not a directory. No half of a file is left.
    """
    paths = []
    for extension, exporter in exporters.items():
        content = exporter(item, transcript).encode(errors="replace")
        path = directory / file_name(item, extension)
        with _refusals(directory):
            directory.mkdir(parents=True, exist_ok=True)
            _replace(path, content)
        paths.append(path)
    return paths


def _replace(path: Path, content: bytes) -> None:
    """The file at `path` is the old one or, whole and on the disk, the new one."""
    part = path.with_name(_PART.format(secrets.token_hex(8)))
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    """What the system says of `directory`, as a UserError that tells what to do about it."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                message = f"No space is left to write to {directory}."
                hint = "Free some space and export again: the library has everything."
            case errno.EACCES | errno.EPERM | errno.EROFS:
                message = f"{directory} cannot be written to."
                hint = "Choose another directory, or change its permissions."
            case errno.ENOTDIR | errno.EEXIST:
                message = f"{directory} is not a directory."
                hint = "Choose another directory."
            case _:
                message = f"Cannot write to {directory}: {error.strerror or error}."
                hint = "Choose another directory, or correct this and export again."
        raise UserError(message, hint) from error
