"""The two ONNX models that tell speakers apart: files of the user, or downloaded once.

Both are published without an account in repositories of the Hugging Face Hub, by the author of sherpa-onnx.
They are downloaded in a fixed revision, and accepted only with the SHA-256 that is stated here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from homescribe.errors import SetupError, UserError

# For machines that have only an engine's packages, with an exact version: see EngineRequirements.packages.
PACKAGES = ("sherpa-onnx==2.0.1",)
# What is imported besides, in whatever version the engine needs it.
COMMON_PACKAGES = ("av", "numpy", "onnxruntime")


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """A file in a repository of the Hugging Face Hub."""

    name: str  # for messages
    setting: str  # for the path of a file to use instead
    repository: str
    revision: str
    file: str
    sha256: str
    bytes: int


SEGMENTATION = PublishedModel(
    "pyannote segmentation 3.0",  # MIT
    "speaker_segmentation",
    "csukuangfj/sherpa-onnx-pyannote-segmentation-3-0",
    "9403a6902bb58e3d5ae8c7e77c3422de279db2e0",
    "model.onnx",
    "220ad67ca923bef2fa91f2390c786097bf305bceb5e261d4af67b38e938e1079",
    5_992_913,
)
EMBEDDING = PublishedModel(
    "3D-Speaker CAM++",  # Apache-2.0
    "speaker_embedding",
    "csukuangfj/speaker-embedding-models",
    "0743f301363dec56491a490f6d6cbc9d67f9a3bf",
    "3dspeaker_speech_campplus_sv_zh_en_16k-common_advanced.onnx",
    "aa3cfc16963a10586a9393f5035d6d6b57e98d358b347f80c2a30bf4f00ceba2",
    28_281_164,
)


@dataclass(frozen=True, slots=True)
class SpeakerModels:
    """Paths of the models. None: the published one."""

    segmentation: Path | None = None
    embedding: Path | None = None

    def check(self) -> None:
        """Raise UserError for a path that names no file. Nothing is loaded or downloaded."""
        for published, path in ((SEGMENTATION, self.segmentation), (EMBEDDING, self.embedding)):
            if path is not None and not path.is_file():
                what = "a folder" if path.is_dir() else "no file"
                raise UserError(
                    f"{published.setting} = {path} names {what}.",
                    "Give the path of an .onnx file, or remove the setting.",
                )

    def found(self) -> tuple[Path, Path]:
        """Return the paths of both models, downloading those that are not here.

        Raises as `check`, and SetupError when one cannot be downloaded.
        """
        self.check()
        return self.segmentation or download(SEGMENTATION), self.embedding or download(EMBEDDING)


def download(model: PublishedModel) -> Path:
    """Return the path of a published model in the Hub's cache, downloading it on first use.

    Progress is shown on standard error. A download that was interrupted is continued, and the file appears
    when it is complete. Raises SetupError when it cannot be downloaded or has another hash.
    """
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    place, revision = (model.repository, model.file), model.revision
    try:
        try:
            found = huggingface_hub.hf_hub_download(
                *place, revision=revision, local_files_only=True
            )
        except LocalEntryNotFoundError:
            # Fails at once without a network, where the download itself tries for most of a minute.
            huggingface_hub.get_hf_file_metadata(
                huggingface_hub.hf_hub_url(*place, revision=revision)
            )
            found = huggingface_hub.hf_hub_download(*place, revision=revision)
    except Exception as error:  # its HTTP library, and so its errors, change with its versions
        raise SetupError(
            f"The model {model.name}, which tells speakers apart, could not be downloaded from "
            f"{model.repository} at huggingface.co.",
            f"Connect to the network and try again, or give the path of the file as {model.setting}.",
        ) from error
    path = Path(found)
    if sha256_of(path) != model.sha256:
        path.resolve().unlink()  # so that the next attempt downloads it again
        raise SetupError(
            f"The model {model.name}, which tells speakers apart, differs from the published file.",
            f"Try again later, or give the path of the file as {model.setting}.",
        )
    return path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
