"""Translate errors of PyAV and of reading files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from homescribe.errors import HomescribeError, PermanentError, RetryableError


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Translate errors of PyAV and of reading the file into ours. `name` is the file's name in messages."""
    import av

    try:
        yield
    except (av.error.FFmpegError, OSError, MemoryError) as error:
        raise reaction(error, name) from error


def reaction(error: Exception, name: str) -> HomescribeError:
    """Return our error for one of PyAV or Python. PyAV's errno classes derive from Python's."""
    if isinstance(error, MemoryError):
        return RetryableError(f"Out of memory while decoding {name}.", "Close other programs.")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return RetryableError(f"{name} is no longer there.", "Restore it, or remove the item.")
    if isinstance(error, PermissionError):
        return PermanentError(f"{name} is not readable.", "Change its permissions, then retry it.")
    if isinstance(error, OSError) and not isinstance(error, EOFError):
        return RetryableError(f"{name} could not be read: {error.strerror or error}.")
    return PermanentError(f"{name} is not audio or video that can be decoded.")
