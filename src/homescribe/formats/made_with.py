"""What a transcript was made with, in words, and what would differ if it were made again."""

from __future__ import annotations

from dataclasses import fields

from homescribe.core import Transcript, TranscriptionOptions

DEFAULTS = TranscriptionOptions()


def engine_in_words(transcript: Transcript) -> str:
    """Return "faster-whisper, tiny"; "captions (automatic)" for those of the publisher."""
    if transcript.is_captions:
        return f"{transcript.engine} ({transcript.model})"
    return f"{transcript.engine}, {transcript.model}"


def options_in_words(transcript: Transcript) -> str:
    """Return the options that are not the defaults: "language de, beam size 1"; "" if they are unknown."""
    options = transcript.options
    if options is None:
        return ""
    named = [
        _in_words(name, getattr(options, name))
        for name in _names()
        if getattr(options, name) != getattr(DEFAULTS, name)
    ]
    return ", ".join(named) or "the defaults"


def differences(
    transcript: Transcript, engine: str | None, model: str | None, options: TranscriptionOptions
) -> dict[str, str]:
    """Return what `transcript` was not made with, as "model base instead of tiny", by the option's name.

    An option that the transcript does not state differs if it is not the default, except for the two that
    show in the text: a language that is not its own, and word timestamps that it does not have.

    Args:
        engine, model: None for whatever the transcript was made with.
    """
    if transcript.is_captions:  # no option says how the publisher made them
        wanted_engine = " ".join(name for name in (engine, model) if name)
        return {"engine": f"{wanted_engine} instead of captions"} if wanted_engine else {}
    found = {}
    if engine not in (None, transcript.engine):
        found["engine"] = f"engine {engine} instead of {transcript.engine}"
    if model not in (None, transcript.model):
        found["model"] = f"model {model} instead of {transcript.model}"
    made = transcript.options
    for name in _names():
        wanted = getattr(options, name)
        if made is not None and wanted == getattr(made, name):
            continue
        if name == "language":
            if said := _language_difference(transcript, wanted):
                found[name] = said
        elif name == "speakers":
            if said := _speakers_difference(transcript, wanted):
                found[name] = said
        elif made is not None:
            before = getattr(made, name)
            said = _in_words(name, wanted)
            found[name] = (
                said if isinstance(wanted, bool) else f"{said} instead of {_value(before)}"
            )
        elif name == "word_timestamps":
            if wanted and not any(segment.words for segment in transcript.segments):
                found[name] = _in_words(name, wanted)
        elif wanted != getattr(DEFAULTS, name):
            found[name] = _in_words(name, wanted)
    return found


def _language_difference(transcript: Transcript, wanted: str | None) -> str:
    """Return "" where a language is given that was detected everywhere: the text would be the same."""
    made = transcript.options.language if transcript.options else None
    if wanted is None:
        return f"language detected instead of {made}" if made else ""
    found = transcript.languages or (transcript.language,)
    if made is None and set(found) == {wanted}:
        return ""
    detected = f"{', '.join(found)} (detected)" if transcript.options else transcript.language
    return f"language {wanted} instead of {made or detected}"


def _speakers_difference(transcript: Transcript, wanted: str | None) -> str:
    """Return "" for an old transcript that has speakers, whatever they were found with."""
    made = transcript.options.speakers if transcript.options else None
    if wanted is None:
        return "no speakers" if made else ""
    if made is None and transcript.speakers:
        return ""
    return f"speakers {wanted}" + (f" instead of {made}" if made else "")


def _in_words(name: str, value: object) -> str:
    words = name.replace("_", " ")
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return f"{words} {_value(value)}"


def _value(value: object) -> str:
    if value is None:
        return "the default"
    if isinstance(value, tuple):
        return ", ".join(f"{part:g}" for part in value)
    return str(value)


def _names() -> tuple[str, ...]:
    return tuple(field.name for field in fields(TranscriptionOptions))
