"""md: Markdown to read, with chapters, paragraphs and links to the second.

Titles and texts come from strangers: nothing in them becomes markup, HTML or a link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote

from homescribe.core import Item, Transcript
from homescribe.formats.attribution import Names
from homescribe.formats.coverage import NO_SPEECH
from homescribe.formats.paragraphs import Paragraph, sections
from homescribe.formats.recording_facts import recording_address, recording_facts
from homescribe.plugins import link
from homescribe.text.display import clock
from homescribe.text.redaction import openable
from homescribe.text.sanitize import file_safe_line


def to_md(item: Item, transcript: Transcript) -> str:
    """Markdown: facts about the recording, chapters as headings, and paragraphs that begin with a link.

    Each link opens the recording at that second. A segment with `flags` ends in a question mark that links
    to it, so that a reader can check it against the audio. A paragraph begins with its speaker's name, except
    after one of the same speaker in the same chapter.
    """
    blocks = [page_header(item, transcript), *page_blocks(item, transcript)]
    if not transcript.text:
        blocks.append(NO_SPEECH)
    return "\n\n".join(blocks) + "\n"


def page_header(item: Item, transcript: Transcript, *, continued: bool = False) -> str:
    """Return the title and the facts. With `continued`, what follows is not the beginning."""
    title = _escaped(item.title) or _escaped(item.id)
    return f"# {title}{' (continued)' if continued else ''}\n\n{_facts(item, transcript)}"


def page_blocks(item: Item, transcript: Transcript) -> Iterator[str]:
    """Yield the headings of chapters and the paragraphs."""
    names = Names(transcript)
    for section in sections(transcript, item.chapters):
        if section.title is not None:
            title = f"{_time_link(item, section.start)} {_escaped(section.title)}"
            yield f"## {title}".rstrip()
        speaker = ""
        for paragraph in section.paragraphs:
            name = names.name(paragraph.speaker)
            yield _paragraph(item, paragraph, name if name != speaker else "")
            speaker = name
    if any(segment.flags for segment in transcript.segments):
        yield "(?) The model doubted the words before this mark: follow it to hear them."


def _facts(item: Item, transcript: Transcript) -> str:
    (name, shown), *others = recording_facts(item, transcript)
    lines = [(name, _hyperlink(_escaped(shown), recording_address(item)))]
    lines += [(name, _escaped(value)) for name, value in others]
    return "\n".join(f"- {name}: {value}" for name, value in lines)


def _paragraph(item: Item, paragraph: Paragraph, speaker: str) -> str:
    text = ""
    for line in paragraph.lines:
        segment = line.segment
        # A segment starts with the space before its first word; Chinese and Japanese have none.
        text += (" " if segment.text[:1].isspace() else "") + _escaped(segment.text)
        if segment.flags:
            why = ", ".join(file_safe_line(re.sub(r"[\W_]+", " ", flag)) for flag in segment.flags)
            text += " " + _hyperlink("(?)", link(item, segment.start), why)
    label = f"**{_escaped(speaker)}:** " if speaker else ""
    return f"{_time_link(item, paragraph.start)} {label}{text.strip()}"


def _time_link(item: Item, seconds: float) -> str:
    return _hyperlink(clock(seconds), link(item, seconds))


def _hyperlink(label: str, address: str, title: str = "") -> str:
    """Return a Markdown link, or only its label unless the address is http, https or file."""
    if not openable(address):
        return label
    # Percent-encode all that could end the link, and ";", without which there is no HTML entity.
    safe = quote(address, safe=":/?#@!$&'*+,=%~", errors="replace")
    return f'[{label}]({safe} "{title}")' if title else f"[{label}]({safe})"


def _escaped(text: str) -> str:
    """Return `text` on one line that a Markdown reader shows as it is: no markup, HTML or template."""
    escaped = re.sub(r"[\\`*_{}\[\]#~|$^]", r"\\\g<0>", file_safe_line(text))
    escaped = re.sub(r"&(?=#?\w+;)", "&amp;", escaped)
    return escaped.replace("<", "&lt;")
