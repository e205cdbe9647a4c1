"""docx: a document for Word, LibreOffice and Google Docs, with chapters, speakers and links to the second.

A minimal package of Office Open XML (ECMA-376), written without a library: python-docx needs lxml, which is
larger than homescribe.
"""

from __future__ import annotations

import io
import re
import zipfile
from xml.sax.saxutils import escape, quoteattr

from homescribe.core import Item, Transcript
from homescribe.formats.attribution import Names
from homescribe.formats.coverage import NO_SPEECH
from homescribe.formats.paragraphs import Paragraph, sections
from homescribe.formats.recording_facts import recording_address, recording_facts
from homescribe.plugins import link
from homescribe.text.display import clock
from homescribe.text.redaction import openable
from homescribe.text.sanitize import file_safe_line
from homescribe.text.scripts import RIGHT_TO_LEFT

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_DAY = (1980, 1, 1, 0, 0, 0)  # of the files in the package: the same document gives the same bytes

_CONTENT_TYPES = f"""{_XML}<Types xmlns="{_PACKAGE}/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/>
<Override PartName="/word/document.xml" ContentType=
"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/>
<Override PartName="/word/styles.xml" ContentType=
"application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"/>
<Override PartName="/docProps/core.xml" ContentType=
"application/vnd.openxmlformats-package.core-properties+xml"/>
</Types>"""
_PACKAGE_RELATIONS = f"""{_XML}<Relationships xmlns="{_PACKAGE}/relationships">
<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="word/document.xml"/>
<Relationship Id="rId2" Type="{_PACKAGE}/relationships/metadata/core-properties" Target="docProps/core.xml"/>
</Relationships>"""
# Sizes are half points, distances twentieths of a point.
_STYLES = f"""{_XML}<w:styles xmlns:w="{_WORD}">
<w:docDefaults><w:rPrDefault><w:rPr><w:sz w:val="22"/></w:rPr></w:rPrDefault>
<w:pPrDefault><w:pPr><w:spacing w:after="160" w:line="288" w:lineRule="auto"/></w:pPr></w:pPrDefault>
</w:docDefaults>
<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>
<w:style w:type="paragraph" w:styleId="Title"><w:name w:val="Title"/><w:basedOn w:val="Normal"/>
<w:rPr><w:b/><w:sz w:val="40"/></w:rPr></w:style>
<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/><w:basedOn w:val="Normal"/>
<w:next w:val="Normal"/><w:pPr><w:keepNext/><w:spacing w:before="320"/><w:outlineLvl w:val="0"/></w:pPr>
<w:rPr><w:b/><w:sz w:val="28"/></w:rPr></w:style>
<w:style w:type="paragraph" w:styleId="Facts"><w:name w:val="Facts"/><w:basedOn w:val="Normal"/>
<w:pPr><w:spacing w:after="0"/></w:pPr><w:rPr><w:color w:val="595959"/><w:sz w:val="20"/></w:rPr></w:style>
<w:style w:type="character" w:default="1" w:styleId="DefaultParagraphFont">
<w:name w:val="Default Paragraph Font"/></w:style>
<w:style w:type="character" w:styleId="Hyperlink"><w:name w:val="Hyperlink"/>
<w:rPr><w:color w:val="0B57A4"/></w:rPr></w:style>
<w:style w:type="character" w:styleId="Doubt"><w:name w:val="Doubt"/>
<w:rPr><w:u w:val="dotted" w:color="9A6700"/></w:rPr></w:style>
</w:styles>"""


def to_docx(item: Item, transcript: Transcript) -> bytes:
    """A Word document: facts about the recording, chapters as headings, paragraphs with time and speaker.

    Each time links to its second. Segments with `flags` have a dotted underline.
    """
    page = _Page()
    title = file_safe_line(item.title) or file_safe_line(item.id)
    page.add("Title", page.text(title))
    for name, value in recording_facts(item, transcript):
        address = recording_address(item) if name == "Recording" else ""
        page.add("Facts", page.text(f"{name}: ") + page.link(value, address))
    if not transcript.text:
        page.add("Normal", page.text(NO_SPEECH))
    names = Names(transcript)
    for section in sections(transcript, item.chapters):
        if section.title is not None:
            time = page.link(clock(section.start), link(item, section.start))
            page.add("Heading1", time + page.text(f" {section.title}"))
        speaker = ""
        for paragraph in section.paragraphs:
            name = names.name(paragraph.speaker)
            _add_paragraph(page, item, paragraph, name if name != speaker else "")
            speaker = name
    return page.package(title)


def _add_paragraph(page: _Page, item: Item, paragraph: Paragraph, speaker: str) -> None:
    runs = page.link(clock(paragraph.start), link(item, paragraph.start)) + page.text(" ")
    if speaker:
        runs += page.text(f"{speaker}: ", "<w:b/>")
    for number, line in enumerate(paragraph.lines):
        text = file_safe_line(line.segment.text)
        if number and line.segment.text[:1].isspace():  # Chinese and Japanese have no spaces
            runs += page.text(" ")
        runs += page.text(text, '<w:rStyle w:val="Doubt"/>' if line.segment.flags else "")
    page.add("Normal", runs, right_to_left=paragraph.language in RIGHT_TO_LEFT)


class _Page:
    """The paragraphs of a document, and the addresses that they link to."""

    def __init__(self) -> None:
        self._paragraphs: list[str] = []
        self._links: dict[str, str] = {}  # id by address

    def add(self, style: str, runs: str, *, right_to_left: bool = False) -> None:
        """Add a paragraph."""
        bidi = "<w:bidi/>" if right_to_left else ""
        self._paragraphs.append(
            f'<w:p><w:pPr><w:pStyle w:val="{style}"/>{bidi}</w:pPr>{runs}</w:p>'
        )

    def text(self, text: str, properties: str = "") -> str:
        """Return a run of text."""
        safe = escape(_allowed(text))
        run = f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{safe}</w:t></w:r>'
        return run if safe else ""

    def link(self, text: str, address: str) -> str:
        """Return text that links to `address`; only the text unless it is http, https or file."""
        if not openable(address):
            return self.text(text)
        number = self._links.setdefault(file_safe_line(address), f"link{len(self._links) + 1}")
        run = self.text(text, '<w:rStyle w:val="Hyperlink"/>')
        return f'<w:hyperlink r:id="{number}">{run}</w:hyperlink>'

    def package(self, title: str) -> bytes:
        """Return the file."""
        document = (
            f'{_XML}<w:document xmlns:w="{_WORD}" xmlns:r="{_RELATIONS}"><w:body>'
            f"{''.join(self._paragraphs)}<w:sectPr/></w:body></w:document>"
        )
        hyperlinks = "".join(
            f'<Relationship Id="{number}" Type="{_RELATIONS}/hyperlink" TargetMode="External" '
            f"Target={quoteattr(_allowed(address))}/>\n"
            for address, number in self._links.items()
        )
        relations = (
            f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">\n'
            f'<Relationship Id="styles" Type="{_RELATIONS}/styles" Target="styles.xml"/>\n'
            f"{hyperlinks}</Relationships>"
        )
        properties = (
            f'{_XML}<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" '
            'xmlns:dc="http://purl.org/dc/elements/1.1/">'
            f"<dc:title>{escape(_allowed(title))}</dc:title></cp:coreProperties>"
        )
        parts = {
            "[Content_Types].xml": _CONTENT_TYPES,
            "_rels/.rels": _PACKAGE_RELATIONS,
            "docProps/core.xml": properties,
            "word/document.xml": document,
            "word/styles.xml": _STYLES,
            "word/_rels/document.xml.rels": relations,
        }
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in parts.items():
                information = zipfile.ZipInfo(name, _DAY)
                information.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(information, content.encode(errors="replace"))
        return file.getvalue()


def _allowed(text: str) -> str:
    """Return `text`, which has no control characters, without the other characters that XML forbids."""
    return re.sub("[\ufffe\uffff]", "", text)
