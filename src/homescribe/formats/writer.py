"""Write export files. Each appears complete or not at all.

They are projections of the library and can be written again at any time.
"""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from homescribe.core import HOUR, Exporter, Item, Transcript
from homescribe.errors import UserError
from homescribe.formats.attribution import turns
from homescribe.formats.exporters import file_content
from homescribe.formats.filenames import file_names

# Formats that have nothing but the text. A recording without speech gets no such file.
TEXT_FORMATS = frozenset(
    {"txt", "srt", "vtt", "tsv", "lrc", "csv", "jsonl", "notes.txt", "podcast.json"}
)
# Formats that have nothing but the speakers.
SPEAKER_FORMATS = frozenset({"rttm"})
NO_SPEECH = "no speech was found"

# Age in seconds from which a partial file is taken for one that a killed run left.
ABANDONED = 1 * HOUR
_PART = ".homescribe-{}.part"


def nothing_to_write(extension: str, transcript: Transcript) -> str:
    """Return why `transcript` gets no file of a format, such as NO_SPEECH; "" if it gets one.

    An empty file would look like an error.
    """
    if extension in TEXT_FORMATS and not transcript.text:
        return NO_SPEECH
    if extension in SPEAKER_FORMATS and not turns(transcript):
        return "no speakers were detected"
    return ""


def prepare(directory: Path) -> None:
    """Create `directory`, check that it is writable, and remove partial files that a killed run left.

    Called before hours of work, so that a wrong directory stops the command at once.

    Raises:
        UserError: as `write`.
    """
    with translated(directory):
        directory.mkdir(parents=True, exist_ok=True)
        part = directory / _PART.format(secrets.token_hex(8))
        part.touch(exist_ok=False)
        part.unlink()
        for leftover in directory.glob(_PART.format("*")):
            with suppress(FileNotFoundError):  # another run removed it
                if leftover.stat().st_mtime < time.time() - ABANDONED:
                    leftover.unlink()


def write(
    directory: Path,
    item: Item,
    transcript: Transcript,
    exporters: Mapping[str, Exporter],
    copies: Sequence[Item] = (),
) -> list[Path]:
    """Write `item` into `directory` in each format whose content is not empty, and return the paths.

    Each of its copies, files with the same content, gets a file of its own.

    See `nothing_to_write` for transcripts that get no file.

    Args:
        exporters: exporters by extension, as `load_exporters` returns them.

    Raises:
        UserError: the disk is full, permission is denied, or `directory` is not a directory. No partial file
            is left.
    """
    paths = []
    for extension, number, content in contents(item, transcript, exporters, copies):
        path = directory / file_names(item, copies, extension)[number]
        replace(path, content)
        paths.append(path)
    return paths


def write_parts(directory: Path, name: str, extension: str, parts: Iterable[str]) -> list[Path]:
    """Write "name.md", or "name (1 of 3).md" and so on, and return the paths.

    The parts get their names after the last one, when their number is known. Raises UserError as `write`.
    """
    written: list[Path] = []
    with translated(directory):
        directory.mkdir(parents=True, exist_ok=True)
        try:
            for content in parts:
                part = directory / _PART.format(secrets.token_hex(8))
                written.append(part)
                with part.open("xb") as file:
                    file.write(content.encode(errors="replace"))
                    file.flush()
                    os.fsync(file.fileno())
            paths = []
            for number, part in enumerate(written, start=1):
                numbered = f"{name} ({number} of {len(written)})" if len(written) > 1 else name
                paths.append(part.replace(directory / f"{numbered}.{extension}"))
        except BaseException:
            for part in written:
                part.unlink(missing_ok=True)
            raise
    return paths


def contents(
    item: Item,
    transcript: Transcript,
    exporters: Mapping[str, Exporter],
    copies: Sequence[Item] = (),
) -> Iterator[tuple[str, int, bytes]]:
    """Yield the extension, 0 for the item or the number of its copy, and the content of each file."""
    for extension, exporter in exporters.items():
        if nothing_to_write(extension, transcript):
            continue
        for number, one in enumerate((item, *copies)):
            content = file_content(exporter, one, transcript)
            if content:  # without speech: an empty file would look like a failure
                yield extension, number, content


def replace(path: Path, content: bytes) -> None:
    """Write `path` so that it holds either its old content or, once on the disk, all of the new one.

    Its folder is created if necessary. Raises UserError as `write`.
    """
    part = path.with_name(_PART.format(secrets.token_hex(8)))
    with translated(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
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
def translated(directory: Path) -> Iterator[None]:
    """Translate the system's errors about `directory` into a UserError that says what to do."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                message = f"No space is left to write to {directory}."
                hint = "Free some space and export again: the library holds all transcripts."
            case errno.EACCES | errno.EPERM | errno.EROFS:
                message = f"{directory} is not writable."
                hint = "Choose another directory, or change its permissions."
            case errno.ENOTDIR | errno.EEXIST:
                message = f"{directory} is not a directory."
                hint = "Choose another directory."
            case _:
                message = f"Cannot write to {directory}: {error.strerror or error}."
                hint = "Choose another directory, or fix this and export again."
        raise UserError(message, hint) from error
