"""Commands about sources: add, sources, remove."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import click

from homescribe.assemble import open_library, open_sources
from homescribe.cli.actions import add_sources
from homescribe.cli.interrupt import interruptible
from homescribe.cli.options import (
    REQUEST_SETTINGS,
    CommandGroup,
    command,
    configured,
    selection_options,
)
from homescribe.cli.output import print_json, print_table
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.exit_codes import ExitCode
from homescribe.library import Library, SourceRecord
from homescribe.library.as_json import source_as_json
from homescribe.pipeline import may_have_new_items
from homescribe.pipeline.uploaded_files import delete_uploads, uploaded_files
from homescribe.text.display import count, moment, size
from homescribe.text.sanitize import terminal_safe

MOST_NAMED = 10  # items that are named before they are removed


@command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--all", "everything", is_flag=True, help="Read listings to their end, even past known items."
)
@selection_options
@configured(*REQUEST_SETTINGS)
def add(
    config: Config,
    sources: tuple[str, ...],
    everything: bool,
    since: str | None,
    latest: int | None,
) -> ExitCode:
    """Add recordings to the library, without downloading them.

    SOURCE is the address of a video, channel, playlist, podcast feed or show's web page, or a
    folder, a file or a pattern such as 'talks/*.mp3'. OPML or an m3u or pls playlist, as a file or
    at an address, adds what it lists, and `-` reads addresses from standard input, one per line.

    Adding a source again without --since and --latest adds what they left out.
    """
    with interruptible() as stop, open_library(config) as library:
        with open_sources(config, library) as opened:
            results = add_sources(
                library, opened, sources, stop, everything=everything, since=since, latest=latest
            )
        pending = library.status().states["pending"]
        if pending:
            message(f"{count(pending, 'item')} pending. Transcribe: homescribe run")
    return ExitCode.USER_ERROR if any(result.error for result in results) else ExitCode.OK


@click.group("sources", cls=CommandGroup, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured()
def sources_(config: Config, as_json: bool) -> None:
    """List the sources in which `sync` looks for new recordings."""
    context = click.get_current_context()
    if context.invoked_subcommand:
        context.obj["library"] = config.library  # also if given before the subcommand
        return
    with open_library(config, must_exist=True) as library:
        records = [record for record in library.sources() if may_have_new_items(library, record)]
    if as_json:
        print_json([source_as_json(record) for record in records])
        return
    print_table(
        ("items", "done", "failed", "listed", "title", "url"),
        [
            (
                str(record.items),
                str(record.done),
                str(record.failed),
                moment(record.listed_at) if record.listed_at else "",
                terminal_safe(record.title),
                terminal_safe(record.shown_url),
            )
            for record in records
        ],
        flexible=2,
        empty="No sources yet. Add one: homescribe add URL",
    )


@sources_.command("move")
@click.argument("old")
@click.argument("new")
@configured(*REQUEST_SETTINGS)
def move(config: Config, old: str, new: str) -> ExitCode:
    """Change the address of a source that has moved.

    OLD is its address as `homescribe sources` lists it; NEW is listed at once. Recordings that are
    recognized there keep their keys and transcripts. If NEW cannot be listed, nothing changes.
    """
    with interruptible() as stop, open_library(config, must_exist=True) as library:
        known = library.find_source(old)
        with open_sources(config, library) as opened:
            result = add_sources(library, opened, [new], stop, everything=True, moved_from=known)
    return ExitCode.USER_ERROR if any(one.error for one in result) else ExitCode.OK


@command()
@click.argument("names", metavar="KEY|URL...", nargs=-1, required=True)
@click.option(
    "--items", "with_items", is_flag=True, help="Also remove the items of the removed sources."
)
@click.option(
    "--keep-files", is_flag=True, help="Keep files that were uploaded to the page; sync adds them."
)
@click.option(
    "--ignore", is_flag=True, help="Never transcribe the removed items again: see `ignore`."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@configured()
def remove(
    config: Config,
    names: tuple[str, ...],
    with_items: bool,
    keep_files: bool,
    ignore: bool,
    yes: bool,
) -> None:
    """Remove items or sources from the library.

    KEY removes an item and its transcript. URL removes a source, as `homescribe sources` lists
    it, but keeps its items; with --items, items that only this source lists are removed too.
    `sync` adds a removed item again as long as one of the sources lists it, unless --ignore is
    given. Files that were
    uploaded to the page are deleted with their items; your own files are never touched.
    """
    with open_library(config, must_exist=True) as library:
        known = {record.url: record for record in library.sources()}
        found_urls = {name: library.source_url(name) for name in names}
        chosen = [known[url] for url in dict.fromkeys(found_urls.values()) if url is not None]
        named = [library.item(name).item.key for name in names if found_urls[name] is None]
        urls = [record.url for record in chosen]
        below = library.only_listed_by(urls) if with_items and urls else []
        keys = list(dict.fromkeys([*named, *below]))
        files = [] if keep_files else uploaded_files(library, keys)
        counted = ((len(urls), "source"), (len(keys), "item"), (len(files), "uploaded file"))
        found = " and ".join(count(number, noun) for number, noun in counted if number)
        # A run would store the transcripts of items that are gone.
        with library.run_lock() if keys else nullcontext():
            if not yes and not _confirmed(library, chosen, keys, found):
                message("Nothing removed.")
                return
            for url in urls:
                library.remove_source(url)
            library.remove(keys, ignore=ignore)
            delete_uploads(library, files)
    message(f"Removed {found}.")


def _confirmed(library: Library, sources: list[SourceRecord], keys: list[str], found: str) -> bool:
    """Print what would be removed, and return whether the user agrees."""
    if not sys.stdin.isatty():
        raise UserError(
            "Nothing was removed: standard input is not a terminal, so there is no confirmation.",
            "Add --yes to remove without confirmation.",
        )
    for source in sources:
        message(f"  source {terminal_safe(source.title)} ({terminal_safe(source.shown_url)})")
    for key in keys[:MOST_NAMED]:
        record = library.item(key)
        title = terminal_safe(record.item.title)
        message(f"  item {title} ({key}){_with_it(library, key)}")
        for copy in record.copies:
            message(f"    of which {terminal_safe(copy.url)} is a copy")
    if len(keys) > MOST_NAMED:
        rest = keys[MOST_NAMED:]
        done = sum(library.transcript(key) is not None for key in rest)
        message(f"  and {count(len(rest), 'more item')}, {count(done, 'transcript')}")
    return click.confirm(f"Remove {found}?", err=True)


def _with_it(library: Library, key: str) -> str:
    """Return what is removed with an item: ", its transcript, 2 corrections, its audio (11.0 MB)"."""
    parts = []
    if library.transcript(key) is not None:
        parts.append("its transcript")
        if corrected := len(library.corrections(key)):
            parts.append(count(corrected, "correction"))
    if kept := library.audio.find(key):
        parts.append(f"its audio ({size(kept.bytes)})")
    return "".join(f", {part}" for part in parts)


COMMANDS = (add, sources_, remove)
