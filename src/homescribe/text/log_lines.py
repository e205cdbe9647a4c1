"""Log lines, warnings and tracebacks of any library, on a terminal: without secrets and control characters.

They contain what strangers wrote: the address of a private feed, a title with an escape sequence.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from types import TracebackType

from homescribe.text.redaction import shown_text
from homescribe.text.sanitize import terminal_safe_part


class SafeFormatter(logging.Formatter):
    """Formats a log record, with its traceback, as `terminal_lines` does."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        return terminal_lines(super().format(record))


def terminal_lines(text: str) -> str:
    """Return `text` with its line breaks, without secrets in its addresses and without control characters."""
    return "\n".join(map(terminal_safe_part, shown_text(text).split("\n")))


def print_traceback(error: BaseException) -> None:
    """Print the traceback of a bug on standard error."""
    text = "".join(traceback.format_exception(error))
    print(terminal_lines(text).rstrip(), file=sys.stderr)  # noqa: T201 - where tracebacks go


def install() -> None:
    """Print what no code catches or prints itself in this way: exceptions of all threads, log lines of
    libraries, and warnings.
    """
    sys.excepthook = _excepthook
    threading.excepthook = lambda found: print_traceback(found.exc_value or found.exc_type())
    sys.unraisablehook = lambda found: print_traceback(found.exc_value or found.exc_type())
    handler = logging.StreamHandler()
    handler.setFormatter(SafeFormatter())
    logging.getLogger().addHandler(handler)
    logging.captureWarnings(True)


def _excepthook(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    print_traceback(error.with_traceback(trace))
