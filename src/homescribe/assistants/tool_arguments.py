"""Arguments of tools: their JSON schema, and the check of what a model passes.

A model that passes an unknown argument, or a wrong value, gets an error that says what to pass. Ignored
arguments would be worse: results without the filter that the model believes in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from homescribe.errors import UserError

Kind = Literal["string", "integer", "number"]
Value = str | int | float
NOUNS: dict[Kind, str] = {"string": "text", "integer": "a whole number", "number": "a number"}
SHOWN = 60  # characters of a wrong value in a message


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a tool. Without a default it may be left out, unless it is `required`."""

    name: str
    kind: Kind
    description: str
    default: Value | None = None
    required: bool = False
    choices: tuple[str, ...] = ()
    least: int | None = None
    most: int | None = None

    @property
    def schema(self) -> dict[str, object]:
        """The argument as a JSON schema."""
        found: dict[str, object] = {"type": self.kind, "description": self.description}
        limits = {"default": self.default, "minimum": self.least, "maximum": self.most}
        found |= {name: value for name, value in limits.items() if value is not None}
        return found | ({"enum": list(self.choices)} if self.choices else {})

    def check(self, value: object) -> Value:
        """Return a value that was passed. UserError if it is not of the kind, or out of bounds.

        Some clients pass numbers as text.
        """
        checked = _as_kind(self.kind, value)
        if checked is None:
            shown = repr(value)
            shown = shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"
            raise UserError(
                f"{self.name} is {shown}, not {NOUNS[self.kind]}.", f"{self.description}"
            )
        if self.choices and checked not in self.choices:
            raise UserError(
                f"{checked!r} is no {self.name}.", f"Choose one of: {', '.join(self.choices)}."
            )
        if isinstance(checked, str):
            return checked
        if self.least is not None and checked < self.least:
            raise UserError(f"{self.name} is {checked}, below {self.least}.", self.description)
        return checked if self.most is None else min(checked, self.most)


class Given:
    """The checked arguments of a call."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = values

    def text(self, name: str) -> str | None:
        """Return a text, None if it was not given."""
        value = self._values.get(name)
        return None if value is None else str(value)

    def whole(self, name: str) -> int:
        """Return a whole number that has a default or is required."""
        return int(self._values[name])

    def number(self, name: str) -> float:
        """Return a number that has a default or is required."""
        return float(self._values[name])


def input_schema(arguments: Sequence[Argument]) -> dict[str, object]:
    """Return the JSON schema of a tool's arguments."""
    return {
        "type": "object",
        "properties": {each.name: each.schema for each in arguments},
        "required": [each.name for each in arguments if each.required],
        "additionalProperties": False,
    }


def check_arguments(arguments: Sequence[Argument], passed: Mapping[str, object]) -> Given:
    """Return the arguments of a call with the defaults of those that are missing, null or empty.

    Raises UserError for an unknown, missing or wrong one.
    """
    known = {each.name for each in arguments}
    for name in passed:
        if name not in known:
            raise UserError(
                f"There is no argument {name[:SHOWN]!r}.",
                f"Arguments: {', '.join(sorted(known)) or 'none'}.",
            )
    values: dict[str, Value] = {}
    for each in arguments:
        value = passed.get(each.name)
        if value is None or (isinstance(value, str) and not value.strip()):
            if each.required:
                raise UserError(f"{each.name} is missing.", each.description)
            if each.default is not None:
                values[each.name] = each.default
        else:
            values[each.name] = each.check(value)
    return Given(values)


def _as_kind(kind: Kind, value: object) -> Value | None:
    """Return a value as text or a number; None if it is none."""
    if kind == "string":
        return value.strip() if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or (kind == "integer" and not number.is_integer()):
        return None
    return int(number) if kind == "integer" else number
