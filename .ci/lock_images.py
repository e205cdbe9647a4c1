"""Lock the packages of Modal's images: every package that the engines need, with version and hashes.

    make lock-images

An engine's class states the packages that it uses. What those need in turn is resolved by uv, for the
Python and the platform of the images, and written to src/homescribe/backends/modal/locks/ENGINE.txt. Images
install what is in the file and nothing else. speakers.txt has what tells speakers apart, which uses packages
that every engine has.  `python .ci/lock_images.py --upgrade` takes the newest
versions of what the classes leave open. Without it, versions in the file stay as long as they fit.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import cast

from homescribe import plugins
from homescribe.backends.engine_code import EngineClass
from homescribe.backends.modal import images
from homescribe.speakers.speaker_models import PACKAGES

HEADER = "# The packages of {}'s image at Modal. Written by: make lock-images\n"
SPEAKER_HEADER = (
    "# What images at Modal have besides to tell speakers apart. Written by: make lock-images\n"
)


def requirements(engine_class: EngineClass) -> tuple[str, ...]:
    """Return the packages that an engine states."""
    needs = engine_class.requirements
    return (*needs.packages, *needs.gpu_packages)


def locks() -> dict[str, tuple[str, ...]]:
    """Return by the name of each lock file the packages that are stated: of each engine, and for speakers."""
    classes = {name: plugins.load("engines", name) for name in plugins.BUILT_IN["engines"]}
    stated = {name: requirements(cast(EngineClass, found)) for name, found in classes.items()}
    return stated | {images.SPEAKER_LOCK: PACKAGES}


def lock(name: str, *, upgrade: bool = False) -> str:
    """Return the content of a lock file. SystemExit when the packages do not fit together."""
    with tempfile.TemporaryDirectory() as folder:
        stated, locked = Path(folder, "stated.in"), Path(folder, "locked.txt")
        stated.write_text("".join(f"{package}\n" for package in locks()[name]))
        if images.lock_file(name).exists() and not upgrade:
            locked.write_text(images.lock_file(name).read_text())
        command = [
            *(sys.executable, "-m", "uv", "pip", "compile", str(stated), "-o", str(locked)),
            *("--quiet", "--generate-hashes", "--no-header", "--no-annotate"),
            *("--python-version", images.PYTHON, "--python-platform", images.PLATFORM),
        ]
        if subprocess.run(command, check=False).returncode:
            sys.exit(f"The packages of {name} cannot be resolved: see above.")
        header = SPEAKER_HEADER if name == images.SPEAKER_LOCK else HEADER.format(name)
        return header + locked.read_text()


def main() -> None:
    """Write the lock files of the engines that come with homescribe, and that for speakers."""
    for name in locks():
        content = lock(name, upgrade="--upgrade" in sys.argv)
        images.lock_file(name).write_text(content)
        print(f"{images.lock_file(name)}: {content.count('==')} packages")


if __name__ == "__main__":
    main()
