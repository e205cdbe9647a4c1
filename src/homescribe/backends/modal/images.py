"""Build the Modal image of an engine from the requirements that its class states."""

from __future__ import annotations

import re

import modal

from homescribe.backends.engine_code import EngineClass, local_package

PYTHON = "3.12"
SITE_PACKAGES = f"/usr/local/lib/python{PYTHON}/site-packages"
# Variables of an image: the engine that it is for, and its class as "module:name".
ENGINE, ENGINE_CLASS = "HOMESCRIBE_IMAGE_ENGINE", "HOMESCRIBE_IMAGE_ENGINE_CLASS"


def build_image(engine: str, engine_class: EngineClass) -> modal.Image:
    """Return the image of an engine: its packages and environment, then the code of this machine.

    The code comes last, so that a change of it does not reinstall the packages.
    """
    needs = engine_class.requirements
    variables = {
        name: value.replace("{site_packages}", SITE_PACKAGES)
        for name, value in needs.environment.items()
    }
    variables[ENGINE] = engine
    variables[ENGINE_CLASS] = f"{engine_class.__module__}:{engine_class.__qualname__}"
    image = (
        modal.Image.debian_slim(python_version=PYTHON)
        .uv_pip_install(*needs.packages, *needs.gpu_packages)
        .env(variables)
    )
    # Samples and pages are not needed there and would only take time to upload.
    image = image.add_local_python_source(
        "homescribe", ignore=["demo/samples", "web", "**/__pycache__"]
    )
    if package := local_package(engine_class):
        image = image.add_local_python_source(package, ignore=["**/__pycache__"])
    return image


def class_name(engine: str) -> str:
    """Return the name of an engine's class at Modal: "faster-whisper" is transcribe_faster_whisper."""
    return f"transcribe_{_identifier(engine)}"


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
