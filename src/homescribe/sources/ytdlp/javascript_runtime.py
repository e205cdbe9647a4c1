"""The JavaScript runtime that yt-dlp runs YouTube's own scripts with; without one, formats are missing.

yt-dlp looks for deno beside Python, then on the PATH, then for node on the PATH (see `child.py`). The extra
`youtube` installs deno.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OLDEST = {"deno": (2, 3), "node": (22, 0)}  # yt-dlp's requirements
INSTALL = "pip install deno"
MISSING = f"YouTube needs a JavaScript runtime, and this machine has none: {INSTALL}"
VERSION_TIMEOUT = 30.0  # seconds for a program to print its version


@dataclass(frozen=True, slots=True)
class Runtime:
    """A program that was found. `version` is "" if it does not run."""

    name: str
    path: str
    version: str = ""
    supported: bool = False  # new enough for yt-dlp


def find_runtimes() -> list[Runtime]:
    """Return the runtimes of this machine, in the order in which yt-dlp uses them."""
    beside = shutil.which("deno", path=str(Path(sys.executable).parent))
    paths = {"deno": beside or shutil.which("deno"), "node": shutil.which("node")}
    return [_described(name, path) for name, path in paths.items() if path]


def has_runtime() -> bool:
    """Whether yt-dlp can run YouTube's scripts."""
    return any(runtime.supported for runtime in find_runtimes())


def _described(name: str, path: str) -> Runtime:
    words = _version_output(path)  # "deno 2.4.1 (stable, ...)", "v22.1.0"
    text = next((word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit()), "")
    numbers = tuple(int(part) for part in text.split(".") if part.isdigit())
    return Runtime(name, path, text, bool(numbers) and numbers >= OLDEST[name])


def _version_output(program: str) -> list[str]:
    """Return the words that `program --version` prints; none if it fails or hangs."""
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=VERSION_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if done.returncode else done.stdout.split()
