"""Recordings that already lie on this machine's disk: a file, a folder, a pattern.

A file is known by its content, not its path: moved or renamed, it is not transcribed again, and what lies
in two places is one item. Reading whole films for that would take hours, so a fingerprint of its size and
of pieces from all over it stands for the content. Tracks of one session can agree even in those (the same
size, silence in every piece): where two files of one listing do, all of both is read.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import threading
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from homescribe.core import Audio, Item, Listing, Source
from homescribe.errors import Cancelled, PermanentError, RetryableError, UserError
from homescribe.text import sanitize

MEDIA = frozenset(
    f".{extension}"
    for extension in (
        *(
            "aac",
            "ac3",
            "aif",
            "aiff",
            "amr",
            "ape",
            "au",
            "caf",
            "flac",
            "m4a",
            "m4b",
            "mka",
            "mp2",
            "mp3",
        ),
        *("oga", "ogg", "opus", "ra", "spx", "wav", "weba", "wma", "wv"),
        *(
            "3gp",
            "avi",
            "flv",
            "m2ts",
            "m4v",
            "mkv",
            "mov",
            "mp4",
            "mpeg",
            "mpg",
            "mts",
            "ogv",
            "ts",
            "vob",
        ),
        *("webm", "wmv"),
    )
)
PIECES = 16  # read for a fingerprint, evenly spread, the first and the last bytes among them
PIECE = 64 * 1024  # bytes


class FileSource(Source):
    """Files, folders with all that is in them, and patterns such as "talks/**/*.mp3"; file:// too."""

    name = "file"
    pause = (0.0, 0.0)

    def matches(self, url: str) -> bool:
        """Whether `url` is written like a path, or is one. What is blank is refused here: see `path_of`."""
        if not url.strip():
            return True
        scheme = re.match(r"([A-Za-z][\w+.-]+):", url)
        if scheme:  # one letter is a drive
            return scheme[1].lower() == "file"
        path = path_of(url)
        written = url.startswith((".", "~", os.sep)) or Path(url).suffix.lower() in MEDIA
        return written or os.path.lexists(path) or bool(glob.has_magic(url) and any(matching(path)))

    def list(self, url: str, stop: threading.Event) -> Iterator[Listing]:
        path = path_of(url)
        if not os.path.lexists(path) and glob.has_magic(str(path)):
            files = natural(one for one in stoppable(matching(path), stop) if is_recording(one))
            where = f"No recording matches {url!r}."
        elif path.is_dir():
            files = natural(walk(path, stop))
            where = f"There is no recording in {path}."
        elif path.is_file():
            yield self._one(path)
            return
        elif path.exists():
            raise UserError(f"{path} is neither a file nor a folder.")
        else:
            raise UserError(f"There is no file or folder {str(path)!r}.", "Is it spelled right?")
        if not files:
            raise UserError(where, f"Looked for: {' '.join(sorted(MEDIA))}")
        title = sanitize.one_line(path.name or str(path))
        yield Listing(storable(path), title, items(files, stop))

    def _one(self, path: Path) -> Listing:
        """The listing of a file that was named itself: it must be a recording, whatever it is called."""
        try:
            item = item_from(path, fingerprint(path), strict=True)
        except PermanentError as error:
            raise UserError(error.message, error.hint) from error
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error
        return Listing(storable(path), item.title, iter([item]))

    def fetch(self, item: Item, directory: Path, stop: threading.Event) -> Audio:
        path = path_of(item.url)
        if not path.exists():
            raise RetryableError(
                f"{path} is not there.",
                "Plug the disk in again, or add the place that it was moved to.",
            )
        try:
            found = whole(path, stop) if item.id.startswith("w") else fingerprint(path)
        except OSError as error:
            raise RetryableError(f"{path} cannot be read: {error.strerror}.") from error
        if found != item.id:
            raise RetryableError(
                f"{path} has changed since it was added.", "Add it again, and remove this one."
            )
        return Audio(item=item, path=path, duration=item.duration, temporary=False)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    @staticmethod
    def rate_limit_key(item: Item) -> str:
        return ""

    @staticmethod
    def link(item: Item, seconds: float) -> str:
        url = item.url if item.url.startswith("file:") else Path(item.url).absolute().as_uri()
        return f"{url}#t={int(max(0.0, seconds))}"

    @staticmethod
    def local_path(item: Item) -> Path:
        return path_of(item.url)

    @staticmethod
    def expected_bytes(item: Item, seconds: float) -> int:
        return 0

    @staticmethod
    def file_date(item: Item) -> None:
        """Return None: the date is when the file was last modified, and differs for a copy of it."""


# --- Finding -------------------------------------------------------------------------------------


def path_of(url: str) -> Path:
    """The absolute path that the user or an item means. UserError for a blank one.

    An empty path would stand for the folder one is in: an unset variable in a script would add all of it.
    """
    if not re.sub(r"^file:/*$", "", url.strip(), flags=re.IGNORECASE):
        raise UserError(
            "An address is empty.",
            "Give a URL (https://...), a file, a folder (. is this one) or a pattern.",
        )
    if url.lower().startswith("file:"):
        path = urlsplit(url).path
        # url2pathname takes every name for UTF-8, which only Windows promises.
        return Path(url2pathname(path) if os.name == "nt" else os.fsdecode(unquote_to_bytes(path)))
    return Path(os.path.abspath(Path(url).expanduser()))  # noqa: PTH100 - symlinks stay as they are


def storable(path: Path) -> str:
    """`path` as text that a database takes; a file:// address when its name is no Unicode."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.as_uri()
    return str(path)


def is_recording(path: Path) -> bool:
    return path.suffix.lower() in MEDIA and not path.name.startswith(".") and path.is_file()


def walk(folder: Path, stop: threading.Event) -> Iterator[Path]:
    """Every recording below `folder`; links to folders are not followed, they may lead in a circle."""
    for here, folders, names in os.walk(folder):
        check(stop)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (path for path in (Path(here, name) for name in names) if is_recording(path))


def matching(pattern: Path) -> Iterator[Path]:
    """What a pattern of absolute paths stands for; `**` for any number of folders."""
    found = glob.iglob(str(pattern), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return map(Path, found)


def natural(paths: Iterable[Path]) -> list[Path]:
    """In the order in which people number: "part 9" before "part 10"."""

    def key(path: Path) -> list[tuple[int, int, str]]:
        pieces = re.split(r"(\d+)", str(path).casefold())
        return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces]

    return sorted(paths, key=key)


def stoppable(paths: Iterator[Path], stop: threading.Event) -> Iterator[Path]:
    for path in paths:
        check(stop)
        yield path


def check(stop: threading.Event) -> None:
    if stop.is_set():
        raise Cancelled


# --- Items ---------------------------------------------------------------------------------------


def items(files: list[Path], stop: threading.Event) -> Iterator[Item]:
    """The items of a listing, each content once."""
    for path, name in named(files, stop):
        check(stop)
        yield item_from(path, name)


def named(files: list[Path], stop: threading.Event) -> Iterator[tuple[Path, str]]:
    """Each file with its id. Fingerprints that occur twice are checked against the whole content."""
    alike: dict[str, list[Path]] = {}
    for path in files:
        check(stop)
        alike.setdefault(identify(path, stop), []).append(path)
    for name, paths in alike.items():
        contents: dict[str, Path] = {}
        if len(paths) > 1:
            for path in paths:
                contents.setdefault(identify(path, stop, all_of_it=True), path)
        if len(contents) > 1:
            yield from ((path, content) for content, path in contents.items())
        else:
            yield paths[0], name


def identify(path: Path, stop: threading.Event, *, all_of_it: bool = False) -> str:
    """The id of `path`; one of its own for a file that cannot be read, which shows when it is fetched."""
    try:
        return whole(path, stop) if all_of_it else fingerprint(path)
    except OSError:
        return "unreadable-" + hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def item_from(path: Path, name: str, *, strict: bool = False) -> Item:
    """`strict`: raise PermanentError when it is no recording; else that shows when it is transcribed."""
    from homescribe import audio

    try:
        seconds = audio.probe(path)
        modified = date.fromtimestamp(path.stat().st_mtime).isoformat()
    except (PermanentError, OSError):
        if strict:
            raise
        seconds = modified = None
    return Item(
        source="file",
        id=name,
        url=storable(path),
        title=sanitize.one_line(path.stem) or name,
        channel=sanitize.one_line(path.parent.name) or None,
        duration=seconds,
        upload_date=modified,
    )


def fingerprint(path: Path) -> str:
    """An id from the size and PIECES pieces; from everything in a file of up to a mebibyte."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        found = hashlib.sha256(f"{size}:".encode())
        if size <= PIECES * PIECE:
            found.update(file.read())
        else:
            for piece in range(PIECES):
                file.seek((size - PIECE) * piece // (PIECES - 1))
                found.update(file.read(PIECE))
    return found.hexdigest()[:16]


def whole(path: Path, stop: threading.Event) -> str:
    """An id from all of the content; its first letter is none of a fingerprint's."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            check(stop)
            found.update(block)
    return "w" + found.hexdigest()[:16]
