"""A transcript as a file: txt, srt, vtt, tsv and json as openai-whisper writes them, lrc, and md to read.

The first five are Whisper's own files byte for byte (whisper.utils.get_writer), because other tools read
them. Where Whisper's file could not be read back, ours differs by the least that can be: see `_plain` and
`_cue`. Titles and texts are hostile: nothing in them becomes markup, a cue, a header or a path.

Files are projections of the library, made again at any time. They appear whole or not at all.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import math
import os
import re
import secrets
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from homescribe.core import HOUR, Exporter, Item, Segment, Transcript, Word, link
from homescribe.errors import UserError

# --- Text that goes into a file --------------------------------------------------------------------

# No text file holds these: they end strings, drive terminals, or cannot be written as UTF-8 at all.
_UNWRITABLE = {
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)]),
    **{ord(space): " " for space in "\v\f\x85"},
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
}
for _kept in "\t\n\r":
    del _UNWRITABLE[ord(_kept)]


def _plain(text: str) -> str:
    """`text` without control characters and lone surrogates, lines ending in a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_UNWRITABLE)


def _encodable(text: str) -> str:
    """`text` without lone surrogates, which a cut emoji in a title leaves and no UTF-8 can say."""
    return text.encode(errors="replace").decode()


def _line(text: str) -> str:
    """`text` on one line, each stretch of white space one blank."""
    return " ".join(_plain(text).split())


# --- As openai-whisper writes them ---------------------------------------------------------------

# A subtitle line ends before it is longer, and a subtitle after so many words (whisper.utils).
LINE_CHARACTERS = 1000
CUE_WORDS = 1000


def to_txt(item: Item, transcript: Transcript) -> str:
    """One segment a line."""
    return "".join(f"{_plain(segment.text.strip())}\n" for segment in transcript.segments)


def to_srt(item: Item, transcript: Transcript) -> str:
    """SubRip: numbered cues, hours always, a comma before the milliseconds."""
    return "".join(
        f"{number}\n{_timestamp(start, ',', True)} --> {_timestamp(end, ',', True)}\n{text}\n\n"
        for number, (start, end, text) in enumerate(_cues(transcript), start=1)
    )


def to_vtt(item: Item, transcript: Transcript) -> str:
    """WebVTT: hours only where there are any. Text stands as Whisper leaves it: `<` and `&` as they are."""
    cues = "".join(
        f"{_timestamp(start, '.', False)} --> {_timestamp(end, '.', False)}\n{text}\n\n"
        for start, end, text in _cues(transcript)
    )
    return f"WEBVTT\n\n{cues}"


def to_tsv(item: Item, transcript: Transcript) -> str:
    """Tab-separated start, end (integer milliseconds) and text, one segment a row."""
    rows = [
        f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{_cell(segment.text)}\n"
        for segment in transcript.segments
    ]
    return "".join(["start\tend\ttext\n", *rows])


def to_json(item: Item, transcript: Transcript) -> str:
    """Whisper's result object without `seek` and `tokens`, and what we know of the recording.

    Ours are `homescribe` beside `language`, and `flags` in the segments that have any.
    """
    with_words = any(segment.words for segment in transcript.segments)
    result = {
        "text": _encodable("".join(segment.text for segment in transcript.segments)),
        "segments": [
            _json_segment(number, segment, with_words)
            for number, segment in enumerate(transcript.segments)
        ],
        "language": transcript.language,
        "homescribe": _json_item(item, transcript),
    }
    return json.dumps(result, allow_nan=False)


def _json_segment(number: int, segment: Segment, with_words: bool) -> dict[str, Any]:
    result: dict[str, Any] = {
        "id": number,
        "start": segment.start,
        "end": segment.end,
        "text": _encodable(segment.text),
        "temperature": _number(segment.temperature),
        "avg_logprob": _number(segment.avg_logprob),
        "compression_ratio": _number(segment.compression_ratio),
        "no_speech_prob": _number(segment.no_speech_prob),
    }
    if with_words:
        result["words"] = [
            {
                "word": _encodable(word.word),
                "start": word.start,
                "end": word.end,
                "probability": _number(word.probability),
            }
            for word in segment.words
        ]
    if segment.flags:
        result["flags"] = list(segment.flags)
    return result


def _json_item(item: Item, transcript: Transcript) -> dict[str, Any]:
    # Not `media_url`: the address of a private feed's audio carries its listener's token.
    return {
        "key": _encodable(item.key),
        "url": _encodable(item.url),
        "title": _encodable(item.title),
        "channel": item.channel and _encodable(item.channel),
        "channel_id": item.channel_id,
        "upload_date": item.upload_date,
        "duration": transcript.duration,
        "chapters": [
            {"start": chapter.start, "end": chapter.end, "title": _encodable(chapter.title)}
            for chapter in item.chapters
        ],
        "engine": transcript.engine,
        "model": transcript.model,
    }


def _number(value: float | None) -> float | None:
    """None for what JSON cannot say: a model in half precision gives NaN now and then."""
    return value if value is not None and math.isfinite(value) else None


def _timestamp(seconds: float, marker: str, always_hours: bool) -> str:
    """whisper.utils.format_timestamp: [hh:]mm:ss and milliseconds after `marker`."""
    minutes, milliseconds = divmod(round(seconds * 1000.0), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    hours_shown = f"{hours:02d}:" if always_hours or hours else ""
    return f"{hours_shown}{minutes:02d}:{whole:02d}{marker}{milliseconds:03d}"


def _cues(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Start, end and text of each subtitle, as whisper.utils.SubtitlesWriter cuts them.

    A segment without words, in a transcript that has words, shows at its own time: Whisper would drop it,
    which loses nothing there (its text is empty), but would where somebody else filled in the text.
    """
    with_words = any(segment.words for segment in transcript.segments)
    for segment in transcript.segments:
        for first in range(0, len(segment.words), CUE_WORDS):
            words = segment.words[first : first + CUE_WORDS]
            yield words[0].start, words[-1].end, _cue(_wrapped(words))
        if not segment.words and (segment.text.strip() or not with_words):
            yield segment.start, segment.end, _cue(segment.text.strip())


def _wrapped(words: Iterable[Word]) -> str:
    text, width = "", 0
    for word in words:
        if width and width + len(word.word) <= LINE_CHARACTERS:
            text += word.word
            width += len(word.word)
        else:
            text += ("\n" if width else "") + word.word.strip()
            width = len(word.word.strip())
    return text


def _cue(text: str) -> str:
    """`text` that neither ends its cue nor begins another: no empty line, no arrow, no number on its own.

    Whisper too writes "->" for "-->", but not among words and not for longer arrows.
    """
    lines = [line for line in re.sub("--+>", "->", _plain(text)).split("\n") if line.strip()]
    # Readers of SubRip take a line that begins with a number for the next cue's.
    return re.sub(r"\n(?=\s*-?\d)", " ", "\n".join(lines))


def _cell(text: str) -> str:
    return _plain(text.strip()).replace("\t", " ").replace("\n", " ")


# --- Lyrics --------------------------------------------------------------------------------------


def to_lrc(item: Item, transcript: Transcript) -> str:
    """Lyrics for music players: [mm:ss.xx] and a line for each segment that says something.

    Minutes go on above 59: the format has no hours. https://en.wikipedia.org/wiki/LRC_(file_format)
    """
    minutes, seconds = divmod(round(transcript.duration), 60)
    headers = [("ti", item.title), ("ar", item.channel or "")]
    lines = [f"[{tag}:{_unbracketed(value)}]" for tag, value in headers if _line(value)]
    lines.append(f"[length:{minutes:02d}:{seconds:02d}]")
    for segment in transcript.segments:
        text = _lyric(segment.text)
        if text:
            minutes, hundredths = divmod(round(segment.start * 100), 6000)
            lines.append(f"[{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}]{text}")
    return "".join(f"{line}\n" for line in lines)


# What a player takes for a tag: [mm:ss], [ar:...], and <mm:ss> before a word.
_LRC_TAG = re.compile(r"\[(?=[^\]]*:)|<(?=\s*\d+\s*:)")


def _lyric(text: str) -> str:
    """`text` in which no player finds a tag: "[Music]" stays, "[00:10]" becomes "(00:10)"."""
    return _unbracketed(text) if _LRC_TAG.search(_line(text)) else _line(text)


def _unbracketed(text: str) -> str:
    return _line(text).translate(str.maketrans("[]<>", "()()"))


# --- A page to read ------------------------------------------------------------------------------

# A pause that begins a paragraph, in seconds.
PAUSE = 2.0
# Characters after which a paragraph ends with its sentence, and after which it ends anyway.
PARAGRAPH_CHARACTERS = 500
LONGEST_PARAGRAPH_CHARACTERS = 1000

_SENTENCE_END = re.compile(r"[.!?…。！？｡؟۔।]['\"”’»)\]」』]*$")


def to_md(item: Item, transcript: Transcript) -> str:
    """Markdown: the facts, chapters as headings, paragraphs that begin with a link to their second.

    A passage with `flags` ends in a question mark that links to it, for the reader who wants to hear it.
    """
    blocks = [f"# {_markdown(item.title) or _markdown(item.id)}", _facts(item, transcript)]
    for start, title, segments in _chapters(item, transcript):
        if title is not None:
            blocks.append(f"## {_time_link(item, start)} {title}".rstrip())
        blocks += [_paragraph(item, paragraph) for paragraph in _paragraphs(segments)]
    if any(segment.flags for segment in transcript.segments):
        blocks.append("(?) The model doubted the words before this mark: follow it to hear them.")
    return "\n\n".join(blocks) + "\n"


def _facts(item: Item, transcript: Transcript) -> str:
    address = link(item, 0) if item.source == "file" else item.url
    facts = [
        ("Recording", _hyperlink(_markdown(item.url), address)),
        ("Channel", _markdown(item.channel or "")),
        ("Date", _markdown(item.upload_date or "")),
        ("Duration", _clock(transcript.duration)),
        ("Language", _markdown(transcript.language)),
        ("Transcript", _markdown(f"{transcript.engine}, {transcript.model}")),
    ]
    return "\n".join(f"- {name}: {value}" for name, value in facts if value)


def _chapters(
    item: Item, transcript: Transcript
) -> Iterator[tuple[float, str | None, list[Segment]]]:
    """Start, title and segments of each chapter; what comes before the first one has no title.

    A segment belongs where its middle is: a chapter mark seldom falls between two sentences.
    """
    marks = sorted(item.chapters, key=lambda chapter: chapter.start)
    starts = [-math.inf, *(chapter.start for chapter in marks), math.inf]
    titles = [None, *(_markdown(chapter.title) for chapter in marks)]
    left = list(transcript.segments)
    for title, start, end in zip(titles, starts, starts[1:], strict=False):
        inside = [s for s in left if start <= (s.start + s.end) / 2 < end]
        if inside or title is not None:
            yield start, title, inside


def _paragraphs(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    paragraph: list[Segment] = []
    characters = 0
    for segment in segments:
        if not segment.text.strip():
            continue
        if paragraph and begins_paragraph(paragraph[-1], segment, characters):
            yield paragraph
            paragraph, characters = [], 0
        paragraph.append(segment)
        characters += len(segment.text)
    if paragraph:
        yield paragraph


def begins_paragraph(last: Segment, following: Segment, characters: int) -> bool:
    """Whether a paragraph of so many characters ends between `last` and `following`."""
    if following.start - last.end >= PAUSE or characters >= LONGEST_PARAGRAPH_CHARACTERS:
        return True
    ends = _SENTENCE_END.search(last.text.rstrip()) is not None
    return ends and characters >= PARAGRAPH_CHARACTERS


def _paragraph(item: Item, segments: list[Segment]) -> str:
    text = ""
    for segment in segments:
        # The blank before a word is the segment's own: Chinese and Japanese have none.
        text += (" " if segment.text[:1].isspace() else "") + _markdown(segment.text)
        if segment.flags:
            why = ", ".join(_line(re.sub(r"[\W_]+", " ", flag)) for flag in segment.flags)
            text += " " + _hyperlink("(?)", link(item, segment.start), why)
    return f"{_time_link(item, segments[0].start)} {text.strip()}"


def _time_link(item: Item, seconds: float) -> str:
    return _hyperlink(_clock(seconds), link(item, seconds))


def _clock(seconds: float) -> str:
    """h:mm:ss, or m:ss below an hour, of the second that a deep link opens at."""
    minutes, second = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{second:02d}" if hours else f"{minutes}:{second:02d}"


def _hyperlink(label: str, address: str, title: str = "") -> str:
    """A Markdown link; the mere label for an address that a reader should not be sent to (javascript:)."""
    if not re.match("(https?|file)://", address, re.IGNORECASE):
        return label
    # Percent-encoded is whatever could end the link, and ";", without which there is no entity.
    safe = quote(address, safe=":/?#@!$&'*+,=%~", errors="replace")
    return f'[{label}]({safe} "{title}")' if title else f"[{label}]({safe})"


def _markdown(text: str) -> str:
    """`text` on one line that a Markdown reader shows as it is: no markup, no HTML, no template."""
    escaped = re.sub(r"[\\`*_{}\[\]#~|$^]", r"\\\g<0>", _line(text))
    escaped = re.sub(r"&(?=#?\w+;)", "&amp;", escaped)
    return escaped.replace("<", "&lt;")


# --- Names of files ------------------------------------------------------------------------------

# What a name may measure. File systems allow 255 bytes, encrypted ones (eCryptfs, many a NAS) only 143.
NAME_BYTES = 143
EXTENSION_CHARACTERS = 20

# https://learn.microsoft.com/windows/win32/fileio/naming-a-file, which names the superscripts too.
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
# Marks that turn the direction of writing, or show nothing: they make a name look like another.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_JOINERS = "\u200d\ufe0e\ufe0f"


def file_name(item: Item, extension: str) -> str:
    """Name for the file of `item`, safe on every system: "2026-03-01 Title [dQw4w9WgXcQ].srt".

    It depends on the item alone, so that it is the same each time, and its id keeps it apart from every
    other, also where upper and lower case are one. At most NAME_BYTES bytes of UTF-8 in form NFC.
    """
    if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{EXTENSION_CHARACTERS - 1}}}", extension):
        raise ValueError(f"not an extension: {extension!r}")
    # A local file's date is when it was last touched: a copy of it would get another name.
    date = "" if item.source == "file" else item.upload_date or ""
    date = f"{date} " if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", date) else ""
    title = _name(item.title)
    if not date:
        title = title.lstrip(".-~ ")
        if title.partition(".")[0].rstrip().lower() in _RESERVED:
            title = f"_{title}"
    end = f"[{_tag(item)}].{extension}"
    title = _cut(title, NAME_BYTES - len(date) - len(end) - 1)
    return f"{date}{title} {end}" if title else f"{date}{end}"


def _name(title: str) -> str:
    """`title` with the characters that some system forbids replaced by what reads alike."""
    title = re.sub(r"\s*:\s+", " - ", _INVISIBLE.sub("", _line(title)))
    title = re.sub(r"[/\\|:]", "-", title).replace('"', "'")
    title = " ".join(re.sub(r"[<>*?]", "", title).split())
    return unicodedata.normalize("NFC", title)


def _cut(title: str, size: int) -> str:
    """The beginning of `title` in at most `size` bytes, ending with a whole character and, if near, word."""
    if len(title.encode()) <= size:
        return title
    ellipsis = "…"
    kept = title.encode()[: size - len(ellipsis.encode())].decode(errors="ignore")
    while kept and (_joined(title[len(kept)]) or kept[-1] == "\u200d"):
        kept = kept[:-1]
    words = kept.rpartition(" ")[0]
    return (words if len(words) > len(kept) * 0.7 else kept).rstrip(" -,;.") + ellipsis


def _joined(character: str) -> bool:
    """Whether `character` belongs to the one before it: an accent, a joiner, a skin tone."""
    return (
        unicodedata.category(character).startswith("M")
        or character in _JOINERS
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def _tag(item: Item) -> str:
    """What no other item has, in letters that are safe in a name; altered ids carry a hash after "~".

    A YouTube id stands as it is, for tools that look for it. Two of them that differ in upper and lower
    case alone do not happen: they are 64 random bits, of which 56 are left where case does not count.
    """
    if item.source == "youtube" and re.fullmatch(r"[A-Za-z0-9_-]{11}", item.id):
        return item.id
    if re.fullmatch(r"[a-z0-9_]{1,32} [a-z0-9_.-]{1,32}", plain := f"{item.source} {item.id}"):
        return plain
    source, name = (
        re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:16] for part in (item.source, item.id)
    )
    digest = hashlib.sha256(item.key.encode(errors="surrogatepass")).digest()
    return f"{source} {name}~{base64.b32encode(digest)[:12].decode().lower()}".strip()


# --- Files ---------------------------------------------------------------------------------------

# A half-written file of a run that was killed is this old, in seconds: writing one takes milliseconds.
ABANDONED = 1 * HOUR
_PART = ".homescribe-{}.part"


def prepare(directory: Path) -> None:
    """Make `directory`, see that it can be written to, and remove what a killed run left half written.

    Called before work that takes hours, so that a wrong directory stops it at once (UserError).
    """
    with _refusals(directory):
        directory.mkdir(parents=True, exist_ok=True)
        part = directory / _PART.format(secrets.token_hex(8))
        part.touch(exist_ok=False)
        part.unlink()
        for leftover in directory.glob(_PART.format("*")):
            with suppress(FileNotFoundError):  # another run removes it too
                if leftover.stat().st_mtime < time.time() - ABANDONED:
                    leftover.unlink()


def write(
    directory: Path, item: Item, transcript: Transcript, exporters: Mapping[str, Exporter]
) -> list[Path]:
    """Write `item` below `directory` in each format, and tell the paths.

    Args:
        exporters: by extension, as `plugins.load("exporters", extension)` gives them.

    Raises:
        UserError: disk full, not allowed, not a directory. No half of a file is left.
    """
    paths = []
    for extension, exporter in exporters.items():
        content = exporter(item, transcript).encode(errors="replace")
        path = directory / file_name(item, extension)
        with _refusals(directory):
            directory.mkdir(parents=True, exist_ok=True)
            _replace(path, content)
        paths.append(path)
    return paths


def _replace(path: Path, content: bytes) -> None:
    """The file at `path` is the old one or, whole and on the disk, the new one."""
    part = path.with_name(_PART.format(secrets.token_hex(8)))
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    """What the system says of `directory`, as a UserError that tells what to do about it."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT:
                message = f"No space is left to write to {directory}."
                hint = "Free some space and export again: the library has everything."
            case errno.EACCES | errno.EPERM | errno.EROFS:
                message = f"{directory} cannot be written to."
                hint = "Choose another directory, or change its permissions."
            case errno.ENOTDIR | errno.EEXIST:
                message = f"{directory} is not a directory."
                hint = "Choose another directory."
            case _:
                message = f"Cannot write to {directory}: {error.strerror or error}."
                hint = "Choose another directory, or correct this and export again."
        raise UserError(message, hint) from error
