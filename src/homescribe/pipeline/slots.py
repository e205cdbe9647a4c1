"""The threads that give work to a backend's session: as many as it has slots."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from queue import Empty, Queue, SimpleQueue
from threading import Event as Flag
from threading import Thread

from homescribe.core import Audio, Call, Session, TranscriptionOptions
from homescribe.errors import Cancelled, ItemError, NotCollected, UserError
from homescribe.pipeline.crash_log import NOT_OF_ONE_ITEM, internal_error
from homescribe.pipeline.downloads import TICK
from homescribe.pipeline.engine_faults import is_machines
from homescribe.pipeline.events import (
    Check,
    Checked,
    Crashed,
    Event,
    Failed,
    Halted,
    Started,
    Submitted,
    Transcribed,
    Used,
)
from homescribe.pipeline.state import Progress, Stage, Stages

JOIN = 5 * TICK


class Slots:
    """Threads that take `work`, and send an event for each to `inbox`, until `ending` is set.

    Args:
        ended: set when nothing is stored any more.
        directory: the library's folder, for log files.
    """

    def __init__(
        self,
        session: Session,
        options: TranscriptionOptions,
        work: Queue[Audio | Call | Check],
        inbox: SimpleQueue[Event],
        stages: Stages,
        progress: Progress,
        ending: Flag,
        ended: Flag,
        directory: Path,
    ) -> None:
        self.number = session.slots
        self._session = session
        self._options = options
        self._work = work
        self._inbox = inbox
        self._stages = stages
        self._progress = progress
        self._ending = ending
        self._ended = ended
        self._directory = directory
        # The engine is in this process; set when its first call has no id.
        self._in_this_process = False
        self._elsewhere = bool(getattr(session, "elsewhere", False))
        self._threads = [
            Thread(target=self._serve, name=f"slot {n}", daemon=True) for n in range(session.slots)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def alive(self) -> bool:
        """Return whether any thread is still running."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Wait for the threads that have nothing to do any more, for JOIN seconds at most.

        A thread that has run an engine must not be ended by the interpreter's exit: with it ends the whole
        process ("terminate called without an active exception").
        """
        until = time.monotonic() + JOIN
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _serve(self) -> None:
        """Process work from the queue until the run ends."""
        while not self._ending.is_set():
            try:
                work = self._work.get(timeout=TICK)
            except Empty:
                continue
            item = work.audio.item if isinstance(work, Check) else work.item
            try:
                if isinstance(work, Check):
                    self._inbox.put(self._check(work.audio))
                else:
                    self._inbox.put(self._transcribe(work))
            except Cancelled:
                return
            except ItemError as error:
                kept = isinstance(error, NotCollected)
                self._inbox.put(Failed(item, error, keep_call=kept))
            except UserError as error:
                self._inbox.put(Halted(error))
                return
            except NOT_OF_ONE_ITEM as error:
                self._inbox.put(Crashed(error))
                return
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is about this item
                failure = internal_error(error, self._directory, "transcribing", item.key)
                self._inbox.put(
                    Failed(
                        item,
                        failure,
                        keep_call=True,
                        unforeseen=self._in_this_process,
                        machines=is_machines(error),
                    )
                )

    def _transcribe(self, work: Audio | Call) -> Transcribed:
        """Submit audio and wait for its transcript, or wait for a call that an earlier run submitted."""
        item = work.item
        began = time.monotonic()
        self._progress.transcription_started(item)

        def progress(seconds: float) -> None:
            self._progress.transcription_progressed(item, seconds)

        call = self._submit(work) if isinstance(work, Audio) else work
        if call.id is None and not self._elsewhere:  # the engine may take this process down
            self._in_this_process = True
            self._inbox.put(started := Started(item))
            self._wait_until(started.stored)
        try:
            transcript = self._session.result(call, self._ending, progress)
        finally:
            if (usage := self._session.usage(call)) is not None:
                self._inbox.put(Used(usage))
        # Those that this call was submitted with: a call of an earlier run may have others than this run.
        transcript = replace(transcript, options=call.options)
        return Transcribed(item, transcript, time.monotonic() - began)

    def _check(self, audio: Audio) -> Checked:
        """Transcribe the recording of a check."""
        options = replace(self._options, audio_track=None)
        try:
            call = self._session.submit(audio, options, self._ending)
            self._session.result(call, self._ending, lambda _: None)
        except UserError as error:
            return Checked(error)
        except NOT_OF_ONE_ITEM:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the engine raised it
            return Checked(error)
        return Checked(None)

    def _submit(self, audio: Audio) -> Call:
        """Submit audio; return its call, which is stored by then if it outlives this process."""
        if not self._stages.start_submitting(audio.item.key):
            raise Cancelled
        try:
            call = self._session.submit(audio, self._options, self._ending)
            call = replace(call, options=self._options)
            submitted = Submitted(call)
            if call.id is not None:
                self._inbox.put(submitted)
        finally:
            self._stages.set([audio.item.key], Stage.SUBMITTED)
        if call.id is not None:
            self._wait_until(submitted.stored)
        return call

    def _wait_until(self, stored: Flag) -> None:
        """Wait for the iterating thread to store something, or for its end: the disk may be full."""
        while not stored.wait(TICK):
            if self._ended.is_set():
                raise Cancelled
