"""Is this machine ready? Each check is one line, and what is wrong comes with what to do about it."""

from __future__ import annotations

import datetime
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.library import Library

# YouTube changes every few weeks; an older yt-dlp is the usual reason for downloads that fail.
OLD_YTDLP_DAYS = 60
# Not by homescribe's name, which on PyPI may be a stranger's.
WITH_WHISPER = "pip install '.[whisper]' in the folder that homescribe was installed from"
LITTLE_DISK = 2_000_000_000  # bytes; a window of downloads of long videos
OLDEST_DENO = (2, 3)  # yt-dlp's own floor
PATIENCE = 30.0  # seconds for a program to tell its version


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `fix`: what to do, "" when all is well."""

    name: str
    state: Literal["ok", "warning", "broken"]
    finding: str
    fix: str = ""


def check(config: Config) -> Iterator[Check]:
    """All checks, in the order in which a run needs things."""
    yield _python()
    yield _ytdlp()
    yield _javascript()
    yield _engine("faster-whisper", "faster_whisper", "pip install faster-whisper", wanted=True)
    yield _engine("openai-whisper", "whisper", WITH_WHISPER, wanted=False)
    yield _models()
    yield _disk(config.library)
    yield _library(config.library)


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def _ytdlp() -> Check:
    try:
        found = version("yt-dlp")
    except PackageNotFoundError:
        return Check("yt-dlp", "broken", "not installed", "pip install 'yt-dlp[default]'")
    year, month, day = (int(part) for part in found.split(".")[:3])
    age = (datetime.date.today() - datetime.date(year, month, day)).days
    finding = f"{found}, {age} days old"
    if age > OLD_YTDLP_DAYS:
        return Check("yt-dlp", "warning", finding, "pip install -U 'yt-dlp[default]'")
    return Check("yt-dlp", "ok", finding)


def _javascript() -> Check:
    """yt-dlp solves YouTube's challenges in a JavaScript runtime; deno is the one it uses unasked."""
    fix = "pip install deno (YouTube works only in part without it)"
    beside_python = Path(sys.executable).parent
    deno = shutil.which("deno", path=str(beside_python)) or shutil.which("deno")
    if deno is None:
        return Check("javascript", "warning", "deno not found", fix)
    words = _told_version(deno)
    if len(words) < 2:
        return Check("javascript", "warning", f"{deno} does not run", fix)
    numbers = tuple(int(part) for part in words[1].split(".") if part.isdigit())
    if numbers < OLDEST_DENO:
        return Check("javascript", "warning", f"deno {words[1]} is too old", "pip install -U deno")
    return Check("javascript", "ok", f"deno {words[1]}")


def _told_version(program: str) -> list[str]:
    """The words that `program` answers to --version; none when it does not run, or hangs."""
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if done.returncode else done.stdout.split()


def _engine(name: str, module: str, install: str, *, wanted: bool) -> Check:
    if importlib.util.find_spec(module) is None:
        return Check(name, "broken" if wanted else "ok", "not installed", install if wanted else "")
    return Check(name, "ok", version(name))


def _models() -> Check:
    """Models that were downloaded before, which need no network any more."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    hub = _hub(caches)
    found = [
        folder.name.rpartition("faster-whisper-")[2]
        for folder in _files(hub, "models--*faster-whisper-*")
    ]
    found += [f"{file.stem} (openai)" for file in _files(caches / "whisper", "*.pt")]
    return Check(
        "models",
        "ok",
        ", ".join(sorted(found)) or "none yet: fetched on first use (demo is bundled)",
    )


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:  # a cache of somebody else's, which no engine can read either
        return []


def _hub(caches: Path) -> Path:
    """Where Hugging Face's library keeps what it downloaded, by its own variables."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if chosen := os.environ.get(name):
            return Path(chosen).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else caches / "huggingface") / "hub"


def _disk(directory: Path) -> Check:
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    finding = f"{free / 1e9:.1f} GB free at {existing}"
    if free < LITTLE_DISK:
        return Check(
            "disk", "warning", finding, "Make room, or choose another place with --library."
        )
    return Check("disk", "ok", finding)


def _library(directory: Path) -> Check:
    if not (directory / "library.db").exists():
        return Check("library", "ok", f"none yet at {directory}")
    try:
        with Library(directory) as library:
            problems = library.check()
            figures = library.status()
            read_only = library.read_only
    except UserError as error:
        return Check("library", "broken", error.message, error.hint)
    if problems:
        fix = f"Copy {figures.path} away and restore a backup."
        return Check("library", "broken", "; ".join(problems), fix)
    finding = f"{figures.path}: {sum(figures.states.values())} items, no damage"
    if read_only:
        fix = "Give yourself the right to write it and its folder."
        return Check("library", "warning", f"{finding}; it can only be read", fix)
    return Check("library", "ok", finding)
