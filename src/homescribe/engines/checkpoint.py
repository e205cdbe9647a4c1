"""openai-whisper's models: found, downloaded on first use, and loaded with their alignment heads."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from homescribe import demo
from homescribe.engines.loading import memory_errors
from homescribe.errors import SetupError, UserError


def load(model: str, device: str) -> Any:
    """whisper's model `model` on `device`: a published name, a .pt file or "demo".

    Downloads with progress on standard error. Raises UserError for an unknown name, SetupError when it
    cannot be fetched or read.
    """
    import whisper

    name = _find(model, whisper.available_models())
    try:
        with memory_errors(model):
            loaded = whisper.load_model(name, device=device)
    except UserError:
        raise
    except OSError as error:
        raise SetupError(
            f"The model {model} could not be downloaded.",
            "Connect to the network and try again, or give the path of a model as --model.",
        ) from error
    except (
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise SetupError(
            f"The model {model} cannot be loaded: it is damaged or not openai-whisper's.",
            "Remove it and let it be downloaded again, or choose another.",
        ) from error
    _set_alignment_heads(loaded, Path(name).stem)
    return loaded.eval()


def download(model: str, folder: Path) -> None:
    """Download a published `model` into `folder`, its SHA-256 checked by whisper.

    Raises UserError for an unknown name, SetupError when it cannot be downloaded.
    """
    import whisper

    if model not in whisper.available_models():
        raise UserError(
            f"openai-whisper knows no model {model!r}.",
            f"Use one of: {', '.join(whisper.available_models())}.",
        )
    try:
        whisper._download(whisper._MODELS[model], str(folder), in_memory=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: the checksum does not match
        raise SetupError(
            f"The model {model} could not be downloaded from OpenAI.", "Try again later."
        ) from error


def _find(model: str, published: list[str]) -> str:
    if model == "demo":
        return str(demo.model("openai-whisper"))
    if model in published:
        return model
    path = Path(model).expanduser()
    if path.is_file():
        return str(path)
    if path.is_dir():
        if len(checkpoints := list(path.glob("*.pt"))) == 1:
            return str(checkpoints[0])
        raise UserError(
            f"{path} is a folder without a single .pt file.",
            "Name a .pt file, or use --engine faster-whisper for this model.",
        )
    raise UserError(
        f"openai-whisper knows no model {model!r}.",
        f"Use a file or one of: {', '.join(published)}.",
    )


def _set_alignment_heads(loaded: Any, name: str) -> None:
    """The heads that OpenAI chose for word times, which loading from a file loses (small.en.pt)."""
    import whisper

    heads = whisper._ALIGNMENT_HEADS.get(name)
    if heads is None:
        return
    try:
        loaded.set_alignment_heads(heads)
    except RuntimeError:  # a file of that name with another number of heads: the default stays
        return
