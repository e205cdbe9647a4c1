"""Recordings on this machine's disk: a file, a folder, or a pattern.

A file is identified by its content, not its path: after a move it is not transcribed again, and two copies
are one item. Edited tags change nothing either. The id is a fingerprint (fingerprints.py), and a file that
was transcribed is also known by its audio (audio_packets.py). Two tracks of one session can have the same
fingerprint (the same size, and silence in every sample). When two files of one listing do, their whole
content is hashed.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from homescribe.core import Addresses, Audio, FileState, Item, Listing, Source, SourceOptions
from homescribe.errors import Cancelled, PermanentError, RetryableError, UserError
from homescribe.sources import audio_packets, unfinished_files
from homescribe.sources.fingerprints import FileId, content_hash, fingerprint
from homescribe.text import address_lists, sanitize
from homescribe.text.identities import AUDIO, KEY, key_identity

EXTENSIONS = frozenset(
    re.findall(
        r"\.\w+",
        ".3gp .aac .ac3 .aif .aiff .amr .ape .au .avi .caf .flac .flv .m2ts .m4a .m4b .m4v .mka .mkv .mov "
        ".mp2 .mp3 .mp4 .mpeg .mpg .mts .oga .ogg .ogv .opus .ra .spx .ts .vob .wav .weba .webm .wma .wmv "
        ".wv",
    )
)


class FileSource(Source):
    """Files, folders with everything below them, and patterns such as "talks/**/*.mp3"; file:// too."""

    name = "file"
    pause = (0.0, 0.0)

    def __init__(self, options: SourceOptions) -> None:
        self._track = options.audio_track

    def matches(self, url: str) -> bool:
        """Whether `url` has the form of a path, or exists. A blank one matches too: `path_of` rejects it."""
        if not url.strip():
            return True
        scheme = re.match(r"([A-Za-z][\w+.-]+):", url)
        if scheme:  # a single letter is a drive
            return scheme[1].lower() == "file"
        path = path_of(url)
        is_path = url.startswith((".", "~", os.sep)) or Path(url).suffix.lower() in EXTENSIONS
        return is_path or os.path.lexists(path) or bool(glob.has_magic(url) and any(matching(path)))

    def list(self, url: str, stop: threading.Event) -> Iterator[Listing]:
        path = path_of(url)
        files = naturally_sorted(recordings_at(path, stop))
        if files == [path]:
            yield self._single_file(path)
            return
        if not files:
            pattern = not os.path.lexists(path)
            message = (
                f"No recording matches {url!r}." if pattern else f"There is no recording in {path}."
            )
            raise UserError(message, f"Searched for: {' '.join(sorted(EXTENSIONS))}")
        title = sanitize.one_line(path.name or str(path))
        warnings: list[str] = []
        incomplete: dict[str, str] = {}
        found = items(files, stop, warnings, incomplete)
        yield Listing(
            storable(path),
            title,
            found,
            by_content=True,
            warnings=warnings,
            incomplete=incomplete,
        )

    def _single_file(self, path: Path) -> Listing:
        """Return the listing of a file given by its own path: any extension is fine if there is audio."""
        try:
            item = item_from(path, fingerprint(path), strict=True)
        except PermanentError as error:
            raise UserError(error.message, error.hint) from error
        except OSError as error:
            raise UserError(
                f"{path} cannot be read: {error.strerror}.", "Check the permissions and the disk."
            ) from error
        warning = unfinished_files.warning_about(path)
        warnings = [warning] if warning else []
        return Listing(storable(path), item.title, iter([item]), by_content=True, warnings=warnings)

    def addresses(self, url: str, stop: threading.Event) -> Addresses | None:
        if not self.matches(url) or not url.strip():
            return None
        listed = address_lists.from_file(path_of(url))
        return None if listed is None else Addresses(listed, each=True)

    def fetch(self, item: Item, directory: Path, stop: threading.Event) -> Audio:
        path = path_of(item.url)
        if not path.exists():
            raise RetryableError(
                f"{path} is missing.",
                "Connect its disk again, or add the place to which it was moved.",
            )
        try:
            item = recognized(item, path, stop)
        except OSError as error:
            raise RetryableError(
                f"{path} cannot be read: {error.strerror}.", "Check the permissions and the disk."
            ) from error
        seconds = item.duration
        if self._track is not None:  # `item` has the length of the track that a player chooses
            from homescribe.audio import isolated

            seconds = isolated.probe(path, self._track)
        return Audio(item=item, path=path, duration=seconds, temporary=False)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    @staticmethod
    def files_at(url: str, stop: threading.Event) -> dict[str, FileState]:
        found: dict[str, FileState] = {}
        for path in recordings_at(path_of(url), stop):
            try:
                status = path.stat()
            except OSError:  # it was just removed
                continue
            found[storable(path)] = FileState(status.st_size, status.st_mtime)
        return found

    @staticmethod
    def rate_limit_key(item: Item) -> str:
        return ""

    @staticmethod
    def listing_key(url: str) -> str:
        return ""

    @staticmethod
    def link(item: Item, seconds: float) -> str:
        url = item.url if item.url.startswith("file:") else Path(item.url).absolute().as_uri()
        return f"{url}#t={int(max(0.0, seconds))}"

    @staticmethod
    def audio_identity(item: Item, stop: threading.Event) -> str | None:
        return audio_packets.identity(path_of(item.url), stop)

    @staticmethod
    def local_path(item: Item) -> Path:
        return path_of(item.url)

    @staticmethod
    def expected_bytes(item: Item, seconds: float) -> int:
        return 0

    @staticmethod
    def file_date(item: Item) -> None:
        """Return None: the date is when the file was last modified, and differs for a copy of it."""


# --- Paths ---------------------------------------------------------------------------------------


def path_of(url: str) -> Path:
    """Return the absolute path that `url` means. Raises UserError for a blank one.

    An empty path would mean the current folder: an unset variable in a script would add all of it.
    """
    if not re.sub(r"^file:/*$", "", url.strip(), flags=re.IGNORECASE):
        raise UserError(
            "An address is empty.",
            "Give a URL (https://...), a file, a folder (. is the current one) or a pattern.",
        )
    if url.lower().startswith("file:"):
        path = urlsplit(url).path
        if os.name != "nt":  # where the bytes of a name need not be UTF-8
            return Path(os.fsdecode(unquote_to_bytes(path)))
        from urllib.request import url2pathname  # loads http.client and ssl

        return Path(url2pathname(path))
    return Path(os.path.abspath(Path(url).expanduser()))  # noqa: PTH100 - keeps symbolic links


def is_empty(folder: Path) -> bool:
    """Whether nothing is in `folder`; False for one that cannot be read."""
    try:
        return next(folder.iterdir(), None) is None
    except OSError:
        return False


def missing(path: Path) -> UserError:
    """Return the error for a path that does not exist: the name is wrong, or its disk is not connected."""
    gone = next((one for one in reversed(path.parents) if not os.path.lexists(one)), None)
    if gone is not None:
        return UserError(
            f"The folder {gone} does not exist.",
            "Is its disk connected? If it is, check the spelling.",
        )
    return UserError(
        f"There is no file or folder {str(path)!r}.",
        "Check the spelling and the folder, and whether its disk is connected.",
    )


def storable(path: Path) -> str:
    """Return `path` as text that a database can store: a file:// URL if the name is not valid Unicode."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return path.as_uri()
    return str(path)


def recordings_at(path: Path, stop: threading.Event) -> list[Path]:
    """Return the recordings that a folder or a pattern names, or the file at `path` itself.

    Raises UserError for a path that does not exist, and for an empty folder: its disk is not connected.
    """
    if not os.path.lexists(path) and glob.has_magic(str(path)):
        files = [one for one in stoppable(matching(path), stop) if is_recording(one)]
        fixed = next(one for one in path.parents if not glob.has_magic(str(one)))
        if not files and not os.path.lexists(fixed):
            raise missing(fixed / path.name)
        return files
    if path.is_dir():
        files = list(recordings_below(path, stop))
        if not files and is_empty(path):  # a place where no disk is mounted
            raise UserError(f"The folder {path} is empty.", "Is its disk connected?")
        return files
    if path.is_file():
        return [path]
    if path.exists():
        raise UserError(
            f"{path} is neither a file nor a folder.",
            "Give an audio or video file, or a folder.",
        )
    raise missing(path)


def is_recording(path: Path) -> bool:
    """Whether `path` is a file with the extension of a recording, and not hidden."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()


def recordings_below(folder: Path, stop: threading.Event) -> Iterator[Path]:
    """Yield every recording below `folder`. Links to folders are not followed: they may form a cycle."""
    for parent, folders, names in os.walk(folder):
        check(stop)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (path for path in (Path(parent, name) for name in names) if is_recording(path))


def matching(pattern: Path) -> Iterator[Path]:
    """Yield the paths that match an absolute pattern; `**` matches any number of folders."""
    found = glob.iglob(str(pattern), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return map(Path, found)


def naturally_sorted(paths: Iterable[Path]) -> list[Path]:
    """Sort `paths` with numbers by value: "part 9" before "part 10"."""

    def key(path: Path) -> list[tuple[int, int, str]]:
        pieces = re.split(r"(\d+)", str(path).casefold())
        return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in pieces]

    return sorted(paths, key=key)


def stoppable(paths: Iterator[Path], stop: threading.Event) -> Iterator[Path]:
    """Yield `paths` until `stop` is set, then raise Cancelled."""
    for path in paths:
        check(stop)
        yield path


def check(stop: threading.Event) -> None:
    """Raise Cancelled if `stop` is set."""
    if stop.is_set():
        raise Cancelled


# --- Items ---------------------------------------------------------------------------------------


def items(
    files: list[Path], stop: threading.Event, warnings: list[str], incomplete: dict[str, str]
) -> Iterator[Item]:
    """Yield the items of a listing, of files that seem complete; those with the same content have one key.

    What the user should know about files that are left out is added to `warnings`, and the names of files
    that lack audio to `incomplete`: see `Listing`.
    """
    lacking: list[Path] = []
    files = unfinished_files.finished(files, warnings, lacking)
    incomplete.update((storable(path), sanitize.one_line(path.name)) for path in lacking)
    for path, name in identified(files, stop):
        check(stop)
        yield item_from(path, name)


def identified(files: list[Path], stop: threading.Event) -> Iterator[tuple[Path, FileId]]:
    """Yield each path with the id of its content. Equal fingerprints are checked by whole files."""
    groups: dict[str, list[tuple[Path, FileId]]] = {}
    for path in files:
        check(stop)
        name = id_of(path, stop)
        groups.setdefault(name.id, []).append((path, name))
    for found in groups.values():
        if len(found) > 1:
            whole = [(path, id_of(path, stop, whole=True)) for path, _ in found]
            if len({name.id for _, name in whole}) > 1:
                yield from whole
                continue
        yield from found


def id_of(path: Path, stop: threading.Event, *, whole: bool = False) -> FileId:
    """Return an id for `path`. An unreadable file has one too: the error is reported when it is fetched."""
    try:
        return content_hash(path, stop) if whole else fingerprint(path)
    except OSError:
        name = "unreadable-" + hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return FileId(name, "")


def recognized(item: Item, path: Path, stop: threading.Event) -> Item:
    """Return `item`, whose content is still at `path`, with the identity of its audio.

    The ids of a content have changed as more formats of tags were left out of it, so that it is known by
    several. Raises RetryableError if it is known by none of them.
    """
    known = {item.key, *(name[len(KEY) :] for name in item.identities if name.startswith(KEY))}
    ids = [key.removeprefix("file:") for key in known]
    found: list[FileId] = []
    if any(not name.startswith("w") for name in ids):
        found.append(fingerprint(path))
    if any(name.startswith("w") for name in ids):
        found.append(content_hash(path, stop))
    audio = next((name for name in item.identities if name.startswith(AUDIO)), None)
    if known.isdisjoint(f"file:{name}" for both in found for name in (both.id, both.tagged)):
        # Written anew by another program, perhaps.
        if audio is None or audio_packets.identity(path, stop) != audio:
            raise RetryableError(f"{path} has changed since it was added.", "Add it again.")
    elif audio is None and (name := audio_packets.identity(path, stop)):
        return replace(item, identities=(*item.identities, name))
    return item


def item_from(path: Path, name: FileId, *, strict: bool = False) -> Item:
    """Return the item of a file.

    Args:
        name: the id, and that of the content with tags, under which a library may know it.
        strict: raise PermanentError if it is not a recording; otherwise its transcription will fail.
    """
    from homescribe.audio import isolated

    try:
        seconds = isolated.probe(path)
        modified = date.fromtimestamp(path.stat().st_mtime).isoformat()
    except Exception:
        # Whatever it is, the other files are listed.
        if strict:
            raise
        seconds = modified = None
    return Item(
        source="file",
        id=name.id,
        url=storable(path),
        title=sanitize.one_line(path.stem) or name.id,
        channel=sanitize.one_line(path.parent.name) or None,
        duration=seconds,
        upload_date=modified,
        identities=(key_identity(f"file:{name.tagged}"),) if name.tagged else (),
    )
