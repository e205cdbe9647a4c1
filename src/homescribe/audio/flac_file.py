"""A waveform in a FLAC file: a temporary one that only this user can read, or a copy of a recording.

An hour of speech takes 50 to 90 MB, silence nearly nothing. The file is on a disk, so that memory does not
grow with the length of a recording.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from homescribe.audio.waveform import SAMPLE_RATE
from homescribe.audio.waveform import blocks as decoded_blocks
from homescribe.errors import Cancelled, RetryableError

PROCESSES = Path("/proc")  # on Linux it has the open files of each process
LARGE_FILES = Path("/var/tmp")  # on a disk, where /tmp may be in memory
FOLDER = "homescribe-flac"


@dataclass(frozen=True, slots=True)
class FlacCopy:
    """A copy that was written."""

    seconds: float  # of audio
    warnings: tuple[str, ...]  # about the recording, as `blocks` gives them


def write_flac_copy(
    source: Path,
    target: Path,
    stop: Event,
    *,
    duration: float | None = None,
    track: int | None = None,
    strict: bool = True,
) -> FlacCopy:
    """Write the waveform of a recording to the FLAC file `target`, without loss.

    The arguments are those of `waveform.blocks`. Raises as it does, Cancelled soon after `stop` is set, and
    RetryableError when the file cannot be written.
    """
    warnings: list[str] = []

    def until_stop() -> Iterator[NDArray[np.float32]]:
        for block in decoded_blocks(
            source, duration=duration, track=track, strict=strict, warnings=warnings
        ):
            if stop.is_set():
                raise Cancelled
            yield block

    with target.open("w+b") as file:
        seconds = _write(until_stop(), file, target.parent)
    return FlacCopy(seconds, tuple(warnings))


@contextmanager
def temporary_flac(blocks: Iterable[NDArray[np.float32]]) -> Iterator[tuple[Path, float]]:
    """Write the waveform, float32 mono 16 kHz as `audio.blocks` yields it, to a temporary FLAC file.

    Yields its path, and the seconds of the waveform. Raises RetryableError when it cannot be written, and
    what `blocks` raises.

    On Linux the file has no name, so it vanishes even when the process is killed. Elsewhere what a killed
    process left is removed by the next call.
    """
    with _temporary_file() as (file, path):
        seconds = _write(blocks, file)
        yield path, seconds


@contextmanager
def _temporary_file() -> Iterator[tuple[BinaryIO, Path]]:
    with ExitStack() as stack:
        try:
            file, path = _create(stack)
        except OSError as error:
            raise _unwritable(error) from error
        yield file, path


def _create(stack: ExitStack) -> tuple[BinaryIO, Path]:
    """Create the file, which is removed when `stack` is closed."""
    folder = _folder()
    file = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - the stack closes it
    path = PROCESSES / str(os.getpid()) / "fd" / str(file.fileno())
    if path.exists():
        return file, path
    file.close()
    _remove_leftovers(folder)
    private = tempfile.TemporaryDirectory(prefix=f"{FOLDER}-{os.getpid()}-", dir=folder)
    path = Path(stack.enter_context(private)) / "audio.flac"
    return stack.enter_context(path.open("w+b")), path


def _folder() -> Path:
    """Return the folder for temporary files, on a disk if possible."""
    chosen = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    if chosen or not os.access(LARGE_FILES, os.W_OK):
        return Path(tempfile.gettempdir())
    return LARGE_FILES


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes that no longer run have left."""
    if os.name != "posix":  # elsewhere, os.kill ends a process
        return
    for left in folder.glob(f"{FOLDER}-*"):
        process = left.name.removeprefix(f"{FOLDER}-").partition("-")[0]
        try:
            os.kill(int(process), 0)
        except ProcessLookupError:
            shutil.rmtree(left, ignore_errors=True)
        except (ValueError, OSError):  # another user's process
            continue


def _write(
    blocks: Iterable[NDArray[np.float32]], file: BinaryIO, folder: Path | None = None
) -> float:
    """Write the waveform, and return its seconds. `folder`: of the file, if it is not a temporary one."""
    import av

    at = 0
    try:
        with av.open(file, "w", format="flac") as container:
            stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
            for block in blocks:
                samples = np.clip(np.rint(block * 32768), -32768, 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(
                    samples.reshape(1, -1), format="s16", layout="mono"
                )
                frame.sample_rate, frame.pts = SAMPLE_RATE, at
                at += len(samples)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        file.flush()
    except OSError as error:
        if folder is not None:
            raise RetryableError(
                f"A file in {folder} cannot be written: {error.strerror or error}.",
                "Free some space there.",
            ) from error
        raise _unwritable(error) from error
    return at / SAMPLE_RATE


def _unwritable(error: OSError) -> RetryableError:
    try:
        place = f" in {_folder()}"
    except OSError:  # there is no folder for temporary files
        place = ""
    return RetryableError(
        f"A temporary file{place} cannot be written: {error.strerror or error}.",
        "Free some space there, or name another folder in TMPDIR.",
    )
