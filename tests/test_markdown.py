"""Markdown: facts, chapters, paragraphs and links, whatever the texts contain."""

import unicodedata
from dataclasses import replace
from itertools import pairwise
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from homescribe import link
from homescribe.core import Chapter, Item, Segment
from homescribe.formats.markdown import to_md
from transcripts import ITEM, spoken, transcript


def blocks(markdown):
    """Return (tag, text, addresses) of each heading and paragraph, as a CommonMark and GFM reader sees it."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    reader.validateLink = lambda url: True  # else it drops dangerous links and file: links
    tokens = reader.parse(markdown)
    assert not [t for t in tokens if t.type in ("html_block", "code_block", "fence", "table_open")]
    found = []
    for opening, inline in pairwise(tokens):
        if inline.type == "inline":
            kinds = {child.type for child in inline.children}
            assert kinds <= {"text", "text_special", "link_open", "link_close"}, inline.content
            text = "".join(child.content for child in inline.children)
            links = [child.attrs["href"] for child in inline.children if child.type == "link_open"]
            found.append((opening.tag, text, links))
    return found


def test_facts_chapters_and_paragraphs_with_links_to_the_second():
    item = replace(
        ITEM, language="en-US", chapters=(Chapter(0, 60, "Elephants"), Chapter(60, 90, "End"))
    )
    said = transcript(
        Segment(1.9, 4, " All right, so here we are."),
        Segment(4, 7, " One of the elephants."),
        Segment(20, 22, " After a pause."),
        Segment(59, 66, " The last chapter."),
    )  # fmt: skip
    url = "https://www.youtube.com/watch?v=jNQXAC9IVRw"
    assert to_md(item, said) == (
        "# Me at the zoo\n\n"
        f"- Recording: [{url}]({url})\n"
        "- Channel: jawed\n"
        "- Date: 2005-04-24\n"
        "- Duration: 1:06\n"
        "- Language: en\n"
        "- Transcript: openai-whisper, tiny.en\n\n"
        f"## [0:00]({url}&t=0s) Elephants\n\n"
        f"[0:01]({url}&t=1s) All right, so here we are. One of the elephants.\n\n"
        f"[0:20]({url}&t=20s) After a pause.\n\n"
        f"## [1:00]({url}&t=60s) End\n\n"
        f"[0:59]({url}&t=59s) The last chapter.\n"
    )


def test_links_of_a_local_file_open_the_file():
    item = Item("file", "0a1b", "/home/me/My (best) talk.mp3", "My (best) talk")
    found = blocks(to_md(item, spoken("hello")))
    address = "file:///home/me/My%20%28best%29%20talk.mp3#t=0"
    assert found[1] == ("p", "Recording: /home/me/My (best) talk.mp3", [address])
    assert found[-1] == ("p", "0:00 hello", [address])


def test_flagged_segments_are_marked():
    said = transcript(
        Segment(0, 1, " Sure."),
        Segment(61, 62, " Unsure!", flags=("low_probability", 'x](evil "')),
        Segment(62, 63, " Sure again."),
    )
    markdown = to_md(ITEM, said)
    mark = f'[(?)]({ITEM.url}&t=61s "low probability, x evil")'
    assert f" Unsure! {mark} Sure again." in markdown
    assert markdown.count("(?)") == 2  # the mark, and what it means
    assert "(?)" not in to_md(ITEM, spoken("Sure."))


def test_paragraphs_end_with_sentences():
    # Each third line ends a sentence; a paragraph ends with the first sentence after 500 characters.
    lines = (" and so the words go on and on", " until at last there is", " a sentence end.")
    said = transcript(*(Segment(n, n + 1, lines[n % 3]) for n in range(90)))
    paragraphs = [text for tag, text, links in blocks(to_md(ITEM, said)) if text[:1].isdigit()]
    assert len(paragraphs) > 2
    assert all(paragraph.endswith("end.") for paragraph in paragraphs)
    assert all(500 < len(paragraph) < 600 for paragraph in paragraphs[:-1])
    endless = transcript(*(Segment(n, n + 1, " and then and then and then") for n in range(300)))
    paragraphs = [text for tag, text, links in blocks(to_md(ITEM, endless)) if text[:1].isdigit()]
    assert all(len(paragraph) < 1100 for paragraph in paragraphs)


def test_segments_are_joined_as_their_script_does():
    assert (
        "0:00 你好，世界！今天很好。"
        in blocks(to_md(ITEM, spoken("你好，世界！", "今天很好。")))[-1][1]
    )
    assert blocks(to_md(ITEM, spoken(" one", " two")))[-1][1] == "0:00 one two"


def test_only_http_and_file_addresses_become_links():
    for url in ("javascript:alert(1)", "data:text/html,x", "vbscript:x", "//x", ""):
        item = replace(ITEM, source="podcast", url=url)
        assert [links for _, _, links in blocks(to_md(item, spoken("hello"))) if links] == []


@pytest.mark.parametrize(
    "url",
    [
        'https://example.org/a) "x" [b](https://evil.example/)',
        "https://example.org/?a=1&copy;=2&lt;",
        "https://example.org/<script>\\`*_",
        "https://example.org/\n\n# heading",
        "https://example.org/\ud83d",
    ],
)
def test_no_address_breaks_out_of_its_link(url):
    found = blocks(to_md(replace(ITEM, source="podcast", url=url), spoken("hello")))
    assert [tag for tag, _, _ in found] == ["h1", *["p"] * 7]
    addresses = [address for _, _, links in found for address in links]
    page, paragraph = (unquote(address) for address in addresses)
    assert page == url.replace("\ud83d", "?")
    assert paragraph == link(replace(ITEM, source="podcast", url=url), 0).replace("\ud83d", "?")


MARKED = st.text(
    st.one_of(st.sampled_from("\\`*_{}[]()#+-.!<>&;|~$^:/=\"'@% \n\t1a"), st.characters()), max_size=60
)  # fmt: skip


@given(MARKED, MARKED, MARKED, MARKED)
@example("# a #", "- b", "1. c", "---")
@example("<img src=x onerror=alert(1)>", "![x](https://evil.example/x.png)", "[a]: /b", "&lt;")
@example("```\nx\n```", "    code", "> quote", "| a | b |\n|---|---|\n| c | d |")
@example("https://evil.example", "<https://evil.example>", "a@b.example", "***a***")
def test_any_text_is_shown_as_it_is(title, channel, chapter, text):
    item = replace(ITEM, title=title, channel=channel, chapters=(Chapter(0, 2, chapter),))
    found = blocks(to_md(item, spoken(text)))
    assert found[0] == ("h1", seen(title) or ITEM.id, [])
    headings = [(text, len(links)) for tag, text, links in found if tag == "h2"]
    assert headings == [(f"0:00 {seen(chapter)}".strip(), 1)]
    if seen(channel):
        assert ("p", f"Channel: {seen(channel)}", []) in found
    if seen(text):
        assert found[-1][1] == f"0:00 {seen(text)}"
        assert len(found[-1][2]) == 1


def seen(text):
    """Return `text` on one line without the characters that no file can hold."""
    text = "".join(
        "\ufffd" if unicodedata.category(c) == "Cs" else c
        for c in text.replace("\v", " ").replace("\f", " ").replace("\x85", " ")
        if c in "\t\n\r" or unicodedata.category(c) != "Cc"
    )
    return " ".join(text.split())
