"""The captions of a recording: which track of its page is taken, and its download. Part of the child process.

A translation is no transcript: of the tracks that persons wrote, one in a language that is spoken is taken,
else the automatic one in the original language, which yt-dlp calls "en-orig".
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yt_dlp
from yt_dlp.utils import ExtractorError, ISO639Utils

from homescribe.sources.ytdlp.lister import Info, Lister, find, live_reply

FORMATS = ("json3", "vtt", "srt", "ttml", "dfxp")  # the best first
NO_CAPTIONS = ("live_chat", "comments", "danmaku", "rechat")  # of viewers
AUTOMATIC = re.compile(r"-x-autogen$|\bautogen|auto-generated|automatic", re.IGNORECASE)


class TokenNeeded(ExtractorError):  # type: ignore[misc]
    """The site has captions, but only for programs with a PO token."""


@dataclass(frozen=True, slots=True)
class Track:
    """One track of captions, in the best of its formats."""

    tag: str  # as the site calls its language
    automatic: bool
    file: Info  # yt-dlp's: {"ext", "url" or "data", "name", ...}

    @property
    def language(self) -> str:
        """The language without region and script, as ISO 639-1 where there is such a code."""
        return primary(self.tag.removesuffix("-orig"))


def captions(ydl: yt_dlp.YoutubeDL, request: Info) -> Info:
    """Return the item, completed by its page, and the captions that were written to the directory."""
    with parameters(ydl, writesubtitles=True, writeautomaticsub=True):
        info = find(ydl, request)
    if live := live_reply(info):
        return live
    # Captions may be public where the recording is not.
    with parameters(ydl, ignore_no_formats_error=True):
        info = ydl.process_ie_result(info, download=False)
    reply: Info = {"item": Lister(ydl).item(info), "captions": None}
    track, unsure = choose(info, request["language"])
    if track is None:
        if any("po token" in warning.lower() for warning in ydl.params["logger"].warnings):
            raise TokenNeeded("Captions need a PO token", expected=True)
        return reply
    path = download(ydl, info, track, request["directory"])
    return reply | {
        "captions": {
            "path": str(path),
            "language": track.language,
            "automatic": track.automatic,
            "unsure": unsure,
        }
    }


@contextlib.contextmanager
def parameters(ydl: yt_dlp.YoutubeDL, **changed: bool) -> Iterator[None]:
    """Set parameters of yt-dlp meanwhile. Many extractors look for captions only if they will be written."""
    before = {name: ydl.params.get(name, False) for name in changed}
    ydl.params.update(changed)
    try:
        yield
    finally:
        ydl.params.update(before)


def choose(info: Info, listed: str | None) -> tuple[Track | None, bool]:
    """Return the track to take, None without one, and whether it may be a translation.

    Args:
        listed: the language of the recording as its listing says.
    """
    tracks = [*_tracks(info, "subtitles"), *_tracks(info, "automatic_captions")]
    manual = [track for track in tracks if not track.automatic]
    automatic = [track for track in tracks if track.automatic]
    original = [track for track in automatic if track.tag.endswith("-orig")]
    tags = [listed, info.get("language"), *(track.language for track in original)]
    spoken = list(dict.fromkeys(str(tag).lower() for tag in tags if tag))
    if found := _in_languages(manual, spoken):
        return found, False
    if original:
        return original[0], False
    if found := _in_languages(automatic, spoken):
        return found, False
    if len({track.language for track in automatic}) == 1:
        return automatic[0], False
    if spoken or not manual:
        return None, False
    return manual[0], len({track.language for track in manual}) > 1


def _in_languages(tracks: list[Track], languages: list[str]) -> Track | None:
    """Return the first track in one of `languages`, if possible with the same region."""
    for language in languages:
        same = [track for track in tracks if track.language == primary(language)]
        exact = [track for track in same if track.tag.lower() == language]
        if same:
            return (exact or same)[0]
    return None


def _tracks(info: Info, name: str) -> Iterator[Track]:
    """Yield the tracks of `subtitles` or `automatic_captions` that can be read, without translations."""
    for tag, files in (info.get(name) or {}).items():
        if tag in NO_CAPTIONS or "forced" in tag.lower():
            continue
        known = [one for one in files or () if not _is_translated(one)]
        best = min(
            (one for one in reversed(known) if one.get("ext") in FORMATS),
            key=lambda one: FORMATS.index(one["ext"]),
            default=None,
        )
        if best is not None and (best.get("url") or best.get("data")):
            shown = f"{tag} {best.get('name') or ''}"
            yield Track(tag, name != "subtitles" or bool(AUTOMATIC.search(shown)), best)


def _is_translated(file: Info) -> bool:
    try:
        return "tlang" in parse_qs(urlsplit(file.get("url") or "").query)
    except ValueError:
        return True


def primary(tag: str) -> str:
    """Return the language of a tag: "en" for "en-US", "eng" and "en_GB.UTF-8"."""
    code = re.split(r"[-_.]", tag.strip().lower())[0]
    return (ISO639Utils.long2short(code) if len(code) == 3 else None) or code


def download(ydl: yt_dlp.YoutubeDL, info: Info, track: Track, directory: str) -> Path:
    """Download a track into `directory`, and return the path."""
    # A path in the name would not do: see `child.fetch`.
    with contextlib.chdir(directory):
        path = Path(f"captions.{track.file['ext']}")
        path.unlink(missing_ok=True)
        if track.file.get("data") is not None:
            path.write_text(track.file["data"], encoding="utf-8", errors="replace")
        else:
            headers = track.file.get("http_headers") or info.get("http_headers")
            ydl.dl(str(path), {**track.file, "http_headers": headers}, subtitle=True)
        if not path.is_file():
            raise yt_dlp.utils.DownloadError("No captions were downloaded")
        return path.absolute()
