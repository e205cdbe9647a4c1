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
TITLE = "transcripts"  # of recordings of several channels

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
    recordings: Iterable[tuple[Item, Transcript]], extension: str, words: int
) -> Iterator[str]:
    """Yield the content of each file. Recordings without text are left out.

    Args:
        words: of the most text in a part, as `count_words` counts them.
    """
    part: list[str] = []
    for begins, piece in _pieces(recordings, extension, words):
        if begins and part:
            yield "".join(part)
            part = []
        part.append(piece)
    if part:
        yield "".join(part)


def one_file(recordings: Iterable[tuple[Item, Transcript]], extension: str) -> Iterator[str]:
    """Yield the content of a single file, paragraph by paragraph. Recordings without text are left out."""
    return (piece for _, piece in _pieces(recordings, extension, None))


def _pieces(
    recordings: Iterable[tuple[Item, Transcript]], extension: str, words: int | None
) -> Iterator[tuple[bool, str]]:
    """Yield pieces of text, and whether a part begins with each. Every part ends with a line break."""
    kind = _FORMATS[extension]
    size, is_empty = 0, True
    for item, transcript in recordings:
        if not transcript.text:
            continue
        begins, in_part = True, False
        for block in kind.blocks(item, transcript):
            length = count_words([block])
            begins_part = is_empty
            if words and size and size + length > words:
                yield False, "\n"
                size, in_part, begins_part = 0, False, True
            texts = [kind.introduction] if begins_part and kind.introduction else []
            if not in_part and (header := kind.header(item, transcript, not begins)):
                texts.append(header)
            text = kind.separator.join([*texts, block])
            yield begins_part, text if begins_part else f"{kind.separator}{text}"
            size += length
            begins, in_part, is_empty = False, True, False
    if not is_empty:
        yield False, "\n"


def common_title(items: Iterable[Item]) -> str:
    """Return the channel of all items; TITLE if there are several."""
    channels = {item.channel for item in items}
    return (channels.pop() if len(channels) == 1 else None) or TITLE
