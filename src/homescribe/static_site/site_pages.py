"""The HTML of a static site: the page of a recording, and the one with the search.

Titles and texts come from strangers: all are escaped, and the Content-Security-Policy allows only scripts of
the site. Paths of this computer are left out, because a site is published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from homescribe.core import Item, Transcript
from homescribe.formats.attribution import Names
from homescribe.formats.coverage import NO_SPEECH, languages_in_words
from homescribe.formats.filenames import item_tag
from homescribe.formats.paragraphs import Paragraph, sections
from homescribe.plugins import link
from homescribe.static_site.search_index import IndexedParagraph
from homescribe.text.display import clock
from homescribe.text.redaction import openable, shown_item
from homescribe.text.sanitize import file_safe_line, utf8_safe
from homescribe.text.scripts import RIGHT_TO_LEFT

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; base-uri 'none'; form-action 'none'"
)
VOICES = 4  # colours of speakers in site.css


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What the list of the site shows of a recording."""

    page: str  # address, relative to the page with the search
    title: str
    channel: str
    date: str
    duration: str


def page_facts(item: Item, transcript: Transcript) -> PageFacts:
    """Return what the list shows of a recording. The address is the same in each export."""
    name = item_tag(item).replace(" ", ".")  # no other tag has a dot there
    return PageFacts(
        f"recordings/{name}.html",
        file_safe_line(item.title) or item.key,
        file_safe_line(item.channel or ""),
        item.upload_date or "",
        clock(transcript.duration),
    )


def recording_page(
    item: Item, transcript: Transcript, number: int
) -> tuple[str, list[IndexedParagraph]]:
    """Return the page of a recording, and its paragraphs for the index, as recording `number`."""
    facts = page_facts(item, transcript)
    names = Names(transcript)
    people = dict.fromkeys(names.name(speaker.label) for speaker in transcript.speakers)
    voices = {name: n % VOICES for n, name in enumerate(people)}
    known = [
        facts.channel,
        facts.date,
        facts.duration,
        languages_in_words(transcript) if transcript.segments else "",
    ]
    shown = [escape(fact) for fact in known if fact]
    if openable(address := shown_item(item).url, published=True):
        shown.append(f'<a href="{escape(address)}" rel="noopener noreferrer">recording</a>')
    body = [f'<h1>{escape(facts.title)}</h1>\n<p class="facts">{" · ".join(shown)}</p>']
    indexed: list[IndexedParagraph] = []
    if not transcript.text:
        body.append(f"<p>{NO_SPEECH}</p>")
    for section in sections(transcript, item.chapters):
        if section.title is not None:
            body.append(
                f'<h2 id="c{round(section.start * 1000)}">{clock(section.start)} '
                f"{escape(file_safe_line(section.title))}</h2>"
            )
        for paragraph in section.paragraphs:
            name = names.name(paragraph.speaker)
            lines = [
                (round(line.segment.start, 2), file_safe_line(line.segment.text))
                for line in paragraph.lines
            ]
            indexed.append(IndexedParagraph(number, name, lines))
            body.append(_paragraph(item, paragraph, name, voices.get(name)))
    page = _page(
        facts.title,
        "../",
        '<nav><a href="../index.html">All recordings</a></nav>\n<main>'
        + "\n".join(body)
        + "</main>",
        ("assets/words.js", "assets/recording.js"),
    )
    return page, indexed


def _paragraph(item: Item, paragraph: Paragraph, speaker: str, voice: int | None) -> str:
    """Return a paragraph whose time links to the recording, if that is on the web."""
    time = clock(paragraph.start)
    if openable(address := link(item, paragraph.start), published=True):
        time = f'<a class="time" href="{escape(address)}" rel="noopener noreferrer">{time}</a>'
    else:
        time = f'<span class="time">{time}</span>'
    label = ""
    if speaker:
        style = "" if voice is None else f' class="voice-{voice}"'
        label = f"<b{style}>{escape(speaker)}:</b> "
    text = ""
    for each in paragraph.lines:
        segment = each.segment
        space = " " if text and segment.text[:1].isspace() else ""
        text += (
            f'{space}<span class="line" id="t{round(round(segment.start, 2) * 1000)}">'
            f"{escape(file_safe_line(segment.text))}</span>"
        )
    direction = "rtl" if paragraph.language in RIGHT_TO_LEFT else "ltr"
    return (
        f'<div class="paragraph" lang="{escape(paragraph.language)}" dir="{direction}">'
        f"{time}<p>{label}{text}</p></div>"
    )


def front_page(title: str, recordings: Sequence[PageFacts]) -> str:
    """Return the page with the search and the list of all recordings."""
    rows = "\n".join(
        f'<li><a href="{each.page}">{escape(each.title)}</a><span class="soft">'
        + " · ".join(escape(fact) for fact in (each.channel, each.date, each.duration) if fact)
        + "</span></li>"
        for each in recordings
    )
    return _page(
        title,
        "",
        f"""<main><h1>{escape(title)}</h1>
<form role="search"><input id="q" type="search" autofocus autocomplete="off" spellcheck="false"
aria-label="Search every word" placeholder="Search every word"></form>
<p id="status" role="status"></p>
<div id="results"></div>
<ul id="recordings">
{rows}
</ul></main>""",
        ("assets/words.js", "assets/search.js", "index/directory.js"),
    )


def _page(title: str, root: str, body: str, scripts: Sequence[str]) -> str:
    tags = "".join(f'<script src="{root}{name}" defer></script>\n' for name in scripts)
    return utf8_safe(f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="homescribe">
<title>{escape(title)}</title>
<link rel="stylesheet" href="{root}assets/site.css">
{tags}</head>
<body>
{body}
</body>
</html>
""")
