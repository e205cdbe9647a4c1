"""Settings, from command line flags, the environment, config.toml or defaults, in this order.

Every setting has one name everywhere: `sleep_interval` in config.toml, `--sleep-interval` on the command
line, `HOMESCRIBE_SLEEP_INTERVAL` in the environment.
"""

from __future__ import annotations

import dataclasses
import math
import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from homescribe.core import CaptionPolicy, SubtitleOptions, TranscriptionOptions
from homescribe.errors import UserError
from homescribe.speakers.speaker_setting import speakers_option
from homescribe.text.amounts_of_data import in_gigabytes
from homescribe.text.language_names import language_code

ENVIRONMENT_PREFIX = "HOMESCRIBE_"

# How error messages name the type of a value.
TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
}


def _setting(
    help: str,  # noqa: A002 - click's name
    default: object = None,
    metavar: str = "",
    least: float | None = None,
    *,
    group: str = "",
    gigabytes: bool = False,
    secret: bool = False,
) -> Any:
    metadata = {
        "help": help,
        "metavar": metavar,
        "least": least,
        "group": group,
        "gigabytes": gigabytes,
        "secret": secret,
    }
    return field(default=default, metadata=metadata, repr=not secret)


# Groups of settings, as headings of `--help`.
SOURCE = "Source options"
SPEECH = "Speech options"
RENTING = "Renting options"
CLUSTER = "Cluster options"
ENDPOINT = "Endpoint options"
OUTPUT = "Output options"
NOTIFICATIONS = "Notification options"

SUBTITLE_FORMATS = frozenset({"srt", "vtt"})


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. The metadata of a field holds the text of `--help` and of the documentation."""

    library: Path = _setting("Directory of the library.", Path("~/homescribe"), "DIR")
    sleep_interval: float | None = _setting(
        "Seconds between two downloads from one site, and between two requests for captions. Default: 6 to "
        "14 for YouTube, 0 to 1 for podcasts.",
        metavar="SECONDS",
        least=0,
        group=SOURCE,
    )
    cookies: Path | None = _setting(
        "Cookie file (Netscape format), for sites that require a login.",
        metavar="FILE",
        group=SOURCE,
    )
    cookies_from_browser: str | None = _setting(
        "Browser to read cookies from: firefox, chrome, safari, ...",
        metavar="BROWSER",
        group=SOURCE,
    )
    user_agent: str | None = _setting(
        "User-Agent of HTTP requests, for sites that refuse homescribe's own.",
        metavar="TEXT",
        group=SOURCE,
    )
    allow_private_networks: bool = _setting(
        "Follow public addresses into private networks.", False, group=SOURCE
    )
    captions: CaptionPolicy = _setting(
        "Captions of the publisher are the first transcript. auto: transcribe where they are automatic, or "
        "of parts only; use: keep all; upgrade: transcribe all; ignore: request none.",
        "auto",
        group=SOURCE,
    )
    keep_audio: Literal["none", "speech", "all"] = _setting(
        "Keep the audio of downloads in the library, to play it and to transcribe it again: speech (a mono "
        "copy, 11 MB an hour) or all (as downloaded). Files on this disk are not copied.",
        "none",
        group=SOURCE,
    )
    keep_audio_limit: float | None = _setting(
        "Most audio to keep: 50GB, 500MB. Above it, the audio that was kept first is removed.",
        metavar="GB",
        least=0,
        group=SOURCE,
        gigabytes=True,
    )
    engine: str | None = _setting(
        "faster-whisper (default) or openai-whisper (default at Modal).",
        metavar="NAME",
        group=SPEECH,
    )
    model: str | None = _setting(
        "Name of a Whisper model (tiny, base, small, medium, large-v3, turbo, ...), a path, or demo.",
        metavar="NAME",
        group=SPEECH,
    )
    language: str | None = _setting(
        "Spoken language: a code, a name or a locale (en, german, de_AT, ...). Default: detect it.",
        metavar="NAME",
        group=SPEECH,
    )
    task: Literal["transcribe", "translate"] = _setting(
        "transcribe, or translate into English.", "transcribe", group=SPEECH
    )
    beam_size: int | None = _setting(
        "Beam size; 1 is greedy search: faster, with more errors. Default: 5.",
        metavar="N",
        least=1,
        group=SPEECH,
    )
    word_timestamps: bool | None = _setting(
        "Store the time of each word. Default: if -f has srt or vtt.", group=SPEECH
    )
    vad_filter: bool = _setting("Skip audio without speech.", True, group=SPEECH)
    audio_track: int | None = _setting(
        "Audio track of a file with several, from 1. Default: the first with sound.",
        metavar="N",
        least=1,
        group=SPEECH,
    )
    initial_prompt: str | None = _setting(
        "Prompt with names and spellings to expect.", metavar="TEXT", group=SPEECH
    )
    glossary: Path | None = _setting(
        "File of names and spellings to expect, one in a line, and of rules: misheard -> right. Default: "
        "glossary.txt in the library, if it is there.",
        metavar="FILE",
        group=SPEECH,
    )
    speakers: str | None = _setting(
        "Tell speakers apart: auto, their number (2), limits (2-4), or channels for a person on each channel "
        "of a stereo recording. Default: none.",
        metavar="WHO",
        group=SPEECH,
    )
    speaker_segmentation: Path | None = _setting(
        "Model (.onnx) that finds the turns of speakers. Default: pyannote's, downloaded once.",
        metavar="FILE",
        group=SPEECH,
    )
    speaker_embedding: Path | None = _setting(
        "Model (.onnx) that compares voices. Default: 3D-Speaker's CAM++, downloaded once.",
        metavar="FILE",
        group=SPEECH,
    )
    backend: str = _setting(
        "Where to transcribe: local, modal for a rented GPU, ray for machines of your own, or openai for a "
        "service with OpenAI's API.",
        "local",
        "NAME",
        group=RENTING,
    )
    gpu: str | None = _setting(
        "GPU to rent: T4, L4, A10, L40S, A100, H100, H200, B200, or CPU for none. Default: A10.",
        metavar="NAME",
        group=RENTING,
    )
    max_cost: float | None = _setting(
        "Most dollars that one run may spend, at Modal or at an endpoint.",
        metavar="DOLLARS",
        least=0,
        group=RENTING,
    )
    when: Literal["burst", "stream"] = _setting(
        "burst: queue audio locally until starting a GPU pays off. stream: submit each recording at once.",
        "burst",
        group=RENTING,
    )
    disk: float = _setting(
        "Most gigabytes of audio to queue for a burst.",
        2.0,
        "GB",
        least=0,
        group=RENTING,
        gigabytes=True,
    )
    upload: Literal["original", "speech"] = _setting(
        "original: upload files as they are. speech: upload a mono copy (24 kbit/s) where that is smaller.",
        "original",
        group=RENTING,
    )
    containers: int = _setting("Most GPUs to rent at once.", 2, "N", least=1, group=RENTING)
    address: str | None = _setting(
        "Ray cluster: ray://HOST:10001. Default: one on this machine, started if needed.",
        metavar="ADDRESS",
        group=CLUSTER,
    )
    workers: int | None = _setting(
        "Models to load on the cluster. Default: one for each GPU, or for each machine without any.",
        metavar="N",
        least=1,
        group=CLUSTER,
    )
    gpu_per_worker: float | None = _setting(
        "GPUs of each worker; 0.5 for two on one GPU, 0 for none. Default: 1 where there are any.",
        metavar="N",
        least=0,
        group=CLUSTER,
    )

    base_url: str | None = _setting(
        "Endpoint to send audio to, as OpenAI's: https://api.openai.com/v1, http://127.0.0.1:8000/v1.",
        metavar="URL",
        group=ENDPOINT,
    )
    # No flag: every account on a machine sees the arguments of processes.
    api_key: str | None = _setting(
        "Key of the endpoint, which is sent to base_url only.", secret=True
    )
    price_per_minute: float | None = _setting(
        "What the endpoint bills for a minute of audio; 0 for a server of your own.",
        metavar="DOLLARS",
        least=0,
        group=ENDPOINT,
    )
    least_seconds: float = _setting(
        "Seconds that the endpoint bills at least for a request.",
        0.0,
        "SECONDS",
        least=0,
        group=ENDPOINT,
    )
    request_seconds: float = _setting(
        "Most audio in one request. Longer recordings are cut in pauses.",
        600.0,
        "SECONDS",
        least=30,
        group=ENDPOINT,
    )
    request_megabytes: float = _setting(
        "Most megabytes in one request.", 25.0, "MB", least=0, group=ENDPOINT
    )
    request_format: Literal["ogg", "flac", "wav"] = _setting(
        "What audio is sent as: ogg (Opus, 24 kbit/s), flac or wav.", "ogg", group=ENDPOINT
    )
    request_slots: int = _setting("Most requests at once.", 4, "N", least=1, group=ENDPOINT)
    allow_http: bool = _setting(
        "Send audio and key to another machine over http://, unencrypted.", False, group=ENDPOINT
    )

    on_done: str | None = _setting(
        "Command to run after each item that is transcribed. It gets JSON on standard input.",
        metavar="COMMAND",
        group=NOTIFICATIONS,
    )
    on_run: str | None = _setting(
        "Command to run after a run that transcribed something or failed.",
        metavar="COMMAND",
        group=NOTIFICATIONS,
    )
    webhook: str | None = _setting(
        "Address that gets a POST request with JSON for each item and for the run.",
        metavar="URL",
        group=NOTIFICATIONS,
        secret=True,
    )
    # No flag: every account on a machine sees the arguments of processes.
    webhook_secret: str | None = _setting(
        "Secret to sign these requests with (Standard Webhooks).", secret=True
    )
    apprise: str | None = _setting(
        "Addresses that get a message after a run, as Apprise writes them: mailto://..., tgram://...",
        secret=True,
    )

    max_line_width: int | None = _setting(
        "Subtitles (srt, vtt): most characters in a line. With this or the next two options, cues are "
        "those of openai-whisper. Default: cues for reading, two lines of 42 and at most 7 seconds.",
        metavar="N",
        least=1,
        group=OUTPUT,
    )
    max_line_count: int | None = _setting(
        "Subtitles: most lines in a cue, with --max-line-width.",
        metavar="N",
        least=1,
        group=OUTPUT,
    )
    max_words_per_line: int | None = _setting(
        "Subtitles: most words in a cue, without --max-line-width.",
        metavar="N",
        least=1,
        group=OUTPUT,
    )
    highlight_words: bool = _setting(
        "Subtitles: underline each word while it is spoken.", False, group=OUTPUT
    )

    def transcription(self, formats: Collection[str] = ()) -> TranscriptionOptions:
        """Return the settings that engines take.

        Args:
            formats: what is written. Unless the setting says otherwise, words get times for subtitles.
        """
        return TranscriptionOptions(
            language=language_code(self.language) if self.language else None,
            task=self.task,
            beam_size=self.beam_size,
            word_timestamps=bool(SUBTITLE_FORMATS.intersection(formats))
            if self.word_timestamps is None
            else self.word_timestamps,
            vad_filter=self.vad_filter,
            initial_prompt=self.initial_prompt,
            audio_track=self.audio_track,
            speakers=speakers_option(self.speakers),
        )

    def subtitles(self) -> SubtitleOptions:
        """Return the settings for srt and vtt; raise UserError for one that would have no effect."""
        if self.max_line_count and not self.max_line_width:
            raise UserError(
                "max_line_count has no effect without max_line_width.",
                "Set both, for example to 2 lines of 42 characters.",
            )
        return SubtitleOptions(
            max_line_width=self.max_line_width,
            max_line_count=self.max_line_count,
            max_words_per_line=self.max_words_per_line,
            highlight_words=self.highlight_words,
        )


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of Config."""

    name: str
    kind: type  # of the value
    default: object
    help: str
    metavar: str
    choices: tuple[str, ...] = ()  # the only values allowed; () for any
    least: float | None = None  # smallest number allowed
    group: str = ""  # heading in `--help`
    gigabytes: bool = False  # text such as "500 MB" is allowed, too
    secret: bool = False  # outputs say only that there is a value

    @property
    def environment(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper()


def settings() -> list[Setting]:
    """Return all settings, in the order of Config."""
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
                item.metadata["group"],
                item.metadata["gigabytes"],
                item.metadata["secret"],
            )
        )
    return found


def path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of config.toml: HOMESCRIBE_CONFIG, else in the system's directory for settings."""
    if named := environ.get(ENVIRONMENT_PREFIX + "CONFIG"):
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_config_path("homescribe") / "config.toml"


def load(
    flags: Mapping[str, object], environ: Mapping[str, str] = os.environ
) -> tuple[Config, dict[str, str]]:
    """Return the Config, and the origin of each value by setting ("flag", "HOMESCRIBE_MODEL", ...).

    Args:
        flags: values of the command line by setting; None for a flag that was not given.

    Raises:
        UserError: config.toml cannot be read or has an unknown setting, or a value is invalid.
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


def _read(file: Path) -> dict[str, object]:
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{file} cannot be read: {error}.", "Fix or remove the file.") from error
    known = {setting.name for setting in settings()}
    if unknown := sorted(set(written) - known):
        raise UserError(
            f"{file} has an unknown setting: {unknown[0]}.",
            f"Known settings: {', '.join(sorted(known))}.",
        )
    return written


def _parse(setting: Setting, text: str) -> object:
    """Convert the text of an environment variable, or return it as it is for `_fit` to reject."""
    if setting.kind is bool:
        return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(
            text.lower(), text
        )
    try:
        return setting.kind(text)
    except ValueError:
        return text


def checked(setting: Setting, value: object) -> str | int | float | bool | None:
    """Return a value that a person entered, the default for None; raise UserError for an invalid one."""
    fitted = setting.default if value is None else _fit(setting, value, "entered")
    return fitted if isinstance(fitted, str | int | float | bool) else None


def _fit(setting: Setting, value: object, origin: str) -> object:
    """Return `value` as the setting's type; raise UserError if it is invalid."""
    if value is None:
        return None
    if setting.kind is Path and isinstance(value, str | Path) and str(value).strip():
        return Path(value).expanduser()
    if setting.gigabytes and isinstance(value, str):
        amount = in_gigabytes(value)
        value = value if amount is None else amount
    if isinstance(value, int) and not isinstance(value, bool):
        if setting.kind is float:
            value = float(value)
        elif setting.kind is str and not setting.choices:
            value = str(value)  # speakers = 2
    fits = type(value) is setting.kind and (not setting.choices or value in setting.choices)
    if fits and setting.least is not None and isinstance(value, int | float):
        fits = setting.least <= value < math.inf
    if not fits:
        expected = " or ".join(setting.choices) or TYPE_NAMES[setting.kind]
        if setting.least is not None:
            expected += f", {setting.least} or more"
        if setting.gigabytes:
            expected += ", in GB, or with a unit: 500MB, 1.5TB"
        raise UserError(
            f"{setting.name} = {value!r} ({origin}) is not valid.", f"Expected: {expected}."
        )
    return value
