"""Parse a glossary: names and spellings, one in a line, and how they are misheard.

# A comment
Kubernetes
Ann Lee
Perrison -> Peerson
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from homescribe.errors import UserError
from homescribe.text.sanitize import one_line

ARROWS = ("->", "→", "=>")
MAX_LINE = 200  # characters of a name
MAX_LINES = 2_000


@dataclass(frozen=True, slots=True)
class GlossaryRule:
    """A line `misheard -> right`."""

    misheard: str
    right: str
    line: int  # its number, from 1


@dataclass(frozen=True, slots=True)
class Glossary:
    """Names and spellings to expect, in the order of the file, each once; and the rules among its lines."""

    names: tuple[str, ...] = ()
    rules: tuple[GlossaryRule, ...] = ()


def parse_glossary(text: str, title: str) -> Glossary:
    """Return the glossary in `text`.

    Args:
        title: names it in messages.

    Raises UserError for a line that is neither a name nor a rule.
    """
    names: dict[str, None] = {}
    rules: dict[tuple[str, str], GlossaryRule] = {}
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise UserError(
            f"{title} has {len(lines):,} lines, and a glossary has at most {MAX_LINES:,}.",
            "List only names and spellings that are misheard.",
        )
    for number, written in enumerate(lines, 1):
        line = _without_comment(one_line(unicodedata.normalize("NFC", written), 4 * MAX_LINE))
        if not line:
            continue
        if len(line) > 2 * MAX_LINE:
            raise _invalid(title, number, f"it has {len(line):,} characters", "One name in a line.")
        arrow = next((each for each in ARROWS if each in line), None)
        if arrow is None:
            names[_checked(line, title, number)] = None
            continue
        misheard, _, right = (part.strip() for part in line.partition(arrow))
        if not misheard or not right or any(each in right for each in ARROWS):
            raise _invalid(title, number, f"{line!r} is no rule", "Write: misheard -> right")
        if not any(map(str.isalnum, misheard)):
            raise _invalid(title, number, f"{misheard!r} is no word", "Write: misheard -> right")
        if misheard == right:
            raise _invalid(title, number, "both sides are the same", "Write: misheard -> right")
        names[_checked(right, title, number)] = None
        rule = GlossaryRule(_checked(misheard, title, number), right, number)
        rules.setdefault((misheard.casefold(), right), rule)
    return Glossary(tuple(names), tuple(rules.values()))


def _without_comment(line: str) -> str:
    """Return a line without its comment. "C#" has none."""
    if line.startswith("#"):
        return ""
    return line.partition(" # ")[0].strip()


def _checked(name: str, title: str, number: int) -> str:
    if len(name) > MAX_LINE:
        raise _invalid(title, number, f"a name has {len(name)} characters", "One name in a line.")
    return name


def _invalid(title: str, number: int, reason: str, hint: str) -> UserError:
    return UserError(f"{title}, line {number}: {reason}.", hint)
