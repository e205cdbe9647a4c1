"""Markdown tables of benchmarks.accuracy: one column for each implementation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median, quantiles

from benchmarks import scoring
from benchmarks.corpus import Recording
from benchmarks.scoring import Errors, RecordingResult, Share

Transcripts = dict[str, RecordingResult]  # by the id of the recording
HOUR = 3600.0  # seconds
START_TOLERANCES = (0.3, 0.5)  # seconds


def percent(part: float, whole: float) -> str:
    """Return "4.3 %", or "-" of nothing."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(recordings: Sequence[Recording], results: Mapping[str, Transcripts]) -> str:
    """Return all tables: errors by language, everything else, and words wrong by recording."""
    return "\n\n".join(
        (
            table(["words wrong", *results], _error_rows(recordings, results)),
            table(["", *results], _other_rows(recordings, results)),
            table(
                ["words wrong (passages lost, invented)", *results],
                _recording_rows(recordings, results),
            ),
        )
    )


def _error_rows(
    recordings: Sequence[Recording], results: Mapping[str, Transcripts]
) -> Iterable[list[str]]:
    """Yield words wrong for each language, and each language's long recordings."""
    spoken = [r for r in recordings if r.reference]
    groups = dict.fromkeys(recording.group for recording in spoken)
    for group in groups:
        members = [recording for recording in spoken if recording.group == group]
        yield _error_row(_with_count(group, members), members, results)
    by_language = {r.language: [s for s in spoken if s.language == r.language] for r in spoken}
    for language, of_language in by_language.items():
        single = [recording for recording in of_language if not recording.mixed]
        if len({recording.group for recording in single}) > 1:
            yield _error_row(_with_count(f"{language}, all", single), single, results)


def _with_count(group: str, members: Sequence[Recording]) -> str:
    unit = "characters" if members[0].by_character else "words"
    total = sum(len(scoring.units(m.reference or "", m.language, m.by_character)) for m in members)
    return f"{group} ({total} {unit})"


def _error_row(
    name: str, members: Sequence[Recording], results: Mapping[str, Transcripts]
) -> list[str]:
    cells = [name]
    for transcripts in results.values():
        found = list(_errors(members, transcripts))
        cells.append(percent(sum(e.wrong for e in found), sum(e.total for e in found)))
    return cells


def _errors(recordings: Iterable[Recording], transcripts: Transcripts) -> Iterable[Errors]:
    for recording in recordings:
        found = scoring.recording_errors(recording, transcripts[recording.id])
        if found is not None:
            yield found


def _other_rows(
    recordings: Sequence[Recording], results: Mapping[str, Transcripts]
) -> Iterable[list[str]]:
    """Yield a row for each other measure that the recordings allow."""
    spoken = [recording for recording in recordings if recording.reference]
    columns: list[list[tuple[str, str]]] = []
    for transcripts in results.values():
        found = list(_errors(spoken, transcripts))
        columns.append(
            [
                ("passages lost", str(sum(e.lost for e in found))),
                ("passages invented", str(sum(e.invented for e in found))),
                *_without_speech(recordings, transcripts),
                *_languages(recordings, transcripts),
                *_starts(recordings, transcripts),
                *_word_times(recordings, transcripts),
                *_punctuation(recordings, transcripts),
            ]
        )
    for cells in zip(*columns, strict=True):
        if any(value != "-" for _, value in cells):
            yield [cells[0][0], *(value for _, value in cells)]


def _without_speech(
    recordings: Sequence[Recording], transcripts: Transcripts
) -> Iterable[tuple[str, str]]:
    silent = [recording for recording in recordings if recording.reference == ""]
    words = sum(e.wrong for e in _errors(silent, transcripts))
    seconds = sum(recording.seconds for recording in silent)
    rate = f"{words / seconds * HOUR:.0f}" if seconds else "-"
    yield f"words in an hour without speech ({seconds / 60:.0f} minutes measured)", rate


def _languages(
    recordings: Sequence[Recording], transcripts: Transcripts
) -> Iterable[tuple[str, str]]:
    single = [r for r in recordings if r.language and not r.mixed]
    if any(r.language != "en" for r in recordings if r.language):
        right = sum(transcripts[r.id]["language"] == r.language for r in single)
        yield "language recognized, recordings", f"{right} of {len(single)}"
    share = sum(
        (scoring.utterance_languages(r, transcripts[r.id]) for r in recordings), Share(0, 0)
    )
    of_utterances = f"{share.found} of {share.total}" if share.total else "-"
    yield "language recognized, utterances of mixed recordings", of_utterances


def _starts(recordings: Sequence[Recording], transcripts: Transcripts) -> Iterable[tuple[str, str]]:
    distances = [d for r in recordings for d in scoring.start_distances(r, transcripts[r.id])]
    for tolerance in START_TOLERANCES:
        near = sum(distance <= tolerance for distance in distances)
        name = f"starts within {tolerance} s ({len(distances)} utterances)"
        yield name, percent(near, len(distances))
    of_segments = [
        d for r in recordings for d in scoring.segment_start_distances(r, transcripts[r.id])
    ]
    for tolerance in START_TOLERANCES:
        near = sum(distance <= tolerance for distance in of_segments)
        name = f"segments within {tolerance} s of their first word (segments)"
        yield name, f"{percent(near, len(of_segments))} ({len(of_segments)})"


def _word_times(
    recordings: Sequence[Recording], transcripts: Transcripts
) -> Iterable[tuple[str, str]]:
    timed = [recording for recording in recordings if recording.words]
    distances = [d for r in timed for d in scoring.word_distances(r, transcripts[r.id])]
    total = sum(len(recording.words) for recording in timed)
    if len(distances) < 2:
        values = "-"
    else:
        tenths = quantiles(distances, n=10, method="inclusive")
        values = f"{median(distances):.2f} s, {tenths[-1]:.2f} s ({len(distances)})"
    yield f"word times off: median, 90th percentile (of {total} words)", values


def _punctuation(
    recordings: Sequence[Recording], transcripts: Transcripts
) -> Iterable[tuple[str, str]]:
    for name, measure in (
        ("sentence ends kept", scoring.sentence_ends),
        ("capitals kept", scoring.capitals),
    ):
        share = sum((measure(r, transcripts[r.id]) for r in recordings), Share(0, 0))
        yield name, percent(share.found, share.total)


def _cell(errors: Errors | None) -> str:
    """Return "12.0 % (1, 0)", the passages only where there are any."""
    if errors is None:
        return "-"
    rate = percent(errors.wrong, errors.total) if errors.total else f"{errors.wrong} words"
    passages = f" ({errors.lost}, {errors.invented})" if errors.lost or errors.invented else ""
    return rate + passages


def _recording_rows(
    recordings: Sequence[Recording], results: Mapping[str, Transcripts]
) -> Iterable[list[str]]:
    for recording in recordings:
        if recording.reference is not None:
            found = (scoring.recording_errors(recording, t[recording.id]) for t in results.values())
            yield [recording.id, *map(_cell, found)]


def changes(recordings: Sequence[Recording], before: Transcripts, now: Transcripts) -> str:
    """Return a table of the recordings whose errors or language differ between two runs."""
    rows: list[list[str]] = []
    for recording in recordings:
        if recording.id not in before:
            continue
        old, new = before[recording.id], now[recording.id]
        first, second = (scoring.recording_errors(recording, result) for result in (old, new))
        if first != second or old["language"] != new["language"]:
            cells = [f"{_cell(first)} {old['language']}", f"{_cell(second)} {new['language']}"]
            rows.append([recording.id, *cells])
    return table(["recording", "before", "now"], rows) if rows else "No differences."
