"""Build the Library, Sources, Backend and Run that a Config describes.

The command line, the page and `homescribe.transcribe` all build them here, so a setting has the same effect
everywhere.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from homescribe import demo, plugins
from homescribe.backends.local import LocalBackend
from homescribe.captions import drift
from homescribe.config import Config
from homescribe.core import (
    Backend,
    EngineRequirements,
    Item,
    Outcome,
    SourceOptions,
    Transcript,
    TranscriptionOptions,
)
from homescribe.cost.prices import DEFAULT_ENGINE, DEFAULT_GPU, DEFAULT_MODEL, machine
from homescribe.engines.cpu import workers
from homescribe.engines.languages import LANGUAGES, check_language
from homescribe.errors import ItemError, LibraryBusy, PermanentError, RetryableError, UserError
from homescribe.glossary import prompt_note, take_rules, transcription_options
from homescribe.library import ItemRecord, Library
from homescribe.notifications.delivery import Target
from homescribe.notifications.done_command import DoneCommand
from homescribe.notifications.notifier import Notifier
from homescribe.pipeline.add import Sources, add
from homescribe.pipeline.audio_copies import KeepAudio
from homescribe.pipeline.caption_run import CaptionRun
from homescribe.pipeline.crash_log import write_log
from homescribe.pipeline.run import Run, with_language_code
from homescribe.pipeline.speech_upload import speech_upload
from homescribe.speakers.speaker_finder import SpeakerFinder
from homescribe.speakers.speaker_models import SpeakerModels
from homescribe.speakers.speaker_setting import AUTO, CHANNELS, parse_speakers, speakers_option

if TYPE_CHECKING:
    from homescribe.backends.endpoint.endpoint_backend import EndpointBackend
    from homescribe.backends.endpoint.endpoint_options import EndpointOptions
    from homescribe.backends.modal.backend import ModalBackend
    from homescribe.backends.ray.ray_backend import RayBackend

MAX_PROMPT = 5_000  # characters of initial_prompt
BYTES_PER_GIGABYTE = 1e9
BYTES_PER_MEGABYTE = 1e6
ANSWERS = "answers"  # folder in the library's, for answers of an endpoint


def open_library(config: Config, *, must_exist: bool = False, read_only: bool = False) -> Library:
    """Open the library, creating it if needed.

    Args:
        must_exist: raise UserError instead of creating a library, so that a mistyped path creates nothing.
        read_only: open it so that nothing can be written; it must exist then, too.
    """
    if (must_exist or read_only) and not (config.library / "library.db").exists():
        raise UserError(
            f"There is no library at {config.library}.",
            "Add something first (homescribe add URL), or choose another directory with --library DIR.",
        )
    return Library(config.library, read_only=read_only)


def open_sources(config: Config, library: Library) -> Sources:
    """Return the source plug-ins, configured with the library's cache directory and the cookie settings."""
    return Sources(
        SourceOptions(
            cache=library.directory / "cache",
            cookies=config.cookies,
            cookies_from_browser=config.cookies_from_browser,
            audio_track=config.audio_track,
            user_agent=config.user_agent,
            allow_private_networks=config.allow_private_networks,
        )
    )


def build_backend(
    config: Config, library: Library, options: TranscriptionOptions | None = None
) -> Backend:
    """Return the backend that `config` names.

    Args:
        options: used instead of the transcription settings of `config`.
    """
    options = options or config.transcription()
    if config.backend == "local" and compares_voices(options):
        logs = library.directory / "logs"
        return LocalBackend(
            build_speaker_finder(config), lambda error, heading: write_log(error, logs, heading)
        )
    if config.backend == "modal":
        return build_modal_backend(config, library, options)
    if config.backend == "ray":
        return build_ray_backend(config, options)
    if config.backend == "openai":
        return build_endpoint_backend(config, library, options)
    return plugins.load("backends", config.backend)()


def build_ray_backend(config: Config, options: TranscriptionOptions | None = None) -> RayBackend:
    """Return the Ray backend, configured with the cluster's address and the size of workers.

    Args:
        options: used instead of the transcription settings of `config`.
    """
    plugins.load("backends", "ray")  # names the package to install if the extra is missing
    from homescribe.backends.ray.ray_backend import RayBackend, RayOptions

    return RayBackend(
        RayOptions(
            config.address,
            config.workers,
            config.gpu_per_worker,
            speakers=_needed_speaker_models(config, options),
        )
    )


def build_modal_backend(
    config: Config, library: Library, options: TranscriptionOptions | None = None
) -> ModalBackend:
    """Return the Modal backend, configured with the speed and boot time measured by this library's calls.

    Args:
        options: used instead of the transcription settings of `config`.
    """
    plugins.load("backends", "modal")  # names the package to install if the extra is missing
    from homescribe.backends.modal.backend import ModalBackend
    from homescribe.backends.modal.session import ModalOptions

    rental = library.rental(
        config.engine or DEFAULT_ENGINE,
        config.model or DEFAULT_MODEL,
        machine(config.gpu or DEFAULT_GPU).gpu,
    )
    rent = ModalOptions(
        gpu=config.gpu or DEFAULT_GPU,
        speakers=_needed_speaker_models(config, options),
        max_containers=config.containers,
        max_cost=config.max_cost,
        when=config.when,
        suspects=library.suspects(),
    )
    if rental:
        rent = dataclasses.replace(rent, speed=rental.speed, boot=rental.boot)
    return ModalBackend(rent)


def build_endpoint_backend(
    config: Config, library: Library, options: TranscriptionOptions | None = None
) -> EndpointBackend:
    """Return the backend that sends audio to an endpoint. Raises as `endpoint_options`.

    What a run had paid for when it was killed is stored now: nobody may go on with those recordings.

    Args:
        options: used instead of the transcription settings of `config`.
    """
    from homescribe.backends.endpoint.endpoint_backend import EndpointBackend

    compares = compares_voices(options or config.transcription())
    backend = EndpointBackend(
        endpoint_options(config),
        library.directory / ANSWERS,
        build_speaker_finder(config) if compares else None,
    )
    with suppress(LibraryBusy):  # the next run does it, too
        for usage in backend.unfinished_usages():
            library.add_usage(usage)
    return backend


def endpoint_options(config: Config) -> EndpointOptions:
    """Return which endpoint `config` names. Raises UserError without one, or if nothing may be sent to it."""
    from homescribe.backends.endpoint.endpoint_options import EXAMPLES, EndpointOptions

    if not config.base_url:
        raise UserError(
            "The backend openai needs the address of an endpoint.",
            f"Give it as --base-url URL, or as base_url in config.toml: {EXAMPLES}",
        )
    return EndpointOptions(
        base_url=config.base_url,
        api_key=config.api_key,
        price_per_minute=config.price_per_minute,
        least_seconds=config.least_seconds,
        request_seconds=config.request_seconds,
        request_bytes=round(config.request_megabytes * BYTES_PER_MEGABYTE),
        request_format=config.request_format,
        slots=config.request_slots,
        max_cost=config.max_cost,
        allow_http=config.allow_http,
    )


def times_sent(config: Config) -> int:
    """Return how often an endpoint gets each recording: both channels, where each is one speaker's."""
    return 2 if config.transcription().speakers == CHANNELS else 1


def engine_and_model(config: Config) -> tuple[str, str]:
    """Return the names of the engine and the model of a run with `config`."""
    backend = plugins.load("backends", config.backend)
    model = config.model or backend.default_model
    if has_own_engine(config):
        return backend.default_engine, model
    return config.engine or backend.default_engine, model


def has_own_engine(config: Config) -> bool:
    """Return whether the backend has one engine of its own, which is no plug-in."""
    return bool(getattr(plugins.load("backends", config.backend), "own_engine", False))


def run_options(config: Config, formats: Collection[str] = ()) -> TranscriptionOptions:
    """Return the settings that engines take, with the names of the glossary in the prompt.

    Args:
        formats: as for `Config.transcription`.

    Raises UserError for a glossary that cannot be read or has a line that is not valid.
    """
    _, model = engine_and_model(config)
    return transcription_options(config, model, formats)


def glossary_note(config: Config) -> str | None:
    """Return a sentence about names of the glossary that a run leaves out; None if it has room for all."""
    _, model = engine_and_model(config)
    return prompt_note(config, model)


def _check_prompt(options: TranscriptionOptions) -> None:
    """Raise UserError for a prompt that is far longer than what Whisper reads of it, its last 224 tokens."""
    given = len(options.initial_prompt or "")
    if given > MAX_PROMPT:
        raise UserError(
            f"initial_prompt has {given:,} characters, and at most {MAX_PROMPT:,} are allowed.",
            "Whisper reads about the last 1,000 of them. List only the names that matter.",
        )


def check_options(config: Config, options: TranscriptionOptions | None = None) -> None:
    """Raise UserError for an unknown backend, engine, model or language, before anything else is done.

    The same for a command or an address of notifications, and for a setting of speakers that is not valid,
    or needs what is not here. Nothing is loaded or
    downloaded. What an engine of another package does not state is not checked.

    Args:
        options: used instead of the transcription settings of `config`.
    """
    name, model = engine_and_model(config)
    build_notifier(config, Event())
    _check_prompt(options or config.transcription())
    run_options(config)  # reads the glossary
    check_speakers(config, options or config.transcription())
    if config.backend == "openai":
        endpoint_options(config)
    if has_own_engine(config):
        check_language(with_language_code(options or config.transcription()), model, LANGUAGES)
        return
    engine = plugins.load("engines", name)
    requirements: EngineRequirements | None = getattr(engine, "requirements", None)
    if requirements is None:
        return
    if requirements.check_model is not None and config.model is not None:
        try:
            requirements.check_model(model)
        except UserError as error:
            if config.engine is None and "/" in model and name != "faster-whisper":
                hint = f"Models of the Hugging Face Hub need --engine faster-whisper. {error.hint}"
                raise UserError(error.message, hint) from error
            raise
    wanted = with_language_code(options or config.transcription())
    if requirements.languages != LANGUAGES:  # not a Whisper model: its engine says what it can do
        requirements.check(name, wanted)
        return
    english_only = model.lower().endswith((".en", ".en.pt"))
    check_language(wanted, model, ("en",) if english_only else LANGUAGES)


def check_speakers(config: Config, options: TranscriptionOptions) -> None:
    """Raise UserError for a setting of speakers that is not valid, or needs what is not here."""
    if options.speakers is None:
        return
    # Another package's backend that does not know the option would ignore it.
    built_in = config.backend in plugins.BUILT_IN["backends"]
    if not built_in and not getattr(
        plugins.load("backends", config.backend), "finds_speakers", False
    ):
        raise UserError(
            f"The backend {config.backend!r} cannot tell speakers apart.",
            "Run without --speakers, then add them: homescribe speakers KEY",
        )
    if not compares_voices(options):
        return
    if config.backend != "ray":  # its machines may have the files elsewhere
        speaker_models(config).check()
    if config.backend in ("local", "openai"):  # this machine finds the speakers
        try:
            importlib.import_module("sherpa_onnx")
        except ModuleNotFoundError as error:
            raise plugins.missing_package("--speakers", error) from error


def compares_voices(options: TranscriptionOptions) -> bool:
    """Return whether a run with these options tells speakers apart by their voices."""
    return options.speakers is not None and not parse_speakers(options.speakers).channels


def build_speaker_finder(config: Config) -> SpeakerFinder:
    """Return what finds speakers on this machine, with the models of `config`. Nothing is loaded yet."""
    return SpeakerFinder(speaker_models(config))


def speaker_models(config: Config) -> SpeakerModels:
    """Return which models tell speakers apart."""
    return SpeakerModels(config.speaker_segmentation, config.speaker_embedding)


def _needed_speaker_models(
    config: Config, options: TranscriptionOptions | None
) -> SpeakerModels | None:
    """Return which models a run needs to tell speakers apart; None where it does not compare voices."""
    return speaker_models(config) if compares_voices(options or config.transcription()) else None


def build_run(
    config: Config,
    library: Library,
    sources: Sources,
    *,
    options: TranscriptionOptions | None = None,
    keys: Collection[str] | None = None,
    again: Collection[str] = (),
    limit: int | None = None,
    captions: bool = True,
    stop: Event | None = None,
) -> Run:
    """Return a Run with the backend, engine, model and limits of `config`.

    Args:
        options: used instead of the transcription settings of `config`, and of its glossary.
        keys: transcribe only these items; None for all.
        again: transcribe these items even if they are transcribed or failed.
        limit: transcribe at most this many items.
        captions: request captions first, as the setting `captions` says, but not with `again`.
        stop: set it to end the run early.
    """
    stop = stop or Event()
    library.apply_caption_policy(config.captions)
    first = build_caption_run(config, library, sources, keys=keys, limit=limit, stop=stop)
    notes, conflicts = take_rules(config, library)
    if options is None:
        options = run_options(config)
    if library.pending(keys=keys, again=again):
        note = glossary_note(config)
        notes += [*conflicts, *([note] if note else [])]
    return Run(
        library,
        sources,
        build_backend(config, library, options),
        engine=config.engine,
        model=config.model,
        options=options,
        keys=keys,
        again=again,
        limit=limit,
        captions=first if captions and not again else None,
        sleep_interval=config.sleep_interval,
        known_good=demo.samples() / "fox-20s.mp3",
        disk=round(config.disk * BYTES_PER_GIGABYTE),
        keep_audio=keep_audio_policy(config),
        prepare=speech_upload if uploads_speech(config, options) else None,
        listener=build_notifier(config, stop),
        notes=notes,
        stop=stop,
    )


def build_caption_run(
    config: Config,
    library: Library,
    sources: Sources,
    *,
    keys: Collection[str] | None = None,
    limit: int | None = None,
    stop: Event | None = None,
) -> CaptionRun:
    """Return what requests the captions of pending items, as the setting `captions` says.

    Args:
        keys: only these items; None for all that are pending.
        limit: items that the run transcribes at most, and requests captions of.
        stop: set it to end early.
    """
    return CaptionRun(
        library,
        sources,
        config.captions,
        keys=keys,
        limit=limit,
        sleep_interval=config.sleep_interval,
        stop=stop,
    )


def build_notifier(config: Config, stop: Event) -> Notifier | None:
    """Return what notifies of the outcomes of a run; None if no command and no webhook is set.

    Raises UserError for a command or an address that is not valid.
    """
    targets: list[Target] = []
    if config.on_done is not None:
        targets.append(DoneCommand("on_done", config.on_done, "item.done"))
    if config.on_run is not None:
        targets.append(DoneCommand("on_run", config.on_run, "run.done"))
    if config.webhook is not None:
        from homescribe.notifications.webhook import Webhook  # loads requests

        private = config.allow_private_networks
        targets.append(Webhook(config.webhook, config.webhook_secret, private_networks=private))
    if config.apprise is not None:
        from homescribe.notifications.apprise_service import AppriseService

        try:
            targets.append(AppriseService(config.apprise))
        except ModuleNotFoundError as error:
            raise plugins.missing_package("The setting apprise", error) from error
    return Notifier(targets, config.library, stop) if targets else None


def build_speaker_run(
    config: Config,
    library: Library,
    sources: Sources,
    keys: Collection[str],
    *,
    stop: Event | None = None,
) -> Run:
    """Return a Run that tells the speakers of transcribed items apart on this machine, without transcribing.

    Its outcomes have the stored transcripts with their speakers. `config.speakers` says how many there are,
    None: their number is found.

    Args:
        keys: items that are transcribed.

    Raises UserError for a setting of speakers that is not valid, or needs what is not here.
    """
    wanted = speakers_option(config.speakers) or AUTO
    setting = parse_speakers(wanted)
    options = dataclasses.replace(config.transcription(), speakers=wanted)
    check_speakers(dataclasses.replace(config, backend="local"), options)

    def store(item: Item, found: Transcript, seconds: float) -> Transcript | None:
        # Whether captions fit the recording is known when its audio was decoded.
        stored = library.transcript(item.key)
        shifted = drift(stored, found.duration) if stored else None
        added = library.add_speakers(
            *(item.key, found.speakers, found.turns),
            setting=wanted,
            least=setting.least,
            warnings=(shifted,) if shifted else (),
        )
        return library.transcript(item.key) if added else None

    from homescribe.backends.speakers_only import SpeakersOnlyBackend

    return Run(
        library,
        sources,
        SpeakersOnlyBackend(
            build_speaker_finder(config),
            min(len(keys), workers()) or 1,
            voices=not setting.channels,
        ),
        options=options,
        keys=keys,
        again=keys,
        sleep_interval=config.sleep_interval,
        keep_audio=keep_audio_policy(config),
        store=store,
        stop=stop,
    )


def keep_audio_policy(config: Config) -> KeepAudio | None:
    """Return what runs keep of the audio that they download; None for nothing."""
    if config.keep_audio == "none":
        return None
    return KeepAudio(config.keep_audio, audio_limit(config), config.audio_track)


def audio_limit(config: Config) -> int | None:
    """Return the bytes of audio to keep at most; None without a limit."""
    limit = config.keep_audio_limit
    return None if limit is None else round(limit * BYTES_PER_GIGABYTE)


def uploads_speech(config: Config, options: TranscriptionOptions | None = None) -> bool:
    """Return whether smaller copies are uploaded. Tracks and channels are only in the original."""
    options = options or config.transcription()
    whole = options.audio_track is not None or options.speakers == CHANNELS
    # What goes to an endpoint is encoded in any case.
    return config.upload == "speech" and config.backend not in ("local", "openai") and not whole


def transcribe(
    *urls: str | Path,
    library: Path | str,
    backend: str = "local",
    engine: str | None = None,
    model: str | None = None,
    options: TranscriptionOptions | None = None,
    sleep_interval: float | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    stop: Event | None = None,
) -> Iterator[Outcome]:
    """Transcribe everything at `urls` (channels, playlists, shows, folders, files) into a library.

        for outcome in homescribe.transcribe("talks/", library="~/homescribe"):
            print(outcome.item.title, outcome.transcript.text if outcome.transcript else outcome.error)

    Items that the library already has a transcript of, or that failed earlier, are not processed again: their
    Outcomes come first, with the stored transcript or the recorded error.

    Args:
        library: directory of the library, created if missing.
        engine: "faster-whisper" or "openai-whisper"; None for the backend's default.
        model: a published name, a path, or "demo"; None for the backend's default.
        sleep_interval: seconds between two downloads from one site; None for the source's default.
        base_url, api_key: the endpoint that audio is sent to, with the backend "openai".
        stop: set it, from any thread, to end early; the next call continues from there.

    Yields:
        One Outcome per item, in the order in which they finish.

    Raises:
        UserError: a model cannot be loaded, the disk is full, or an address cannot be read. An address that
            cannot be read is raised after everything else is done.
    """
    stop = stop or Event()
    config = Config(
        library=Path(library).expanduser(),
        backend=backend,
        engine=engine,
        model=model,
        sleep_interval=sleep_interval,
        base_url=base_url,
        api_key=api_key,
        audio_track=options.audio_track if options else None,
    )
    check_options(config, options)
    with open_library(config) as opened, open_sources(config, opened) as sources:
        keys: dict[str, None] = {}
        unreadable: UserError | None = None
        for url in urls:
            try:
                for result in add(opened, sources, str(url), stop, everything=True):
                    keys.update((item.key, None) for item in result.items)
                    unreadable = unreadable or result.error
            except UserError as error:
                unreadable = unreadable or error
        opened.apply_caption_policy(config.captions)  # what is done depends on it
        for key in keys:
            record = opened.item(key)
            if record.state == "done":
                yield Outcome(record.item, transcript=opened.transcript(key))
            elif record.state == "failed":
                yield Outcome(record.item, error=_recorded_error(record))
            elif record.state == "ignored":
                yield Outcome(record.item, error=_ignored_error(key))
        yield from build_run(
            *(config, opened, sources),
            options=options,
            keys=keys.keys(),
            captions=False,
            stop=stop,
        )
        if unreadable:
            raise unreadable


def _ignored_error(key: str) -> ItemError:
    return PermanentError("It is ignored.", f"To transcribe it: homescribe ignore --undo {key}")


def _recorded_error(record: ItemRecord) -> ItemError:
    """Return the error that an earlier run recorded for a failed item."""
    kind = PermanentError if record.permanent else RetryableError
    return kind(record.error or "It failed.", record.hint or "")
