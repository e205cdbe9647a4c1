"""Run the benchmarks of real weights and print their tables as Markdown, each below its command.

    python -m benchmarks.report DIR base tiny.en > tables.md

DIR has recordings with a manifest.json (see benchmarks/corpus.py), models are as in benchmarks.accuracy. Run
it on a machine without other work: it takes hours on two cores.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = ("faster-whisper", "ctranslate2", "openai-whisper", "torch", "pywhispercpp")
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")  # that engines make use of


def processor() -> str:
    """Return the name of the processor and the vector instructions that it has."""
    information = Path("/proc/cpuinfo")
    if not information.exists():
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for line in information.read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", "").split()
    found = [feature for feature in FEATURES if feature in flags]
    family = f"family {fields.get('cpu family', '?')}, model {fields.get('model', '?')}"
    return f"{fields.get('model name', platform.machine())} ({family}; {', '.join(found)})"


def versions() -> str:
    """Return the versions of the packages that are compared."""
    found: list[str] = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def commands(folder: str, model: str) -> list[list[str]]:
    """Return the benchmarks of one model: modules and arguments. SLOW and CLIPS are made from `folder`."""
    english = ["--english"] if model.removesuffix("/").endswith(".en") else []
    return [
        ["accuracy", folder, "--model", model],
        ["engine_speed", folder, "--model", model],
        ["derived_recordings", "slow", folder, "SLOW", *english],
        ["engine_speed", "SLOW", "--model", model],
        ["derived_recordings", "clips", folder, "CLIPS", *english],
        ["engine_speed", "CLIPS", "--model", model],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="recordings with a manifest.json")
    parser.add_argument("model", nargs="+", help="names or folders of models")
    options = parser.parse_args()
    print(f"Measured on {datetime.now(UTC):%Y-%m-%d}: {processor()}; {versions()}.")
    for model in options.model:
        with tempfile.TemporaryDirectory() as work:
            places = {"SLOW": f"{work}/slow", "CLIPS": f"{work}/clips"}
            for module, *arguments in commands(str(options.folder), model):
                print("\n    python -m", f"benchmarks.{module}", *arguments, "\n", flush=True)
                given = [places.get(argument, argument) for argument in arguments]
                subprocess.run([sys.executable, "-m", f"benchmarks.{module}", *given], check=True)


if __name__ == "__main__":
    main()
