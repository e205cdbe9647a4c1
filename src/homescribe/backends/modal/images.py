"""Build the Modal image of an engine from the requirements that its class states."""

from __future__ import annotations

import os
import re
from pathlib import Path

import modal

from homescribe.backends.engine_code import EngineClass, local_package
from homescribe.speakers.speaker_models import COMMON_PACKAGES

PYTHON = "3.12"
# Of the wheels to lock: an image has Debian 12 with glibc 2.36.
PLATFORM = "x86_64-manylinux_2_28"
UV = "0.13.9"  # which resolves the lock files and installs them
SITE_PACKAGES = f"/usr/local/lib/python{PYTHON}/site-packages"
# Variables of an image: the engine that it is for, and its class as "module:name".
ENGINE, ENGINE_CLASS = "HOMESCRIBE_IMAGE_ENGINE", "HOMESCRIBE_IMAGE_ENGINE_CLASS"
SPEAKERS = "HOMESCRIBE_IMAGE_SPEAKERS"  # "1" in images that tell speakers apart
SPEAKER_LOCK = "speakers"  # the lock file of what these have besides
# Set to "1" by the user for snapshots with the GPU's memory; then a variable of the image as well.
GPU_SNAPSHOTS = "HOMESCRIBE_GPU_SNAPSHOTS"


def build_image(engine: str, engine_class: EngineClass, *, speakers: bool = False) -> modal.Image:
    """Return the image of an engine: its packages and environment, then the code of this machine.

    The code comes last, so that a change of it does not reinstall the packages.

    Args:
        speakers: whether to add the packages that tell speakers apart. The engine's are not installed anew.
    """
    needs = engine_class.requirements
    variables = {
        name: value.replace("{site_packages}", SITE_PACKAGES)
        for name, value in needs.environment.items()
    }
    variables[ENGINE] = engine
    variables[SPEAKERS] = "1" if speakers else "0"
    variables[GPU_SNAPSHOTS] = os.environ.get(GPU_SNAPSHOTS, "0")
    variables[ENGINE_CLASS] = f"{engine_class.__module__}:{engine_class.__qualname__}"
    image = modal.Image.debian_slim(python_version=PYTHON)
    if lock_file(engine).exists():
        image = _install_locked(image, engine)
    else:  # of another package: what its packages need in turn is resolved when the image is built
        image = image.uv_pip_install(*needs.packages, *needs.gpu_packages, uv_version=UV)
        if speakers:  # the engines of homescribe need these as well
            image = image.uv_pip_install(*COMMON_PACKAGES, uv_version=UV)
    if speakers:
        image = _install_locked(image, SPEAKER_LOCK)
    image = image.env(variables)
    # Samples and pages are not needed there and would only take time to upload.
    image = image.add_local_python_source(
        "homescribe", ignore=["demo/samples", "web", "**/__pycache__"]
    )
    if package := local_package(engine_class):
        image = image.add_local_python_source(package, ignore=["**/__pycache__"])
    return image


def _install_locked(image: modal.Image, name: str) -> modal.Image:
    return image.uv_pip_install(
        requirements=[str(lock_file(name))],
        extra_options="--no-deps --require-hashes",
        uv_version=UV,
    )


def lock_file(name: str) -> Path:
    """Return the path of the file with every package of an engine's image, or those for speakers.

    See .ci/lock_images.py.
    """
    return Path(__file__).parent / "locks" / f"{name}.txt"


def class_name(engine: str, *, speakers: bool = False) -> str:
    """Return the name of an engine's class at Modal: "faster-whisper" is transcribe_faster_whisper."""
    return f"{'diarize' if speakers else 'transcribe'}_{_identifier(engine)}"


def fetcher_name(engine: str) -> str:
    """Return the name of the function at Modal that downloads an engine's weights."""
    return f"download_{_identifier(engine)}"


def _identifier(engine: str) -> str:
    """Return the engine's name with "-" as "_", and other characters by their code."""
    return re.sub(
        r"[^a-zA-Z0-9]",
        lambda found: "_" if found[0] == "-" else f"_x{ord(found[0]):x}_",
        engine,
    )
