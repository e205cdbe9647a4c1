"""Settings of the next run, which the page shows and changes: /api/settings.

The page can change how recordings are transcribed. It cannot change paths, secrets and what a run may cost. A
change applies to the next run, and is written into config.toml for later starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TypedDict

from homescribe import config as settings
from homescribe import config_file
from homescribe.assemble import check_options, endpoint_options, engine_and_model
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.web import model_choices

# In the order of the page.
CHANGEABLE = (
    *("model", "language", "speakers", "task", "word_timestamps", "initial_prompt"),
    *("keep_audio", "captions"),
)


class SettingState(TypedDict):
    value: str | int | float | bool | None  # None: the default
    help: str


class RunSettingsState(TypedDict):
    """What the page shows about the next run."""

    settings: dict[str, SettingState]
    models: list[str]  # that may be chosen
    default_model: str
    backend: str
    gpu: str | None
    max_cost: float | None
    endpoint: str | None  # host that audio is sent to
    file: str | None  # where changes are stored; None: nowhere, they hold until the server stops


class RunSettings:
    """The config of a server, which changes while it runs. Every method may be called from any thread."""

    def __init__(self, config: Config, file: Path | None) -> None:
        self.config = config
        self._started = config  # whose model can be chosen again
        self._file = file
        self._lock = Lock()

    def state(self) -> RunSettingsState:
        """Return the settings of the next run."""
        config = self.config
        _, default = engine_and_model(dataclasses.replace(config, model=None))
        return {
            "settings": {
                setting.name: {"value": getattr(config, setting.name), "help": setting.help}
                for setting in _changeable()
            },
            "models": self._models(),
            "default_model": default,
            "backend": config.backend,
            "gpu": config.gpu,
            "max_cost": config.max_cost,
            "endpoint": _endpoint(config),
            "file": str(self._file) if self._file else None,
        }

    def change(self, values: Mapping[str, object]) -> None:
        """Change settings for the next run, and in config.toml; None: the default.

        Raises UserError for one that the page may not change or that is not valid; nothing is changed then.
        """
        with self._lock:
            known = {setting.name: setting for setting in _changeable()}
            changed: dict[str, config_file.Value | None] = {}
            for name, value in values.items():
                if name not in known:
                    raise UserError(
                        f"The page cannot change {name!r}.",
                        f"It can change {', '.join(known)}. Edit config.toml for the others.",
                    )
                changed[name] = settings.checked(known[name], None if value == "" else value)
            config = dataclasses.replace(self.config, **changed)  # type: ignore[arg-type]
            model = changed.get("model")
            if model is not None and model not in self._models():
                known_models = ", ".join(self._models())
                raise UserError(f"Unknown model {model!r}.", f"Choose from: {known_models}.")
            check_options(config)
            if self._file:
                written = {
                    name: None if values[name] in (None, "") else value
                    for name, value in changed.items()
                }
                config_file.change_settings(self._file, written)
            self.config = config

    def _models(self) -> list[str]:
        """Return the models that may be chosen, that of the next run first."""
        found = (model_choices.models(config) for config in (self.config, self._started))
        return list(dict.fromkeys(name for names in found for name in names))


def _endpoint(config: Config) -> str | None:
    """Return the host that the backend openai sends audio to; None for others, or if it is not valid."""
    if config.backend != "openai":
        return None
    with suppress(UserError):
        return endpoint_options(config).host
    return None


def _changeable() -> list[settings.Setting]:
    known = {setting.name: setting for setting in settings.settings()}
    return [known[name] for name in CHANGEABLE]
