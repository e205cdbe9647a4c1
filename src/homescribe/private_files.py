"""Files and folders that only their owner can read: a library has addresses with passwords and tokens."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

# Modes that a file gets where nobody chose one.
DEFAULT_MODES = (0o644, 0o664)


def make_folder(folder: Path) -> None:
    """Create `folder`, and the folders above it that do not exist, with access for their owner only."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)  # raises FileExistsError for a file


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to the file at `path`, which only its owner can read."""
    number = os.open(
        path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o600
    )
    with open(number, "wb") as file:  # noqa: PTH123 - of a descriptor
        restrict_file(path)
        file.write(data)


def replace_file(path: Path, data: bytes) -> None:
    """Write `data` to the file at `path` at once: a program that reads it never finds half of it.

    A link stays a link, and a file that exists keeps its mode.
    """
    file = Path(os.path.realpath(path))
    make_folder(file.parent)
    new = file.with_name(f".{file.name}.new")
    mode = file.stat().st_mode if file.exists() else None
    write_file(new, data)
    if mode is not None:
        new.chmod(mode & 0o777)
    new.replace(file)


def restrict_file(path: Path) -> None:
    """Take away access from others to an existing file, unless somebody chose its mode."""
    with suppress(OSError):  # it does not exist, or belongs to somebody else
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) in DEFAULT_MODES:
            path.chmod(0o600)


def restrict_folder(folder: Path) -> None:
    """Take away access from others to an existing folder, but not to one elsewhere that a link leads to."""
    with suppress(OSError):
        if not folder.is_symlink() and stat.S_IMODE(folder.stat().st_mode) & 0o077:
            folder.chmod(0o700)
