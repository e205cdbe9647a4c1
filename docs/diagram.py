"""Draw docs/architecture.svg: the parts of homescribe, and what passes between them.

python docs/diagram.py    write the picture
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

IMAGE = Path(__file__).parent / "architecture.svg"
WIDTH, HEIGHT = 1040, 640
LINE = 18  # pixels between two lines of text

DESCRIPTION = (
    "Sources download audio from sites and feeds, or find it on your disk. In a run, download threads, one "
    "for each site, pass audio to the iterating thread, and this to the slot threads of a backend. The "
    "backend runs an engine on your computer, on a GPU at Modal or on a Ray cluster, and returns "
    "transcripts. The iterating thread stores everything in the library, one SQLite file, which the "
    "commands, the web page and the exports read."
)

STYLE = """
    text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1b2330; }
    .name { font-size: 16px; font-weight: 600; text-anchor: middle; }
    .note { font-size: 12.5px; fill: #566174; text-anchor: middle; }
    .label { font-size: 12.5px; fill: #1f6feb; text-anchor: middle; }
    .place { font-size: 14px; font-weight: 600; fill: #566174; }
    .ground { fill: #ffffff; }
    .frame { fill: #f4f6f9; stroke: #8a94a6; }
    .run { fill: none; stroke: #8a94a6; stroke-dasharray: 5 4; }
    .box { fill: #ffffff; stroke: #8a94a6; }
    .library { fill: #e8f1fe; stroke: #1f6feb; stroke-width: 1.5; }
    .remote { fill: #fdf3e4; stroke: #c98a2b; }
    .flow { fill: none; stroke: #1f6feb; stroke-width: 2; marker-end: url(#tip); }
    .both { marker-start: url(#tip); }
    .tip { fill: #1f6feb; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e7ecf3; }
      .note, .place { fill: #a3afc0; }
      .label, .tip { fill: #6aa9ff; }
      .ground { fill: #0f141b; }
      .frame { fill: #161d27; stroke: #5b6779; }
      .run { stroke: #5b6779; }
      .box { fill: #1e2733; stroke: #5b6779; }
      .library { fill: #16304f; stroke: #6aa9ff; }
      .remote { fill: #33270f; stroke: #d9a24c; }
      .flow { stroke: #6aa9ff; }
    }
  """


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with a name and lines of text in its middle."""

    x: int
    y: int
    width: int
    height: int
    name: str
    notes: tuple[str, ...] = ()
    style: str = "box"

    def svg(self) -> str:
        lines = [("name", self.name), *(("note", note) for note in self.notes)]
        middle = self.x + self.width // 2
        top = self.y + self.height // 2 - (len(lines) - 1) * LINE // 2 + 5
        texts = [
            f'<text class="{kind}" x="{middle}" y="{top + n * LINE}">{escape(line)}</text>'
            for n, (kind, line) in enumerate(lines)
        ]
        return "\n".join([rectangle(self.style, self.x, self.y, self.width, self.height), *texts])


def rectangle(style: str, x: int, y: int, width: int, height: int) -> str:
    """Return a rectangle with round corners."""
    return f'<rect class="{style}" x="{x}" y="{y}" width="{width}" height="{height}" rx="10"/>'


def text(style: str, x: int, y: int, line: str) -> str:
    """Return one line of text."""
    return f'<text class="{style}" x="{x}" y="{y}">{escape(line)}</text>'


def flow(path: str, *, both: bool = False) -> str:
    """Return an arrow along an SVG path; with a tip at each end if `both`."""
    return f'<path class="flow{" both" if both else ""}" d="{path}"/>'


SITES = Box(20, 100, 150, 62, "Sites", ("YouTube and others",))
FEEDS = Box(20, 174, 150, 62, "Podcasts", ("RSS and Atom feeds",))
FILES = Box(250, 278, 150, 76, "Files", ("on your disk",))
DOWNLOADS = Box(
    250, 100, 150, 112, "sources", ("download threads:", "one for each site,", "with pauses")
)
RUN = Box(
    440, 100, 150, 112, "pipeline", ("iterating thread:", "the only one that", "uses the library")
)
BACKEND = Box(630, 100, 140, 112, "backends", ("slot threads:", "each waits for", "one recording"))
HERE = Box(630, 278, 140, 76, "engines", ("Whisper, on your", "computer"))
LIBRARY = Box(
    250,
    398,
    520,
    92,
    "library",
    (
        "one SQLite file: items, transcripts with times, failures,",
        "calls to collect, and the index for search",
    ),
    "library",
)
READERS = (
    Box(250, 546, 160, 62, "cli", ("the commands",)),
    Box(430, 546, 160, 62, "web", ("a page, an API",)),
    Box(610, 546, 160, 62, "formats", ("srt, txt, md, ...",)),
)
THERE = Box(
    880, 122, 130, 112, "engines", ("the model stays", "loaded; a batch has", "several recordings")
)


def picture() -> str:
    """Return the whole SVG."""
    parts = [
        rectangle("ground", 0, 0, WIDTH, HEIGHT),
        rectangle("frame", 215, 16, 590, 608),
        text("place", 233, 42, "Your computer"),
        rectangle("run", 232, 58, 556, 176),
        text("place", 250, 84, "A run"),
        rectangle("remote", 866, 56, 158, 268),
        text("place", 880, 82, "Other machines"),
        text("note", 945, 103, "optional"),
        text("note", 945, 262, "a GPU at Modal, paid"),
        text("note", 945, 280, "by the second, or"),
        text("note", 945, 298, "your own, with Ray"),
        *(box.svg() for box in (SITES, FEEDS, FILES, DOWNLOADS, RUN, BACKEND, HERE, THERE)),
        *(box.svg() for box in (LIBRARY, *READERS)),
        flow("M170 131H250"),
        flow("M170 205C215 205 205 182 250 182"),
        flow("M325 278V212"),
        flow("M400 156H440"),
        flow("M590 146H630"),
        text("label", 610, 136, "audio"),
        flow("M630 176H590"),
        text("label", 610, 196, "text"),
        flow("M700 212V278", both=True),
        flow("M770 140C815 140 835 152 880 152"),
        text("label", 836, 134, "audio"),
        flow("M880 204C835 204 815 176 770 176"),
        text("label", 832, 218, "text"),
        flow("M515 212V398", both=True),
        flow("M330 490V546", both=True),
        flow("M510 490V546", both=True),
        flow("M690 490V546"),
    ]
    body = "\n".join(parts).replace("\n", "\n  ")
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" \
aria-labelledby="title desc">
  <title id="title">The architecture of homescribe</title>
  <desc id="desc">{escape(DESCRIPTION)}</desc>
  <style>{STYLE}</style>
  <defs>
    <marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
            orient="auto-start-reverse"><path class="tip" d="M0 0 10 5 0 10z"/></marker>
  </defs>
  {body}
</svg>
"""


if __name__ == "__main__":
    IMAGE.write_text(picture(), encoding="utf-8")
