"""The engine faster-whisper: Whisper on CTranslate2, without torch. The default, made for CPUs.

Only faster-whisper's network is used here, with windows of many recordings in one batch, each checked and
retried on its own. faster-whisper's batched pipeline does neither, and its sequential one computes the
spectrogram of a whole file at once (3 GB for an hour).
"""

from __future__ import annotations

from homescribe.core import EngineRequirements
from homescribe.engines.batch_engine import PACKAGES, BatchEngine
from homescribe.engines.ctranslate2_network import CTranslate2Network, gpu_available
from homescribe.engines.languages import LANGUAGES
from homescribe.engines.models import check_ctranslate2, download_ctranslate2


class FasterWhisper(BatchEngine):
    """A loaded model: a name that faster-whisper knows, an "owner/name" on the Hugging Face Hub, a folder
    in CTranslate2's format, or "demo".

    `compute_type` is CTranslate2's, such as "float32". Default: int8 on a CPU, float16 on a GPU.
    """

    name = "faster-whisper"
    requirements = EngineRequirements(
        packages=PACKAGES,
        # CTranslate2 needs no cuDNN since 4.6.3, only cuBLAS for CUDA 12. torch would bring CUDA 13.
        gpu_packages=("nvidia-cublas-cu12==12.9.1.4",),
        environment={"LD_LIBRARY_PATH": "{site_packages}/nvidia/cublas/lib"},
        languages=LANGUAGES,
        tasks=("transcribe", "translate"),
        download=download_ctranslate2,
        check_model=check_ctranslate2,
        gpu_available=gpu_available,
        # CTranslate2 4.8.5 has code for 5.3 to 8.6, which also runs on 8.9. For newer GPUs it has PTX of 8.6,
        # which the driver compiles when the model is loaded.
        newest_gpu=(8, 9),
        slots=BatchEngine.slots,
        imports=("av", "ctranslate2", "faster_whisper", "onnxruntime", "tokenizers"),
    )

    def __init__(self, model: str, compute_type: str | None = None) -> None:
        super().__init__(model, CTranslate2Network(model, compute_type))
