"""Commands that manage items: rename, ignore."""

from __future__ import annotations

import click

from homescribe.assemble import open_library
from homescribe.cli.commands.query import as_json_option
from homescribe.cli.options import command, configured
from homescribe.cli.output import print_json, print_table
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.library.as_json import item_as_json
from homescribe.text.display import count, moment
from homescribe.text.sanitize import terminal_safe

MOST_NAMED = 10  # items that are named one by one


@command()
@click.argument("key")
@click.argument("title", required=False)
@click.option("--undo", is_flag=True, help="Give the item the title of its source again.")
@configured()
def rename(config: Config, key: str, title: str | None, undo: bool) -> None:
    """Give an item another title.

    TITLE is used everywhere from then on: in lists, search and exports. It stays when the source
    is listed again. Files that were already exported keep their names.
    """
    if undo == bool(title and title.strip()):
        raise UserError(
            "Nothing was renamed: give a title, or --undo.",
            "Give a title: homescribe rename KEY 'A better title'",
        )
    with open_library(config, must_exist=True) as library:
        found = library.rename(key, title or "")
    if found.before == found.after:
        message(f"The title is {terminal_safe(found.after)} already.")
        return
    message(f"{terminal_safe(found.before)} is now {terminal_safe(found.after)}")


@command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--undo", is_flag=True, help="Ignore the items no longer.")
@as_json_option
@configured()
def ignore(config: Config, keys: tuple[str, ...], undo: bool, as_json: bool) -> None:
    """Never transcribe items, also if a source lists them.

    Without KEY, lists the items that are ignored. `run`, `sync` and `plan` leave them out, and so
    does `list` without --state. To ignore an item that is transcribed, remove it with its
    transcript: homescribe remove --ignore KEY
    """
    with open_library(config, must_exist=True) as library:
        if keys:
            (_stop if undo else _ignore)(library, list(dict.fromkeys(keys)))
            return
        if undo:
            raise UserError(
                "Nothing was changed: --undo needs KEY.", "List them: homescribe ignore"
            )
        # One with captions that a run would replace is done with them, and ignored all the same.
        searchable = (record for record in library.items() if record.ignored_at is not None)
        records = [*library.items(state="ignored"), *searchable]
    if as_json:
        print_json([item_as_json(record) for record in records])
        return
    print_table(
        ("since", "key", "title"),
        [
            (moment(record.ignored_at or 0.0), record.item.key, terminal_safe(record.item.title))
            for record in records
        ],
        empty="No items are ignored. To ignore one: homescribe ignore KEY",
    )


def _ignore(library: Library, keys: list[str]) -> None:
    records = [library.item(key) for key in keys]
    if done := [record.item.key for record in records if record.state == "done"]:
        names = " ".join(done[:MOST_NAMED]) if len(done) <= MOST_NAMED else "KEY"
        raise UserError(
            f"Nothing was ignored: {count(len(done), 'item')} of these have transcripts."
            if len(done) > 1
            else f"Nothing was ignored: {done[0]} is transcribed.",
            f"Remove transcripts and ignore the items: homescribe remove --ignore {names}",
        )
    found = library.ignore(keys)
    known = len({record.item.key for record in records}) - len(found)
    message(
        f"{count(len(found), 'item')} ignored{_already(known)}. Undo: homescribe ignore --undo KEY"
    )


def _already(number: int) -> str:
    return f" ({number:,} already)" if number else ""


def _stop(library: Library, keys: list[str]) -> None:
    found = library.stop_ignoring(keys)
    if not found:
        message("None of these items is ignored.")
        return
    message(f"{count(len(found), 'item')} no longer ignored. Transcribe: homescribe run")


COMMANDS = (rename, ignore)
