"""Recordings that were uploaded to the page: files in the library's own folder, listed by one source.

The folder is listed by the source for local files, so that a file is known by its content: the same recording
twice is one item, and one file.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from homescribe import plugins
from homescribe.core import Item
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.pipeline.add import Sources, with_audio
from homescribe.pipeline.repeated_writes import RepeatedWrites

RECORDINGS = "recordings"  # folder in that of the library
TITLE = "Uploads"  # of the source, and name of its folder


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """The item of an uploaded file."""

    item: Item
    new: bool  # False: the library has the same recording already
    warnings: tuple[str, ...] = ()  # sentences about the file


def uploads_folder(library: Path) -> Path:
    """Return the folder of uploaded files in that of a library."""
    return library.absolute() / RECORDINGS / TITLE


def record_upload(library: Library, sources: Sources, path: Path, stop: Event) -> UploadedFile:
    """Record the file at `path`, in the folder of uploads, as an item. A copy of a known file is deleted.

    Raises UserError if it is not a recording; the file is left to the caller.
    """
    source = sources.by_name("file")
    [listing] = source.list(str(path), stop)
    [item] = listing.items
    known = library.known_elsewhere("", [item])  # files with this content
    if existing := next((each for each in known if _is_file(each)), None):
        path.unlink(missing_ok=True)
        return UploadedFile(library.item(existing.key).item, new=False)
    listing = replace(listing, url=str(uploads_folder(library.directory)), title=TITLE)
    items = with_audio(library, source, listing, [item], stop)
    write = RepeatedWrites(library, stop)
    gone = frozenset(each.url for each in known)
    recorded = write(library.record, "file", listing, items, gone=gone)
    [stored] = recorded.items
    return UploadedFile(stored, bool(recorded.new), tuple(listing.warnings))


def uploaded_files(library: Library, keys: Collection[str]) -> list[Path]:
    """Return the files of the items `keys` that were uploaded: those in their folder, no others."""
    folder = uploads_folder(library.directory)
    found: list[Path] = []
    for key in keys:
        record = library.item(key)
        for item in (record.item, *record.copies):
            path = plugins.source_of(item).local_path(item)
            if path is not None and path.parent == folder and path.is_file():
                found.append(path)
    return found


def delete_uploads(library: Library, files: Collection[Path]) -> None:
    """Delete uploaded files whose items were removed, and their source when it has no items left.

    Raises UserError for a file that cannot be deleted, after the others are.
    """
    failed: UserError | None = None
    for path in files:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failed = UserError(
                f"{path} cannot be deleted: {error.strerror}.", "Check the permissions."
            )
    folder = uploads_folder(library.directory)
    with suppress(OSError):  # not empty
        folder.rmdir()
    listed = any(record.url == str(folder) and not record.items for record in library.sources())
    if listed and not folder.exists():
        library.remove_source(str(folder))
    if failed:
        raise failed


def _is_file(item: Item) -> bool:
    path = plugins.source_of(item).local_path(item)
    return path is not None and path.is_file()
