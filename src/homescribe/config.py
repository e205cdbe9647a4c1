"""Settings: flags over environment over config.toml over defaults, as one frozen Config.

Every setting has one name everywhere: `sleep_interval` in config.toml, `--sleep-interval` on the command
line, `HOMESCRIBE_SLEEP_INTERVAL` in the environment.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from homescribe.core import TranscriptionOptions
from homescribe.errors import UserError

ENVIRONMENT_PREFIX = "HOMESCRIBE_"


# What a value of each type is called in a sentence for people.
WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def _setting(
    help: str,  # noqa: A002 - click's name for it
    default: Any = None,
    metavar: str = "",
    least: float | None = None,
) -> Any:
    return field(default=default, metadata={"help": help, "metavar": metavar, "least": least})


@dataclass(frozen=True, slots=True)
class Config:
    """All settings of a command. Field metadata holds the words that `--help` and the docs show."""

    library: Path = _setting("Where the library is.", Path("~/homescribe"), "DIR")
    backend: str = _setting(
        "Where the engine runs: local, or modal to rent a GPU.", "local", "NAME"
    )
    engine: str | None = _setting(
        "faster-whisper (default here) or openai-whisper.", metavar="NAME"
    )
    model: str | None = _setting(
        "A published name (tiny, base, small, medium, large-v3, turbo, ...), a path, or demo.",
        metavar="NAME",
    )
    language: str | None = _setting(
        "Language spoken, as Whisper's code (en, de, ...). Default: detected.", metavar="CODE"
    )
    task: Literal["transcribe", "translate"] = _setting(
        "transcribe, or translate into English.", "transcribe"
    )
    beam_size: int | None = _setting(
        "Beams of the search; 1 is greedy. Default: the engine's.", metavar="N", least=1
    )
    word_timestamps: bool = _setting("Keep the time of every word.", False)
    vad_filter: bool = _setting("Skip what holds no speech.", True)
    initial_prompt: str | None = _setting("Names and spellings to expect.", metavar="TEXT")
    gpu: str | None = _setting(
        "GPU to rent: T4, L4, A10, L40S, A100, H100, H200, B200, or CPU for none. Default: A10.",
        metavar="NAME",
    )
    max_cost: float | None = _setting(
        "Dollars that one run may commit itself to at Modal.", metavar="DOLLARS", least=0
    )
    when: Literal["burst", "stream"] = _setting(
        "burst gathers audio here until renting pays; stream submits each recording as it comes.",
        "burst",
    )
    disk: float = _setting("Gigabytes of audio that may wait here for a burst.", 2.0, "GB", least=0)
    containers: int = _setting("GPUs to rent at once, at most.", 2, "N", least=1)
    sleep_interval: float | None = _setting(
        "Seconds between two downloads from one site. Default: 6 to 14 for YouTube, 0 to 1 for podcasts.",
        metavar="SECONDS",
        least=0,
    )
    cookies: Path | None = _setting("Cookie file for sites that ask for a login.", metavar="FILE")
    cookies_from_browser: str | None = _setting(
        "Browser to take cookies from: firefox, chrome, safari, ...", metavar="BROWSER"
    )

    def transcription(self) -> TranscriptionOptions:
        """The settings that are about transcribing, as the engines take them."""
        return TranscriptionOptions(
            language=self.language.lower() if self.language else None,
            task=self.task,
            beam_size=self.beam_size,
            word_timestamps=self.word_timestamps,
            vad_filter=self.vad_filter,
            initial_prompt=self.initial_prompt,
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of Config. `kind` is the Python type of its value, `choices` what it may be, if limited."""

    name: str
    kind: type
    default: Any
    help: str
    metavar: str
    choices: tuple[str, ...] = ()
    least: float | None = None  # the smallest value of a number

    @property
    def environment(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()


def settings() -> list[Setting]:
    """Every setting, in the order of Config."""
    hints = get_type_hints(Config)
    found = []
    for item in dataclasses.fields(Config):
        hint = hints[item.name]
        choices = tuple(get_args(hint)) if get_origin(hint) is Literal else ()
        kinds = [] if choices else [kind for kind in get_args(hint) if kind is not type(None)]
        kind = str if choices else (kinds[0] if kinds else hint)
        found.append(
            Setting(
                item.name,
                kind,
                item.default,
                item.metadata["help"],
                item.metadata["metavar"],
                choices,
                item.metadata["least"],
            )
        )
    return found


def path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where config.toml is looked for: HOMESCRIBE_CONFIG, else the system's place for settings."""
    if named := environ.get(ENVIRONMENT_PREFIX + "CONFIG"):
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_config_path("homescribe") / "config.toml"


def load(
    flags: Mapping[str, Any], environ: Mapping[str, str] = os.environ
) -> tuple[Config, dict[str, str]]:
    """The Config, and for each setting where its value comes from ("flag", "HOMESCRIBE_MODEL", ...).

    Args:
        flags: values from the command line by setting name; None where no flag was given.

    Raises:
        UserError: config.toml cannot be read, names an unknown setting, or a value does not fit.
    """
    file = path(environ)
    written = _read(file)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in settings():
        if flags.get(setting.name) is not None:
            value, origin = flags[setting.name], "flag"
        elif environ.get(setting.environment):
            value, origin = _parse(setting, environ[setting.environment]), setting.environment
        elif setting.name in written:
            value, origin = written[setting.name], str(file)
        else:
            value, origin = setting.default, "default"
        values[setting.name] = _fit(setting, value, origin)
        origins[setting.name] = origin
    return Config(**values), origins


def _read(file: Path) -> dict[str, Any]:
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}.", "Mend or remove the file.") from error
    known = {setting.name for setting in settings()}
    if unknown := sorted(set(written) - known):
        raise UserError(
            f"{file} names an unknown setting: {unknown[0]}.",
            f"Settings are: {', '.join(sorted(known))}.",
        )
    return written


def _parse(setting: Setting, text: str) -> Any:
    """A value from the environment, where everything is text."""
    if setting.kind is bool:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(
            text.lower(), text
        )
    try:
        return setting.kind(text)
    except ValueError:
        return text


def _fit(setting: Setting, value: Any, origin: str) -> Any:
    """`value` as the setting's type, or a UserError that names both."""
    if value is None:
        return None
    if setting.kind is Path and isinstance(value, str | Path) and str(value).strip():
        return Path(value).expanduser()
    if setting.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    fits = type(value) is setting.kind and (not setting.choices or value in setting.choices)
    if fits and setting.least is not None:
        fits = setting.least <= value < math.inf
    if not fits:
        wanted = " or ".join(setting.choices) or WORDS[setting.kind]
        if setting.least is not None:
            wanted += f", {setting.least} or more"
        raise UserError(
            f"{setting.name} = {value!r} ({origin}) does not fit.", f"It takes: {wanted}."
        )
    return value
