"""Models that the page offers: a request with the path of a file must not decide what is loaded."""

from __future__ import annotations

from homescribe import plugins
from homescribe.assemble import engine_and_model, has_own_engine
from homescribe.config import Config
from homescribe.core import EngineRequirements, Transcript
from homescribe.errors import UserError

# Beside that of the settings and that of a transcript.
MODELS = ("tiny", "base", "small", "medium", "large-v3", "turbo")


def models(config: Config, transcript: Transcript | None = None) -> list[str]:
    """Return the models that may be chosen, the one of the settings first, then that of `transcript`."""
    engine, model = engine_and_model(config)
    if has_own_engine(config):  # which models it has, nobody knows here
        theirs = transcript is not None and transcript.engine == engine
        return list(dict.fromkeys([model, *([transcript.model] if transcript and theirs else [])]))
    requirements: EngineRequirements | None = getattr(
        plugins.load("engines", engine), "requirements", None
    )
    known = [name for name in MODELS if _is_known(requirements, name)]
    # The model of a transcript by another engine may not be one of this engine.
    own = [transcript.model] if transcript is not None and transcript.engine == engine else []
    return list(dict.fromkeys([model, *own, *known]))


def _is_known(requirements: EngineRequirements | None, model: str) -> bool:
    if requirements is None or requirements.check_model is None:
        return False
    try:
        requirements.check_model(model)
    except UserError:
        return False
    return True
