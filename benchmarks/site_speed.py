"""Measure the search of a static site in a browser.

    python -m benchmarks.site_speed                # 1,000 hours, takes some minutes
    python -m benchmarks.site_speed --hours 100

writes a site of random text with Zipf's frequencies, as benchmarks.library_speed does, opens it from the disk
in Chromium and makes each query twice: `first` with its part of the index not loaded yet, `again` with it
loaded. Times are from the input to the hits in the page, in milliseconds: median / worst of the queries.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.library_speed import RandomText
from homescribe.core import HOUR, Item, Transcript
from homescribe.static_site.site_writer import write_site

SEGMENT = 4.0  # seconds
RANKS: dict[str, list[tuple[int, ...]]] = {
    "two frequent words": [(0, 1), (2, 3), (5, 8), (10, 20)],
    "two words": [(100, 150), (200, 250), (300, 500), (700, 900)],
    "rare words": [(5_000,), (10_000,), (20_000,), (50_000,)],
    "a frequent and a rare word": [(0, 5_000), (1, 9_000), (2, 20_000), (3, 40_000)],
}
BEGINNING = "three letters of a word"
# In the page: set the query, and wait for its hits.
SEARCH = """query => new Promise(done => {
    const status = document.getElementById("status");
    delete status.dataset.milliseconds;
    const field = document.getElementById("q");
    field.value = query;
    const began = performance.now();
    field.dispatchEvent(new Event("input"));
    new MutationObserver((_, observer) => {
        if (status.dataset.milliseconds === undefined) return;
        observer.disconnect();
        done(performance.now() - began);
    }).observe(status, {attributes: true});
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hours", type=int, default=1000)
    arguments = parser.parse_args()
    text = RandomText(1)
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        write_site(Path(folder), "Random", _recordings(text, arguments.hours))
        seconds = time.monotonic() - began
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        print(f"{arguments.hours:,} hours: {size / 1e6:,.0f} MB, written in {seconds:.0f} s")
        _measure(Path(folder), text)


def _recordings(text: RandomText, hours: int) -> Iterator[tuple[Item, Transcript]]:
    for number in range(hours):
        item = Item("site", str(number), f"https://site.example/{number}", f"Recording {number}")
        segments = tuple(text.segments(round(HOUR / SEGMENT), number % 20 == 0))
        yield item, Transcript("engine", "model", "en", HOUR, segments)


def _measure(folder: Path, text: RandomText) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = "/usr/bin/chromium"
        found = path if Path(path).exists() else None
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page()
        print(f"{'query':<28} {'first':>14} {'again':>14}")
        queries = {
            name: [" ".join(text.words[rank] for rank in ranks) + " " for ranks in each]
            for name, each in RANKS.items()
        }
        queries[BEGINNING] = [text.words[rank][:3] for rank in (3_000, 6_000, 9_000, 12_000)]
        for name, each in queries.items():
            times: tuple[list[float], list[float]] = ([], [])
            for query in each:
                page.goto((folder / "index.html").as_uri())
                for measured in times:
                    measured.append(page.evaluate(SEARCH, query))
            cells = [f"{statistics.median(all_):.0f} / {max(all_):.0f}" for all_ in times]
            print(f"{name:<28} {cells[0]:>14} {cells[1]:>14}")
            sys.stdout.flush()
        browser.close()


if __name__ == "__main__":
    main()
