"""Write docs/reference/commands.md from --help and python.md from docstrings, or check them and all links.

python docs/generate.py            write
python docs/generate.py --check    exit 1 if the page is out of date or a link is broken
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

import homescribe as public
from homescribe import config
from homescribe.cli.main import homescribe

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ROOT / "docs" / "reference" / "commands.md"
PYTHON = ROOT / "docs" / "reference" / "python.md"
WIDTH = 90  # columns of a help text, so that a page shows it without scrolling

INTRODUCTION = """# Commands

Generated from `--help` by `make docs`. Data goes to standard output, everything else to standard error.
Exit codes: 0 success, 1 some items failed, 2 the user must act, 3 the installation is broken, 4 the spending
cap was reached, 5 another run is working on the library, 130 interrupted. [json.md](json.md)
describes the output of `--json`.
"""

SETTINGS = """
## Settings

Each setting can be given as a flag of the commands that use it, an environment variable, or a line in
config.toml (`homescribe config` prints its path). Flags override the environment, which overrides the file.

| setting | environment | default | meaning |
|---|---|---|---|
"""


def reference() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION, _help(homescribe, "homescribe")]
    for name in homescribe.list_commands(click.Context(homescribe)):
        parts += _section(homescribe.commands[name], f"homescribe {name}")
    rows = [
        f"| `{s.name}` | `{s.environment}` | {'' if s.default is None else f'`{s.default}`'} | {s.help} |\n"
        for s in config.settings()
    ]
    return "".join([*parts, SETTINGS, *rows])


PYTHON_INTRODUCTION = """# Python

Generated from the docstrings by `make docs`: the public names of the package `homescribe`. Other modules may
change without notice.

```python
from homescribe import Library, TranscriptionOptions, transcribe

options = TranscriptionOptions(language="german", word_timestamps=True)
for outcome in transcribe("talks/", library="~/homescribe", model="small", options=options):
    print(outcome.item.title, outcome.transcript.text if outcome.transcript else outcome.error)

with Library("~/homescribe") as library:
    for hit in library.search("a phrase somebody said"):
        print(hit.title, hit.start, hit.url)
```

`transcribe` also runs at Modal and on a Ray cluster (`backend="modal"`, `"ray"`). Its steps, one by one, on
this computer:

```python
from threading import Event

from homescribe import Library, LocalBackend, Run, SourceOptions, Sources, add

with Library("~/homescribe") as library:
    with Sources(SourceOptions(cache=library.directory / "cache")) as sources:
        for result in add(library, sources, "talks/", Event()):
            print(result.title, len(result.items))
        for outcome in Run(library, sources, LocalBackend(), model="small"):
            print(outcome.item.title, outcome.error or "done")
```
"""
KINDS = ("Functions", "Classes", "Values", "Errors")


def python_reference() -> str:
    """Return the page of the public names."""
    sections: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name in public.__all__:
        found = getattr(public, name)
        if inspect.isfunction(found):
            kind = "Functions"
        elif issubclass(found, Exception):
            kind = "Errors"
        else:
            frozen = dataclasses.is_dataclass(found) and found.__dataclass_params__.frozen
            kind = "Values" if frozen else "Classes"
        sections[kind].append(_entry(name, found))
    return PYTHON_INTRODUCTION + "".join(
        f"\n## {kind}\n{''.join(entries)}" for kind, entries in sections.items()
    )


def _entry(name: str, found: type | Callable[..., object]) -> str:
    """Return the entry of one name: its docstring, its fields and its methods."""
    text = f"\n### {name}\n\n"
    if inspect.isfunction(found):
        text += f"```text\n{name}{_signature(found)}\n```\n\n"
    text += f"{inspect.getdoc(found)}\n"
    if dataclasses.is_dataclass(found):
        rows = "".join(
            _field_row(field, found) for field in dataclasses.fields(found) if field.init
        )
        text += f"\n| field | type | default | |\n|---|---|---|---|\n{rows}"
    elif inspect.isclass(found) and not issubclass(found, Exception):
        for method, function in _methods(found):
            if inspect.isfunction(function) and not method.startswith("_") and function.__doc__:
                text += (
                    f"\n- `{method}{_signature(function)}`: {_one_line(inspect.getdoc(function))}\n"
                )
    return text


def _methods(found: type) -> Iterator[tuple[str, object]]:
    """Yield the attributes of a class by name, with those of its base classes in this package."""
    for owner in found.__mro__:
        if owner.__module__.partition(".")[0] == public.__name__:
            yield from vars(owner).items()


def _signature(function: Callable[..., object]) -> str:
    """Return the parameters of a function as its source writes them, without `self`."""
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(function)))
    return re.sub(r"\(self(, )?", "(", text)


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _field_row(field: dataclasses.Field[object], owner: type) -> str:
    """Return the row of a field, with the comment that stands before or beside it in the source."""
    default = "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
    kind = str(field.type).replace("|", "\\|")
    return f"| `{field.name}` | `{kind}` | {default} | {_comment(field.name, owner)} |\n"


def _comment(name: str, owner: type) -> str:
    before: list[str] = []
    for line in inspect.getsource(owner).splitlines():
        if re.match(rf"    {name}:", line):
            beside = re.search(r"  # (.+)", line)
            return beside[1] if beside else " ".join(before)
        comment = re.match(r"    # (.+)", line)
        before = [*before, comment[1]] if comment else []
    return ""


def _section(command: click.Command, path: str) -> Iterator[str]:
    yield f"\n## {path}\n\n{_help(command, path)}"
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from _section(child, f"{path} {name}")


def _help(command: click.Command, path: str) -> str:
    context = click.Context(command, info_name=path, max_content_width=WIDTH, terminal_width=WIDTH)
    context.help_option_names = ["-h", "--help"]
    return f"```\n{command.get_help(context)}\n```\n"


def broken_links() -> Iterator[str]:
    """Yield the links in Markdown files whose target does not exist."""
    for page in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                yield f"{page.relative_to(ROOT)}: {target} does not exist"


PAGES = {COMMANDS: reference, PYTHON: python_reference}


def main() -> int:
    """Write or check, and return the exit code."""
    if "--check" not in sys.argv:
        for page, text in PAGES.items():
            page.write_text(text(), encoding="utf-8")
        return 0
    problems = list(broken_links())
    problems += [
        f"{page.relative_to(ROOT)} is out of date: run `make docs`"
        for page, text in PAGES.items()
        if not page.exists() or page.read_text(encoding="utf-8") != text()
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
