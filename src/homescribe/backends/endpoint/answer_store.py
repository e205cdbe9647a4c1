"""Answers that are paid for, in the library's folder until the transcript of their recording is stored.

    answers/<hash of the key>/job.json       whose answers they are, and the id of the row in the costs
                              <token>.json   an answer, and what it cost
                              sent-<n>.json  a request without an answer, and what it may have cost
                              failures       a byte for each failure of the recording

A request is noted before it is sent, and its answer is stored as soon as it arrives, so a process that is
killed pays for no answered part twice, and no cost is forgotten. Equal parts with equal options have equal
tokens.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from homescribe.backends.endpoint.decoded_recording import PREFIX
from homescribe.core import DAY
from homescribe.errors import UserError
from homescribe.private_files import make_folder, write_file

KEPT = 60 * DAY  # seconds after which the answers for an unfinished recording are deleted
VERSION = 1  # of the tokens
SENT = "sent-"


@dataclass(frozen=True, slots=True)
class Paid:
    """What the requests for one recording have cost, those of earlier runs included."""

    id: str  # of the row in the statistics, the same until the recording is finished
    began: float  # Unix time
    key: str  # of the item
    model: str  # of the run that sent the first request, as is `host`
    host: str
    requests: int
    dollars: float
    lost_dollars: float  # of them, for requests without an answer: at most
    seconds: float  # that the service took
    latest: float  # Unix time of the latest request


def token_of(
    samples: NDArray[np.int16], address: str, speech_format: str, fields: Mapping[str, str]
) -> str:
    """Return the token of a request: of the waveform, and of all that is sent with it."""
    digest = hashlib.sha256(samples.tobytes())
    work = [VERSION, address, speech_format, dict(fields)]
    digest.update(json.dumps(work, sort_keys=True).encode())
    return digest.hexdigest()[:40]


class AnswerStore:
    """The answers in `folder`. Any thread may use it, but one recording is the work of one thread.

    Args:
        model, host: noted with the costs of new recordings.
    """

    def __init__(self, folder: Path, model: str = "", host: str = "") -> None:
        self.folder = folder
        self._model, self._host = model, host
        self._lock = Lock()

    def sweep(self) -> None:
        """Delete the answers for recordings that nobody has gone on with for a long time.

        Also decoded recordings that a killed process left.
        """
        with suppress(OSError):
            for one in self.folder.iterdir():
                left = one.name.startswith(PREFIX)
                if left or time.time() - one.stat().st_mtime > KEPT:
                    shutil.rmtree(one, ignore_errors=True)

    def find(self, key: str, token: str) -> bytes | None:
        """Return the body of a stored answer; None if there is none."""
        try:
            found = json.loads((self._of(key) / f"{token}.json").read_text(encoding="utf-8"))
            body = found["body"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return body.encode() if isinstance(body, str) else None

    def begin(self, key: str, dollars: float) -> str:
        """Note a request that is about to be sent; return the name of the note.

        Raises UserError when it cannot be written: then the answer could not be stored either.
        """
        name = f"{SENT}{uuid.uuid4().hex[:12]}"
        self._write(key, name, {"dollars": dollars, "seconds": 0.0})
        return name

    def add(
        self, key: str, token: str, body: bytes, dollars: float, seconds: float, sent: str
    ) -> None:
        """Store the answer to the request noted as `sent`. Raises UserError when it cannot be written."""
        text = body.decode("utf-8", "replace")
        self._write(key, token, {"body": text, "dollars": dollars, "seconds": seconds})
        self.withdraw(key, sent)

    def withdraw(self, key: str, sent: str) -> None:
        """Delete the note of a request that costs nothing, or whose answer is stored."""
        with suppress(OSError):
            (self._of(key) / f"{sent}.json").unlink()

    def reject(self, key: str, token: str) -> None:
        """Let a stored answer not be used again. It stays paid."""
        with suppress(OSError):
            path = self._of(key) / f"{token}.json"
            path.rename(path.with_name(f"rejected-{uuid.uuid4().hex[:12]}.json"))

    def paid(self, key: str) -> Paid | None:
        """Return what was paid for a recording; None if nothing was sent."""
        return self._paid(self._of(key))

    def unfinished(self) -> Iterator[Paid]:
        """Yield what was paid for each recording whose transcript is not stored."""
        with suppress(OSError):
            for folder in sorted(self.folder.iterdir()):
                if (paid := self._paid(folder)) is not None:
                    yield paid

    def _paid(self, folder: Path) -> Paid | None:
        requests, dollars, lost, seconds, latest = 0, 0.0, 0.0, 0.0, 0.0
        for path in sorted(folder.glob("*.json")):
            if path.name == "job.json":
                continue
            with suppress(OSError, ValueError, KeyError, TypeError):
                found = json.loads(path.read_text(encoding="utf-8"))
                cost, took = float(found["dollars"]), float(found["seconds"])
                requests, dollars, seconds = requests + 1, dollars + cost, seconds + took
                latest = max(latest, path.stat().st_mtime)
                lost += cost if path.name.startswith(SENT) else 0.0
        try:
            job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
            paid = Paid(
                id=str(job["id"]),
                began=float(job["began"]),
                key=str(job["key"]),
                model=str(job["model"]),
                host=str(job["host"]),
                requests=requests,
                dollars=dollars,
                lost_dollars=lost,
                seconds=seconds,
                latest=latest,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None  # nothing was sent
        return paid if requests else None

    def count_failure(self, key: str) -> int:
        """Count a failure of a recording for which something was paid; return how many it had."""
        try:
            with (self._of(key) / "failures").open("ab") as file:
                file.write(b".")
                return file.tell()
        except OSError:  # nothing was sent
            return 0

    def forget(self, key: str) -> None:
        """Delete the answers for a recording: its transcript is stored."""
        shutil.rmtree(self._of(key), ignore_errors=True)

    def _of(self, key: str) -> Path:
        return self.folder / hashlib.sha256(key.encode()).hexdigest()[:24]

    def _write(self, key: str, name: str, content: Mapping[str, object]) -> None:
        folder = self._of(key)
        try:
            with self._lock:
                make_folder(folder)
                if not (folder / "job.json").exists():
                    job = {
                        "id": f"endpoint-{uuid.uuid4().hex}",
                        "began": time.time(),
                        "key": key,
                        "model": self._model,
                        "host": self._host,
                    }
                    _write_whole(folder / "job.json", json.dumps(job).encode())
            _write_whole(folder / f"{name}.json", json.dumps(content).encode())
        except OSError as error:
            raise UserError(
                f"An answer that is paid for cannot be stored in {folder}: {error.strerror or error}.",
                "Free some space there, then run again.",
            ) from error


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears when it is complete, and survives a power loss."""
    draft = path.with_name(f"{path.name}.part")
    write_file(draft, content)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    draft.replace(path)
