"""Finds a model by its name: bundled, a file or folder, or downloaded on first use.

openai-whisper's models are single .pt files; those of faster-whisper are folders in CTranslate2's format.
Downloads show their progress on standard error.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from homescribe import demo
from homescribe.engines.out_of_memory import memory_errors
from homescribe.errors import HomescribeError, SetupError, UserError

if TYPE_CHECKING:
    from whisper import Whisper

DEMO = "demo"  # name of the bundled model
DEFAULT_BEAM_SIZE = 5  # as in openai-whisper's command, and in faster-whisper
# Names that both packages have published for years: checked without importing a package.
PUBLISHED = frozenset(
    (
        *("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en"),
        *("large-v1", "large-v2", "large-v3", "large", "large-v3-turbo", "turbo"),
    )
)

# --- openai-whisper --------------------------------------------------------------------------------


def load_openai_whisper(model: str, device: str) -> Whisper:
    """Load `model` on `device`: a published name, a .pt file, a folder with one, or "demo".

    Raises UserError for an unknown name, SetupError when it cannot be downloaded or read.
    """
    import whisper

    name = _find_checkpoint(model, whisper.available_models())
    try:
        with memory_errors(model), _without_initialization():
            loaded = whisper.load_model(name, device=device)
    except UserError:
        raise
    except OSError as error:
        raise SetupError(
            f"The model {model} could not be downloaded.",
            "Connect to the network and try again, or give the path of a model as --model.",
        ) from error
    except (
        *(RuntimeError, EOFError, LookupError, TypeError, ValueError),
        pickle.UnpicklingError,
    ) as error:
        raise SetupError(
            f"The model {model} cannot be loaded: it is damaged or not in openai-whisper's format.",
            "Delete it so that it is downloaded again, or choose another model.",
        ) from error
    _set_alignment_heads(loaded, Path(name).stem)
    return loaded.eval()


@contextmanager
def _without_initialization() -> Iterator[None]:
    """Do not fill the weights of new torch modules with random numbers: those of a file replace them.

    For the 1.5 billion weights of "large" that takes seven seconds. It holds for the calling thread.
    """
    from torch.overrides import TorchFunctionMode

    class WithoutInitialization(TorchFunctionMode):
        def __torch_function__(
            self,
            func: Callable[..., object],
            types: Sequence[type],
            args: tuple[object, ...] = (),
            kwargs: Mapping[str, object] | None = None,
        ) -> object:
            if getattr(func, "__module__", None) == "torch.nn.init":  # methods of tensors have none
                return (*args, *(kwargs or {}).values())[0]  # the weights, as they are
            return func(*args, **(kwargs or {}))

    with WithoutInitialization():
        yield


def check_openai_whisper(model: str) -> None:
    """Raise UserError when there is no such model. Loads and downloads nothing."""
    if model in PUBLISHED or model == DEMO:
        return
    try:
        import whisper
    except ModuleNotFoundError:  # the engine may run elsewhere
        _find_checkpoint(model, sorted(PUBLISHED))
    else:
        _find_checkpoint(model, whisper.available_models())


def download_openai_whisper(model: str, folder: Path) -> None:
    """Download a published `model` into `folder`. whisper checks its SHA-256.

    Raises UserError for an unknown name, SetupError when it cannot be downloaded.
    """
    import whisper

    if model not in whisper.available_models():
        raise UserError(
            f"openai-whisper has no model named {model!r}.",
            f"Use one of: {', '.join(whisper.available_models())}.",
        )
    try:
        whisper._download(whisper._MODELS[model], str(folder), in_memory=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: the checksum does not match
        raise SetupError(
            f"The model {model} could not be downloaded from OpenAI.", "Try again later."
        ) from error


def _find_checkpoint(model: str, published: Sequence[str]) -> str:
    """What whisper.load_model calls `model`: a path or a published name."""
    if model == DEMO:
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
            "Use a .pt file, or --engine faster-whisper for this model.",
        )
    raise UserError(
        f"openai-whisper has no model named {model!r}.",
        f"Use a file or one of: {', '.join(published)}.",
    )


def _set_alignment_heads(loaded: Whisper, name: str) -> None:
    """Set the attention heads that OpenAI selected for word timestamps.

    whisper.load_model does this for published names only, not for a file such as small.en.pt.
    """
    import whisper

    heads = whisper._ALIGNMENT_HEADS.get(name)
    if heads is None:
        return
    try:
        loaded.set_alignment_heads(heads)
    except RuntimeError:  # the file has that name but another number of heads: keep the default
        return


# --- faster-whisper --------------------------------------------------------------------------------

CTRANSLATE2_FILES = (
    "config.json",
    "preprocessor_config.json",
    "model.bin",
    "tokenizer.json",
    "vocabulary.*",
)


def default_beam_size(model: str) -> int:
    """Return the beam size of `model` by default. The bundled one is best with greedy search."""
    return 1 if model == DEMO else DEFAULT_BEAM_SIZE


def find_ctranslate2(model: str) -> Path:
    """Return the folder of `model`: a folder, a name or "demo". Downloads it on first use.

    Names are faster-whisper's ("small"), or "owner/name" on the Hugging Face Hub. Raises UserError for an
    unknown name, SetupError when it cannot be downloaded.
    """
    return _ctranslate2_folder(model) or download_ctranslate2(model)


def check_ctranslate2(model: str) -> None:
    """Raise UserError when there is no such model. Loads and downloads nothing."""
    if model not in PUBLISHED and _ctranslate2_folder(model) is None:
        _check_published(model)


def _ctranslate2_folder(model: str) -> Path | None:
    """Return the folder of `model` if it is one or "demo"; None if it is a name."""
    if model == DEMO:
        return demo.model("faster-whisper")
    path = Path(model).expanduser()
    if path.is_dir():
        if (path / "model.bin").is_file():
            return path
        raise UserError(
            f"{path} contains no model.bin.", "Use a folder in CTranslate2's Whisper format."
        )
    if path.is_file():
        raise UserError(
            f"{path} is a file.",
            "Use a folder in CTranslate2's Whisper format, or --engine openai-whisper.",
        )
    return None


def find_vocabulary(model: str) -> Path | None:
    """Return the tokenizer.json of a model in CTranslate2's format; None if it is not on this disk."""
    folder = demo.model("faster-whisper") if model == DEMO else Path(model).expanduser()
    if (folder / "tokenizer.json").is_file():
        return folder / "tokenizer.json"
    import huggingface_hub
    from faster_whisper import utils

    try:
        found = huggingface_hub.try_to_load_from_cache(
            utils._MODELS.get(model, model), "tokenizer.json"
        )
    except ValueError:  # no name of a repository
        return None
    return Path(found) if isinstance(found, str) else None


def _check_published(model: str) -> None:
    """Raise UserError for a name that is neither faster-whisper's nor "owner/name"."""
    from faster_whisper import available_models

    if model not in available_models() and not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise UserError(
            f"faster-whisper has no model named {model!r}.",
            f"Use a folder or one of: {', '.join(available_models())}.",
        )


def download_ctranslate2(model: str, folder: Path | None = None) -> Path:
    """Download `model` from the Hugging Face Hub and return its folder.

    Without `folder` it is kept in the Hub's cache, and downloaded only if it is not there. Raises UserError
    for an unknown name, SetupError when it cannot be downloaded or a checksum does not match.
    """
    import huggingface_hub
    from faster_whisper import utils
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    _check_published(model)
    if folder is None:
        try:
            return Path(utils.download_model(model, local_files_only=True))
        except LocalEntryNotFoundError:
            pass
    repository = utils._MODELS.get(model, model)
    try:
        # faster-whisper's own download shows no progress.
        found = huggingface_hub.snapshot_download(
            repository, allow_patterns=list(CTRANSLATE2_FILES), local_dir=folder
        )
        if folder is not None:  # downloads into the Hub's own cache are trusted
            checked = huggingface_hub.HfApi().verify_repo_checksums(repository, local_dir=folder)
            for file in checked.mismatches:
                (folder / file["path"]).unlink()  # so that the next attempt downloads it again
            if checked.mismatches:
                raise SetupError(
                    f"{checked.mismatches[0]['path']} of {model} differs from the published file.",
                    "Try again later.",
                )
        return Path(found)
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise SetupError(
            f"The model {model} could not be downloaded from the Hugging Face Hub.",
            "Connect to the network and try again, or give the path of a model as --model.",
        ) from error


@contextmanager
def ctranslate2_errors(model: str) -> Iterator[None]:
    """Raise SetupError when a damaged model cannot be loaded inside the block."""
    try:
        yield
    except HomescribeError:
        raise
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise SetupError(
            f"The model {model} cannot be loaded: {str(error).splitlines()[0]}",
            "Delete it so that it is downloaded again, or choose another model.",
        ) from error
