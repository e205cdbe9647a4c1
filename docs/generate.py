"""Write docs/reference/commands.md from --help, or check it and the links in the docs.

python docs/generate.py            write
python docs/generate.py --check    exit 1 if the page is out of date or a link is broken
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from homescribe import config
from homescribe.cli.main import homescribe

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ROOT / "docs" / "reference" / "commands.md"
WIDTH = 90  # columns of a help text, so that a page shows it without scrolling

INTRODUCTION = """# Commands

Generated from `--help` by `make docs`. Data goes to standard output, everything else to standard error.
Exit codes: 0 success, 1 some items failed, 2 the user must act, 3 the installation is broken, 4 the spending
cap was reached, 130 interrupted. [json.md](json.md) describes the output of `--json`.
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


def main() -> int:
    """Write or check, and return the exit code."""
    if "--check" not in sys.argv:
        COMMANDS.write_text(reference(), encoding="utf-8")
        return 0
    problems = list(broken_links())
    if not COMMANDS.exists() or COMMANDS.read_text(encoding="utf-8") != reference():
        problems.append(f"{COMMANDS.relative_to(ROOT)} is out of date: run `make docs`")
    for problem in problems:
        print(problem, file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
