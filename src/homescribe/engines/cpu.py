"""How the engines use a CPU: workers of one thread each, and memory that stays in the process."""

from __future__ import annotations

import ctypes
import os
import sys

# Each worker has activations of its own: up to half a gigabyte with the largest models.
MAX_WORKERS = 16

# Parameters of mallopt(3), from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
M_ARENA_MAX = -8

MAX_KEPT = 1 << 30  # bytes of free memory at the end of the heap above which it is returned


def cpu_threads() -> int:
    """CPU cores that this process may use: OMP_NUM_THREADS, as in torch, else all that are available."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdecimal() and int(limit):
        return int(limit)
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers() -> int:
    """Batches that a CPU computes at the same time.

    Threads that share the work of one layer wait for each other after every layer: with two threads, a
    batch takes little less time than with one. So each core computes a batch of its own.
    """
    return min(MAX_WORKERS, cpu_threads())


def threads_per_worker() -> int:
    """Threads that compute one batch."""
    return max(1, cpu_threads() // workers())


def keep_freed_memory() -> bool:
    """Tell glibc to reuse large blocks instead of returning them. Returns False where it cannot.

    glibc returns large blocks to the operating system when they are freed, and each new one has to be
    mapped and cleared again, page by page. Whisper's encoder allocates tens of megabytes for the attention
    scores of every layer: a quarter of its time went into this. The setting holds for the whole process,
    and for threads that are started later.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    # One heap for all threads: a block of one thread's own heap has at most 64 MB.
    settings = ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, MAX_KEPT))
    return all(mallopt(parameter, value) for parameter, value in settings)
