"""Check that this machine has what a run needs, and say how to fix what is missing."""

from __future__ import annotations

import datetime
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from homescribe.assemble import (
    build_ray_backend,
    check_speakers,
    endpoint_options,
    engine_and_model,
)
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.sources.ytdlp.javascript_runtime import INSTALL, find_runtimes
from homescribe.text.display import count, size

# YouTube changes every few weeks. An old yt-dlp is the usual reason for failed downloads.
MAX_YTDLP_AGE = 60  # days
INSTALL_WHISPER = "pip install 'homescribe[whisper]'"
MIN_FREE_DISK = 2_000_000_000  # bytes; enough for the download buffer with long videos
LOST_AUDIO = (
    "Connect its disk. If it is gone for good, forget the audio: homescribe audio remove --all"
)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `fix`: what to do, "" if nothing is wrong."""

    name: str
    state: Literal["ok", "warning", "broken"]
    finding: str
    fix: str = ""


def check(config: Config) -> Iterator[Check]:
    """Run all checks, in the order in which a run needs what they check."""
    yield _python()
    yield _ytdlp()
    yield _javascript()
    yield _engine("faster-whisper", "faster_whisper", "pip install faster-whisper", required=True)
    yield _engine("openai-whisper", "whisper", INSTALL_WHISPER, required=False)
    yield _speakers(config)
    if config.backend == "ray":
        yield _ray(config)
    if config.backend == "openai":
        yield _endpoint(config)
    yield _models()
    yield _disk(config.library)
    yield _library(config.library)
    yield _audio(config.library)


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} ({sys.executable})")


def _ytdlp() -> Check:
    try:
        found = version("yt-dlp")
    except PackageNotFoundError:
        return Check("yt-dlp", "broken", "not installed", "pip install 'yt-dlp[default]'")
    year, month, day = (int(part) for part in found.split(".")[:3])
    age = (datetime.date.today() - datetime.date(year, month, day)).days
    finding = f"{found}, {age} days old"
    if age > MAX_YTDLP_AGE:
        return Check("yt-dlp", "warning", finding, "pip install -U 'yt-dlp[default]'")
    return Check("yt-dlp", "ok", finding)


def _javascript() -> Check:
    """Check for the JavaScript runtime that yt-dlp needs for YouTube."""
    found = find_runtimes()
    for runtime in found:
        if runtime.supported:
            return Check("javascript", "ok", f"{runtime.name} {runtime.version}")
    fix = f"{INSTALL} (without it, YouTube works only partly)"
    if not found:
        return Check("javascript", "warning", "neither deno nor node 22 was found", fix)
    first = found[0]
    if not first.version:
        return Check("javascript", "warning", f"{first.path} does not run", fix)
    old = f"{first.name} {first.version} is too old"
    return Check("javascript", "warning", old, fix.replace("install", "install -U", 1))


def _engine(name: str, module: str, install: str, *, required: bool) -> Check:
    if importlib.util.find_spec(module) is None:
        return Check(
            name, "broken" if required else "ok", "not installed", install if required else ""
        )
    return Check(name, "ok", version(name))


def _speakers(config: Config) -> Check:
    """Check for what tells speakers apart, which is needed only where the settings say so."""
    try:
        check_speakers(config, config.transcription())
    except UserError as error:
        return Check("speakers", "broken", error.message, error.hint)
    if importlib.util.find_spec("sherpa_onnx") is None:
        return Check("speakers", "ok", "sherpa-onnx is not installed; only --speakers needs it")
    return Check("speakers", "ok", f"sherpa-onnx {version('sherpa-onnx')}")


def _ray(config: Config) -> Check:
    """Check for Ray, and whether the cluster of `address` answers. Nothing is started."""
    try:
        found = build_ray_backend(config).status()
    except UserError as error:
        return Check("ray", "broken", error.message, error.hint)
    if found is None:
        return Check("ray", "ok", f"{version('ray')}; no cluster here yet: the next run starts it")
    cpus, gpus = sum(node.cpus for node in found.nodes), sum(node.gpus for node in found.nodes)
    machines = f"{len(found.nodes)} machines, {cpus:g} cores, {gpus:g} GPUs"
    return Check("ray", "ok", f"{version('ray')}; {found.address}: {machines}")


def _endpoint(config: Config) -> Check:
    """Check the settings of the endpoint. Nothing is sent: what a request costs, only the service knows."""
    try:
        options = endpoint_options(config)
    except UserError as error:
        return Check("endpoint", "broken", error.message, error.hint)
    _, model = engine_and_model(config)
    key = "with a key" if options.api_key else "without a key"
    finding = f"{options.host}, model {model}, {key}"
    if options.price_per_minute is None:
        return Check(
            "endpoint",
            "warning",
            f"{finding}, price unknown",
            "Set price_per_minute, so that plans have a price and --max-cost works.",
        )
    return Check("endpoint", "ok", f"{finding}, ${options.price_per_minute:g} a minute")


def _models() -> Check:
    """List the models that are already downloaded."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    hub = _hugging_face_cache(caches)
    found = [
        folder.name.rpartition("faster-whisper-")[2]
        for folder in _files(hub, "models--*faster-whisper-*")
    ]
    found += [f"{file.stem} (openai)" for file in _files(caches / "whisper", "*.pt")]
    return Check(
        "models",
        "ok",
        ", ".join(sorted(found)) or "none yet: downloaded when first used (demo is bundled)",
    )


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:  # not readable, for an engine neither
        return []


def _hugging_face_cache(caches: Path) -> Path:
    """Return where huggingface_hub stores downloads, from its environment variables."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if chosen := os.environ.get(name):
            return Path(chosen).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else caches / "huggingface") / "hub"


def _disk(directory: Path) -> Check:
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    finding = f"{free / 1e9:.1f} GB free at {existing}"
    if free < MIN_FREE_DISK:
        return Check(
            "disk",
            "warning",
            finding,
            "Free some disk space, or choose another directory with --library.",
        )
    return Check("disk", "ok", finding)


def _library(directory: Path) -> Check:
    if not (directory / "library.db").exists():
        return Check("library", "ok", f"none yet at {directory}")
    try:
        with Library(directory) as library:
            problems = library.check()
            status = library.status()
            read_only = library.read_only
    except UserError as error:
        return Check("library", "broken", error.message, error.hint)
    if problems:
        fix = f"Keep a copy of {status.path}, and restore a backup."
        return Check("library", "broken", "; ".join(problems), fix)
    finding = f"{status.path}: {sum(status.states.values())} items, no damage"
    if read_only:
        fix = "Get write permission for this file and its directory."
        return Check("library", "warning", f"{finding}, but read-only", fix)
    return Check("library", "ok", finding)


def _audio(directory: Path) -> Check:
    """Compare the audio that the library keeps with its files, and repair what differs.

    Rows without a file are deleted, and files without a row: a process that was killed leaves them.
    """
    name = "kept audio"
    if not (directory / "library.db").exists():
        return Check(name, "ok", "none")
    try:
        with Library(directory) as library:
            folder = library.audio
            total, missing = folder.total(), folder.missing()
            finding = (
                f"{count(total.files, 'file')}, {size(total.bytes)}" if total.files else "none"
            )
            if total.files and not folder.path.is_dir():
                return Check(
                    name, "warning", f"{finding}, but {folder.path} is missing", LOST_AUDIO
                )
            if library.read_only:
                return Check(name, "ok", finding)
            with library.run_lock():
                swept = folder.sweep()
                folder.remove([one.key for one in missing])
    except UserError as error:
        return Check(name, "ok", f"not checked: {error.message}")
    repaired = []
    if missing:
        repaired.append(f"{count(len(missing), 'file')} missing or cut: no longer listed")
    if swept:
        repaired.append(f"{count(swept, 'file')} of no recording: deleted")
    return Check(name, "ok", "; ".join([finding, *repaired]))
