"""Find plug-ins by name: built-in ones in a table, those of other packages by entry point.

A plug-in is named by "module:attribute" and imported only when it is used, so listing the names loads
nothing. Other packages register theirs under the entry-point groups `homescribe.sources`,
`homescribe.engines`, `homescribe.backends` and `homescribe.exporters`. They cannot replace a built-in name.
"""

from __future__ import annotations

import functools
import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import Literal, overload

from homescribe.core import Backend, Engine, Exporter, Item, Source
from homescribe.errors import SetupError, UserError
from homescribe.text.redaction import shown_item

Group = Literal["sources", "engines", "backends", "exporters"]

# In the order in which they are tried and shown. Sources: the first whose `matches` returns True is used.
BUILT_IN: dict[Group, dict[str, str]] = {
    "sources": {
        "file": "homescribe.sources.local_files:FileSource",
        "podcast": "homescribe.sources.podcast:PodcastSource",
        "ytdlp": "homescribe.sources.ytdlp.source:YtdlpSource",
    },
    "engines": {
        "faster-whisper": "homescribe.engines.faster_whisper:FasterWhisper",
        "openai-whisper": "homescribe.engines.openai_whisper:OpenAIWhisper",
    },
    "backends": {
        "local": "homescribe.backends.local:LocalBackend",
        "modal": "homescribe.backends.modal.backend:ModalBackend",
        "ray": "homescribe.backends.ray.ray_backend:RayBackend",
        "openai": "homescribe.backends.endpoint.endpoint_backend:EndpointBackend",
    },
    "exporters": {
        "txt": "homescribe.formats.whisper:to_txt",
        "srt": "homescribe.formats.subtitles:to_srt",
        "vtt": "homescribe.formats.subtitles:to_vtt",
        "tsv": "homescribe.formats.whisper:to_tsv",
        "json": "homescribe.formats.whisper:to_json",
        "lrc": "homescribe.formats.lrc:to_lrc",
        "md": "homescribe.formats.markdown:to_md",
        "docx": "homescribe.formats.word_document:to_docx",
        "csv": "homescribe.formats.spreadsheet:to_csv",
        "jsonl": "homescribe.formats.json_lines:to_jsonl",
        "notes.txt": "homescribe.formats.show_notes:to_notes",
        "rttm": "homescribe.formats.rttm:to_rttm",
        "podcast.json": "homescribe.formats.podcast_transcript:to_podcast_json",
    },
}

ANY_SITE = "ytdlp"  # the source of web addresses and items that no other source takes

# Optional package: the extra that installs it.
EXTRAS = {
    "whisper": "whisper",
    "torch": "whisper",
    "modal": "modal",
    "ray": "ray",
    "sherpa_onnx": "speakers",
    "mcp": "mcp",
    "apprise": "apprise",
}
EXTRAS |= dict.fromkeys(("starlette", "uvicorn", "jinja2", "python_multipart"), "web")


def names(group: Group) -> list[str]:
    """Return the names in `group`: built-in ones, then those of other packages, in the order of use.

    Sources of other packages come before yt-dlp, which accepts every web address.
    """
    built_in = list(BUILT_IN[group])
    end = built_in.index(ANY_SITE) if group == "sources" else len(built_in)
    return [*built_in[:end], *(point.name for point in _entry_points(group)), *built_in[end:]]


@overload
def load(group: Literal["sources"], name: str) -> type[Source]: ...
@overload
def load(group: Literal["engines"], name: str) -> type[Engine]: ...
@overload
def load(group: Literal["backends"], name: str) -> type[Backend]: ...
@overload
def load(group: Literal["exporters"], name: str) -> Exporter: ...
def load(group: Group, name: str) -> object:
    """Import the plug-in `name` of `group` and return its class, or for an exporter its function.

    Raises:
        UserError: no plug-in has this name.
        SetupError: a package that the plug-in needs is not installed (the hint has the pip command), or
            another package's plug-in cannot be imported.
    """
    target = BUILT_IN[group].get(name)
    try:
        if target is None:
            found = _load_entry_point(group, name)
        else:
            module, attribute = target.split(":")
            found = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("homescribe"):
            raise  # the table above names a module that does not exist
        raise missing_package(name, error) from error
    return _with_defaults(name, found) if group == "sources" else found


def missing_package(name: str, error: ModuleNotFoundError) -> SetupError:
    """Return the error to raise when the plug-in or command `name` needs a package that is not installed."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    # pip does not fetch homescribe itself again: it is installed, in this environment.
    command = f"pip install 'homescribe[{extra}]'" if extra else f"pip install {package}"
    return SetupError(
        f"{name} needs the package {package!r}, which is not installed.", f"Run: {command}"
    )


@functools.cache  # reading the metadata of all installed packages takes milliseconds
def _entry_points(group: Group) -> tuple[EntryPoint, ...]:
    points = entry_points(group=f"homescribe.{group}")
    return tuple(point for point in points if point.name not in BUILT_IN[group])


def _load_entry_point(group: Group, name: str) -> object:
    point = next((point for point in _entry_points(group) if point.name == name), None)
    if point is None:
        known = ", ".join(names(group))
        raise UserError(f"There is no {group[:-1]} named {name!r}.", f"Choose one of: {known}.")
    try:
        return point.load()
    except ModuleNotFoundError:
        raise
    except Exception as error:
        package = point.dist.name if point.dist else point.module
        raise SetupError(
            f"The {group[:-1]} {name!r} of the package {package!r} cannot be loaded: "
            f"{type(error).__name__}: {' '.join(str(error).split())}",
            f"Update the package, or remove it: pip uninstall {package}",
        ) from error


# --- Sources -------------------------------------------------------------------------------------


def source_name(item: Item) -> str:
    """Return the name of the source that `item` comes from.

    `item.source` is that name, or a site that yt-dlp knows ("youtube", "vimeo").
    """
    return item.source if item.source in names("sources") else ANY_SITE


def source_of(item: Item) -> type[Source]:
    """Return the class of the source that `item` comes from; its static methods describe the item."""
    return load("sources", source_name(item))


def link(item: Item, seconds: float) -> str:
    """Return the URL that opens `item` at `seconds`, in the form that its site understands.

    Secrets in it are left out.
    """
    return source_of(item).link(shown_item(item), seconds)


@functools.cache
def _with_defaults(name: str, found: object) -> type[Source]:
    """Return the class `found`; a subclass with the methods of `core.Source` that it lacks."""
    if not isinstance(found, type):
        raise SetupError(
            f"The source {name!r} is not a class.",
            "Update or remove the package that registers it.",
        )
    if Source in found.__mro__:
        return found
    return type(found.__name__, (found, Source), {"__module__": found.__module__})
