"""The form of a request with a recording, whose file is written into the library's folder as it arrives.

Starlette's own parser would write it into the system's temporary folder, which may be small, or in memory.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from homescribe.web.storage import check_space

MAX_FIELDS = 50
CHECK_BYTES = 1 << 20  # between two looks at the free space


async def read_form(request: Request, path: Path) -> FormData:
    """Return the fields of a form; its file, which must be the only one, is written to `path`.

    HTTPException 400 for a form that is not valid, 507 if the disk would become too full.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await request.form(max_fields=MAX_FIELDS)  # no file
    check_space(path.parent, int(request.headers.get("content-length") or 0))
    try:
        async with aclosing(request.stream()) as body:
            return await _Parser(request.headers, body, path).parse()
    except MultiPartException as error:
        raise HTTPException(400, error.message) from error


class _Parser(MultiPartParser):
    """Writes the file of a form to `path`."""

    def __init__(self, headers: Headers, body: AsyncGenerator[bytes, None], path: Path) -> None:
        super().__init__(headers, body, max_files=1, max_fields=MAX_FIELDS)
        self._path = path
        self._unchecked = 0  # bytes since the latest look at the free space

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        spooled = self._current_part.file
        if spooled is not None:
            spooled.file.close()
            file = self._path.open("x+b")
            self._files_to_close_on_error.append(file)  # type: ignore[arg-type]
            self._current_part.file = UploadFile(
                file, size=0, filename=spooled.filename, headers=spooled.headers
            )

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._unchecked += end - start
        if self._unchecked >= CHECK_BYTES:
            check_space(self._path.parent, self._unchecked)
            self._unchecked = 0
        super().on_part_data(data, start, end)
