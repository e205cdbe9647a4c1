"""Lock the packages of Modal's images: every package that the engines need, with version and hashes.

    make lock-images

An engine's class states the packages that it uses. What those need in turn is resolved by uv, for the
Python and the platform of the images, and written to src/homescribe/backends/modal/locks/ENGINE.txt. Images
install what is in the file and nothing else. `python .ci/lock_images.py --upgrade` takes the newest
versions of what the classes leave open. Without it, versions in the file stay as long as they fit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from homescribe import plugins
from homescribe.backends.engine_code import EngineClass
from homescribe.backends.modal import images

HEADER = "# The packages of {}'s image at Modal. Written by: make lock-images\n"


def requirements(engine_class: EngineClass) -> str:
    """Return the packages that an engine states, one a line."""
    needs = engine_class.requirements
    return "".join(f"{package}\n" for package in (*needs.packages, *needs.gpu_packages))


def lock(engine: str, engine_class: EngineClass, *, upgrade: bool = False) -> str:
    """Return the content of an engine's lock file. SystemExit when the packages do not fit together."""
    with tempfile.TemporaryDirectory() as folder:
        stated, locked = Path(folder, "stated.in"), Path(folder, "locked.txt")
        stated.write_text(requirements(engine_class))
        if images.lock_file(engine).exists() and not upgrade:
            locked.write_text(images.lock_file(engine).read_text())
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", str(stated), "-o", str(locked)),
            *("--quiet", "--generate-hashes", "--no-header", "--no-annotate"),
            *("--python-version", images.PYTHON, "--python-platform", images.PLATFORM),
        ]
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"The packages of {engine} cannot be resolved: see above.")
        return HEADER.format(engine) + locked.read_text()


def main() -> None:
    """Write the lock files of the engines that come with homescribe."""
    for engine in plugins.BUILT_IN["engines"]:
        engine_class = plugins.load("engines", engine)
        content = lock(engine, engine_class, upgrade="--upgrade" in sys.argv)  # type: ignore[arg-type]
        images.lock_file(engine).write_text(content)
        print(f"{images.lock_file(engine)}: {content.count('==')} packages")


if __name__ == "__main__":
    main()
