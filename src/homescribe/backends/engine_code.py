"""The classes of engines and the files of their code, for a backend that runs them on another machine."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Protocol

from homescribe.core import EngineRequirements


class EngineClass(Protocol):
    """An engine's class that states what it needs elsewhere."""

    requirements: EngineRequirements
    __module__: str
    __qualname__: str


def local_package(engine_class: EngineClass) -> str | None:
    """Return the package of another author's engine, whose code is uploaded from this machine.

    None for homescribe's own engines, and for an engine that names its own package in its requirements: pip
    installs that one.
    """
    package = engine_class.__module__.partition(".")[0]
    if package == "homescribe":
        return None
    stated = {
        _normalized(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])
        for requirement in engine_class.requirements.packages
    }
    own = {_normalized(name) for name in packages_distributions().get(package, [])}
    return None if own & stated else package


def source_files(package: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every Python file of a package. Names are relative to it."""
    module = importlib.import_module(package)
    folders = [Path(folder) for folder in getattr(module, "__path__", [])]
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            yield path.relative_to(folder).as_posix(), path.read_bytes()
    if not folders and module.__file__:
        yield package, Path(module.__file__).read_bytes()


def _normalized(name: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
