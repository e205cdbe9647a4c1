"""Plug-ins by name: a table of the built-in ones, entry points for everybody else's.

A plug-in is named by "module:attribute" and imported only when it is asked for, so that listing the
names loads nothing. Other packages add theirs under the entry-point groups `homescribe.sources`,
`homescribe.engines`, `homescribe.backends` and `homescribe.formats.whisper`; a built-in name cannot be taken.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from homescribe.errors import SetupError, UserError

# In the order in which they are asked or shown. Sources: the first whose `matches` says yes.
BUILT_IN: dict[str, dict[str, str]] = {
    "sources": {
        "file": "homescribe.sources.local_files:FileSource",
        "podcast": "homescribe.sources.podcast:PodcastSource",
        "ytdlp": "homescribe.sources.ytdlp.source:YtdlpSource",
    },
    "engines": {
        "faster-whisper": "homescribe.engines.faster_whisper:FasterWhisper",
        "openai-whisper": "homescribe.engines.openai_whisper:OpenAIWhisper",
        "whisper-reference": "homescribe.engines.reference:WhisperReference",
    },
    "backends": {
        "local": "homescribe.backends.local:LocalBackend",
        "modal": "homescribe.backends.modal.backend:ModalBackend",
    },
    "exporters": {
        name: f"homescribe.formats.whisper:to_{name}"
        for name in ("txt", "srt", "vtt", "tsv", "json", "lrc", "md")
    },
}

# What to install when importing a plug-in finds a package missing.
EXTRAS = {"whisper": "whisper", "torch": "whisper", "modal": "modal"}
EXTRAS |= dict.fromkeys(("starlette", "uvicorn", "jinja2", "python_multipart"), "web")


def names(group: str) -> list[str]:
    """Names in `group`, built-in first, in the order in which they are asked."""
    return [*BUILT_IN[group], *(point.name for point in _foreign(group))]


def load(group: str, name: str) -> Any:
    """The plug-in `name` of `group`: a class or function, not yet called.

    Raises UserError for an unknown name, SetupError with the pip command when its package is missing.
    """
    target = BUILT_IN[group].get(name)
    try:
        if target is None:
            for point in _foreign(group):
                if point.name == name:
                    return point.load()
            known = ", ".join(names(group))
            raise UserError(f"There is no {group[:-1]} named {name!r}.", f"Choose one of: {known}.")
        module, attribute = target.split(":")
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("homescribe"):
            raise  # a table entry of ours that leads nowhere
        raise missing_package(name, error) from error


def missing_package(name: str, error: ModuleNotFoundError) -> SetupError:
    """One line for a plug-in whose package is not installed."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    command = (
        f"pip install '.[{extra}]' in homescribe's folder" if extra else f"pip install {package}"
    )
    return SetupError(
        f"{name} needs the package {package!r}, which is not installed.", f"Run: {command}"
    )


def _foreign(group: str) -> list[Any]:
    points = entry_points(group=f"homescribe.{group}")
    return [point for point in points if point.name not in BUILT_IN[group]]
