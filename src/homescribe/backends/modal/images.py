"""Build the Modal image of an engine from the requirements that its class states."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Protocol

import modal

from homescribe.core import EngineRequirements

PYTHON = "3.12"
SITE_PACKAGES = f"/usr/local/lib/python{PYTHON}/site-packages"
# Variables of an image: the engine that it is for, and its class as "module:name".
ENGINE, ENGINE_CLASS = "HOMESCRIBE_IMAGE_ENGINE", "HOMESCRIBE_IMAGE_ENGINE_CLASS"


class EngineClass(Protocol):
    """An engine's class that states what it needs elsewhere."""

    requirements: EngineRequirements
    __module__: str
    __qualname__: str


def build_image(engine: str, engine_class: EngineClass) -> modal.Image:
    """Return the image of an engine: its packages and environment, then the code of this machine.

    The code comes last, so that a change of it does not reinstall the packages.
    """
    needs = engine_class.requirements
    variables = {
        name: value.replace("{site_packages}", SITE_PACKAGES)
        for name, value in needs.environment.items()
    }
    variables[ENGINE] = engine
    variables[ENGINE_CLASS] = f"{engine_class.__module__}:{engine_class.__qualname__}"
    image = (
        modal.Image.debian_slim(python_version=PYTHON)
        .uv_pip_install(*needs.packages, *needs.gpu_packages)
        .env(variables)
    )
    # Samples and pages are not needed there and would only take time to upload.
    image = image.add_local_python_source(
        "homescribe", ignore=["demo/samples", "web", "**/__pycache__"]
    )
    if package := local_package(engine_class):
        image = image.add_local_python_source(package, ignore=["**/__pycache__"])
    return image


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


def class_name(engine: str) -> str:
    """Return the name of an engine's class at Modal: "faster-whisper" is transcribe_faster_whisper."""
    return f"transcribe_{_identifier(engine)}"


def fetcher_name(engine: str) -> str:
    """Return the name of the function at Modal that downloads an engine's weights."""
    return f"download_{_identifier(engine)}"


def _identifier(engine: str) -> str:
    """Return the engine's name with "-" as "_", and other characters by their code."""
    return re.sub(
        r"[^a-zA-Z0-9]",
        lambda found: "_" if found[0] == "-" else f"_x{ord(found[0]):x}_",
        engine,
    )
