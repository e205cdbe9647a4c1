"""A zip archive that is sent while it is made, so that its memory does not grow with its size."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def zip_stream(files: Iterable[tuple[str, str | bytes]]) -> Iterator[bytes]:
    """Yield an archive of files, each with its name and content, in a piece for each file."""
    buffer = _Buffer()
    with zipfile.ZipFile(cast(IO[bytes], buffer), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
            yield buffer.take()
    yield buffer.take()


class _Buffer(io.RawIOBase):
    """A write-only file whose content is taken away in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        content = bytes(data)
        self._parts.append(content)
        return len(content)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)
