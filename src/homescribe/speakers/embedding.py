"""Voice embeddings: a vector of length 1 for each voice, by a network such as 3D-Speaker's CAM++.

Vectors of one voice point in similar directions: their scalar product, the cosine similarity, is near 1.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE
from homescribe.errors import SetupError, UserError
from homescribe.speakers.shared_directions import centred, shared_directions

# Metadata that sherpa-onnx ends the process without, and the values that it ends it for.
NEEDED = ("language", "normalize_samples", "output_dim")
FRAMEWORKS = ("3d-speaker", "wespeaker")
NORMALIZED = ("", "global-mean")


class VoiceEmbedder:
    """The network of one ONNX file that sherpa-onnx knows. Safe to use from several threads.

    `raw`: leave in the embeddings what those of all voices share.
    """

    def __init__(self, path: Path, *, raw: bool = False) -> None:
        try:
            import sherpa_onnx
        except ImportError as error:
            raise SetupError(
                "sherpa-onnx, which speakers need, is not installed.",
                "Run: pip install 'homescribe[speakers]'",
            ) from error
        _check(path)
        config = sherpa_onnx.SpeakerEmbeddingExtractorConfig(model=str(path), num_threads=1)
        self._extractor = sherpa_onnx.SpeakerEmbeddingExtractor(config)
        # Identifies the weights, also when the file has another name.
        self.weights = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        self._shared = None if raw else shared_directions(self.weights)
        self._raw = raw

    @property
    def model(self) -> str:
        """Identifies the embeddings: only those of the same model can be compared."""
        return self.weights if self._raw else f"{self.weights}-centred"

    def embed(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the embedding of the voice in `samples`, at least a quarter of a second.

        It is zero if the network gives no numbers.
        """
        stream = self._extractor.create_stream()
        stream.accept_waveform(SAMPLE_RATE, samples)
        stream.input_finished()
        vector = np.asarray(self._extractor.compute(stream), np.float32)
        if not np.isfinite(vector).all():
            return np.zeros_like(vector)
        if not self._raw:
            vector = centred(vector, self._shared)
        return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _check(path: Path) -> None:
    """Raise UserError if `path` is no such model, because sherpa-onnx would end the process."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(path), providers=["CPUExecutionProvider"], sess_options=options
        )
        metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
        rate = int(metadata["sample_rate"])
        known = metadata["framework"] in FRAMEWORKS and all(key in metadata for key in NEEDED)
        known = known and metadata.get("feature_normalize_type", "") in NORMALIZED
    except Exception as error:
        raise _no_model(path) from error
    if not known:
        raise _no_model(path)
    if rate != SAMPLE_RATE:
        raise UserError(f"{path} takes audio at {rate} Hz.", f"Use a model for {SAMPLE_RATE} Hz.")


def _no_model(path: Path) -> UserError:
    return UserError(
        f"{path} is not a model for voice embeddings.",
        "Use a speaker recognition model of 3D-Speaker or WeSpeaker, as sherpa-onnx publishes them.",
    )
