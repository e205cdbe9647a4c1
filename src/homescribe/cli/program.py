"""The program's name as the user called it, so that commands in messages can be copied.

Messages name the program `homescribe`. Where that is not on the PATH, as in a virtual environment that is not
activated, they are printed with the path or the `python -m homescribe` that was used. `pip` becomes that of
the same environment.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shlex
import shutil
import sys
from pathlib import Path

import click

from homescribe.text.sanitize import terminal_safe

NAME = "homescribe"
# Words that follow the program's name in a command of a message.
COMMANDS = (
    *(
        "add",
        "sources",
        "remove",
        "rename",
        "ignore",
        "plan",
        "modal",
        "ray",
        "transcribe",
        "run",
        "sync",
        "captions",
        "retry",
        "list",
    ),
    *(
        "status",
        "search",
        "show",
        "speakers",
        "replace",
        "replaced",
        "export",
        "audio",
        "serve",
        "service",
        "mcp",
        "doctor",
        "config",
        "demo",
        "completion",
    ),
)
# Commands that name another library or none.
WITHOUT_LIBRARY = (
    " --library",
    " config",
    " doctor",
    " demo",
    " completion",
    " service status",
    " service remove",
)
_options: dict[str, str] = {}  # of the running command: see `name_library`
_PIP = re.compile(r"(?<![\w./-])pip (install|uninstall) ")
_COMMAND = re.compile(rf"(?<![\w./-])(?<!-m ){NAME}(?= (?:{'|'.join(COMMANDS)}|--library)\b)")


def message(text: str = "") -> None:
    """Print a line for people on standard error."""
    click.echo(as_called(text), err=True)


def as_called(text: str) -> str:
    """Return `text` with the commands in it as the user has to type them."""
    text = _PIP.sub(lambda found: f"{pip(found[1])} ", text)
    return _COMMAND.sub(_with_library, text)


def name_library(library: str) -> None:
    """Name the library in the commands of messages from now on: that of `--library`, "" without it."""
    _options["library"] = library


def _with_library(found: re.Match[str]) -> str:
    library = _options.get("library", "")
    if not library or found.string[found.end() :].startswith(WITHOUT_LIBRARY):
        return program()
    return f"{program()} --library {shlex.quote(terminal_safe(library))}"


@functools.cache
def program() -> str:
    """Return what starts this program in the user's shell."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{_shortened(Path(sys.executable))} -m {NAME}"
    on_path = shutil.which(NAME)
    if called.stem != NAME or (on_path and _same(Path(on_path), called)):
        return NAME
    return _shortened(called)


@functools.cache
def pip(verb: str) -> str:
    """Return "pip install" or another verb of pip for the environment that this program runs in.

    The pip of the PATH may belong to another one. An environment of uv has none.
    """
    beside = Path(sys.executable).with_name("pip")
    on_path = shutil.which("pip")
    if on_path and _same(Path(on_path), beside):
        return f"pip {verb}"
    if beside.exists():
        return f"{_shortened(beside)} {verb}"
    if importlib.util.find_spec("pip"):
        return f"{_shortened(Path(sys.executable))} -m pip {verb}"
    return f"uv pip {verb} --python {_shortened(Path(sys.executable))}"


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _shortened(path: Path) -> str:
    """Return `path` for a shell: relative if it is below the current directory."""
    path, here = path.absolute(), Path.cwd()
    if path.is_relative_to(here):
        path = path.relative_to(here)
        return shlex.quote(str(path) if len(path.parts) > 1 else f"./{path}")
    return shlex.quote(str(path))
