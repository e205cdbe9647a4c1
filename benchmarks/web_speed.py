"""Measure the response times of `homescribe serve` with a large library.

    python -m benchmarks.web_speed                            # ten thousand items, a million segments
    python -m benchmarks.web_speed --directory D --items 500  # kept in D, and used again next time

starts `homescribe serve` over the library of benchmarks/library_speed.py and sends one request at a time
over one connection, after one to warm up. A row has the median and worst time of a whole response, and its
size without and with gzip. Where a row names a range of ranks, each repetition uses another one.
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

from benchmarks.library_speed import RandomText, build
from homescribe.library import Library


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. Times in milliseconds, of whole responses."""

    request: str
    median: float
    worst: float
    bytes: int  # of the last response
    compressed: int  # bytes of the same with gzip


def requests(text: RandomText) -> Iterator[tuple[str, Callable[[int], str]]]:
    """Yield names and functions from the number of the repetition to a path."""
    words = text.words

    def results(query: str, **filters: str) -> str:
        return "/results?" + urllib.parse.urlencode({"q": query, **filters})

    yield "first page", lambda n: "/"
    yield "library, in listed order", lambda n: f"/library?offset={50 * n}"
    yield "library, newest first", lambda n: f"/library?sort=newest&offset={50 * n}"
    yield "library, by title, one channel", lambda n: f"/library?sort=title&channel=Channel+{n}"
    yield "library, last page", lambda n: "/library?sort=longest&offset=9950"
    yield "an item with 100 segments", lambda n: f"/items/youtube:v{n:010}"
    yield "queue", lambda n: "/queue"
    yield "statistics", lambda n: "/statistics"
    yield "search, most common word", lambda n: results(words[0])
    yield "search, ranks 10 to 30", lambda n: results(words[10 + n])
    yield "search, ranks 1,000 to 1,020", lambda n: results(words[1000 + n])
    yield "search, two common words", lambda n: results(f"{words[0]} {words[1]}")
    yield "search, phrase", lambda n: results(f'"{words[20 + n]} {words[100 + n]}"')
    yield "search as typed, 3 letters", lambda n: results(words[20_000 + 500 * n][:3])
    yield "search as typed, 5 letters", lambda n: results(words[20_000 + 500 * n][:5])
    yield "search, common word, one channel", lambda n: results(words[0], channel=f"Channel {n}")
    yield "search, common word, one language", lambda n: results(words[0], language="en")
    yield "search, Chinese", lambda n: results("".join(text.characters[n : n + 2]))
    yield "api: 100 items", lambda n: f"/api/items?offset={100 * n}"
    yield "api: search", lambda n: f"/api/search?q={words[1000 + n]}"
    yield "api: queue", lambda n: "/api/queue"


@contextmanager
def serving(directory: Path) -> Iterator[HTTPConnection]:
    """Start a server over the library in `directory` and yield a connection to it."""
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


def send(connection: HTTPConnection, path: str, coding: str = "identity") -> tuple[float, int]:
    """Return the milliseconds until the whole response has arrived, and its bytes."""
    start = time.perf_counter()
    connection.request("GET", path, headers={"Accept-Encoding": coding})
    response = connection.getresponse()
    body = response.read()
    milliseconds = (time.perf_counter() - start) * 1000
    assert response.status == 200, (path, response.status, body[:200])
    return milliseconds, len(body)


def measure(
    connection: HTTPConnection, request: str, path: Callable[[int], str], repetitions: int
) -> Row:
    """Return the times of `repetitions` requests, after one to warm up."""
    send(connection, path(repetitions))
    responses = [send(connection, path(number)) for number in range(repetitions)]
    times = [milliseconds for milliseconds, _ in responses]
    _, compressed = send(connection, path(repetitions - 1), "gzip")
    return Row(request, statistics.median(times), max(times), responses[-1][1], compressed)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--items", type=int, default=10_000, help="items in the library")
    parser.add_argument(
        "--segments", type=int, default=1_000_000, help="segments of all items together"
    )
    parser.add_argument("--repetitions", type=int, default=20, help="requests per row")
    parser.add_argument("--directory", type=Path, help="keep the library here (default: temporary)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = arguments.directory or Path(temporary)
        text = RandomText(seed=1)
        with Library(directory) as library:
            if not library.status().states["done"]:
                build(library, text, arguments.items, arguments.segments)
            done = library.status().states["done"]
        with serving(directory) as connection:
            rows = [
                measure(connection, request, path, arguments.repetitions)
                for request, path in requests(text)
            ]
    print(f"{done:,} items\n")
    print(f"{'':36}{'median ms':>11}{'worst ms':>10}{'kB':>8}{'gzip':>8}")
    for row in rows:
        sizes = f"{row.bytes / 1000:8.1f}{row.compressed / 1000:8.1f}"
        print(f"{row.request:36}{row.median:11.1f}{row.worst:10.1f}{sizes}")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))


if __name__ == "__main__":
    main()
