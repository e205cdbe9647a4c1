"""Turn an unforeseen exception into one item's failure, with its traceback in a log file.

The files are in `logs/` of the library folder. Their number and size are limited, and passwords and tokens
in addresses are removed from them.
"""

from __future__ import annotations

import hashlib
import re
import time
import traceback
from pathlib import Path

from homescribe import private_files
from homescribe.errors import Cancelled, InternalError, UserError
from homescribe.text.redaction import shown_text
from homescribe.text.sanitize import utf8_safe

MAX_FILES = 50
MAX_CHARACTERS = 100_000  # of one traceback; deep recursion makes longer ones

# Exceptions that end more than the work on one item.
NOT_OF_ONE_ITEM = (KeyboardInterrupt, SystemExit, GeneratorExit, Cancelled, UserError)


def internal_error(
    error: BaseException, library_directory: Path, action: str, name: str
) -> InternalError:
    """Write the traceback of `error` to a log file and return the failure to record.

    Args:
        action: what was being done, for the message: "downloading".
        name: key of the item or address of the source.
    """
    log = write_log(error, library_directory / "logs", f"{action} {name}")
    details = f"the details are in {log}." if log else "the details could not be written to a log."
    return InternalError(
        f"Internal error while {action} ({type(error).__name__}); {details}",
        "Please report it with that file, which is in the library folder.",
    )


def write_log(error: BaseException, folder: Path, heading: str) -> str | None:
    """Write a log file; return its path within the library folder, None if it cannot be written."""
    text = shown_text(f"{heading}\n\n{''.join(traceback.format_exception(error))}")
    if len(text) > MAX_CHARACTERS:
        half = MAX_CHARACTERS // 2
        text = f"{text[:half]}\n[...]\n{text[-half:]}"
    readable = re.sub(r"[^A-Za-z0-9]+", "-", shown_text(heading))[:60].strip("-")
    digest = hashlib.sha256(heading.encode(errors="replace")).hexdigest()[:8]
    path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{readable}-{digest}.log"
    try:
        private_files.make_folder(folder)
        private_files.write_file(path, utf8_safe(text).encode())
        for old in sorted(folder.glob("*.log"))[:-MAX_FILES]:
            old.unlink(missing_ok=True)
    except OSError:
        return None
    return f"{folder.name}/{path.name}"
