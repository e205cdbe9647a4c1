"""The command `audio`: list the audio that the library keeps, and remove some."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from homescribe.assemble import audio_limit, open_library
from homescribe.cli.options import CommandGroup, configured
from homescribe.cli.output import print_json, print_table
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.library import KeptAudio, Library
from homescribe.library.as_json import kept_audio_as_json
from homescribe.text.display import clock, count, moment, size
from homescribe.text.sanitize import terminal_safe

MOST_NAMED = 10  # recordings that are named before their audio is removed
yes_option = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


@click.group("audio", cls=CommandGroup, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured()
def audio(config: Config, as_json: bool) -> None:
    """List the audio that the library keeps, the oldest first.

    The setting keep_audio says what runs keep of downloads, and keep_audio_limit how much.
    """
    context = click.get_current_context()
    if context.invoked_subcommand:
        context.obj["library"] = config.library  # also if given before the subcommand
        return
    with open_library(config, must_exist=True) as library:
        kept = library.audio.records()
    if as_json:
        print_json([kept_audio_as_json(one) for one in kept])
        return
    print_table(
        ("kept", "size", "what", "duration", "key", "title"),
        [
            (
                moment(one.kept_at),
                size(one.bytes),
                one.kind,
                clock(one.duration),
                one.key,
                terminal_safe(one.title),
            )
            for one in kept
        ],
        details=["" if one.is_there else f"missing: {one.path}" for one in kept],
        empty="No audio is kept. To keep that of downloads: homescribe run --keep-audio speech",
    )
    if kept:
        limit = audio_limit(config)
        most = f", of at most {size(limit)}" if limit is not None else ""
        message(f"Kept: {_amount(kept)}{most}.")


@audio.command("remove")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove the audio of all recordings.")
@yes_option
@configured()
def remove(config: Config, keys: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Remove the kept audio of recordings. Their transcripts stay."""
    if bool(keys) == everything:
        raise UserError(
            "Nothing was removed: name recordings, or --all.",
            "To list them: homescribe audio",
        )
    with open_library(config, must_exist=True) as library:
        chosen = {library.item(key).item.key for key in keys}
        kept = [one for one in library.audio.records() if everything or one.key in chosen]
        _remove(library, kept, yes=yes)


@audio.command("prune")
@yes_option
@configured("keep_audio_limit")
def prune(config: Config, yes: bool) -> None:
    """Remove the audio that was kept first, until the rest is within keep_audio_limit.

    Runs do the same when they keep more. Transcripts stay.
    """
    limit = audio_limit(config)
    if limit is None:
        raise UserError(
            "Nothing was removed: there is no limit.",
            "Name one: homescribe audio prune --keep-audio-limit 5GB",
        )
    with open_library(config, must_exist=True) as library:
        _remove(library, library.audio.over(limit), yes=yes)


def _remove(library: Library, kept: Sequence[KeptAudio], *, yes: bool) -> None:
    """Remove this audio if the user agrees, and print how much that was."""
    if not kept:
        message("No audio to remove.")
        return
    if not yes and not _confirmed(kept):
        message("Nothing removed.")
        return
    library.audio.remove([one.key for one in kept])
    message(f"Removed {_amount(kept)}.")


def _confirmed(kept: Sequence[KeptAudio]) -> bool:
    if not sys.stdin.isatty():
        raise UserError(
            "Nothing was removed: standard input is not a terminal, so there is no confirmation.",
            "Add --yes to remove without confirmation.",
        )
    for one in kept[:MOST_NAMED]:
        message(f"  {terminal_safe(one.title)} ({one.key}), {size(one.bytes)}")
    if len(kept) > MOST_NAMED:
        message(f"  and {len(kept) - MOST_NAMED:,} more")
    return click.confirm(f"Remove {_amount(kept)}? The transcripts stay.", err=True)


def _amount(kept: Sequence[KeptAudio]) -> str:
    recordings = count(len(kept), "recording")
    return f"the audio of {recordings}, {size(sum(one.bytes for one in kept))}"


COMMANDS = (audio,)
