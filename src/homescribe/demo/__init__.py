"""The bundled model and speech: a real, tiny Whisper that knows 144 English words, for demos and tests.

`model("faster-whisper")` and `model("openai-whisper")` are the same weights in each engine's format.
`samples` are recordings it transcribes exactly, each with a .txt (the words) and a .json (sentences with
true start and end in seconds) beside it.
"""

from pathlib import Path

_HERE = Path(__file__).parent
_MODELS = {"faster-whisper": "ct2", "openai-whisper": "espeak-tiny.en.pt"}


def model(engine: str) -> Path:
    """Path of the bundled weights in the format of `engine`."""
    return _HERE / _MODELS[engine]


def samples() -> Path:
    """The folder of recordings with their words."""
    return _HERE / "samples"
