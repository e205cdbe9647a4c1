"""The command that writes transcripts as files: export."""

from __future__ import annotations

from pathlib import Path

import click

from homescribe.assemble import open_library
from homescribe.cli.combined_export import write_combined, write_site_and_report
from homescribe.cli.commands.query import channel_option, since_option, until_option
from homescribe.cli.export_writer import ExportWriter, Target
from homescribe.cli.options import SUBTITLE_SETTINGS, command, configured, export_options
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.exit_codes import ExitCode
from homescribe.formats.combined import PART_WORDS
from homescribe.library import ItemRecord, Library
from homescribe.text.display import count


@command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@channel_option
@since_option
@until_option
@export_options(required_unless="site", directory="LIBRARY/exports")
@click.option(
    "--combine",
    is_flag=True,
    help="Write all transcripts into one file, for language models: with -f md or -f jsonl.",
)
@click.option(
    "--part-words",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"With --combine: begin another file after this many words. Default: {PART_WORDS:,}.",
)
@click.option(
    "--site",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write a website with a page for each recording and a search, which needs no server.",
)
@configured(*SUBTITLE_SETTINGS)
def export(
    config: Config,
    keys: tuple[str, ...],
    channel: str | None,
    since: str | None,
    until: str | None,
    formats: list[str],
    target: Target,
    combine: bool,
    part_words: int | None,
    site: Path | None,
) -> ExitCode:
    """Write transcripts as files: all, by KEY, or of a channel."""
    subtitles = config.subtitles()
    with open_library(config, must_exist=True) as library:
        directory = library.directory / "exports"
        if part_words and not combine:
            raise UserError("--part-words has no effect without --combine.", "Add --combine.")
        if site and (formats or combine or target != Target()):
            raise UserError("--site and other outputs exclude each other.", "Give either of them.")
        chosen = _chosen(library, keys, channel, since, until)
        done = [record for record in chosen if record.has_transcript]
        if site:
            write_site_and_report(library, done, site)
            failed = 0
        elif combine:
            write_combined(
                library, done, formats, target, part_words or PART_WORDS, default=directory
            )
            failed = 0
        else:
            writer = ExportWriter(formats, target, subtitles, default=directory)
            writer.write_stored(library, [record.item.key for record in done])
            writer.report()
            failed = writer.failed
    if len(done) < len(chosen):
        raise UserError(
            f"{len(chosen) - len(done)} of {count(len(chosen), 'item')} not transcribed yet.",
            "Transcribe them first: homescribe run",
        )
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def _chosen(
    library: Library,
    keys: tuple[str, ...],
    channel: str | None,
    since: str | None,
    until: str | None,
) -> list[ItemRecord]:
    """Return the items with `keys`, or the transcribed ones that match the filters."""
    if not keys:
        library.check_channel(channel)
        found = library.items(channel=channel, since=since, until=until)
        return [record for record in found if record.has_transcript]
    if channel or since or until:
        raise UserError(
            "KEY and --channel, --since or --until exclude each other.", "Give either of them."
        )
    records = [library.item(key) for key in keys]
    return list({record.item.key: record for record in records}.values())


COMMANDS = (export,)
