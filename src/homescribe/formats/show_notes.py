"""notes.txt: chapters and quotes with their times, to paste below a video or an episode.

Plain text, because that is what video sites and podcast hosts take: they make links of the times themselves.
"""

from __future__ import annotations

from homescribe.core import Item, Transcript
from homescribe.formats.recording_facts import recording_address
from homescribe.formats.topics import (
    QUOTES,
    QUOTES_OF_PART,
    Sentence,
    divided,
    keywords,
    quotes,
    sentences,
)
from homescribe.plugins import link
from homescribe.text.display import clock
from homescribe.text.redaction import openable
from homescribe.text.sanitize import file_safe_line

TITLE_CHARACTERS = 60  # of the beginning of a part, where no word distinguishes it


def to_notes(item: Item, transcript: Transcript) -> str:
    """Show notes: title and address, chapters, and up to QUOTES quotes with links to their second.

    The chapters are the publisher's. Without any, they are where the topic changes, named by words that
    are used there and not elsewhere.
    """
    said = sentences(transcript)
    facts = [item.channel or "", item.upload_date or "", clock(transcript.duration)]
    blocks = [[item.title or item.id, " · ".join(filter(None, facts))]]
    if openable(address := recording_address(item), published=True):
        blocks[0].append(address)
    if item.chapters:
        marks = sorted(item.chapters, key=lambda chapter: chapter.start)
        starts = [chapter.start for chapter in marks]
        titles = [chapter.title for chapter in marks]
        heading = "Chapters"
        edges = [*starts[1:], float("inf")]
        parts = [
            [s for s in said if start <= s.start < end]
            for start, end in zip([float("-inf"), *starts[1:]], edges, strict=True)
        ]
    else:
        parts = divided(said, transcript.duration)
        # Video sites take chapters only if the first begins at 0:00.
        starts = [0.0, *(part[0].start for part in parts[1:])]
        titles = [
            words or part[0].text[:TITLE_CHARACTERS]
            for words, part in zip(keywords(parts), parts, strict=True)
        ]
        heading = "Chapters (suggested)"
    if len(starts) > 1:
        lines = [f"{clock(start)} {title}" for start, title in zip(starts, titles, strict=True)]
        blocks.append([heading, *lines])
    most = max(1, min(QUOTES_OF_PART if len(parts) > 2 else 4, QUOTES // max(1, len(parts))))
    chosen = [sentence for part in parts for sentence in quotes(part, most)][:QUOTES]
    if chosen:
        blocks.append(["Quotes", *(_quote(item, sentence) for sentence in chosen)])
    return "\n".join("".join(f"{file_safe_line(line)}\n" for line in block) for block in blocks)


def _quote(item: Item, sentence: Sentence) -> str:
    speaker = f" {sentence.speaker}," if sentence.speaker else ""
    quoted = f"“{sentence.text}”{speaker} {clock(sentence.start)}"
    address = link(item, sentence.start)
    return f"{quoted} {address}" if openable(address, published=True) else quoted
