"""The apps in a Modal account: one for each version of homescribe, named after its fingerprint.

Two machines with different versions or engines use two apps, and neither replaces the other's. An app without
containers costs nothing. What carries the tag `fingerprint` is ours; an app of the same name without it is
somebody else's, and is left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import modal
import modal.exception
from modal.config import config

from homescribe.backends.modal import modal_transcribe
from homescribe.backends.modal.call_metadata import Place
from homescribe.backends.modal.images import class_name, fetcher_name
from homescribe.backends.modal.modal_errors import fetch_errors
from homescribe.errors import SetupError
from homescribe.speakers.speaker_models import sha256_of

FINGERPRINT = "fingerprint"  # the tag of our apps
VOLUME = "volume"  # the tag that says which volume the containers of an app have

# A token may not be allowed to read its workspace's name, which is only for messages.
NO_NAME = (modal.exception.PermissionDeniedError, modal.exception.NotFoundError)


def find_place() -> Place:
    """Return the workspace and environment that calls go to. SetupError for an unknown environment."""
    environment = _environment().name
    workspace = None
    with contextlib.suppress(*NO_NAME):
        workspace = modal.Workspace.from_context().hydrate().name
    return {"workspace": workspace or "", "environment": environment or ""}


def _environment() -> modal.Environment:
    """Return the environment that Modal's client is set to. SetupError where there is no such one."""
    try:
        return modal.Environment.from_context().hydrate()
    except modal.exception.NotFoundError as error:
        raise SetupError(
            f"Modal has no environment named {config.get('environment')!r} in this workspace.",
            "Set MODAL_ENVIRONMENT to one that `modal environment list` prints, or remove it.",
        ) from error


def fingerprints() -> list[str]:
    """Return the fingerprints of all versions of homescribe that are deployed, this one's first."""
    found = [tags[FINGERPRINT] for _, tags in _own_apps()]
    return sorted(found, key=lambda each: (each != modal_transcribe.FINGERPRINT, each))


def deploy_if_needed(engine: str, *, speakers: bool = False) -> None:
    """Deploy this version unless it is deployed with `engine` and with the volume that there is now.

    Args:
        speakers: whether the class is needed that also tells speakers apart.
    """
    tags = _tags(modal_transcribe.APP)
    deployed = _is_deployed(engine) and (not speakers or _is_deployed(engine, speakers=True))
    if tags is None or tags.get(VOLUME) != _volume_id() or not deployed:
        deploy(engine, speakers=speakers)


def deploy(*engines: str, speakers: bool = False, show: bool = False) -> None:
    """Deploy this version with the default engine, those that are deployed, and `engines`.

    Building an image takes minutes, so nobody waits for that of an engine that was not requested. `show`
    prints how the images are built. `speakers`: deploy `engines` also with what tells speakers apart.

    Raises SetupError where an app of this name is not ours.
    """
    _environment()  # an unknown one is named
    tags = _tags(modal_transcribe.APP)
    if tags is not None and FINGERPRINT not in tags:
        raise SetupError(
            f"An app named {modal_transcribe.APP!r} is deployed that homescribe did not make.",
            "Stop it (modal app stop), or use another environment (MODAL_ENVIRONMENT).",
        )
    for engine in modal_transcribe.ENGINES:
        wanted = engine in engines
        if wanted or (tags is not None and _is_deployed(engine)):
            known = tags is not None and _is_deployed(engine, speakers=True)
            modal_transcribe.declare_once(engine, speakers=(wanted and speakers) or known)
    with modal.enable_output() if show else contextlib.nullcontext():
        modal_transcribe.app.deploy(name=modal_transcribe.APP)
    modal_transcribe.app.set_tags({FINGERPRINT: modal_transcribe.FINGERPRINT, VOLUME: _volume_id()})


def upload_speaker_models(paths: Iterable[Path]) -> str:
    """Put models that tell speakers apart into the volume, unless they are there.

    Return their hashes, "HASH,HASH". A file is named by its hash, so another model is another file.
    """
    hashes = []
    folder = modal_transcribe.speaker_model("").parent.relative_to(modal_transcribe.WEIGHTS)
    present: set[str] = set()
    with contextlib.suppress(modal.exception.NotFoundError):
        present = {Path(entry.path).name for entry in _volume().listdir(f"/{folder.as_posix()}")}
    for path in paths:
        digest = sha256_of(path)
        hashes.append(digest)
        name = modal_transcribe.speaker_model(digest).name
        if name not in present:
            # Another machine may put the same file there at the same time.
            with contextlib.suppress(FileExistsError), _volume().batch_upload() as batch:
                batch.put_file(path, f"/{folder.as_posix()}/{name}")
    return ",".join(hashes)


def stop_all() -> bool:
    """Stop every app of homescribe and all their containers. Return False when there is none."""
    apps = _own_apps()
    for app, _ in apps:
        app.stop()
    return bool(apps)


def fetch_weights(engine: str, model: str) -> None:
    """Have a container download the weights of a model, unless they are in the volume."""
    if model == "demo":
        return
    folder = modal_transcribe.weights_of(engine, model).relative_to(modal_transcribe.WEIGHTS)
    with contextlib.suppress(modal.exception.NotFoundError):
        if _volume().listdir(f"/{folder.as_posix()}"):
            return
    with fetch_errors(model):
        modal.Function.from_name(modal_transcribe.APP, fetcher_name(engine)).remote(model)


def _own_apps() -> list[tuple[modal.App, dict[str, str]]]:
    """Return the apps of all versions of homescribe that are deployed, with their tags."""
    apps = _environment().apps.list()
    named = [
        app for app in apps if (app.name or app.description or "").startswith(modal_transcribe.NAME)
    ]
    tagged = [(app, app.get_tags()) for app in named]
    return [(app, tags) for app, tags in tagged if FINGERPRINT in tags]


def _tags(app: str) -> dict[str, str] | None:
    """Return the tags of a deployed app; None when there is no app of this name."""
    try:
        tags: dict[str, str] = modal.App.lookup(app).get_tags()
    except modal.exception.NotFoundError:
        return None
    return tags


def _is_deployed(engine: str, *, speakers: bool = False) -> bool:
    """Return whether this version is deployed with `engine`, and with what tells speakers apart."""
    name = class_name(engine, speakers=speakers)
    try:
        modal.Cls.from_name(modal_transcribe.APP, name).hydrate()
    except modal.exception.NotFoundError:
        return False
    return True


def _volume() -> modal.Volume:
    """Return the volume with the weights as it is now: the user may have deleted the one before."""
    return modal.Volume.from_name(modal_transcribe.VOLUME, create_if_missing=True)


def _volume_id() -> str:
    object_id: str = _volume().hydrate().object_id
    return object_id
