"""The uploads of one server: which request writes each of them, and what becomes of a complete one.

Making an item of a complete file takes a while, because the file is read whole. It continues when the client
disconnects, and every request for the upload waits for the same result. If the server is killed meanwhile, it
is done again at the next start.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from threading import Event

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from homescribe.assemble import open_library, open_sources
from homescribe.config import Config
from homescribe.errors import HomescribeError, PermanentError, UserError
from homescribe.pipeline.uploaded_files import RECORDINGS, record_upload, uploads_folder
from homescribe.text.log_lines import print_traceback
from homescribe.web.jobs import Jobs
from homescribe.web.partial_uploads import PartialUpload, PartialUploads
from homescribe.web.storage import stored

KEPT = 1000  # finished uploads whose result is kept, for clients that have not received it


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of an upload."""

    size: int
    key: str
    new: bool  # False: the library had the same recording already
    transcribing: bool  # whether its transcription has started, or starts after the present run
    warnings: tuple[str, ...] = ()


class Transfers:
    """The uploads of one server. The methods are called in the event loop."""

    def __init__(self, config: Config, jobs: Jobs) -> None:
        self.stored = PartialUploads(config.library / RECORDINGS / ".partial")
        self._config = config
        self._jobs = jobs
        self._writers: dict[str, object] = {}
        self._finishing: dict[str, asyncio.Task[Finished]] = {}
        self._finished: OrderedDict[str, Finished] = OrderedDict()

    def take_over(self, upload: PartialUpload) -> object:
        """Let only the caller write from now on: a client may reconnect before its old connection ends."""
        writer = object()
        self._writers[upload.id] = writer
        return writer

    def check(self, upload: PartialUpload, writer: object) -> None:
        """Raise HTTPException 423 if another request has taken over."""
        if self._writers.get(upload.id) is not writer:
            raise HTTPException(423, "Another request continues this upload.")

    def forget(self, name: str) -> None:
        """Make the request that writes an upload, if there is one, end."""
        self._writers.pop(name, None)

    def finishing(self, name: str) -> bool:
        """Whether an item is being made of the upload."""
        return name in self._finishing

    def finished(self, name: str) -> Finished | None:
        """Return the result of an upload that is complete; None if it is not."""
        return self._finished.get(name)

    async def finish(self, upload: PartialUpload) -> Finished:
        """Make an item of the complete file, and return the result. A second call waits for the first one."""
        task = self._finishing.get(upload.id)
        if task is None:
            task = asyncio.create_task(self._finish(upload))
            self._finishing[upload.id] = task
            task.add_done_callback(lambda ended: self._ended(upload.id, ended))
        return await asyncio.shield(task)

    async def resume(self) -> None:
        """Make items of the files that were complete when the last server was killed."""
        for upload in await run_in_threadpool(lambda: list(self.stored.unfinished())):
            if await run_in_threadpool(self.stored.offset, upload) < upload.size:
                continue
            try:
                await self.finish(upload)
            except (HomescribeError, HTTPException):
                pass  # the client that continues the upload gets the message
            except Exception as error:  # noqa: BLE001 - a bug must not keep the others from being resumed
                print_traceback(error)

    async def _finish(self, upload: PartialUpload) -> Finished:
        self.forget(upload.id)
        with stored():
            return await run_in_threadpool(_record, self._config, self.stored, self._jobs, upload)

    def _ended(self, name: str, task: asyncio.Task[Finished]) -> None:
        self._finishing.pop(name, None)
        if task.cancelled() or task.exception():
            return
        self._finished[name] = task.result()
        if len(self._finished) > KEPT:
            self._finished.popitem(last=False)


def _record(config: Config, uploads: PartialUploads, jobs: Jobs, upload: PartialUpload) -> Finished:
    """Record the complete file as an item, and start its transcription if the client wants that."""
    with uploads.lock(upload), open_library(config) as library:
        path = uploads.place(upload, uploads_folder(config.library))
        with open_sources(config, library) as sources:
            try:
                found = record_upload(library, sources, path, Event())
            except UserError as error:
                if isinstance(error.__cause__, PermanentError):  # it is not a recording
                    path.unlink(missing_ok=True)
                    uploads.delete(upload)
                else:
                    uploads.take_back(upload, path)
                raise
            key = found.item.key
            library.stop_ignoring([key])  # to upload a recording is to want its transcript
            pending = library.item(key).state == "pending"
        started = upload.transcribe and pending and jobs.enqueue([key])
        uploads.delete(upload)
    return Finished(upload.size, key, found.new, started, found.warnings)
