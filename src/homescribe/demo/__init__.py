"""A bundled model and recordings: a real but tiny Whisper that knows 144 English words, for demos and tests.

The recordings in `samples()` have their words in a .txt file, and their sentences with true start and end
in seconds in a .json file. The model transcribes all of them without a mistake.
"""

from pathlib import Path

_HERE = Path(__file__).parent
_MODELS = {"faster-whisper": "ct2", "openai-whisper": "espeak-tiny.en.pt"}


def model(engine: str) -> Path:
    """Return the path of the bundled model in the format of `engine`. Both have the same weights."""
    return _HERE / _MODELS[engine]


def samples() -> Path:
    """Return the folder of the recordings."""
    return _HERE / "samples"
