"""Many transcripts in one file, or in parts of bounded size: for language models and notebooks.

A part is divided between two paragraphs at most. One that begins inside a recording repeats what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from homescribe.core import Item, Transcript
from homescribe.errors import UserError
from homescribe.formats.json_lines import paragraph_lines
from homescribe.formats.markdown import page_blocks, page_header
from homescribe.text.scripts import count_words

# Of a part. NotebookLM takes sources of up to 500,000 words. The time before a paragraph counts as a word.
PART_WORDS = 400_000

INTRODUCTION = (
    "Transcripts of recordings, made by speech recognition: names and numbers may be wrong. Each recording "
    "is a section. Each paragraph begins with its time, which links to that second of the recording."
)


@dataclass(frozen=True, slots=True)
class _Format:
    introduction: str
    header: Callable[[Item, Transcript, bool], str]  # the last: whether the recording began before
    blocks: Callable[[Item, Transcript], Iterator[str]]
    separator: str


_FORMATS = {
    "md": _Format(
        INTRODUCTION,
        lambda item, transcript, continued: page_header(item, transcript, continued=continued),
        page_blocks,
        "\n\n",
    ),
    "jsonl": _Format("", lambda item, transcript, continued: "", paragraph_lines, "\n"),
}


def checked_format(formats: list[str]) -> str:
    """Return the one format; raise UserError unless its files can be put together."""
    if len(formats) != 1 or formats[0] not in _FORMATS:
        raise UserError(
            f"Transcripts can be combined as {' or '.join(_FORMATS)}, not as {', '.join(formats)}.",
            "Give one of them: -f md",
        )
    return formats[0]


def parts(
    recordings: Iterable[tuple[Item, Transcript]], extension: str, words: int | None
) -> Iterator[str]:
    """Yield the content of each file. Recordings without text are left out.

    Args:
        words: of the most text in a part, as `count_words` counts them; None for a single part.
    """
    kind = _FORMATS[extension]
    part: list[str] = []
    size = 0
    for item, transcript in recordings:
        if not transcript.text:
            continue
        begins, in_part = True, False
        for block in kind.blocks(item, transcript):
            length = count_words([block])
            if words and size and size + length > words:
                yield kind.separator.join(part) + "\n"
                part, size, in_part = [], 0, False
            if not part and kind.introduction:
                part.append(kind.introduction)
            if not in_part and (header := kind.header(item, transcript, not begins)):
                part.append(header)
            part.append(block)
            size += length
            begins, in_part = False, True
    if part:
        yield kind.separator.join(part) + "\n"
