"""Commands about where recordings come from: add, sources, remove."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from threading import Event

import click

from homescribe.assemble import open_library, open_sources
from homescribe.cli.interrupt import interruptible
from homescribe.cli.options import SOURCE_SETTINGS, configured
from homescribe.cli.tables import print_table
from homescribe.config import Config
from homescribe.errors import Cancelled, SetupError, UserError
from homescribe.library import Library
from homescribe.library.as_json import source_as_json
from homescribe.pipeline import ListingResult, Sources, may_have_new_items
from homescribe.pipeline import add as list_source
from homescribe.text.display import count, moment, span
from homescribe.text.sanitize import terminal_safe

USER_MUST_ACT = 2


def expand(urls: Iterable[str]) -> Iterator[str]:
    """The addresses; in the place of `-` those on standard input, one a line, # begins a comment."""
    for url in urls:
        if url == "-":
            lines = (line.strip() for line in sys.stdin)
            yield from (line for line in lines if line and not line.startswith("#"))
        else:
            yield url


def add_all(
    library: Library, sources: Sources, urls: Iterable[str], stop: Event, everything: bool
) -> list[ListingResult]:
    """List each address and say what was found there."""
    found = []
    for url in expand(urls):
        try:
            for listed in list_source(library, sources, url, stop, everything=everything):
                say(listed)
                found.append(listed)
        except SetupError:
            raise
        except UserError as error:  # the other addresses are no worse for it
            found.append(ListingResult(url, url, error=error))
            say(found[-1])
        if stop.is_set():
            raise Cancelled
    return found


def say(listed: ListingResult) -> None:
    """One line about what a source offered."""
    if listed.error:
        message = terminal_safe(listed.error.message)
        name = terminal_safe(listed.title)
        click.echo(
            f"Error: {message}" if name in message else f"Error: {name}: {message}", err=True
        )
        if listed.error.hint:
            click.echo(terminal_safe(listed.error.hint), err=True)
        return
    audio = sum(item.duration or 0.0 for item in listed.new)
    length = f" ({span(audio)} of audio)" if audio else ""
    click.echo(
        f"{terminal_safe(listed.title)}: {count(len(listed.new), 'new item')}{length}", err=True
    )


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--all", "everything", is_flag=True, help="Read to the end, past items that are known."
)
@configured(*SOURCE_SETTINGS)
def add(config: Config, sources: tuple[str, ...], everything: bool) -> int:
    """Put recordings on the list.

    Channels, playlists, videos, podcast feeds, folders, files, patterns such as 'talks/*.mp3'.
    Nothing is downloaded yet. `-` reads a list of addresses from standard input.
    """
    with interruptible() as stop, open_library(config) as library:
        with open_sources(config, library) as opened:
            listed = add_all(library, opened, sources, stop, everything)
        waiting = library.status().states["pending"]
        if waiting:
            click.echo(f"{count(waiting, 'item')} to transcribe: homescribe run", err=True)
    return USER_MUST_ACT if any(entry.error for entry in listed) else 0


@click.command("sources")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@configured()
def sources_(config: Config, as_json: bool) -> None:
    """Where `sync` looks for new recordings."""
    with open_library(config, must_exist=True) as library:
        records = [record for record in library.sources() if may_have_new_items(library, record)]
    if as_json:
        click.echo(
            json.dumps([source_as_json(record) for record in records], ensure_ascii=False, indent=2)
        )
        return
    print_table(
        ("items", "done", "failed", "listed", "title", "url"),
        [
            (
                str(r.items),
                str(r.done),
                str(r.failed),
                moment(r.listed_at) if r.listed_at else "",
                terminal_safe(r.title),
                terminal_safe(r.url),
            )
            for r in records
        ],
        empty="No sources yet. Add one: homescribe add URL",
    )


@click.command()
@click.argument("names", metavar="KEY|URL...", nargs=-1, required=True)
@click.option(
    "--items", "with_items", is_flag=True, help="With a source, also what came only from it."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@configured()
def remove(config: Config, names: tuple[str, ...], with_items: bool, yes: bool) -> None:
    """Take items or sources out of the library.

    Items go with their transcripts. A source is named by its URL as `homescribe sources` shows
    it; its items stay unless --items is given. An item that a source still lists comes back with
    the next sync: remove that source too.
    """
    with open_library(config, must_exist=True) as library:
        known = {record.url for record in library.sources()}
        urls = [name for name in names if name in known]
        keys = [library.item(name).item.key for name in names if name not in known]
        if not yes:
            _confirm(f"Remove {count(len(urls), 'source')} and {count(len(keys), 'item')}?")
        for url in urls:
            library.remove_source(url, with_items=with_items)
        library.remove(keys)
    click.echo(f"Removed {count(len(urls), 'source')} and {count(len(keys), 'item')}.", err=True)


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise UserError(
            "Nothing was removed: there is nobody to ask.", "Add --yes to remove without asking."
        )
    click.confirm(question, abort=True, err=True)


COMMANDS = (add, sources_, remove)
