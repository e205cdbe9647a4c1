"""Rules of glossaries, `misheard -> right`: each becomes a replacement once.

The table glossary_rules has those that did, so that a replacement that was removed does not come back while
its line is still in the glossary.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from homescribe.errors import UserError
from homescribe.library import replacements
from homescribe.library.replacements import Scope
from homescribe.text.word_replacement import WordReplacement

Rule = tuple[str, str]  # misheard, right


@dataclass(frozen=True, slots=True)
class TakenRules:
    """What new rules of a glossary have changed."""

    ids: tuple[int, ...] = ()  # of the replacements that were made
    words: int = 0
    lines: int = 0  # a line that several rules change counts once for each
    recordings: int = 0
    conflicts: tuple[str, ...] = ()  # sentences about rules that contradict a replacement
    removed: tuple[Rule, ...] = ()  # whose replacement was removed, so that they are not used


def unknown(db: sqlite3.Connection, rules: Sequence[Rule]) -> list[Rule]:
    """Return those of `rules` that were never taken."""
    known = {(row["old"], row["new"]) for row in db.execute("SELECT old, new FROM glossary_rules")}
    return [rule for rule in rules if rule not in known]


def removed(db: sqlite3.Connection, rules: Sequence[Rule]) -> tuple[Rule, ...]:
    """Return those of `rules` that were taken, and whose replacement was removed."""
    new = unknown(db, rules)
    made = {(each.old.casefold(), each.new) for each in replacements.stored(db)}
    return tuple(
        rule for rule in rules if rule not in new and (rule[0].casefold(), rule[1]) not in made
    )


def take(db: sqlite3.Connection, rules: Sequence[Rule], now: float) -> tuple[list[int], list[str]]:
    """Make each rule a replacement, which is still to be applied.

    Returns the ids of the replacements, and sentences about rules that contradict one.
    """
    made = {
        each.old.casefold(): each
        for each in replacements.stored(db)
        if each.source_url is None and each.channel is None and not each.match_case
    }
    ids: list[int] = []
    conflicts: list[str] = []
    for old, new in rules:
        known = made.get(old.casefold())
        if known is not None and known.new != new:
            conflicts.append(
                f"{old} -> {new} is not used, because {known.old} is replaced by {known.new} "
                f"(homescribe replaced remove {known.id})."
            )
            continue
        if known is None:
            try:
                ids.append(replacements.add(db, WordReplacement(old, new), Scope(), now))
            except UserError as error:
                conflicts.append(f"{old} -> {new} is not used. {error.message}")
                continue
        db.execute("INSERT OR IGNORE INTO glossary_rules (old, new) VALUES (?, ?)", (old, new))
    return ids, conflicts


def counted(
    db: sqlite3.Connection,
    ids: Sequence[int] = (),
    conflicts: Sequence[str] = (),
    removed: Sequence[Rule] = (),
) -> TakenRules:
    """Return what the replacements `ids` have changed."""
    words, lines, recordings = db.execute(
        "SELECT coalesce(sum(number), 0), count(*), count(DISTINCT item_id) FROM replacement_uses "
        "WHERE replacement_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).fetchone()
    return TakenRules(tuple(ids), words, lines, recordings, tuple(conflicts), tuple(removed))
