"""Processes that decode for this one: a recording that crashes a decoder ends such a process only.

PyAV runs ffmpeg's native code, in which a hostile or damaged recording may crash, or which may need more
memory than there is. In a listing, that would end the listing of all other recordings, each night again.

A process serves one request at a time, a line of JSON, and stays for the next one: `decoder_child.py` is its
side. It ends at once when its standard input is closed, so also with this process, however that ends.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import IO

from homescribe import errors
from homescribe.errors import Cancelled, HomescribeError, ItemError, PermanentError, RetryableError

START_SECONDS = 60.0  # in which a process is ready, also on a busy machine
EXIT_SECONDS = 5.0  # in which a process ends that has closed its output
POLL_INTERVAL = 0.05  # seconds between two looks at `stop`

Reply = dict[str, object]


class NoDecoder(Exception):
    """No process can be started here: the caller has to decode by itself."""


class DecoderProcess:
    """A process and the pipes to it."""

    def __init__(self) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "homescribe.audio.decoder_child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C in the terminal is for this process only
            )
        except (OSError, ValueError) as error:
            raise NoDecoder from error
        if self._reply(None, START_SECONDS) is None:
            self.kill()
            raise NoDecoder

    def call(
        self, function: str, arguments: Mapping[str, object], stop: threading.Event | None
    ) -> object:
        """Return the result of one of the functions of `decoder_child.py`, or raise what it raises.

        Raises Cancelled soon after `stop` is set, and an ItemError when the process dies.
        """
        with contextlib.suppress(OSError, ValueError):  # it died: no reply comes
            stdin = _pipe(self._process.stdin)
            stdin.write(json.dumps({"function": function, "arguments": arguments}) + "\n")
            stdin.flush()
        reply = self._reply(stop)
        if reply is None:
            raise self._died()
        if "error" in reply:
            raise _rebuilt(reply)
        return reply["result"]

    def kill(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, ValueError):
                _pipe(pipe).close()

    @property
    def alive(self) -> bool:
        """Whether the process can serve another request."""
        return self._process.poll() is None

    def _died(self) -> ItemError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_SECONDS)
        self.kill()
        code = self._process.returncode
        if code == -getattr(signal, "SIGKILL", 9):
            return RetryableError(
                "The system ended the process that decoded the recording.",
                "It may need too much memory: close other programs.",
            )
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return PermanentError(
            f"The recording crashes the decoder ({how}).", "Convert it with another program."
        )

    def _reply(self, stop: threading.Event | None, seconds: float | None = None) -> Reply | None:
        """Return the next reply; None if the process ends, or sends none for `seconds`."""
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        # A thread for each reply, since one that stays would keep commands from ending as they do without.
        reader = threading.Thread(
            target=_read_line, args=(_pipe(self._process.stdout), lines), daemon=True
        )
        reader.start()
        give_up_at = None if seconds is None else time.monotonic() + seconds
        while True:
            if stop is not None and stop.is_set():
                self._process.kill()
                reader.join()
                self.kill()
                raise Cancelled
            try:
                line = lines.get(timeout=POLL_INTERVAL)
            except queue.Empty:
                if give_up_at is None or time.monotonic() < give_up_at:
                    continue
                self._process.kill()
                line = ""
            reader.join()
            if not line.endswith("\n"):  # it ended, perhaps while it wrote
                return None
            reply: Reply = json.loads(line)
            return reply


def _read_line(pipe: IO[str], lines: queue.SimpleQueue[str]) -> None:
    """Put a line into `lines`, "" at the end of the pipe."""
    try:
        lines.put(pipe.readline())
    except (OSError, ValueError):
        lines.put("")


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _rebuilt(reply: Reply) -> Exception:
    """Return an exception of the process, with its traceback there as a note."""
    name, given = str(reply["error"]), reply["arguments"]
    arguments = given if isinstance(given, list) else []
    kind = getattr(errors, name, None) or getattr(builtins, name, RuntimeError)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = RuntimeError
    if not issubclass(kind, HomescribeError | OSError):
        arguments = [" ".join(map(str, arguments))]
    error: Exception = kind(*arguments)
    error.add_note(str(reply["traceback"]))
    return error


class DecoderProcesses:
    """The processes of this one that wait for a request. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[DecoderProcess] = []
        self._inherited: list[DecoderProcess] = []
        self._unavailable = False

    def call(
        self, function: str, arguments: Mapping[str, object], stop: threading.Event | None
    ) -> object:
        """As `DecoderProcess.call`, in a process that is free or is started. Raises NoDecoder, too."""
        process = self._take()
        try:
            return process.call(function, arguments, stop)
        finally:
            if process.alive:
                with self._lock:
                    self._idle.append(process)

    def close(self) -> None:
        """End the processes that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        for process in idle:
            process.kill()

    def forget(self) -> None:
        """Leave the processes to the process from which this one was forked."""
        self._lock = threading.Lock()  # another thread may have held it
        self._inherited, self._idle = self._idle, []

    def _take(self) -> DecoderProcess:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.alive:
                    return process
                process.kill()
            if self._unavailable:
                raise NoDecoder
        try:
            return DecoderProcess()
        except NoDecoder:
            self._unavailable = True
            raise


PROCESSES = DecoderProcesses()
atexit.register(PROCESSES.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESSES.forget)
