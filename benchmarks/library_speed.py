"""Measure reads and writes of a large library.

    python -m benchmarks.library_speed                            # a million segments, takes some minutes
    python -m benchmarks.library_speed --directory D --items 500  # kept in D, and used again next time

fills a library with random text through `Library.record` and `Library.save`, as a run does. Then it makes
each call several times in this process, after one to warm up. `cpu` is the median CPU time of the process,
which is about the time on an idle machine. Every twentieth item is Chinese. Words follow Zipf's law: a few
are in almost every passage, most in very few; a word's rank is its place in that order. Where a row names a
range of ranks, each repetition uses another one. Every item is a conversation of the host of its channel, who
is named once, and a guest, who is named in one item of the library only.
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

from homescribe.core import Item, Listing, Segment, Speaker, Transcript, Turn
from homescribe.library import Library

SEGMENT = 4.0  # seconds; Whisper's are 2 to 8
WORDS = 11  # in a segment: 165 a minute
CHARACTERS = 16  # in a Chinese segment
VOCABULARY = 60_000
HAN = 4_000  # characters in use
CHINESE = 20  # every twentieth item
CHANNELS = 50
HOST, GUEST = "SPEAKER_00", "SPEAKER_01"
TURN = 5  # segments
DIMENSIONS = 192  # of an embedding
SYLLABLES = [c + v for c in "bcdfghjklmnprstvwz" for v in ("a", "e", "i", "o", "u", "ai", "ou")]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Times in milliseconds."""

    operation: str
    results: int  # of the last call
    median: float
    worst: float
    cpu: float


class RandomText:
    """Text whose words and characters are as frequent as their rank says."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.words = [_word(rank) for rank in range(VOCABULARY)]
        self.characters = [chr(0x4E00 + rank * 5) for rank in range(HAN)]
        self._word_weights = _zipf(VOCABULARY)
        self._character_weights = _zipf(HAN)

    def segments(self, number: int, chinese: bool) -> Iterator[Segment]:
        for position in range(number):
            start = position * SEGMENT
            words = self._chinese() if chinese else self._sentence()
            yield Segment(start, start + SEGMENT, words, -0.25, 0.01, 1.4, 0.0)

    def _sentence(self) -> str:
        return " " + " ".join(
            self.random.choices(self.words, cum_weights=self._word_weights, k=WORDS)
        )

    def _chinese(self) -> str:
        return "".join(
            self.random.choices(self.characters, cum_weights=self._character_weights, k=CHARACTERS)
        )


def _word(rank: int) -> str:
    """Return a different word for each rank; frequent words are short."""
    syllables: list[str] = []
    rank += 1
    while rank:
        rank, place = divmod(rank, len(SYLLABLES))
        syllables.append(SYLLABLES[place])
    return "".join(syllables)


def _zipf(number: int) -> list[float]:
    """Return cumulative weights of `number` ranks under Zipf's law."""
    return list(itertools.accumulate(1 / (rank + 1) for rank in range(number)))


class Timer:
    """Times of one operation, called several times."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self._result: object = ()
        self._wall: list[float] = []
        self._cpu: list[float] = []

    def call(self, operation: Callable[[], object]) -> None:
        start, cpu_start = time.perf_counter(), time.process_time()
        self._result = operation()
        self._wall.append((time.perf_counter() - start) * 1000)
        self._cpu.append((time.process_time() - cpu_start) * 1000)

    def row(self) -> Row:
        results = len(self._result) if isinstance(self._result, Sequence) else 1
        cpu = statistics.median(self._cpu)
        return Row(self.operation, results, statistics.median(self._wall), max(self._wall), cpu)


def build(library: Library, text: RandomText, items: int, segments: int) -> list[Row]:
    """Fill an empty library. Returns the times of the writes."""
    listed = [_item(number, text) for number in range(items)]
    per_item = segments // items
    record = Timer(f"record {items // CHANNELS} items of a channel")
    for channel in range(CHANNELS):
        of_channel = listed[channel::CHANNELS]
        listing = Listing(f"https://www.youtube.com/channel/UC{channel:04}", "A channel", iter(()))
        record.call(partial(library.record, "ytdlp", listing, of_channel))
    save = Timer(f"save a transcript of {per_item} segments")
    for number, item in enumerate(listed):
        transcript = _transcript(
            text, per_item, chinese=number % CHINESE == 0, channel=item.channel
        )
        save.call(partial(library.save, item, transcript))
    name = Timer(f"name the host of {items // CHANNELS} items")
    for channel in range(CHANNELS):
        name.call(partial(library.name_speaker, listed[channel].key, HOST, f"Host {channel}"))
    library.name_speaker(listed[items // 2].key, GUEST, "Guest")
    again = Timer("save a transcript, voices are known")
    for item in listed[-20:]:
        transcript = _transcript(text, per_item, chinese=False, channel=item.channel)
        again.call(partial(library.save, item, transcript))
    return [record.row(), save.row(), name.row(), again.row()]


def write_more(library: Library, text: RandomText) -> Iterator[Row]:
    """Measure the largest writes into a library that is already large. Removes what they add."""
    # As YouTube lists a channel: without descriptions.
    many = [replace(_item(number, text), description=None) for number in range(10**9, 10**9 + 5000)]
    listing = Listing("https://www.youtube.com/channel/UCmany", "A large channel", iter(()))
    for operation in ("record 5,000 items of a channel", "record them again"):
        record = Timer(operation)
        record.call(partial(library.record, "ytdlp", listing, many))
        yield record.row()
    transcript = _transcript(text, 9000, chinese=False)
    save = Timer("save ten hours (9,000 segments)")
    save.call(partial(library.save, many[0], transcript))
    yield save.row()
    remove = Timer("remove that channel")
    remove.call(partial(library.remove_source, listing.url, with_items=True))
    yield remove.row()


def _transcript(
    text: RandomText, segments: int, *, chinese: bool, channel: str | None = None
) -> Transcript:
    """Return a transcript in which two people take turns; the host has the voice of the channel."""
    lines = list(text.segments(segments, chinese))
    labels = [HOST if position // TURN % 2 == 0 else GUEST for position in range(segments)]
    spoken = tuple(replace(line, speaker=label) for line, label in zip(lines, labels, strict=True))
    turns = tuple(
        Turn(line.start, line.end, label) for line, label in zip(lines, labels, strict=True)
    )
    voices = {HOST: random.Random(channel), GUEST: text.random}
    speakers = tuple(
        Speaker(label, labels.count(label) * SEGMENT, _embedding(source), "a model")
        for label, source in voices.items()
    )
    language = "zh" if chinese else "en"
    return Transcript(
        *("faster-whisper", "small", language, segments * SEGMENT, spoken),
        speakers=speakers,
        turns=turns,
    )


def _embedding(source: random.Random) -> tuple[float, ...]:
    values = [source.gauss(0, 1) for _ in range(DIMENSIONS)]
    length = sum(value * value for value in values) ** 0.5
    return tuple(value / length for value in values)


def _item(number: int, text: RandomText) -> Item:
    channel = number % CHANNELS
    return Item(
        source="youtube",
        id=f"v{number:010}",
        url=f"https://www.youtube.com/watch?v=v{number:010}",
        title=" ".join(text.random.choices(text.words[:5000], k=6)),
        channel=f"Channel {channel}",
        channel_id=f"UC{channel:04}",
        duration=600.0,
        upload_date=f"20{10 + number // CHANNELS % 16}-{1 + number % 12:02}-{1 + number % 28:02}",
        description=" ".join(text.random.choices(text.words, k=60)),
    )


def operations(library: Library, text: RandomText) -> Iterator[tuple[str, Callable[[int], object]]]:
    """Yield names and functions of the number of the repetition."""
    words, han = text.words, text.characters
    search = library.search
    yield "word in almost every passage (rank 1)", lambda n: search(words[0])
    yield "word of rank 10 to 30", lambda n: search(words[10 + n])
    yield "word of rank 1,000 to 1,020", lambda n: search(words[1000 + n])
    yield "rare word (rank 50,000 to 50,020)", lambda n: search(words[50_000 + n])
    yield "word that is not in the library", lambda n: search(f"xylophone{n}")
    yield "two words in almost every passage", lambda n: search(f"{words[0]} {words[1]}")
    yield "common word and rare word", lambda n: search(f"{words[n]} {words[40_000 + n]}")
    yield "five words, ranks 1 to 500", lambda n: search(" ".join(words[n : 500 + n : 100]))
    yield "phrase of the two most common words", lambda n: search(f'"{words[0]} {words[1]}"')
    yield "phrase, ranks 20 and 100", lambda n: search(f'"{words[20 + n]} {words[100 + n]}"')
    yield "phrase that is not in the library", lambda n: search(f'"{" ".join(words[:8])}"')
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
    yield "common word, said by a host", lambda n: search(words[0], speaker=f"Host {n}")
    yield "rank 1,000, said by a host", lambda n: search(words[1000 + n], speaker=f"Host {n}")
    yield "two words, said by a host", lambda n: search(f"speaker:host {words[n]} {words[50 + n]}")
    yield "common word, said by a guest", lambda n: search(f"speaker:guest {words[n]}")
    yield "all that a host says", lambda n: search(f'speaker:"Host {n}"')
    yield "speakers and their minutes", lambda n: library.people()
    yield "voices", lambda n: library.voices()
    yield "open the library", lambda n: _reopened(library)
    yield "status", lambda n: [library.status()]
    yield "pending items (there are none)", lambda n: library.pending()
    yield "first page of items, newest first", lambda n: library.page(sort="newest").records
    yield "one transcript", lambda n: [library.transcript(f"youtube:v{n:010}")]


def _typing(library: Library, words: Sequence[str], letters: int) -> Callable[[int], object]:
    return lambda n: library.search(words[20_000 + 500 * n][:letters], as_typed=True)


def _reopened(library: Library) -> list[Library]:
    with Library(library.directory) as again:
        return [again]


def measure(operation: str, call: Callable[[int], object], repetitions: int) -> Row:
    """Return the times of `repetitions` calls, after one to warm up."""
    call(repetitions)
    timer = Timer(operation)
    for number in range(repetitions):
        timer.call(partial(call, number))
    return timer.row()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=10_000, help="items in the library")
    parser.add_argument(
        "--segments", type=int, default=1_000_000, help="segments of all items together"
    )
    parser.add_argument("--repetitions", type=int, default=20, help="calls per row")
    parser.add_argument("--directory", type=Path, help="keep the library here (default: temporary)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        text = RandomText(seed=1)
        with Library(arguments.directory or Path(temporary)) as library:
            rows = []
            if not library.status().states["done"]:
                rows += build(library, text, arguments.items, arguments.segments)
            rows += [
                measure(operation, call, arguments.repetitions)
                for operation, call in operations(library, text)
            ]
            rows += write_more(library, text)
            status = library.status()
    print(f"{status.states['done']:,} items, {status.audio_seconds / 3600:,.0f} hours, ", end="")
    print(f"{status.bytes / 1e6:,.0f} MB\n")
    print(f"{'':40}{'results':>8}{'median ms':>11}{'worst ms':>10}{'cpu ms':>9}")
    for row in rows:
        times = f"{row.median:11.1f}{row.worst:10.1f}{row.cpu:9.1f}"
        print(f"{row.operation:40}{row.results:8}{times}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
