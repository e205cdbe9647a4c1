"""How fast the page answers over a large library.

    python -m benchmarks.web                            # ten thousand items, a million segments
    python -m benchmarks.web --directory D --items 500  # kept in D, and used again the next time

starts `homescribe serve` over a library of made-up speech (that of benchmarks/library.py) and asks it from
here, one request at a time: median and worst time of a whole answer, connection kept open, after one
request to warm up, and its size. Where a row names a range, each repetition asks for another one.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.library import Speech, build
from homescribe.library import Library


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Times in milliseconds, of whole answers."""

    question: str
    median: float
    worst: float
    bytes: int  # of the last answer


def questions(speech: Speech) -> Iterator[tuple[str, Callable[[int], str]]]:
    """What is asked, as functions from the number of the repetition to an address."""
    words = speech.words

    def results(query: str, **filters: str) -> str:
        return "/results?" + urllib.parse.urlencode({"q": query, **filters})

    yield "first page", lambda n: "/"
    yield "library, as listed", lambda n: f"/library?offset={50 * n}"
    yield "library, newest first", lambda n: f"/library?sort=newest&offset={50 * n}"
    yield "library, by title, one channel", lambda n: f"/library?sort=title&channel=Channel+{n}"
    yield "library, last page", lambda n: "/library?sort=longest&offset=9950"
    yield "an item of 100 lines", lambda n: f"/items/youtube:v{n:010}"
    yield "work", lambda n: "/work"
    yield "figures", lambda n: "/figures"
    yield "search, most common word", lambda n: results(words[0])
    yield "search, ranks 10 to 30", lambda n: results(words[10 + n])
    yield "search, ranks 1,000 to 1,020", lambda n: results(words[1000 + n])
    yield "search, two common words", lambda n: results(f"{words[0]} {words[1]}")
    yield "search, phrase", lambda n: results(f'"{words[20 + n]} {words[100 + n]}"')
    yield "search, typed so far: 3 letters", lambda n: results(words[20_000 + 500 * n][:3])
    yield "search, typed so far: 5 letters", lambda n: results(words[20_000 + 500 * n][:5])
    yield "search, common word, one channel", lambda n: results(words[0], channel=f"Channel {n}")
    yield "search, common word, one language", lambda n: results(words[0], language="en")
    yield "search, Chinese", lambda n: results("".join(speech.characters[n : n + 2]))
    yield "api: 100 items", lambda n: f"/api/items?offset={100 * n}"
    yield "api: search", lambda n: f"/api/search?q={words[1000 + n]}"
    yield "api: what is being done", lambda n: "/api/work"


@contextmanager
def serving(directory: Path) -> Iterator[HTTPConnection]:
    """A connection to a server of its own over the library in `directory`."""
    command = [sys.executable, "-m", "homescribe", "--library", str(directory)]
    server = subprocess.Popen(
        [*command, "serve", "--no-open", "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        found = re.search(r"http://([\d.]+):(\d+)/", server.stderr.readline())
        assert found is not None, "the server did not start"
        connection = HTTPConnection(found[1], int(found[2]), timeout=600)
        yield connection
        connection.close()
    finally:
        server.terminate()
        server.wait()


def ask(connection: HTTPConnection, address: str) -> tuple[float, int]:
    """Milliseconds until the whole answer was here, and its bytes."""
    began = time.perf_counter()
    connection.request("GET", address)
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1000
    assert answer.status == 200, (address, answer.status, body[:200])
    return took, len(body)


def measure(
    connection: HTTPConnection, question: str, address: Callable[[int], str], repetitions: int
) -> Row:
    ask(connection, address(repetitions))
    answers = [ask(connection, address(number)) for number in range(repetitions)]
    times = [took for took, _ in answers]
    return Row(question, statistics.median(times), max(times), answers[-1][1])


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
        directory = arguments.directory or Path(temporary)
        speech = Speech(seed=1)
        with Library(directory) as library:
            if not library.status().states["done"]:
                build(library, speech, arguments.items, arguments.segments)
            done = library.status().states["done"]
        with serving(directory) as connection:
            rows = [
                measure(connection, question, address, arguments.repetitions)
                for question, address in questions(speech)
            ]
    print(f"{done:,} items\n")
    print(f"{'':36}{'median ms':>11}{'worst ms':>10}{'kB':>8}")
    for row in rows:
        print(f"{row.question:36}{row.median:11.1f}{row.worst:10.1f}{row.bytes / 1000:8.1f}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
