"""The commands that replace words everywhere."""

from __future__ import annotations

import click

from homescribe.assemble import open_library
from homescribe.cli.options import Group, command, configured
from homescribe.cli.output import print_json, print_table, print_wrapped
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.library import Replaced
from homescribe.library.as_json import replaced_as_json, replacement_as_json
from homescribe.text.display import clock, count
from homescribe.text.redaction import shown_feed
from homescribe.text.sanitize import terminal_safe

UNFINISHED = "by a command that is at work now, or else by the next run or replacement."
UNDO = "To undo: homescribe replaced undo"


@command()
@click.argument("old")
@click.argument("new")
@click.option("--source", metavar="URL", help="Only in the recordings of this source.")
@click.option("--channel", metavar="NAME", help="Only in the recordings of this channel.")
@click.option("--match-case", is_flag=True, help="Only where OLD is written the same.")
@click.option("--dry-run", is_flag=True, help="Change nothing: print what would change.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured()
def replace(
    config: Config,
    old: str,
    new: str,
    source: str | None,
    channel: str | None,
    match_case: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Replace a misheard word, also in later transcripts.

    \b
    homescribe replace Perrison Peerson --dry-run
    homescribe replace "home scribe" homescribe

    Whole words are replaced: "Ann" in "Ann's", but not in "Anna". Capitals are kept. Lines that you
    corrected stay as they are. A phrase is found within one line of a transcript.
    """
    with open_library(config, must_exist=True) as library:
        replaced = library.replace_words(
            old, new, source=source, channel=channel, match_case=match_case, dry_run=dry_run
        )
    if as_json:
        print_json(replaced_as_json(replaced))
        return
    if dry_run:
        for line in replaced.examples:
            click.echo(f"{line.key} {clock(line.start)}")
            print_wrapped("  - ", terminal_safe(line.before))
            print_wrapped("  + ", terminal_safe(line.after))
    message(_summary(replaced, dry_run))
    if replaced.corrected:
        message(f"{count(replaced.corrected, 'line')} that you corrected left as they are.")


def _summary(replaced: Replaced, dry_run: bool) -> str:
    where = f"{count(replaced.lines, 'line')} of {count(replaced.recordings, 'recording')}"
    if dry_run:
        return f"Found {count(replaced.words, 'time')} in {where}. Nothing was changed."
    if not replaced.words:
        return f"No transcript has these words. Later ones will be corrected. {UNDO}"
    return f"Replaced {count(replaced.words, 'time')} in {where}. {UNDO}"


@click.group("replaced", cls=Group)
def replacements() -> None:
    """List, remove and undo what `homescribe replace` replaces."""


@replacements.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured()
def list_replacements(config: Config, as_json: bool) -> None:
    """List the replacements, in the order in which they are applied."""
    with open_library(config, must_exist=True) as library:
        found = library.replacements()
        unfinished = library.unfinished_replacements()
    if as_json:
        print_json([replacement_as_json(each) for each in found])
        return
    print_table(
        ("number", "replaced", "recordings", "old", "new", "only in"),
        [
            (
                str(each.id),
                str(each.words),
                str(each.recordings),
                terminal_safe(each.old),
                terminal_safe(each.new),
                terminal_safe(
                    " ".join(
                        filter(
                            None, (each.source_url and shown_feed(each.source_url), each.channel)
                        )
                    )
                ),
            )
            for each in found
        ],
        flexible=3,
        empty="No word is replaced. To replace one: homescribe replace OLD NEW",
    )
    if unfinished:
        message(f"{count(unfinished, 'recording')} still to be changed: {UNFINISHED}")


@replacements.command("undo")
@configured()
def undo(config: Config) -> None:
    """Remove the latest replacement, and restore what it changed."""
    with open_library(config, must_exist=True) as library:
        number = library.remove_replacement()
    message(f"Undone in {count(number, 'recording')}.")


@replacements.command("remove")
@click.argument("numbers", metavar="NUMBER...", nargs=-1, required=True, type=int)
@configured()
def remove(config: Config, numbers: tuple[int, ...]) -> None:
    """Remove replacements by number, and restore what they changed."""
    with open_library(config, must_exist=True) as library:
        changed = sum(library.remove_replacement(number) for number in numbers)
    message(f"Undone in {count(changed, 'recording')}.")


COMMANDS = (replace, replacements)
