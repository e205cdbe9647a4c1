"""OpenAI's audio endpoints, so that programs written for OpenAI work with a changed base URL.

    POST /v1/audio/transcriptions   file, model, language, prompt, response_format, temperature,
    POST /v1/audio/translations     timestamp_granularities[], stream, speakers
    GET  /v1/models, /v1/models/ID

https://platform.openai.com/docs/api-reference/audio. The recording is transcribed on this machine with the
engine and model of the settings, and deleted when the response is sent. OpenAI's model names are aliases of
the model of the settings: no request decides which model is loaded.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Literal, NotRequired, TypedDict

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from homescribe.assemble import check_speakers
from homescribe.config import SUBTITLE_FORMATS
from homescribe.core import Audio, Item, Segment, Transcript, TranscriptionOptions
from homescribe.errors import Cancelled, UserError
from homescribe.formats.subtitles import to_srt, to_vtt
from homescribe.speakers.speaker_setting import AUTO, speakers_option
from homescribe.text.language_names import LANGUAGES, language_code
from homescribe.web.json_response import JSONResponse
from homescribe.web.openai_stream import STREAMED, DecodedSegments, EventResponse, stream
from homescribe.web.sent_recording import read_form
from homescribe.web.shared_engine import SharedEngine
from homescribe.web.storage import stored
from homescribe.web.uploads import Uploads

POLL_INTERVAL = 0.5  # seconds between two checks whether the client is still connected
OPENAI_MODEL_PREFIXES = ("whisper-", "gpt-")
DIARIZED = "diarized_json"
FORMATS = ("json", "text", "srt", "verbose_json", "vtt", DIARIZED)
UPLOAD = Item("upload", "upload", "", "The recording")  # stands for a recording outside the library

Task = Literal["transcribe", "translate"]


class DurationUsage(TypedDict):
    type: Literal["duration"]
    seconds: int


class SegmentAnswer(TypedDict):
    """A segment of OpenAI's verbose_json. `seek` and `tokens` have no meaning here and stay empty."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class WordAnswer(TypedDict):
    word: str
    start: float
    end: float


class DiarizedSegment(TypedDict):
    """A segment of OpenAI's diarized_json."""

    id: str
    type: Literal["transcript.text.segment"]
    start: float
    end: float
    text: str
    speaker: str  # "A", "B", ... in the order of their first words; "?" where nobody is known


class DiarizedAnswer(TypedDict):
    """OpenAI's diarized_json."""

    task: Literal["transcribe"]
    duration: float
    text: str
    segments: list[DiarizedSegment]
    usage: DurationUsage


class VerboseAnswer(TypedDict):
    """OpenAI's verbose_json."""

    task: Task
    language: str
    duration: float
    text: str
    usage: DurationUsage
    segments: NotRequired[list[SegmentAnswer]]
    words: NotRequired[list[WordAnswer]]


async def transcriptions(request: Request) -> Response:
    """Transcribe the uploaded recording in its own language."""
    return await _answer(request, "transcribe")


async def translations(request: Request) -> Response:
    """Transcribe the uploaded recording into English."""
    return await _answer(request, "translate")


async def models(request: Request) -> Response:
    """List the accepted model names."""
    engine: SharedEngine = request.app.state.engine
    names = dict.fromkeys(["whisper-1", engine.model])
    return JSONResponse({"object": "list", "data": [_model(name) for name in names]})


async def model(request: Request) -> Response:
    """One of the accepted models."""
    engine: SharedEngine = request.app.state.engine
    name: str = request.path_params["model"]
    if not (name == engine.model or name.startswith(OPENAI_MODEL_PREFIXES)):
        raise HTTPException(404, f"The model {name!r} does not exist here. Use {engine.model!r}.")
    return JSONResponse(_model(name))


def _model(name: str) -> dict[str, str | int]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "homescribe"}


async def _answer(request: Request, task: Task) -> Response:
    uploads: Uploads = request.app.state.uploads
    async with AsyncExitStack() as stack:
        stack.enter_context(uploads.place())
        with stored():
            path = stack.enter_context(uploads.directory()) / "recording"
            form = await read_form(request, path)
        stack.push_async_callback(form.close)
        response = await _answer_form(request, form, path, task, uploads)
        if isinstance(response, EventResponse):
            # The place and the recording are needed until the last event is sent.
            response.resources = stack.pop_all()
        return response


async def _answer_form(
    request: Request, form: FormData, path: Path, task: Task, uploads: Uploads
) -> Response:
    engine: SharedEngine = request.app.state.engine
    response_format = _text(form, "response_format") or "json"
    if response_format not in FORMATS:
        raise UserError(
            f"Unknown response_format {response_format!r}.", f"Known formats: {', '.join(FORMATS)}."
        )
    model = _text(form, "model")
    if model and model != engine.model and not model.startswith(OPENAI_MODEL_PREFIXES):
        raise HTTPException(404, f"The model {model!r} does not exist here. Use {engine.model!r}.")
    if response_format == DIARIZED and task == "translate":
        raise UserError(f"{DIARIZED} is a format of transcriptions, not of translations.")
    if any(name.startswith("known_speaker_") for name in form):
        raise UserError(
            "known_speaker_names and known_speaker_references are not supported.",
            "Leave them out: speakers are named A, B, ...",
        )
    options = _options(form, task)
    check_speakers(engine.config, options)
    if not isinstance(form.get("file"), UploadFile):
        raise UserError("No file was sent.", "Send the recording as the form field `file`.")
    streamed = _text(form, "stream").lower() in ("true", "1")
    if streamed and response_format not in STREAMED:
        raise UserError(
            f"{response_format} cannot be streamed.",
            f"Leave stream out, or use {', '.join(STREAMED)}.",
        )
    stop = Event()
    if streamed:
        decoded = DecodedSegments()
        running = uploads.run(partial(_transcribe, engine, path, options, stop, decoded.add))
        found = _streamed_transcript(request, running, stop, response_format)
        return EventResponse(stream(found, decoded))
    work = partial(_transcribe, engine, path, options, stop, lambda segments: None)
    watcher = asyncio.create_task(_watch_connection(request, stop))
    try:
        transcript = await uploads.run(work)
    except Cancelled:
        return Response(status_code=499)  # the client has disconnected
    finally:
        watcher.cancel()
    return _formatted(transcript, response_format, task, _granularities(form))


async def _streamed_transcript(
    request: Request, work: Awaitable[Transcript], stop: Event, response_format: str
) -> tuple[Transcript, Sequence[DiarizedSegment]]:
    """The transcript, and for diarized_json its segments. `stop` is set if it is not awaited any more."""
    watcher = asyncio.create_task(_watch_closing(request, stop))
    try:
        transcript = await work
    finally:
        stop.set()
        watcher.cancel()
    if response_format != DIARIZED:
        return transcript, ()
    return transcript, _diarized(transcript, _usage(transcript))["segments"]


async def _watch_closing(request: Request, stop: Event) -> None:
    """Set `stop` when the server shuts down. The response itself notices that the client disconnects."""
    while not request.app.state.closing.is_set():
        await asyncio.sleep(POLL_INTERVAL)
    stop.set()


async def _watch_connection(request: Request, stop: Event) -> None:
    """Set `stop` when the client disconnects or the server shuts down."""
    while not (request.app.state.closing.is_set() or await request.is_disconnected()):
        await asyncio.sleep(POLL_INTERVAL)
    stop.set()


def _transcribe(
    shared: SharedEngine,
    path: Path,
    options: TranscriptionOptions,
    stop: Event,
    decoded: Callable[[Sequence[Segment]], None],
) -> Transcript:
    with shared.use() as engine:
        audio = Audio(UPLOAD, path)
        return engine.stream(audio, options, stop, lambda seconds: None, decoded)


def _options(form: FormData, task: Task) -> TranscriptionOptions:
    given = _text(form, "temperature")
    try:
        temperature = float(given or 0.0)
    except ValueError:
        temperature = math.nan
    if not 0 <= temperature <= 1:
        raise UserError(f"temperature {given!r} is not valid.", "Send a number from 0 to 1.")
    options = TranscriptionOptions(
        language=language_code(_text(form, "language")) or None,
        task=task,
        initial_prompt=_text(form, "prompt") or None,
        word_timestamps="word" in _granularities(form)
        or _text(form, "response_format") in SUBTITLE_FORMATS,
        speakers=speakers_option(
            _text(form, "speakers")
            or (AUTO if _text(form, "response_format") == DIARIZED else None)
        ),
    )
    # 0 is the default: as at OpenAI, the temperature is then raised where decoding fails.
    return replace(options, temperature=(temperature,)) if temperature else options


def _granularities(form: FormData) -> frozenset[str]:
    """The times that verbose_json has: of each "segment" (also if none is named), of each "word"."""
    given = [*form.getlist("timestamp_granularities[]"), *form.getlist("timestamp_granularities")]
    found = frozenset(value for value in given if isinstance(value, str))
    if unknown := found - {"word", "segment"}:
        raise UserError(
            f"Unknown timestamp_granularities {min(unknown)!r}.", "Send word, segment or both."
        )
    return found or frozenset({"segment"})


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _formatted(
    transcript: Transcript, response_format: str, task: Task, granularities: frozenset[str]
) -> Response:
    usage = _usage(transcript)
    match response_format:
        case "text":
            return PlainTextResponse(f"{transcript.text}\n")
        case "srt":
            return PlainTextResponse(to_srt(UPLOAD, transcript))
        case "vtt":
            return PlainTextResponse(to_vtt(UPLOAD, transcript))
        case "json":
            return JSONResponse({"text": transcript.text, "usage": usage})
        case "diarized_json":
            return JSONResponse(_diarized(transcript, usage))
    answer = VerboseAnswer(
        task=task,
        language=LANGUAGES.get(transcript.language, transcript.language),
        duration=transcript.duration,
        text=transcript.text,
        usage=usage,
    )
    if "segment" in granularities:
        answer["segments"] = [_segment(n, each) for n, each in enumerate(transcript.segments)]
    if "word" in granularities:
        answer["words"] = [
            {"word": word.word.strip(), "start": word.start, "end": word.end}
            for segment in transcript.segments
            for word in segment.words
        ]
    return JSONResponse(answer)


def _usage(transcript: Transcript) -> DurationUsage:
    return DurationUsage(type="duration", seconds=math.ceil(transcript.duration))


def _diarized(transcript: Transcript, usage: DurationUsage) -> DiarizedAnswer:
    names = {speaker.label: _letters(n) for n, speaker in enumerate(transcript.speakers)}
    segments: list[DiarizedSegment] = [
        {
            "id": f"seg_{number:03}",
            "type": "transcript.text.segment",
            "start": each.start,
            "end": each.end,
            "text": each.text,
            "speaker": names.get(each.speaker or "", "?"),
        }
        for number, each in enumerate(transcript.segments)
    ]
    return {
        "task": "transcribe",
        "duration": transcript.duration,
        "text": transcript.text,
        "segments": segments,
        "usage": usage,
    }


def _letters(number: int) -> str:
    """Return "A" for 0, "B" for 1, ..., "Z", "AA", "AB", ..."""
    before, last = divmod(number, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + last)


def _segment(number: int, segment: Segment) -> SegmentAnswer:
    return {
        "id": number,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        "temperature": _number(segment.temperature),
        "avg_logprob": _number(segment.avg_logprob),
        "compression_ratio": _number(segment.compression_ratio),
        "no_speech_prob": _number(segment.no_speech_prob),
    }


def _number(value: float | None) -> float:
    """`value`, or 0 where the engine gives none: clients expect a number."""
    return value if value is not None and math.isfinite(value) else 0.0


ROUTES = [
    Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
    Route("/v1/audio/translations", translations, methods=["POST"]),
    Route("/v1/models", models),
    Route("/v1/models/{model:path}", model),
]
