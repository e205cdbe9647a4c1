"""How fast the library answers when it is large.

    python -m benchmarks.library                            # a million segments, built in a few minutes
    python -m benchmarks.library --directory D --items 500  # kept in D, and used again the next time

builds a library of made-up speech through `Library.record` and `Library.save`, as a run would, and asks each
question again and again in this process, after one call to warm up. `cpu` is the median of the process's own
time: what a machine with nothing else to do would take. Every twentieth item is Chinese. Words follow Zipf's
law: a few are in almost every passage, most in very few; a word's rank is its place in that order. Where a
row names a range, each repetition asks for another one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from homescribe.core import Item, Listing, Segment, Transcript
from homescribe.library import Library

SEGMENT = 4.0  # seconds; Whisper's are 2 to 8
WORDS = 11  # in a segment: 165 a minute
CHARACTERS = 16  # in a Chinese one
VOCABULARY = 60_000
HAN = 4_000  # characters in use
CHINESE = 20  # one item in so many
CHANNELS = 50
SYLLABLES = [c + v for c in "bcdfghjklmnprstvwz" for v in ("a", "e", "i", "o", "u", "ai", "ou")]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Times in milliseconds."""

    question: str
    answers: int  # of the last call
    median: float
    worst: float
    cpu: float


class Speech:
    """Words and characters that come as often as their rank says."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.words = [_word(rank) for rank in range(VOCABULARY)]
        self.characters = [chr(0x4E00 + rank * 5) for rank in range(HAN)]
        self._word_weights = _zipf(VOCABULARY)
        self._character_weights = _zipf(HAN)

    def segments(self, number: int, chinese: bool) -> Iterator[Segment]:
        for position in range(number):
            start = position * SEGMENT
            text = self._chinese() if chinese else self._sentence()
            yield Segment(start, start + SEGMENT, text, -0.25, 0.01, 1.4, 0.0)

    def _sentence(self) -> str:
        return " " + " ".join(
            self.random.choices(self.words, cum_weights=self._word_weights, k=WORDS)
        )

    def _chinese(self) -> str:
        return "".join(
            self.random.choices(self.characters, cum_weights=self._character_weights, k=CHARACTERS)
        )


def _word(rank: int) -> str:
    """A word of its own for each rank; the common ones are short."""
    syllables: list[str] = []
    rank += 1
    while rank:
        rank, place = divmod(rank, len(SYLLABLES))
        syllables.append(SYLLABLES[place])
    return "".join(syllables)


def _zipf(number: int) -> list[float]:
    return list(itertools.accumulate(1 / (rank + 1) for rank in range(number)))


class Clock:
    """Times of one question asked again and again."""

    def __init__(self, question: str) -> None:
        self.question = question
        self._answers: object = ()
        self._wall: list[float] = []
        self._own: list[float] = []

    def ask(self, answer: Callable[[], object]) -> None:
        began, own_began = time.perf_counter(), time.process_time()
        self._answers = answer()
        self._wall.append((time.perf_counter() - began) * 1000)
        self._own.append((time.process_time() - own_began) * 1000)

    def row(self) -> Row:
        answers = len(self._answers) if isinstance(self._answers, Sequence) else 1
        own = statistics.median(self._own)
        return Row(self.question, answers, statistics.median(self._wall), max(self._wall), own)


def build(library: Library, speech: Speech, items: int, segments: int) -> list[Row]:
    """Fill an empty library; returns how long the writes took."""
    listed = [_item(number, speech) for number in range(items)]
    per_item = segments // items
    record = Clock(f"record {items // CHANNELS} items of a channel")
    for channel in range(CHANNELS):
        of_channel = listed[channel::CHANNELS]
        listing = Listing(f"https://www.youtube.com/channel/UC{channel:04}", "A channel", iter(()))
        record.ask(partial(library.record, "ytdlp", listing, of_channel))
    save = Clock(f"save a transcript of {per_item} segments")
    for number, item in enumerate(listed):
        transcript = _transcript(speech, per_item, chinese=number % CHINESE == 0)
        save.ask(partial(library.save, item, transcript))
    return [record.row(), save.row()]


def write_more(library: Library, speech: Speech) -> Iterator[Row]:
    """What takes longest in a library that is already large; all of it is removed again."""
    # As YouTube lists a channel: without descriptions.
    many = [
        replace(_item(number, speech), description=None) for number in range(10**9, 10**9 + 5000)
    ]
    listing = Listing("https://www.youtube.com/channel/UCmany", "A large channel", iter(()))
    for question in ("record 5,000 items of a channel", "record them again"):
        record = Clock(question)
        record.ask(partial(library.record, "ytdlp", listing, many))
        yield record.row()
    transcript = _transcript(speech, 9000, chinese=False)
    save = Clock("save ten hours (9,000 segments)")
    save.ask(partial(library.save, many[0], transcript))
    yield save.row()
    remove = Clock("remove the channel with all that")
    remove.ask(partial(library.remove_source, listing.url, with_items=True))
    yield remove.row()


def _transcript(speech: Speech, segments: int, *, chinese: bool) -> Transcript:
    heard = tuple(speech.segments(segments, chinese))
    language = "zh" if chinese else "en"
    return Transcript("faster-whisper", "small", language, segments * SEGMENT, heard)


def _item(number: int, speech: Speech) -> Item:
    channel = number % CHANNELS
    return Item(
        source="youtube",
        id=f"v{number:010}",
        url=f"https://www.youtube.com/watch?v=v{number:010}",
        title=" ".join(speech.random.choices(speech.words[:5000], k=6)),
        channel=f"Channel {channel}",
        channel_id=f"UC{channel:04}",
        duration=600.0,
        upload_date=f"20{10 + number // CHANNELS % 16}-{1 + number % 12:02}-{1 + number % 28:02}",
        description=" ".join(speech.random.choices(speech.words, k=60)),
    )


def questions(library: Library, speech: Speech) -> Iterator[tuple[str, Callable[[int], object]]]:
    """What is asked, as functions of the number of the repetition."""
    words, han = speech.words, speech.characters
    search = library.search
    yield "word in almost every passage (rank 1)", lambda n: search(words[0])
    yield "word of rank 10 to 30", lambda n: search(words[10 + n])
    yield "word of rank 1,000 to 1,020", lambda n: search(words[1000 + n])
    yield "rare word (rank 50,000 to 50,020)", lambda n: search(words[50_000 + n])
    yield "word that nobody said", lambda n: search(f"xylophone{n}")
    yield "two words in almost every passage", lambda n: search(f"{words[0]} {words[1]}")
    yield "common word and rare word", lambda n: search(f"{words[n]} {words[40_000 + n]}")
    yield "five words, ranks 1 to 500", lambda n: search(" ".join(words[n : 500 + n : 100]))
    yield "phrase of the two most common words", lambda n: search(f'"{words[0]} {words[1]}"')
    yield "phrase, ranks 20 and 100", lambda n: search(f'"{words[20 + n]} {words[100 + n]}"')
    yield "phrase of common words nobody said", lambda n: search(f'"{" ".join(words[:8])}"')
    yield "common word in one channel", lambda n: search(words[0], channel=f"Channel {n}")
    yield (
        "common word in one channel, one year",
        lambda n: search(words[0], channel=f"Channel {n}", since="2012-01-01", until="2012-12-31"),
    )
    yield "rank 1,000 in one channel", lambda n: search(words[1000 + n], channel=f"Channel {n}")
    yield "common word, hits 200 to 220", lambda n: search(words[0], offset=200)
    yield "Chinese, most common character", lambda n: search(han[0])
    yield "Chinese, two common characters", lambda n: search(han[n] + han[n + 1])
    yield "Chinese, two rare characters", lambda n: search(han[2000 + n] + han[2100 + n])
    yield "Chinese, four characters", lambda n: search("".join(han[n : n + 4]))
    for letters in (3, 4, 5):
        yield f"as typed, word of {letters} letters", _typing(library, words, letters)
    yield (
        "as typed, common word and 3 letters",
        lambda n: search(f"{words[0]} {words[20_000 + 500 * n][:3]}", as_typed=True),
    )
    yield "open the library", lambda n: _reopened(library)
    yield "status", lambda n: [library.status()]
    yield "pending (all are done)", lambda n: library.pending()
    yield "first page of items, newest first", lambda n: library.page(sort="newest").records
    yield "one transcript", lambda n: [library.transcript(f"youtube:v{n:010}")]


def _typing(library: Library, words: Sequence[str], letters: int) -> Callable[[int], object]:
    return lambda n: library.search(words[20_000 + 500 * n][:letters], as_typed=True)


def _reopened(library: Library) -> list[Library]:
    with Library(library.directory) as again:
        return [again]


def measure(question: str, ask: Callable[[int], object], repetitions: int) -> Row:
    ask(repetitions)
    clock = Clock(question)
    for number in range(repetitions):
        clock.ask(partial(ask, number))
    return clock.row()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--segments", type=int, default=1_000_000, help="in all items together")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument(
        "--directory", type=Path, help="keep the library here (default: a temporary one)"
    )
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        speech = Speech(seed=1)
        with Library(arguments.directory or Path(temporary)) as library:
            rows = []
            if not library.status().states["done"]:
                rows += build(library, speech, arguments.items, arguments.segments)
            rows += [
                measure(question, ask, arguments.repetitions)
                for question, ask in questions(library, speech)
            ]
            rows += write_more(library, speech)
            status = library.status()
    print(f"{status.states['done']:,} items, {status.audio_seconds / 3600:,.0f} hours, ", end="")
    print(f"{status.bytes / 1e6:,.0f} MB\n")
    print(f"{'':40}{'answers':>8}{'median ms':>11}{'worst ms':>10}{'cpu ms':>9}")
    for row in rows:
        times = f"{row.median:11.1f}{row.worst:10.1f}{row.cpu:9.1f}"
        print(f"{row.question:40}{row.answers:8}{times}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
