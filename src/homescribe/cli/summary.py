"""What a command says about items that earlier runs finished, and at the end of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from homescribe.assemble import run_options
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.core import Transcript
from homescribe.errors import HomescribeError, SourceBlocked
from homescribe.formats.made_with import differences, engine_in_words
from homescribe.library import ItemRecord, Library
from homescribe.pipeline import Progress
from homescribe.pipeline.kept_corrections import lost_corrections
from homescribe.speakers.speaker_setting import AUTO, speakers_option
from homescribe.text.display import count, moment, realtime, span
from homescribe.text.sanitize import terminal_message, terminal_safe

MOST_ITEMS = 5  # that are named
MOST_REASONS = 8  # of failures, at the end of a run
# Settings that a transcript shows, also one that does not state its options.
IN_TEXT = frozenset({"engine", "model", "language", "speakers", "word_timestamps"})

# --- Earlier runs --------------------------------------------------------------------------------


def report_earlier_results(
    library: Library, keys: Collection[str], config: Config, origins: Mapping[str, str]
) -> int:
    """Print which of `keys` earlier runs transcribed, and which failed; return how many failed.

    Args:
        origins: where each setting of `config` comes from.
    """
    transcribed = [
        (key, found)
        for key in keys
        if library.item(key).state == "done" and (found := library.transcript(key))
    ]
    if transcribed:
        _report_transcribed(library, dict(transcribed), config, origins)
    chosen = set(keys)
    failed = [record for record in library.items(state="failed") if record.item.key in chosen]
    for record in failed[:MOST_ITEMS]:
        message(
            f"{_named(record)} failed in an earlier run: {terminal_message(record.error or '')}"
        )
        if record.hint:
            message(f"  {terminal_message(record.hint)}")
    ignored = [record.item.key for record in library.items(state="ignored")]
    for key in [key for key in ignored if key in chosen][:MOST_ITEMS]:
        message(
            f"{_named(library.item(key))} is ignored. To transcribe it: homescribe ignore --undo {key}"
        )
    if len(failed) > MOST_ITEMS:
        message(f"{len(failed) - MOST_ITEMS:,} more failed: homescribe list --state failed")
    if failed:
        key = failed[0].item.key if len(failed) == 1 else "KEY"
        message(f"To try again: homescribe retry {key}")
    return len(failed)


def _report_transcribed(
    library: Library,
    transcripts: Mapping[str, Transcript],
    config: Config,
    origins: Mapping[str, str],
) -> None:
    """Print that items are already transcribed, with what, and which options differ from that."""
    models = sorted({engine_in_words(found) for found in transcripts.values()})
    named = ""
    if len(transcripts) == 1:
        [key] = transcripts
        named = f": {_named(library.item(key))}"
    items = count(len(transcripts), "item")
    message(f"{items} already transcribed ({', '.join(models)}){named}.")
    differing = Counter(
        difference
        for found in transcripts.values()
        for difference in requested_differences(config, origins, found).items()
    )
    if not differing:
        return
    texts = dict.fromkeys(text for _, text in differing)
    message(f"Not used, because the stored transcripts stay: {', '.join(texts)}.")
    names = {name for name, _ in differing}
    if "speakers" in names and config.speakers:
        key = next(iter(transcripts)) if len(transcripts) == 1 else "KEY"
        how = speakers_option(config.speakers)
        flag = "" if how == AUTO else f" --speakers {how}"
        message(f"To tell speakers apart without transcribing: homescribe speakers {key}{flag}")
    if names - {"speakers"}:
        message("To transcribe again with these options, repeat the command with --again.")


def requested_differences(
    config: Config, origins: Mapping[str, str], transcript: Transcript
) -> dict[str, str]:
    """Return by its name each option that the user requests and `transcript` was not made with.

    Settings that are not set request nothing. Those of config.toml do, but count for a transcript that does
    not state its options only if they show in its text: the others may have been set at the time.
    """
    found = differences(transcript, config.engine, config.model, run_options(config))
    unknown = transcript.options is None
    return {
        name: terminal_safe(difference)
        for name, difference in found.items()
        if origins.get(name) == "flag"
        or (origins.get(name) != "default" and not (unknown and name not in IN_TEXT))
    }


def _named(record: ItemRecord) -> str:
    return f"{terminal_safe(record.item.title)} ({record.item.key})"


# --- The end of a run ----------------------------------------------------------------------------


def print_summary(
    progress: Progress, library: Library, failures: Iterable[HomescribeError], seconds: float
) -> None:
    """Print how many items were transcribed, and how many failed, by reason, with what to do."""
    speed = f", {realtime(progress.audio_seconds_done / seconds)}" if seconds else ""
    failed = "0 failed." if not progress.failed else f"{progress.failed} failed:"
    done = f" ({span(progress.audio_seconds_done)} of audio in {span(seconds)}{speed})"
    message(f"{count(progress.done, 'item')} transcribed{done if progress.done else ''}, {failed}")
    print_reasons(failures)
    if progress.failed:
        message("Which items: homescribe list --state failed")
    retries = [
        record.retry_at
        for record in library.items(state="failed")
        if record.retry_at and not record.permanent
    ]
    if retries:
        items = count(len(retries), "failed item")
        message(f"{items} will be tried again by runs after {moment(min(retries))}.")


def print_reasons(failures: Iterable[HomescribeError]) -> None:
    """Print how many items failed for each reason, with what to do."""
    reasons = Counter(
        (terminal_message(error.message), terminal_message(error.hint))
        for error in failures
        if not isinstance(error, SourceBlocked)
    )
    for (reason, hint), number in reasons.most_common(MOST_REASONS):
        message(f"{number:>4} x {reason}")
        if hint:
            message(f"{'':<7}{hint}")
    if len(reasons) > MOST_REASONS:
        rest = sum(reasons.values()) - sum(n for _, n in reasons.most_common(MOST_REASONS))
        message(f"{rest:>4} x other reasons")


# --- Corrections ---------------------------------------------------------------------------------


def report_corrections(library: Library, before: Mapping[str, int]) -> None:
    """Print which corrections were not carried over to a new transcript.

    Args:
        before: `corrected_lines` before the run.
    """
    for key, sentence in lost_corrections(library, before):
        message(f"{_named(library.item(key))}: {sentence}")
