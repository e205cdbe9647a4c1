"""The files of a static site, one after the other: pages of the recordings, the index, and the front page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import resources

from homescribe.core import Item, Transcript
from homescribe.static_site.search_index import (
    PARAGRAPHS,
    IndexedParagraph,
    SearchIndex,
    directory_script,
    text_script,
)
from homescribe.static_site.site_pages import PageFacts, front_page, page_facts, recording_page

PAGES = "recordings"
INDEX = "index"
ASSETS = "assets"
ASSET_NAMES = ("words.js", "search.js", "recording.js", "site.css")


def site_files(
    title: str, recordings: Iterable[tuple[Item, Transcript]]
) -> Iterator[tuple[str, str]]:
    """Yield the name ("recordings/a.html") and the content of each file of a site.

    It shows the recordings in their order. One transcript at a time is in memory, with the paragraphs of each
    word as numbers: about 40 MB for 1,000 hours.
    """
    index = SearchIndex()
    facts: list[PageFacts] = []
    script: list[IndexedParagraph] = []
    scripts = 0
    for item, transcript in recordings:
        page, found = recording_page(item, transcript, len(facts))
        facts.append(page_facts(item, transcript))
        yield facts[-1].page, page
        for paragraph in found:
            index.add(paragraph)
            script.append(paragraph)
            if len(script) == PARAGRAPHS:
                yield f"{INDEX}/texts-{scripts}.js", text_script(scripts, script)
                script, scripts = [], scripts + 1
    if script:
        yield f"{INDEX}/texts-{scripts}.js", text_script(scripts, script)
    first_words = []
    for number, (word, content) in enumerate(index.shards()):
        first_words.append(word)
        yield f"{INDEX}/words-{number}.js", content
    yield (
        f"{INDEX}/directory.js",
        directory_script(
            {
                "shards": first_words,
                "paragraphs": index.size,
                "perScript": PARAGRAPHS,
                "recordings": [
                    {"page": each.page, "title": each.title, "date": each.date} for each in facts
                ],
            }
        ),
    )
    yield "index.html", front_page(title, facts)
    for name in ASSET_NAMES:
        asset = resources.files("homescribe.static_site").joinpath("assets", name)
        yield f"{ASSETS}/{name}", asset.read_text(encoding="utf-8")
