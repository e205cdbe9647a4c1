"""How the engines use a CPU."""

import os
import subprocess
import sys

import pytest

from homescribe.engines import cpu


@pytest.mark.parametrize(
    ("threads", "workers", "each"), [("1", 1, 1), ("2", 2, 1), ("16", 16, 1), ("64", 16, 4)]
)
def test_a_core_is_a_worker_up_to_a_limit(monkeypatch, threads, workers, each):
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    assert (cpu.workers(), cpu.threads_per_worker()) == (workers, each)


@pytest.mark.parametrize("value", ["", "0", "many"])
def test_without_a_valid_limit_all_cores_are_used(monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert cpu.cpu_threads() >= 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_freed_memory_is_used_again():
    """Blocks of 64 MB that come and go are mapped once: few page faults after the first."""
    script = (
        "import resource, numpy\n"
        "from homescribe.engines import cpu\n"
        "kept = cpu.keep_freed_memory()\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    numpy.ones(8_000_000)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "first, then = faults(), faults()\n"
        "print(kept, first > 10 * max(1, then))\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert output in (["True", "True"], ["False", "False"])  # False: another libc


AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu avx2 avx512f avx512cd avx512vl avx512dq avx512bw\n"


@pytest.mark.parametrize(
    ("cpuinfo", "isa"),
    [
        (AMD, "AVX512"),
        (AMD.replace("AuthenticAMD", "GenuineIntel"), None),
        (AMD.replace(" avx512vl", ""), None),
        ("Processor: ARMv8\n", None),
        (None, None),
    ],
)
def test_ctranslate2_uses_avx512_on_amd_processors_that_have_it(
    monkeypatch, tmp_path, cpuinfo, isa
):
    monkeypatch.setenv(cpu.CTRANSLATE2_ISA, "")  # so that it is restored at the end
    monkeypatch.delenv(cpu.CTRANSLATE2_ISA)
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    if cpuinfo:
        cpu.CPUINFO.write_text(cpuinfo)
    assert cpu.use_avx512() == (isa is not None)
    assert os.environ.get(cpu.CTRANSLATE2_ISA) == isa


def test_the_instructions_that_the_user_chose_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv(cpu.CTRANSLATE2_ISA, "AVX2")
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    cpu.CPUINFO.write_text(AMD)
    assert not cpu.use_avx512()
    assert os.environ[cpu.CTRANSLATE2_ISA] == "AVX2"
