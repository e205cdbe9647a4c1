"""Write export files where players look for them, or under names of the user's choice.

Other files may be there. Only a file that was written for the same item, and has not been edited since, is
replaced. The library records them.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from homescribe import plugins
from homescribe.core import Exporter, Item, Transcript
from homescribe.errors import UserError
from homescribe.formats import writer
from homescribe.formats.filenames import file_name, safe_file_name
from homescribe.formats.name_template import templated_path
from homescribe.formats.text_language import text_language

# Formats that players pair with a recording by its name and a language: "talk.en.srt" with "talk.mp4".
# https://mpv.io/manual/stable/#options-sub-auto
# https://jellyfin.org/docs/general/server/media/external-files
# https://support.plex.tv/articles/200471133-adding-local-subtitles-to-your-media/
SUBTITLES = frozenset({"srt", "vtt"})
PAIRED = SUBTITLES | {"lrc"}  # lrc without a language


class Records(Protocol):
    """Where it is recorded which file was written for which item. The library is one."""

    def written_file(self, path: Path) -> tuple[str, bytes] | None:
        """Return the key of the item that `path` was written for, and the SHA-256 of the content."""

    def record_written_file(self, path: Path, key: str, sha256: bytes) -> None:
        """Record the same."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The files that were written, and why others were not, each reason once."""

    paths: list[Path] = field(default_factory=list)
    refused: list[UserError] = field(default_factory=list)

    def attempt(self, write: Callable[[], Path | None]) -> None:
        """Call `write` and keep the path that it returns, or the UserError that it raises."""
        try:
            path = write()
        except UserError as error:
            if error.message not in [known.message for known in self.refused]:
                self.refused.append(error)
        else:
            if path is not None:
                self.paths.append(path)


def beside(item: Item, transcript: Transcript, extension: str) -> Path | None:
    """Return the path of an export beside the recording: "talk.en.srt", "talk.txt".

    None for a recording that is not a file on this computer. Raises UserError for a file that is gone.
    """
    recording = plugins.source_of(item).local_path(item)
    if recording is None:
        return None
    if not recording.is_file():
        raise UserError(
            f"{recording} does not exist any more, so nothing is written beside it.",
            "Connect its disk, or choose a directory with -o.",
        )
    return recording.with_name(_paired(recording, item, transcript, extension))


def download_name(item: Item, transcript: Transcript, extension: str) -> str:
    """Return the name of a single exported file: that which players pair with a file on this computer
    ("talk.en.srt"), for other formats and items that of `file_name`.
    """
    recording = plugins.source_of(item).local_path(item)
    if recording is None or extension not in PAIRED:
        return file_name(item, extension)
    return safe_file_name(
        _paired(recording, item, transcript, extension).encode(errors="replace").decode()
    )


def _paired(recording: Path, item: Item, transcript: Transcript, extension: str) -> str:
    language = text_language(item, transcript) if extension in SUBTITLES else None
    middle = f".{language}" if language and re.fullmatch("[a-z]{2,3}", language) else ""
    return f"{recording.stem}{middle}.{extension}"


def write_beside(
    item: Item,
    transcript: Transcript,
    exporters: Mapping[str, Exporter],
    records: Records,
    copies: Sequence[Item] = (),
) -> Placed:
    """Write `item` beside its file, and beside each of its copies, in each format that has content.

    A file that cannot be written, see `_write`, does not stop the others.
    """
    placed = Placed()
    for extension, number, content in writer.contents(item, transcript, exporters, copies):
        one = (item, *copies)[number]

        def write(
            one: Item = one, extension: str = extension, content: bytes = content
        ) -> Path | None:
            path = beside(one, transcript, extension)
            return _write([path], one.key, content, records) if path else None

        placed.attempt(write)
    return placed


def write_by_template(
    directory: Path,
    template: str,
    item: Item,
    transcript: Transcript,
    exporters: Mapping[str, Exporter],
    records: Records,
    copies: Sequence[Item] = (),
) -> Placed:
    """Write `item` and its copies into `directory` under the names that `template` gives them.

    A name that another item has gets what identifies the item in brackets. A file that cannot be written, see
    `_write`, does not stop the others.
    """
    placed = Placed()
    for extension, number, content in writer.contents(item, transcript, exporters, copies):
        one = (item, *copies)[number]
        names = [
            directory / templated_path(template, one, transcript, extension, tagged=tagged)
            for tagged in (False, True)
        ]
        taken = {str(path).casefold() for path in placed.paths}
        free = [path for path in names if str(path).casefold() not in taken]
        if free:  # else a copy whose file has the same name: it has the same content
            placed.attempt(functools.partial(_write, free, one.key, content, records))
    return placed


def _write(candidates: Sequence[Path], key: str, content: bytes, records: Records) -> Path:
    """Write `content` to the first of `candidates` that no other item has, and return it.

    Raises UserError if a file is there that was not written for `key`, or was edited since.
    """
    path = candidates[-1]
    for path in candidates:
        recorded = records.written_file(path)
        if recorded is None or recorded[0] == key or not path.exists():
            break
    digest = hashlib.sha256(content).digest()
    with writer.translated(path.parent):
        found = _digest(path)
    if found not in (None, digest) and recorded != (key, found):
        raise UserError(
            f"{path} exists, and homescribe did not write it for this recording or it was edited since. "
            "It was kept.",
            "Move or rename it to have it written, or choose a directory with -o.",
        )
    if found != digest:
        writer.replace(path, content)
    records.record_written_file(path, key, digest)
    return path


def _digest(path: Path) -> bytes | None:
    """Return the SHA-256 of a file; None if there is none. A link or a folder has one of its own."""
    if path.is_symlink() or path.is_dir():
        return b""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except FileNotFoundError:
        return None
