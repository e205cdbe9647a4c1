"""How the engines use a CPU: workers of one thread each, AVX-512, and memory that stays in the process."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

# Each worker has activations of its own: up to half a gigabyte with the largest models.
MAX_WORKERS = 16

# Parameters of mallopt(3), from glibc's malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
M_ARENA_MAX = -8

MAX_KEPT = 1 << 30  # bytes of free memory at the end of the heap above which it is returned

# The flags of a processor that has what CTranslate2 calls AVX512.
AVX512_FLAGS = frozenset(("avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"))
CTRANSLATE2_ISA = (
    "CT2_FORCE_CPU_ISA"  # the environment variable that selects CTranslate2's instructions
)
CPUINFO = Path("/proc/cpuinfo")


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


def use_avx512() -> bool:
    """Let CTranslate2 use AVX-512 on an AMD processor that has it. Returns whether it does.

    CTranslate2 uses AVX2 in its own kernels unless an environment variable says otherwise, because Intel's
    first processors with AVX-512 lower their clock for it. AMD's do not: one tenth less CPU time on Zen 4
    (docs/benchmarks.md). What the user has set is kept. Call it before the first model is loaded: CTranslate2
    reads the variable once.
    """
    if CTRANSLATE2_ISA not in os.environ and _is_amd_with_avx512():
        os.environ[CTRANSLATE2_ISA] = "AVX512"
    return os.environ.get(CTRANSLATE2_ISA) == "AVX512"


def _is_amd_with_avx512() -> bool:
    with suppress(OSError):  # there is no such file on macOS
        fields = dict(
            re.findall(r"^(vendor_id|flags)\s*: (.*)$", CPUINFO.read_text(), re.MULTILINE)
        )
        flags = frozenset(fields.get("flags", "").split())
        return fields.get("vendor_id") == "AuthenticAMD" and flags >= AVX512_FLAGS
    return False
