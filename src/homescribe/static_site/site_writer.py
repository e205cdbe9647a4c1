"""Write a static site into a directory, where files of other programs may be, too.

`homescribe-site.json` says that index.html and three folders there are of a site. It lists their files, so
that a later export removes those that it does not write again. A file is listed before it is written: an
export that is interrupted leaves a list without its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from homescribe.core import Item, Transcript
from homescribe.errors import UserError
from homescribe.formats.writer import prepare, replace, translated
from homescribe.static_site.site_files import ASSETS, INDEX, PAGES, site_files

LIST = "homescribe-site.json"
FOLDERS = (PAGES, INDEX, ASSETS)


def write_site(directory: Path, title: str, recordings: Iterable[tuple[Item, Transcript]]) -> int:
    """Write the site of `recordings`, in the order in which it shows them; return how many there are.

    Raises UserError if a file that is not of an earlier site is in the way, or as `formats.writer.write`.
    """
    with translated(directory):
        directory.mkdir(parents=True, exist_ok=True)
        earlier = _claimed(directory)
        site = _Site(directory, earlier)
        for name, content in site_files(title, recordings):
            site.write(name, content)
        for name in earlier - site.files:
            (directory / name).unlink(missing_ok=True)
        replace(directory / LIST, json.dumps(sorted(site.files), indent=0).encode())
    return sum(name.startswith(f"{PAGES}/") for name in site.files)


class _Site:
    """Writes files, and lists each before it is written."""

    def __init__(self, directory: Path, earlier: set[str]) -> None:
        self._directory = directory
        self._listed = set(earlier)
        self.files: set[str] = set()
        for folder in FOLDERS:
            prepare(directory / folder)
        replace(directory / LIST, ("[\n" + "".join(map(_entry, sorted(earlier)))).encode())

    def write(self, name: str, content: str) -> None:
        if name not in self._listed:
            self._listed.add(name)
            with (self._directory / LIST).open("a", encoding="utf-8") as file:
                file.write(_entry(name))
        replace(self._directory / name, content.encode())
        self.files.add(name)


def _entry(name: str) -> str:
    """Return the line of a list that names a file and is not its last."""
    return f"{json.dumps(name)},\n"


def _claimed(directory: Path) -> set[str]:
    """Return the files of the site that is in `directory`. Without one, claim the directory for a site.

    Raises UserError if a file or a folder has a name that the site needs.
    """
    try:
        text = (directory / LIST).read_text(encoding="utf-8")
    except FileNotFoundError:
        for name in ("index.html", *FOLDERS):
            if (directory / name).exists():
                raise UserError(
                    f"{directory} has {name}, which homescribe did not write.",
                    "Choose another directory, or remove it.",
                ) from None
        # Before all else: an export that is interrupted leaves a directory that the next one may write to.
        replace(directory / LIST, b"[]")
        return set()
    except ValueError:
        return set()
    names = _listed(text)
    return {name for name in names if _is_of_a_site(name)} if isinstance(names, list) else set()


def _listed(text: str) -> object:
    """Return what a list names, up to the last complete line if it has no end; None if it is no list."""
    for complete in (text, f"{text[: text.rfind(',')]}]"):
        with suppress(ValueError):
            return json.loads(complete)
    return None


def _is_of_a_site(name: object) -> bool:
    """Whether a list, which may have been altered, names a file inside the folders of a site."""
    parts = name.split("/") if isinstance(name, str) else []
    return len(parts) == 2 and parts[0] in FOLDERS and parts[1] not in ("", ".", "..")
