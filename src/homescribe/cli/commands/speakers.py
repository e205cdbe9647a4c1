"""The commands about speakers: find them, and give them names."""

from __future__ import annotations

import difflib
import sys

import click

from homescribe.assemble import build_speaker_run, open_library, open_sources
from homescribe.cli.interrupt import interruptible
from homescribe.cli.options import REQUEST_SETTINGS, Group, configured
from homescribe.cli.output import print_json, print_table
from homescribe.cli.program import message
from homescribe.cli.progress import Display
from homescribe.cli.summary import print_reasons
from homescribe.config import Config
from homescribe.core import Speaker
from homescribe.errors import Cancelled, HomescribeError, UserError
from homescribe.exit_codes import ExitCode
from homescribe.library import Library, Naming
from homescribe.library.as_json import speaker_as_json, voice_as_json
from homescribe.text.display import count, span
from homescribe.text.sanitize import terminal_safe

FIND = "find"
MISTYPED = 0.75  # likeness to a command's name, by difflib
SPEAKER_SETTINGS = ("speakers", "speaker_segmentation", "speaker_embedding", "audio_track")


class SpeakersGroup(Group):
    """The commands about speakers. `homescribe speakers KEY` is short for `homescribe speakers find KEY`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not self.commands.keys() & set(args):
            # Neither a request for help nor a mistyped command is a KEY.
            names = [*self.commands, "-h", "--help"]
            if not difflib.get_close_matches(args[0], names, cutoff=MISTYPED):
                args = [FIND, *args]
        return super().parse_args(ctx, args)


@click.group("speakers", cls=SpeakersGroup)
def speakers_() -> None:
    """Find out who speaks, and give speakers names.

    \b
    homescribe speakers KEY                            find the speakers of a transcribed recording
    homescribe speakers rename KEY "Speaker 1" Ann     name one

    A name is known by its voice in the other recordings of the same source or channel, and in the
    next one. "Ann?" may be Ann: `confirm` or `reject` it. Voices stay in the library.

    In these commands a SPEAKER is a number, a label such as SPEAKER_00, or a name: then all
    speakers of the recording with this name are meant.
    """


@speakers_.command(FIND)
@click.argument("names", metavar="[KEY|URL]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All items without speakers.")
@configured(*SPEAKER_SETTINGS, "sleep_interval", *REQUEST_SETTINGS)
def find(config: Config, names: tuple[str, ...], everything: bool) -> ExitCode:
    """Find the speakers of recordings that are transcribed.

    Nothing is transcribed again. KEY is an item, URL a source, whose items without speakers are
    chosen. The audio is read from the disk, or downloaded if the library does not keep it. Text,
    corrections and names stay.
    """
    if not names and not everything:
        raise UserError(
            "Nothing was chosen.", "Name items (homescribe speakers KEY), or use --all for all."
        )
    if names and everything:
        raise UserError(
            "Both KEY and --all were given.", "Name items or sources, or use --all, not both."
        )
    with interruptible() as stop, open_library(config, must_exist=True) as library:
        keys = _chosen(library, names, everything)
        if not keys:
            message("All transcribed items have speakers.")
            return ExitCode.OK
        with open_sources(config, library) as sources:
            run = build_speaker_run(config, library, sources, keys, stop=stop)
            display = Display(run, "listening")
            failures: dict[str, HomescribeError] = {}
            with display.live_view():
                for outcome in run:
                    display.print_outcome(outcome)
                    if outcome.transcript:
                        failures.pop(outcome.item.key, None)
                    elif outcome.error:
                        failures[outcome.item.key] = outcome.error
        if len(keys) == 1 and run.progress.done:
            _print_speakers(library.speakers(keys[0]))
        elif run.progress.items:
            message(
                f"{count(run.progress.done, 'item')} with speakers, {run.progress.failed} failed."
            )
        else:
            message("Nothing was done: a new transcript is on its way. First: homescribe run")
        print_reasons(failures.values())
    if stop.is_set():
        raise Cancelled
    return ExitCode.SOME_FAILED if failures else ExitCode.OK


def _chosen(library: Library, names: tuple[str, ...], everything: bool) -> list[str]:
    """Return the keys of the transcribed items that are meant, each once."""
    if everything:
        return library.without_speakers()
    keys: list[str] = []
    for name in names:
        url = library.source_url(name)
        if url is not None:
            keys += library.without_speakers(url)
            continue
        record = library.item(name)
        if record.state != "done":
            raise UserError(
                f"{record.item.key} is not transcribed yet.",
                f"Transcribe it with its speakers: homescribe run {record.item.key} --speakers auto",
            )
        keys.append(record.item.key)
    return list(dict.fromkeys(keys))


@speakers_.command("list")
@click.argument("key", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured()
def list_speakers(config: Config, key: str | None, as_json: bool) -> None:
    """List the speakers of an item, or all who have a name."""
    with open_library(config, must_exist=True) as library:
        if key is None:
            _list_people(library, as_json)
            return
        key = library.item(key).item.key
        speakers = library.speakers(key)
    if as_json:
        print_json([speaker_as_json(each, number) for number, each in enumerate(speakers, 1)])
    elif speakers:
        _print_speakers(speakers)
    else:
        message(f"Its speakers are not known. Find them: homescribe speakers {key}")


def _print_speakers(speakers: tuple[Speaker, ...]) -> None:
    print_table(
        ("speaker", "speech", "named by", "name"),
        [
            (
                str(number),
                span(each.seconds),
                "you" if each.named_by == "person" else each.named_by or "",
                terminal_safe(each.shown_name(number)),
            )
            for number, each in enumerate(speakers, 1)
        ],
        empty="No speech was found.",
    )


def _list_people(library: Library, as_json: bool) -> None:
    people = library.people()
    if as_json:
        print_json(
            [
                {"name": each.name, "recordings": each.recordings, "seconds": each.seconds}
                for each in people
            ]
        )
        return
    print_table(
        ("recordings", "speech", "name"),
        [(str(each.recordings), span(each.seconds), terminal_safe(each.name)) for each in people],
        empty="No speaker has a name yet. Give one: homescribe speakers rename KEY OLD NEW",
    )


@speakers_.command("rename")
@click.argument("key")
@click.argument("old")
@click.argument("new")
@configured()
def rename(config: Config, key: str, old: str, new: str) -> None:
    """Name a speaker of an item everywhere in it.

    OLD is a speaker, NEW the name; "" removes a name. Where the voice of OLD is known in other
    recordings, it gets the name there, too.
    """
    with open_library(config, must_exist=True) as library:
        _report(library.name_speaker(key, _labels(library, key, old), new))


@speakers_.command("confirm")
@click.argument("key")
@click.argument("speaker")
@configured()
def confirm(config: Config, key: str, speaker: str) -> None:
    """Confirm a name that was recognized by its voice.

    "Ann?" is Ann: from then on, her voice is known better.
    """
    with open_library(config, must_exist=True) as library:
        _report(library.confirm_speaker(key, _labels(library, key, speaker)))


@speakers_.command("reject")
@click.argument("key")
@click.argument("speaker")
@configured()
def reject(config: Config, key: str, speaker: str) -> None:
    """Reject a name that was recognized by its voice.

    "Ann?" is not Ann, and will not become her.
    """
    with open_library(config, must_exist=True) as library:
        library.reject_speaker(key, _labels(library, key, speaker))
    message("Rejected. To undo: homescribe speakers undo")


@speakers_.command("undo")
@configured()
def undo(config: Config) -> None:
    """Undo the latest rename, confirm or reject.

    What it changed in other recordings is undone, too.
    """
    with open_library(config, must_exist=True) as library:
        keys = library.undo_naming()
    message(f"Undone in {count(len(keys), 'recording')}.")


@speakers_.command("voices")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured()
def voices(config: Config, as_json: bool) -> None:
    """List the voices that are known by a name.

    A voice is looked for in the sources and channels in which you named it.
    """
    with open_library(config, must_exist=True) as library:
        found = library.voices()
    if as_json:
        print_json([voice_as_json(each) for each in found])
        return
    print_table(
        ("recordings", "maybe", "speech", "name", "in"),
        [
            (
                str(each.recordings),
                str(each.maybe),
                span(each.seconds),
                terminal_safe(each.name),
                terminal_safe(", ".join(each.sources)),
            )
            for each in found
        ],
        flexible=2,
        empty="No voice has a name yet. Give one: homescribe speakers rename KEY OLD NEW",
    )


@speakers_.command("rename-voice")
@click.argument("old")
@click.argument("new")
@configured()
def rename_voice(config: Config, old: str, new: str) -> None:
    """Rename a voice in all recordings in which it is known."""
    with open_library(config, must_exist=True) as library:
        library.rename_voice(library.find_voices(old), new)
    message("Renamed. To undo: homescribe speakers undo")


@speakers_.command("forget")
@click.argument("name", required=False)
@click.option(
    "--all", "everything", is_flag=True, help="Forget all voices, also those without a name."
)
@click.option("--keep-names", is_flag=True, help="Keep the names in the transcripts, as text.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@configured()
def forget(config: Config, name: str | None, everything: bool, keep_names: bool, yes: bool) -> None:
    """Delete a voice from the library, and its name.

    No byte is left in library.db of the speakers with this name. The same voice stays stored for
    speakers without it, such as those of recordings in which it was not recognized: only --all
    deletes these, too. Copies that you made of the library still have it. This cannot be undone.
    """
    if (name is None) != everything:
        raise UserError("Nothing was forgotten.", "Give the NAME of a voice, or --all.")
    with open_library(config, must_exist=True) as library:
        chosen = None if name is None else library.find_voices(name)
        what = "all voices" if name is None else f"the voice of {terminal_safe(name)}"
        if not yes:
            if not sys.stdin.isatty():
                raise UserError(
                    "Nothing was forgotten: standard input is not a terminal, so there is no confirmation.",
                    "Add --yes to forget without confirmation.",
                )
            if not click.confirm(f"Forget {what}?", err=True):
                message("Nothing forgotten.")
                return
        if chosen is None:
            number = library.forget_all_voices(keep_names=keep_names)
        else:
            number = sum(library.forget_voice(each, keep_names=keep_names) for each in chosen)
        backups = library.backups_with_voices()
    message(f"Forgotten: {what}, from {count(number, 'speaker')} of recordings.")
    if backups:
        message(f"Still in backups, which you may delete: {', '.join(backups)}")


def _labels(library: Library, key: str, wanted: str) -> list[str]:
    """Return the labels of the speakers of an item that a number, a label, or else a name means.

    UserError if there are none.
    """
    speakers = library.speakers(key)
    shown = {each.label: each.shown_name(number) for number, each in enumerate(speakers, 1)}
    word = wanted.strip().casefold()
    for number, each in enumerate(speakers, 1):
        if word in (str(number), each.label.casefold(), f"speaker {number}"):
            return [each.label]
    named = [
        each.label
        for each in speakers
        if word and word in ((each.name or "").casefold(), shown[each.label].casefold())
    ]
    if named:
        return named
    if not speakers:
        raise UserError(
            f"The speakers of {key} are not known.", f"Find them: homescribe speakers {key}"
        )
    names = ", ".join(terminal_safe(name) for name in shown.values())
    raise UserError(f"There is no speaker {wanted} in {key}.", f"Its speakers: {names}")


def _report(naming: Naming) -> None:
    """Print what a naming has changed."""
    others = []
    if naming.recordings:
        others.append(f"also known in {count(naming.recordings, 'other recording')}")
    if naming.maybe:
        others.append(f"maybe in {naming.maybe:,}")
    named = f"Named {terminal_safe(naming.name)}" if naming.name else "Name removed"
    message(f"{', '.join([named, *others])}. To undo: homescribe speakers undo")


COMMANDS = (speakers_,)
