"""The glossary of a library: names and spellings to expect, as Whisper's prompt, and rules for misheard ones.

Whisper reads only the end of a long prompt. So the names are in it in the reverse order of the file: the
first are next to the speech, and the last are left out where there is no room.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from homescribe.config import Config
from homescribe.core import TranscriptionOptions
from homescribe.engines.prompt_tokens import fits_prompt
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.private_files import replace_file
from homescribe.text.charsets import decoded
from homescribe.text.display import count
from homescribe.text.glossary_lines import Glossary, parse_glossary

FILE_NAME = "glossary.txt"  # in the library's directory, where no other file is named
MAX_BYTES = 500_000


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt of a run, and how many names of the glossary are in it."""

    text: str | None
    names: int
    left_out: int


def glossary_file(config: Config) -> Path:
    """Return the path of the glossary, which may not exist unless a setting names it."""
    return config.glossary or config.library.expanduser() / FILE_NAME


def glossary_text(config: Config) -> str:
    """Return the content of the glossary; "" without one.

    Raises UserError if it cannot be read.
    """
    file = glossary_file(config)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        if config.glossary is None:
            return ""
        raise UserError(
            f"There is no glossary {file}.", "Check the path in the setting glossary."
        ) from error
    except OSError as error:
        raise UserError(
            f"The glossary {file} cannot be read: {error.strerror}.", "Check the file."
        ) from error
    text = decoded(content)
    if len(content) > MAX_BYTES or "\0" in text:
        raise UserError(f"{file} is no glossary.", "Write names into a text file, one in a line.")
    return text


def read_glossary(config: Config) -> Glossary:
    """Return the glossary of `config`, an empty one without a file.

    Raises UserError if it cannot be read, or has a line that is not valid.
    """
    return parse_glossary(glossary_text(config), glossary_file(config).name)


def write_glossary(config: Config, text: str) -> None:
    """Write `text` as the glossary. An empty one removes a file that no setting names.

    Raises UserError for a line that is not valid, and if the file cannot be written; it stays as it is then.
    """
    file = glossary_file(config)
    if len(text.encode()) > MAX_BYTES:
        raise UserError("The glossary is too long.", "List only names that are misheard.")
    parse_glossary(text, file.name)
    try:
        if not text.strip() and config.glossary is None:
            file.unlink(missing_ok=True)
        else:
            replace_file(file, f"{text.rstrip()}\n".encode())
    except OSError as error:
        raise UserError(
            f"The glossary {file} cannot be written: {error.strerror}.", "Check the file."
        ) from error


def transcription_options(
    config: Config, model: str, formats: Collection[str] = ()
) -> TranscriptionOptions:
    """Return the settings that engines take, with the prompt that the glossary adds.

    Args:
        model: of the run, which counts the tokens of the prompt.
        formats: as for `Config.transcription`.

    Raises UserError as `read_glossary`.
    """
    options = config.transcription(formats)
    prompt = build_prompt(read_glossary(config), config.initial_prompt, fits_prompt(model))
    return dataclasses.replace(options, initial_prompt=prompt.text)


def build_prompt(
    glossary: Glossary, initial_prompt: str | None, fits: Callable[[str], bool]
) -> Prompt:
    """Return the prompt with the first names of the glossary that fit, and `initial_prompt` after them.

    Args:
        fits: whether a prompt fits into what Whisper reads.
    """
    if not glossary.names:
        return Prompt(initial_prompt, 0, 0)
    end = (initial_prompt or "").strip()
    text: str | None = initial_prompt
    used = 0
    while used < len(glossary.names):
        names = ", ".join(reversed(glossary.names[: used + 1]))
        longer = f"{names}. {end}" if end else f"{names}."
        if not fits(longer):
            break
        text, used = longer, used + 1
    return Prompt(text, used, len(glossary.names) - used)


def prompt_note(config: Config, model: str) -> str | None:
    """Return a sentence about the names that do not fit into the prompt; None if all do."""
    glossary = read_glossary(config)
    prompt = build_prompt(glossary, config.initial_prompt, fits_prompt(model))
    if not prompt.left_out:
        return None
    names = count(len(glossary.names), "name")
    return (
        f"{glossary_file(config).name} has {names}, and Whisper's prompt has room for the first "
        f"{prompt.names}. Put those first that are misheard most often."
    )


def take_rules(config: Config, library: Library) -> tuple[list[str], list[str]]:
    """Make the rules of the glossary replacements of the library, each once; return what to tell the user.

    Returns sentences about what was changed, and about rules that are not used.
    """
    rules = read_glossary(config).rules
    taken = library.take_rules([(rule.misheard, rule.right) for rule in rules])
    title = glossary_file(config).name
    changed = []
    if taken.ids:
        found = count(len(taken.ids), "rule")
        if taken.words:
            found += (
                f", which replaced {count(taken.words, 'time')} in "
                f"{count(taken.lines, 'line')} of {count(taken.recordings, 'recording')}"
            )
        numbers = " ".join(map(str, taken.ids))
        changed.append(f"New in {title}: {found}. To undo: homescribe replaced remove {numbers}")
    unused = [f"{title}: {each}" for each in taken.conflicts]
    for rule in taken.removed:
        unused.append(
            f"{title}: {' -> '.join(rule)} is not used, because its replacement was removed. To use it "
            f"again: homescribe replace {shlex.join(rule)}"
        )
    return changed, unused
