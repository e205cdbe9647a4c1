"""Uploads that arrive in parts and continue where they stopped: files in a folder of the library.

Of each there are two files, named by a random id: `ID.json` describes it, `ID.part` has the bytes that have
arrived. `place` moves the complete file to its folder; its description stays until the library has the item,
so that the next start goes on if the server is killed. A name that a client sends is never part of a path
before `place` has made it safe.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock

import filelock
from starlette.exceptions import HTTPException

from homescribe.core import HOUR
from homescribe.errors import UserError
from homescribe.formats.filenames import safe_file_name
from homescribe.private_files import make_folder, write_file
from homescribe.text.display import size as shown_size
from homescribe.text.sanitize import one_line
from homescribe.web.storage import check_space

MAX_FILE_BYTES = 8 * 2**30  # of one recording, as for downloads
MAX_PARTIAL = 200  # uploads that are not complete
LIFETIME = 24 * HOUR  # seconds without a byte after which an upload is removed
MTIME_MARGIN = 60  # seconds by which a file appears older: a listing skips files that just changed
ID = re.compile(r"[0-9a-f]{32}")
DIGITS = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True, slots=True)
class PartialUpload:
    """A file that is being uploaded."""

    id: str
    name: str  # as the client named it, on one line
    size: int  # bytes of the whole file
    modified: float | None  # Unix time when the original was last modified, as the client says
    transcribe: bool  # as soon as it is complete
    placed: str = (
        ""  # name of the complete file in the folder of uploads, once one is reserved for it
    )


class PartialUploads:
    """The unfinished uploads of a library, in `folder`. Every method may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = Lock()

    def create(
        self, name: str, size: int, modified: float | None, *, transcribe: bool
    ) -> PartialUpload:
        """Begin an upload of `size` bytes. HTTPException if it cannot be stored."""
        if size > MAX_FILE_BYTES:
            raise HTTPException(
                413, f"The file is too large: at most {shown_size(MAX_FILE_BYTES)} can be uploaded."
            )
        unfinished = list(self.unfinished())
        if len(unfinished) >= MAX_PARTIAL:
            raise HTTPException(
                429, f"{MAX_PARTIAL} uploads are unfinished. Finish or cancel some of them."
            )
        make_folder(self._folder)
        promised = sum(each.size - self.offset(each) for each in unfinished)
        check_space(self._folder, size + promised)
        upload = PartialUpload(secrets.token_hex(16), one_line(name), size, modified, transcribe)
        self._part(upload.id).touch(mode=0o600, exist_ok=False)
        self._describe(upload)
        return upload

    def get(self, name: str) -> PartialUpload | None:
        """Return the upload with this id; None if there is none."""
        if not ID.fullmatch(name):
            return None
        try:
            return PartialUpload(**json.loads(self._description(name).read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def unfinished(self) -> Iterator[PartialUpload]:
        """Yield the unfinished uploads, the oldest first, after removing those that nobody continued."""
        self.sweep()
        found = [each for each in self._folder.glob("*.json") if ID.fullmatch(each.stem)]
        for path in sorted(found, key=_modified):
            if upload := self.get(path.stem):
                yield upload

    def offset(self, upload: PartialUpload) -> int:
        """Return how many bytes have arrived."""
        try:
            return self._part(upload.id).stat().st_size
        except FileNotFoundError:
            return upload.size if upload.placed else 0

    def expires(self, upload: PartialUpload) -> float:
        """Return the Unix time at which the upload is removed unless it continues."""
        return _modified(self._part(upload.id)) + LIFETIME

    def append(self, upload: PartialUpload, offset: int, data: bytes) -> None:
        """Write `data` at `offset`, where the file must end. HTTPException 409 if it ends elsewhere."""
        if offset + len(data) > upload.size:
            raise HTTPException(413, "More bytes arrived than the size of the upload.")
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        check_space(self._folder, len(data))
        try:
            descriptor = os.open(self._part(upload.id), flags)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ELOOP):
                raise
            raise HTTPException(404, "There is no such upload.") from error
        with self._writing, os.fdopen(descriptor, "r+b") as file:
            if file.seek(0, os.SEEK_END) != offset:
                raise HTTPException(409, "The upload continues at another offset.")
            file.write(data)

    @contextmanager
    def lock(self, upload: PartialUpload) -> Iterator[None]:
        """Keep other servers of the library from the upload. HTTPException 404 if one has finished it."""
        file = self._folder / f"{upload.id}.lock"
        with filelock.FileLock(file, mode=0o600):
            try:
                if self.get(upload.id) is None:
                    raise HTTPException(404, "There is no such upload.")
                yield
            finally:
                with suppress(OSError):  # another server waits for it
                    file.unlink()

    def place(self, upload: PartialUpload, folder: Path) -> Path:
        """Move the complete file into `folder`, under a safe name that no other file there has.

        If that was done before, return its path. HTTPException 404 if the file has been removed.
        """
        make_folder(folder)
        part = self._part(upload.id)
        upload = self.get(upload.id) or upload
        path = folder / Path(upload.placed).name if upload.placed else None
        if part.exists():
            with part.open("rb") as file:
                os.fsync(file.fileno())
            if path is None:
                path = _reserved(folder, safe_file_name(upload.name))
                self._describe(replace(upload, placed=path.name))
            part.replace(path)
        if path is None or not path.is_file():
            self.delete(upload)
            raise HTTPException(404, "The uploaded file has been removed.")
        now = time.time()
        modified = now if upload.modified is None else upload.modified
        os.utime(path, (now, max(0.0, min(modified, now - MTIME_MARGIN))))
        return path

    def take_back(self, upload: PartialUpload, path: Path) -> None:
        """Undo `place`, so that it can be tried again."""
        os.utime(path)  # it has a day from now on
        path.replace(self._part(upload.id))
        self._describe(replace(upload, placed=""))

    def delete(self, upload: PartialUpload) -> None:
        """Give an upload up."""
        self._description(upload.id).unlink(missing_ok=True)
        self._part(upload.id).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the uploads that nobody continued for LIFETIME."""
        oldest = time.time() - LIFETIME
        for path in self._folder.glob("*.part"):
            if ID.fullmatch(path.stem) and _modified(path) < oldest:
                with suppress(OSError):  # the library is read-only
                    self._description(path.stem).unlink(missing_ok=True)
                    path.unlink(missing_ok=True)

    def _describe(self, upload: PartialUpload) -> None:
        new = self._folder / f"{upload.id}.new"  # a killed server must not leave half a description
        write_file(new, json.dumps(asdict(upload)).encode())
        new.replace(self._description(upload.id))

    def _part(self, name: str) -> Path:
        return self._folder / f"{name}.part"

    def _description(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def parsed_size(text: str) -> int:
    """Return a number of bytes. Raises UserError for anything else."""
    if not DIGITS.fullmatch(text):
        raise UserError("The size of the upload is not a number of bytes.", "Send Upload-Length.")
    return int(text)


def _modified(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return time.time()


def _reserved(folder: Path, name: str) -> Path:
    """Create an empty file in `folder`, called `name` or "name (2)", and return its path."""
    stem, suffix = Path(name).stem, Path(name).suffix
    number = 1
    while True:
        path = folder / (name if number == 1 else f"{stem} ({number}){suffix}")
        try:
            path.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return path
