"""faster-whisper: Whisper on CTranslate2, without torch. The light engine for a machine without a GPU.

Its network alone is used here: windows of many recordings go through it in one batch, and each is judged
and tried again by itself. faster-whisper's own batched pipeline does neither, and its sequential one
computes the spectrogram of a whole file at once (3 GB for an hour).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homescribe import demo
from homescribe.core import EngineRequirements
from homescribe.engines.batch_engine import PACKAGES, BatchEngine
from homescribe.engines.languages import LANGUAGES
from homescribe.engines.loading import cores, memory_errors
from homescribe.engines.scheduler import Task, Written
from homescribe.engines.timing import words
from homescribe.errors import HomescribeError, SetupError, UserError

ON_CPU = 8  # windows: more do not make a CPU faster
ON_GPU = 16  # faster-whisper's own figure for a GPU of 8 GB
LATEST_START = (
    50  # timestamp tokens of 0.02 s: the first must be within a second, as in whisper.decode
)


def gpu_available() -> bool:
    """Return whether CTranslate2 finds a CUDA device."""
    import ctranslate2

    return bool(ctranslate2.get_cuda_device_count())


def download(model: str, folder: Path | None = None) -> Path:
    """Download `model` from the Hugging Face Hub and return its folder.

    Args:
        model: a name that faster-whisper knows, or "owner/name" on the Hub.
        folder: where to put it. None for the Hub's cache, which is looked into first.

    Raises:
        UserError: there is no such model.
        SetupError: it cannot be downloaded.
    """
    import huggingface_hub
    from faster_whisper import available_models, utils
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if model not in available_models() and not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise UserError(
            f"faster-whisper knows no model {model!r}.",
            f"Use a folder or one of: {', '.join(available_models())}.",
        )
    if folder is None:
        try:
            return Path(utils.download_model(model, local_files_only=True))
        except LocalEntryNotFoundError:
            pass
    # faster-whisper's own download shows no progress.
    files = [
        "config.json",
        "preprocessor_config.json",
        "model.bin",
        "tokenizer.json",
        "vocabulary.*",
    ]
    try:
        repository = utils._MODELS.get(model, model)
        found = Path(
            huggingface_hub.snapshot_download(repository, allow_patterns=files, local_dir=folder)
        )
        if folder is not None:  # the Hub's own cache is trusted
            checked = huggingface_hub.HfApi().verify_repo_checksums(repository, local_dir=folder)
            for wrong in checked.mismatches:
                (folder / wrong["path"]).unlink()  # so that the next try downloads it again
            if checked.mismatches:
                raise SetupError(
                    f"{checked.mismatches[0]['path']} of {model} differs from the published file.",
                    "Try again later.",
                )
        return found
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise SetupError(
            f"The model {model} could not be downloaded from the Hugging Face Hub.",
            "Connect to the network and try again, or give the path of a model as --model.",
        ) from error


class FasterWhisper(BatchEngine):
    """A loaded model: a name that faster-whisper knows, an "owner/name" on the Hugging Face Hub, a folder
    in CTranslate2's format, or "demo". int8 on the CPU, float16 on a GPU.
    """

    name = "faster-whisper"
    requirements = EngineRequirements(
        packages=PACKAGES,
        # CTranslate2 needs no cuDNN since 4.6.3, only cuBLAS for CUDA 12. torch would bring CUDA 13.
        gpu_packages=("nvidia-cublas-cu12==12.9.1.4",),
        environment={"LD_LIBRARY_PATH": "{site_packages}/nvidia/cublas/lib"},
        languages=LANGUAGES,
        tasks=("transcribe", "translate"),
        download=download,
        gpu_available=gpu_available,
        slots=BatchEngine.slots,
    )

    def __init__(self, model: str) -> None:
        super().__init__(model, CTranslate2Network(model))


class CTranslate2Network:
    """faster-whisper's model `model`, for batches."""

    def __init__(self, model: str, compute_type: str | None = None) -> None:
        import ctranslate2
        from faster_whisper import WhisperModel

        folder = find(model)
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        fitting = ctranslate2.get_supported_compute_types(device)
        usual = "float16" if device == "cuda" and "float16" in fitting else "int8"
        with loading(model), memory_errors(model):
            self.whisper = WhisperModel(
                str(folder),
                device=device,
                compute_type=compute_type or usual,
                cpu_threads=cores(),
            )
        self.batch = ON_GPU if device == "cuda" else ON_CPU
        self.tokenizers: dict[tuple[str, str], Any] = {}

    @property
    def languages(self) -> list[str]:
        return list(self.whisper.supported_languages)

    def tokenizer(self, language: str, task: str) -> Any:
        from faster_whisper.tokenizer import Tokenizer

        if (language, task) not in self.tokenizers:
            self.tokenizers[language, task] = Tokenizer(
                self.whisper.hf_tokenizer, self.whisper.model.is_multilingual, task, language
            )
        return self.tokenizers[language, task]

    def encode(self, samples: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """The spectrogram of each window, (n_mels, 3000). CTranslate2's encoder runs with `write`: its
        outputs cannot be put together into another batch.
        """
        from faster_whisper.audio import pad_or_trim

        extract = self.whisper.feature_extractor
        return [pad_or_trim(extract(one)[..., :-1]) for one in samples]

    def hear_language(self, features: Sequence[Any]) -> list[dict[str, float]]:
        """Probability of every language, per window."""
        heard = self.whisper.model.detect_language(self._encode(features))
        return [{token[2:-2]: float(chance) for token, chance in one} for one in heard]

    def write(self, tasks: Sequence[Task]) -> list[Written]:
        """Tokens of each task's window. One batch per temperature: CTranslate2 has one for all rows."""
        written: dict[int, Written] = {}
        for temperature in sorted({task.temperature for task in tasks}):
            chosen = [i for i, task in enumerate(tasks) if task.temperature == temperature]
            same = [tasks[i] for i in chosen]
            written |= zip(chosen, self._write(same, temperature), strict=True)
        return [written[i] for i in range(len(tasks))]

    def _write(self, tasks: Sequence[Task], temperature: float) -> list[Written]:
        import ctranslate2
        from faster_whisper.transcribe import get_suppressed_tokens

        if temperature:
            ctranslate2.set_random_seed(tasks[0].seed)
        encoded = self._encode([task.features for task in tasks])
        results = self.whisper.model.generate(
            encoded,
            [list(task.prompt) for task in tasks],
            beam_size=1 if temperature else tasks[0].beam_size,
            sampling_topk=0 if temperature else 1,
            sampling_temperature=temperature or 1.0,
            max_length=self.whisper.max_length,
            max_initial_timestamp_index=LATEST_START,
            suppress_tokens=get_suppressed_tokens(tasks[0].tokenizer, [-1]),
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = [result.sequences_ids[0] for result in results]
        aligned = self._align(tasks, encoded, tokens) if tasks[0].words else [()] * len(tasks)
        return [
            # CTranslate2's score is a mean over the tokens; Whisper's counts the end as well.
            Written(tuple(t), r.scores[0] * len(t) / (len(t) + 1), r.no_speech_prob, tuple(found))
            for r, t, found in zip(results, tokens, aligned, strict=True)
        ]

    def _align(
        self, tasks: Sequence[Task], encoded: Any, tokens: Sequence[Sequence[int]]
    ) -> list[Any]:
        tokenizer = tasks[0].tokenizer
        said = [[token for token in row if token < tokenizer.eot] for row in tokens]
        frames = [task.frames for task in tasks]
        results = self.whisper.model.align(
            encoded, list(tokenizer.sot_sequence), said, frames, median_filter_width=7
        )
        found = []
        for result, row in zip(results, said, strict=True):
            path = np.array(result.alignments, np.int64).reshape(-1, 2).T
            found.append(
                words((path[0], path[1]), row, result.text_token_probs, tokenizer) if row else []
            )
        return found

    def _encode(self, features: Sequence[Any]) -> Any:
        return self.whisper.encode(np.stack(list(features)))


# --- Finding the model -----------------------------------------------------------------------------


def find(model: str) -> Path:
    """The folder of `model`, downloaded on first use with progress on standard error.

    Raises UserError for an unknown name, SetupError when it cannot be fetched.
    """
    if model == "demo":
        return demo.model("faster-whisper")
    path = Path(model).expanduser()
    if path.is_dir():
        if (path / "model.bin").is_file():
            return path
        raise UserError(
            f"{path} holds no model.bin.", "Name a folder in CTranslate2's Whisper format."
        )
    if path.is_file():
        raise UserError(
            f"{path} is a file.",
            "Name a folder in CTranslate2's Whisper format, or use --engine openai-whisper.",
        )
    return download(model)


@contextmanager
def loading(model: str) -> Iterator[None]:
    """What a broken model makes the libraries raise, as SetupError."""
    try:
        yield
    except HomescribeError:
        raise
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        if "out of memory" in str(error).lower():
            raise
        raise SetupError(
            f"The model {model} cannot be loaded: {str(error).splitlines()[0]}",
            "Remove it and let it be downloaded again, or choose another.",
        ) from error
