"""OpenAI's endpoints for audio, so that programs made for them work with a changed base URL.

    POST /v1/audio/transcriptions   file, model, language, prompt, response_format, temperature,
    POST /v1/audio/translations     timestamp_granularities[]
    GET  /v1/models

https://platform.openai.com/docs/api-reference/audio. The recording is transcribed on this machine by the
engine and model of the settings, kept nowhere, and gone from the disk when the answer is sent. Whatever
OpenAI's models are called stands for the model of the settings: no request chooses what is loaded here.
"""

from __future__ import annotations

import asyncio
import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Lock, Semaphore, Timer
from typing import Any, BinaryIO, Literal

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from homescribe import plugins
from homescribe.config import Config
from homescribe.core import MINUTE, Audio, Engine, Item, Segment, Transcript, TranscriptionOptions
from homescribe.errors import Cancelled, UserError
from homescribe.formats.subtitles import to_srt, to_vtt

IDLE = 10 * MINUTE  # after which the model is forgotten
LISTEN = 0.5  # seconds between two looks whether the client is still there
THEIRS = ("whisper-", "gpt-")  # how OpenAI's names of models begin
FORMATS = ("json", "text", "srt", "verbose_json", "vtt")

# Names of languages as OpenAI's verbose_json gives them, by Whisper's codes.
LANGUAGES = dict(
    re.findall(
        r"(\w+)=(\w+)",
        "en=english zh=chinese de=german es=spanish ru=russian ko=korean fr=french ja=japanese "
        "pt=portuguese tr=turkish pl=polish ca=catalan nl=dutch ar=arabic sv=swedish it=italian "
        "id=indonesian hi=hindi fi=finnish vi=vietnamese he=hebrew uk=ukrainian el=greek ms=malay "
        "cs=czech ro=romanian da=danish hu=hungarian ta=tamil no=norwegian th=thai ur=urdu "
        "hr=croatian bg=bulgarian lt=lithuanian la=latin mi=maori ml=malayalam cy=welsh sk=slovak "
        "te=telugu fa=persian lv=latvian bn=bengali sr=serbian az=azerbaijani sl=slovenian "
        "kn=kannada et=estonian mk=macedonian br=breton eu=basque is=icelandic hy=armenian "
        "ne=nepali mn=mongolian bs=bosnian kk=kazakh sq=albanian sw=swahili gl=galician mr=marathi "
        "pa=punjabi si=sinhala km=khmer sn=shona yo=yoruba so=somali af=afrikaans oc=occitan "
        "ka=georgian be=belarusian tg=tajik sd=sindhi gu=gujarati am=amharic yi=yiddish lo=lao "
        "uz=uzbek fo=faroese ps=pashto tk=turkmen nn=nynorsk mt=maltese sa=sanskrit "
        "lb=luxembourgish my=myanmar bo=tibetan tl=tagalog mg=malagasy as=assamese tt=tatar "
        "haw=hawaiian ln=lingala ha=hausa ba=bashkir jw=javanese su=sundanese yue=cantonese",
    )
)


class Ears:
    """The engine of the settings, loaded when it is first needed and forgotten after a while."""

    def __init__(self, config: Config) -> None:
        backend = plugins.load("backends", "local")
        here = config.backend == "local"
        self._engine_name: str = config.engine or backend.default_engine
        self.model: str = (config.model if here else None) or backend.default_model
        self._lock = Lock()
        self._engine: Engine | None = None
        self._places = Semaphore()
        self._users = 0
        self._timer: Timer | None = None

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        """The engine, for one recording."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._engine is None:
                loaded: Engine = plugins.load("engines", self._engine_name)(self.model)
                self._engine, self._places = loaded, Semaphore(max(1, loaded.slots))
            engine, places = self._engine, self._places
            self._users += 1
        try:
            with places:
                yield engine
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._timer = Timer(IDLE, self.close)
                    self._timer.daemon = True
                    self._timer.start()

    def close(self) -> None:
        """Free the model, unless somebody is using it."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._engine is not None and not self._users:
                self._engine.close()
                self._engine = None


async def transcriptions(request: Request) -> Response:
    """The words of the recording that was sent, in the language in which they are said."""
    return await _answer(request, "transcribe")


async def translations(request: Request) -> Response:
    """The words of the recording that was sent, in English."""
    return await _answer(request, "translate")


async def models(request: Request) -> Response:
    """What may be asked for."""
    ears: Ears = request.app.state.ears
    names = dict.fromkeys(["whisper-1", ears.model])
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "homescribe"} for name in names
    ]
    return JSONResponse({"object": "list", "data": data})


async def _answer(request: Request, task: Literal["transcribe", "translate"]) -> Response:
    ears: Ears = request.app.state.ears
    async with request.form(max_files=1, max_fields=50) as form:
        wanted = _text(form, "response_format") or "json"
        if wanted not in FORMATS:
            raise UserError(
                f"There is no response_format {wanted!r}.", f"One of: {', '.join(FORMATS)}."
            )
        model = _text(form, "model")
        if model and model != ears.model and not model.startswith(THEIRS):
            raise HTTPException(
                404, f"The model {model!r} does not exist here; {ears.model!r} does."
            )
        options = _options(form, task)
        sent = form.get("file")
        if not isinstance(sent, UploadFile):
            raise UserError("There is no file.", "Send the recording as the field `file`.")
        stop = Event()
        watching = asyncio.create_task(_watch(request, stop))
        try:
            transcript = await run_in_threadpool(_hear, ears, sent.file, options, stop)
        except Cancelled:
            return Response(status_code=499)  # nobody is there to read it
        finally:
            watching.cancel()
    return _formatted(transcript, wanted, task, "word" in form.getlist("timestamp_granularities[]"))


async def _watch(request: Request, stop: Event) -> None:
    """Set `stop` when the client has gone or the server ends."""
    while not (request.app.state.closing.is_set() or await request.is_disconnected()):
        await asyncio.sleep(LISTEN)
    stop.set()


def _hear(ears: Ears, sent: BinaryIO, options: TranscriptionOptions, stop: Event) -> Transcript:
    with tempfile.TemporaryDirectory(prefix="homescribe-") as directory:
        path = Path(directory) / "recording"
        with path.open("wb") as file:
            shutil.copyfileobj(sent, file)
        item = Item("upload", "upload", "", "The recording")
        with ears.engine() as engine:
            return engine.transcribe(Audio(item, path), options, stop, lambda seconds: None)


def _options(form: FormData, task: Literal["transcribe", "translate"]) -> TranscriptionOptions:
    given = _text(form, "temperature")
    try:
        temperature = float(given or 0.0)
    except ValueError:
        temperature = math.nan
    if not 0 <= temperature <= 1:
        raise UserError(f"temperature = {given!r} does not fit.", "It goes from 0 to 1.")
    options = TranscriptionOptions(
        language=_text(form, "language") or None,
        task=task,
        initial_prompt=_text(form, "prompt") or None,
        word_timestamps="word" in form.getlist("timestamp_granularities[]"),
    )
    # At 0, OpenAI too raises it where a passage does not come out well.
    return replace(options, temperature=(temperature,)) if temperature else options


def _text(form: Mapping[str, Any], name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _formatted(transcript: Transcript, wanted: str, task: str, with_words: bool) -> Response:
    item = Item("upload", "upload", "", "The recording")
    match wanted:
        case "text":
            return PlainTextResponse(f"{transcript.text}\n")
        case "srt":
            return PlainTextResponse(to_srt(item, transcript))
        case "vtt":
            return PlainTextResponse(to_vtt(item, transcript))
        case "json":
            usage = {"type": "duration", "seconds": math.ceil(transcript.duration)}
            return JSONResponse({"text": transcript.text, "usage": usage})
    answer: dict[str, Any] = {
        "task": task,
        "language": LANGUAGES.get(transcript.language, transcript.language),
        "duration": transcript.duration,
        "text": transcript.text,
        "segments": [_segment(number, each) for number, each in enumerate(transcript.segments)],
        "usage": {"type": "duration", "seconds": math.ceil(transcript.duration)},
    }
    if with_words:
        answer["words"] = [
            {"word": word.word.strip(), "start": word.start, "end": word.end}
            for segment in transcript.segments
            for word in segment.words
        ]
    return JSONResponse(answer)


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    """Figures that an engine does not give are 0, since clients take them for numbers."""
    figures = ("temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
    values = {name: getattr(segment, name) for name in figures}
    return {
        "id": number,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        **{
            name: value if value is not None and math.isfinite(value) else 0.0
            for name, value in values.items()
        },
    }


ROUTES = [
    Route("/v1/audio/transcriptions", transcriptions, methods=["POST"]),
    Route("/v1/audio/translations", translations, methods=["POST"]),
    Route("/v1/models", models),
]
