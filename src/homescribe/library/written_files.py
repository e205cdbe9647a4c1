"""Export files at places that other programs or recordings may use, too: which of them are whose.

Files in a directory for exports have names that no other item has, and need no record. For files beside the
media, or with names of the user's choice, it tells what may be replaced.
"""

from __future__ import annotations

import os
import sqlite3
import unicodedata
from pathlib import Path


def find(db: sqlite3.Connection, path: Path) -> tuple[str, bytes] | None:
    """Return the key of the item that `path` was last written for, and the SHA-256 of the content."""
    row = db.execute(
        "SELECT key, sha256 FROM written_files WHERE path = ?", (_folded(path),)
    ).fetchone()
    return (row["key"], row["sha256"]) if row else None


def record(db: sqlite3.Connection, path: Path, key: str, sha256: bytes, now: float) -> None:
    """Record that content with this SHA-256 was written to `path` for the item with this key."""
    db.execute(
        "INSERT OR REPLACE INTO written_files (path, key, sha256, written_at) VALUES (?, ?, ?, ?)",
        (_folded(path), key, sha256, now),
    )


def _folded(path: Path) -> bytes:
    """Return what all spellings of `path` have in common on file systems that ignore case."""
    text = os.path.abspath(path)  # noqa: PTH100 - `resolve` follows links, which may change
    return os.fsencode(unicodedata.normalize("NFC", text).casefold())
