"""Commands that read the library: list, status, search, show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import click

from homescribe import plugins
from homescribe.assemble import open_library
from homescribe.cli.caption_report import captions_in_words
from homescribe.cli.commands.cloud import spent_in_words
from homescribe.cli.options import command, configured
from homescribe.cli.output import (
    highlighted,
    print_cut,
    print_json,
    print_table,
    print_wrapped,
)
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.core import Item, Skipped, Transcript
from homescribe.errors import UserError
from homescribe.formats.coverage import (
    NO_SPEECH,
    hole_in_words,
    languages_in_words,
    skipped_in_words,
    with_holes,
)
from homescribe.formats.made_with import engine_in_words, options_in_words
from homescribe.formats.whisper import as_object
from homescribe.library import ItemRecord, State
from homescribe.library.as_json import hit_as_json, item_as_json, status_as_json
from homescribe.library.search import HitCount, Order, number_of
from homescribe.plugins import link
from homescribe.text.display import clock, count, moment, realtime, size, span
from homescribe.text.redaction import shown_item
from homescribe.text.sanitize import terminal_message, terminal_safe

# Colors that are apart for most people and readable on dark and on light.
SPEAKER_COLORS = ("blue", "yellow", "cyan", "magenta", "green", "red")
UNKNOWN_SPEAKER = "\N{EN DASH}"

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
channel_option = click.option("--channel", metavar="NAME", help="Only items of this channel.")
since_option = click.option(
    "--since", metavar="DATE", help="Only items uploaded since this date (2026-03-01)."
)
until_option = click.option("--until", metavar="DATE", help="Only items uploaded until this date.")


@command("list")
@click.option("--state", type=click.Choice(get_args(State)), help="Only items in this state.")
@click.option("--captions", is_flag=True, help="Only items whose transcript is captions.")
@channel_option
@since_option
@until_option
@as_json_option
@configured()
def list_(
    config: Config,
    state: State | None,
    captions: bool,
    channel: str | None,
    since: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    """List items with their state, date, duration, key and title."""
    with open_library(config, must_exist=True) as library:
        library.check_channel(channel)
        library.apply_caption_policy(config.captions)
        found = library.items(
            state=state,
            captions="any" if captions else None,
            channel=channel,
            since=since,
            until=until,
        )
        records = list(found)
    if as_json:
        print_json([item_as_json(record) for record in records])
        return
    print_table(
        ("state", "date", "duration", "key", "title"),
        [
            (
                _state(record),
                record.item.upload_date or "",
                clock(record.item.duration),
                record.item.key,
                terminal_safe(record.item.title),
            )
            for record in records
        ],
        details=[_copies(record) for record in records],
        notes=[_reason(record) for record in records],
        empty="No items match these options."
        if state or captions or channel or since or until
        else "No items found. To add some: homescribe add URL",
    )


@command()
@as_json_option
@configured()
def status(config: Config, as_json: bool) -> None:
    """Print the items in each state, hours of audio, and costs."""
    with open_library(config, must_exist=True) as library:
        library.apply_caption_policy(config.captions)
        figures = library.status()
        captions, refused = library.caption_figures(), library.blocked_captions()
        waits = library.blocked_sites()
        spent = library.spending()
        measured = library.measured("ray")
        kept = library.audio.total()
    if as_json:
        print_json(status_as_json(figures, waits, spent, measured, kept, captions, refused))
        return
    for state, number in figures.states.items():
        click.echo(f"{state:<10} {number:>7,}")
    if captions.found:
        click.echo(f"{'captions':<10} {captions_in_words(captions)}")
    click.echo(f"{'audio':<10} {span(figures.audio_seconds_done)} of {span(figures.audio_seconds)}")
    click.echo(f"{'library':<10} {figures.path} ({size(figures.bytes)})")
    if kept.files:
        recordings = count(kept.files, "recording")
        click.echo(f"{'kept':<10} the audio of {recordings} ({size(kept.bytes)})")
    if spent.calls:
        click.echo(f"{'spent':<10} {spent_in_words(spent)}")
    for machine in measured:
        speed = realtime(machine.speed)
        click.echo(f"{machine.machine:<10} {count(machine.calls, 'call')}, {speed} for one worker")
    for site, (until, reason) in waits.items():
        click.echo(f"No downloads from {site} before {moment(until)}: {terminal_safe(reason)}")
    for key, (until, reason) in refused.items():
        click.echo(f"No requests for {key} before {moment(until)}: {terminal_safe(reason)}")


@command()
@click.argument("query", nargs=-1)
@click.option("--speaker", metavar="NAME", help="Only what this person says.")
@click.option(
    "--raw", is_flag=True, help="QUERY uses SQLite's FTS5 syntax (AND, OR, NOT, NEAR, prefix*)."
)
@channel_option
@since_option
@until_option
@click.option(
    "--sort",
    "order",
    type=click.Choice(get_args(Order)),
    default="rank",
    show_default=True,
    help="Best first, or the newest recording first.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    metavar="N",
    help="Most results.",
)
@as_json_option
@configured()
def search(
    config: Config,
    query: tuple[str, ...],
    speaker: str | None,
    raw: bool,
    channel: str | None,
    since: str | None,
    until: str | None,
    order: Order,
    limit: int,
    as_json: bool,
) -> None:
    """Search the transcripts.

    Each result links to its time in the recording. All words must occur near each other; words in
    "quotes" must occur as a phrase. speaker:ann or speaker:"Ann Lee" in QUERY is as --speaker;
    without other words, all that this person says is listed.
    """
    if not query and speaker is None:
        raise UserError("Nothing to search for.", "Give words: homescribe search WORD...")
    with open_library(config, must_exist=True) as library:
        library.check_channel(channel)
        hits = library.search(
            " ".join(query),
            speaker=speaker,
            raw=raw,
            channel=channel,
            since=since,
            until=until,
            order=order,
            limit=limit,
        )
        found = number_of(hits, limit)
        if len(hits) == limit:
            found = library.count_hits(
                " ".join(query),
                speaker=speaker,
                raw=raw,
                channel=channel,
                since=since,
                until=until,
            )
        meant = None if hits or raw else library.did_you_mean(" ".join(query))
    if as_json:
        print_json([hit_as_json(hit) for hit in hits])
        _report_total(found, len(hits), limit)
        return
    if not hits:
        message(f"No results. Did you mean: {terminal_safe(meant)}" if meant else "No results.")
    last = None
    for hit in hits:
        if hit.key != last:
            captions = f"{hit.captions} captions" if hit.captions else ""
            about = " · ".join(
                terminal_safe(part)
                for part in (hit.title, hit.channel, hit.upload_date, captions)
                if part
            )
            print_cut(about)
            last = hit.key
        time = clock(hit.start) if hit.end else "about"  # in the title or description
        who = f"{click.style(terminal_safe(hit.speaker), bold=True)}: " if hit.speaker else ""
        print_wrapped(f"  {time:>7}  ", f"{who}{highlighted(hit.text, hit.highlights)}")
        click.echo(f"{'':<11}{terminal_safe(hit.url)}")
    _report_total(found, len(hits), limit)


def _report_total(found: HitCount, shown: int, limit: int) -> None:
    """Print how many results there are in all, if there are more than those that are shown."""
    if found.hits <= shown and found.exact:
        return
    total = f"{found.hits:,}" if found.exact else f"more than {found.hits:,}"
    where = f" in {count(found.recordings, 'recording')}" if found.exact else ""
    message(f"{shown:,} of {total} results{where}. To see more: --limit {10 * limit}")


@command()
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@as_json_option
@configured()
def show(config: Config, keys: tuple[str, ...], as_json: bool) -> None:
    """Print items and their transcripts.

    Prints the time of each segment, and who speaks where it changes. A `?` marks segments that may
    be wrong, with the reason. Stretches of more than five seconds without text are marked, too.
    """
    with open_library(config, must_exist=True) as library:
        records = [library.item(key) for key in keys]
        if as_json:
            found = [_as_json(record, library.transcript(record.item.key)) for record in records]
            print_json(found if len(found) > 1 else found[0])
            return
        for number, record in enumerate(records):
            if number:
                click.echo()
            _show(record, library.transcript(record.item.key))


def _as_json(record: ItemRecord, transcript: Transcript | None) -> dict[str, object]:
    exported = as_object(record.item, transcript) if transcript else None
    return {**item_as_json(record), "transcript": exported}


def _show(record: ItemRecord, transcript: Transcript | None) -> None:
    for name, value in _facts(record, transcript):
        print_wrapped(f"{name:<9} ", terminal_safe(value))
    if transcript:
        click.echo()
        if not transcript.segments:
            click.echo(NO_SPEECH)
        names = transcript.speaker_names
        speaker: str | None = None
        for segment in with_holes(transcript):
            if isinstance(segment, Skipped):
                line = f"{clock(segment.start):>8}   [{hole_in_words(segment)}]"
                click.echo(click.style(line, dim=True))
                continue
            doubt = "?" if segment.flags else " "
            flags = f"  ({', '.join(segment.flags).replace('_', ' ')})" if segment.flags else ""
            who = ""
            if segment.speaker != speaker:
                speaker = segment.speaker
                who = _name(names, speaker)
            print_wrapped(
                f"{clock(segment.start):>8} {doubt} ", f"{who}{terminal_safe(segment.text)}{flags}"
            )


def _name(names: Mapping[str, str], label: str | None) -> str:
    """Return what stands in front of a line where the speaker changes; a dash for an unknown one."""
    if label is None or label not in names:
        return f"{UNKNOWN_SPEAKER} "
    color = SPEAKER_COLORS[list(names).index(label) % len(SPEAKER_COLORS)]
    return f"{click.style(terminal_safe(names[label]), fg=color, bold=True)}: "


def _state(record: ItemRecord) -> str:
    """Return the state, and that the transcript is captions: "pending (automatic captions)"."""
    return f"{record.state} ({record.captions} captions)" if record.captions else record.state


def _reason(record: ItemRecord) -> str:
    """Return why an item failed, and when it is tried again, or that it has no text; else ""."""
    if record.state == "done" and not record.speech:
        return NO_SPEECH
    if not record.error or record.state == "done":
        return ""
    again = f" (retry after {moment(record.retry_at)})" if record.retry_at else ""
    return f"{terminal_message(record.error)}{again}"


def _copies(record: ItemRecord) -> str:
    """Return the other files with the same content, "" if there are none."""
    paths = ", ".join(terminal_safe(copy.url) for copy in record.copies)
    return f"also: {paths}" if paths else ""


def _facts(record: ItemRecord, transcript: Transcript | None) -> list[tuple[str, str]]:
    item: Item = shown_item(record.item)
    facts = [
        ("title", terminal_safe(item.title)),
        ("channel", terminal_safe(item.channel or "")),
        ("date", item.upload_date or ""),
        ("duration", clock(transcript.duration if transcript else item.duration)),
        (
            "link",
            terminal_safe(link(item, 0) if plugins.source_of(item).local_path(item) else item.url),
        ),
        *(("copy", terminal_safe(copy.url)) for copy in record.copies),
        ("key", item.key),
        ("state", _state(record)),
        ("error", terminal_message(record.error or "")),
        ("hint", terminal_message(record.hint or "")),
        ("retry at", moment(record.retry_at) if record.retry_at else ""),
    ]
    if transcript:
        model = engine_in_words(transcript)
        if transcript.segments:
            model += f", {transcript.language}"
        facts.append(("model", model))
        facts.append(("options", terminal_safe(options_in_words(transcript))))
        if transcript.segments:
            languages = languages_in_words(transcript)
            facts.append(("languages", languages if languages != transcript.language else ""))
            facts.append(("no text", skipped_in_words(transcript)))
        shown = transcript.speaker_names
        speaking = (f"{shown[each.label]} ({span(each.seconds)})" for each in transcript.speakers)
        facts.append(("speakers", terminal_safe(", ".join(speaking))))
        facts += [("note", terminal_safe(warning)) for warning in transcript.warnings]
    return [(name, value) for name, value in facts if value]


COMMANDS = (list_, status, search, show)
