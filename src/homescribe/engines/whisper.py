"""The engine of `--engine openai-whisper`."""

from __future__ import annotations

from homescribe.engines.reference import WhisperReference


class OpenAIWhisper(WhisperReference):
    """A loaded model: one of openai-whisper's names, a .pt file, or "demo"."""

    name = "openai-whisper"
