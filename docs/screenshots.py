"""Take the screenshots in docs/images/, over a library of an imaginary channel.

python docs/screenshots.py [/path/to/chromium]
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Playwright, ViewportSize, sync_playwright

from homescribe import (
    Chapter,
    Item,
    Library,
    Listing,
    PermanentError,
    Segment,
    Transcript,
    Word,
)
from homescribe.core import Speaker, Turn

IMAGES = Path(__file__).parent / "images"
DESKTOP: ViewportSize = {"width": 1200, "height": 760}
PHONE: ViewportSize = {"width": 390, "height": 760}

TEXT = """When we first set up the station on the northern ridge, nobody expected it to last a winter. The hut
was eleven square metres, the stove burned whatever we could carry up, and the instruments froze every other
night. Still, the readings came in. Every morning at six somebody would walk out to the mast, knock the ice
off the anemometer with a wooden spoon, and write the numbers into a notebook.

People ask what changed. The honest answer is that very little changed for a long time, and then everything
did. In the first nine years the glacier lost about a hand's width each summer. Then came a September without
a single frost, and when we went to measure the tongue we could not find our own marks.

I kept the notebooks. They are not beautiful. There are coffee rings, and a page where somebody has drawn a
chamois with the face of our director. But they are continuous, and that is the thing that matters. A short
record, however precise, tells you about the weather. A long record tells you about yourself.

Let me read you one entry. The twelfth of February. Wind from the west, seven metres per second, gusting. Two
of us sick. The radio says there will be visitors on Saturday. There were no visitors on Saturday.

What would I do differently? I would have photographed the same view from the same stone every week. Nobody
does it, because on any given day there is nothing to see. You have to decide to look before you know."""
TITLES = (
    "A wooden spoon and forty years of weather",
    "Measuring a glacier that moves",
    "Why a continuous record matters",
    "Snow, salt and small instruments",
    "The notebooks of the northern ridge",
    "A winter with two radios",
)
CHANNEL = "Field Notes from the Ridge"
HARBOUR = "Harbour Hour"
HARBOUR_TITLES = (
    *("Tides and timetables", "The last ferry", "Nets, knots and names", "A lamp for the fog"),
    *("Who owns a quay?", "Charts that were wrong", "Salt in the concrete", "The pilot's logbook"),
    *("Storm petrels", "Coal, oil, wind", "What the dredger found", "An interview on deck"),
    *("The tide gauge of 1874", "Letters from the lighthouse", "Ropes", "Ballast water"),
)


SPEAKERS = {"SPEAKER_00": "Regula Frei", "SPEAKER_01": "Jon Caduff"}


def segments_of_text() -> tuple[Segment, ...]:
    """One segment for each sentence, with a time for every word, and who says it: two people in turn."""
    generator = random.Random(5)
    found: list[Segment] = []
    at = 1.2
    for number, paragraph in enumerate(TEXT.split("\n\n")):
        speaker = list(SPEAKERS)[number % len(SPEAKERS)]
        for sentence in re.findall(r"[^.?!]+[.?!]", paragraph):
            words: list[Word] = []
            start = at
            for word in sentence.split():
                length = 0.14 + 0.055 * len(word)
                words.append(
                    Word(
                        *(round(at, 2), round(at + length, 2), f" {word}", generator.random()),
                        speaker,
                    )
                )
                at += length + 0.03
            text = "".join(word.word for word in words)
            doubt = ("low_probability",) if "chamois" in text else ()
            confidence = (-0.3, 0.01, 1.5, 0.0)
            found.append(
                Segment(start, at, text, *confidence, tuple(words), doubt, speaker=speaker)
            )
            at += 0.25
        at += 2.6
    return tuple(found)


def with_speakers(segments: tuple[Segment, ...], end: float) -> Transcript:
    """A transcript whose voices are the same in every recording."""
    turns = tuple(Turn(each.start, each.end, each.speaker or "") for each in segments)
    speakers = tuple(
        Speaker(
            label,
            sum(turn.end - turn.start for turn in turns if turn.speaker == label),
            tuple(float(place == number) for place in range(len(SPEAKERS))),
            "imaginary",
        )
        for number, label in enumerate(SPEAKERS)
        if label in {turn.speaker for turn in turns}
    )
    return Transcript(
        *("faster-whisper", "large-v3", "en", end, segments), speakers=speakers, turns=turns
    )


def make_library(directory: Path) -> None:
    segments = segments_of_text()
    end = segments[-1].end + 2
    items = [
        Item(
            *("youtube", f"ridge{number:06}", f"https://www.youtube.com/watch?v=ridge{number:06}"),
            *(title, CHANNEL, "UCridge", end, f"2026-0{number + 3}-1{number}", "en", None),
            chapters=(
                Chapter(0, 33, "The hut"),
                Chapter(33, 60, "What changed"),
                Chapter(60, end, "Keeping a record"),
            ),
        )
        for number, title in enumerate(TITLES)
    ]
    with Library(directory) as library:
        library.record("ytdlp", Listing("https://www.youtube.com/@ridge", CHANNEL, iter(())), items)
        episodes = [
            Item(
                *("podcast", f"harbour{number}", f"https://harbour.example/{number}"),
                *(
                    title,
                    HARBOUR,
                    None,
                    1500.0 + 97 * number,
                    f"2026-0{1 + number // 2}-0{3 + number % 2}",
                ),
            )
            for number, title in enumerate(HARBOUR_TITLES)
        ]
        feed = Listing("https://harbour.example/feed", HARBOUR, iter(()))
        library.record("podcast", feed, episodes)
        for number, item in enumerate(episodes[:11]):
            part = segments[number : number + 12]
            library.save(item, Transcript("faster-whisper", "large-v3", "en", end, part), 21.0)
        for number, item in enumerate(items[:-1]):
            part = segments if not number else segments[number * 3 : number * 3 + 12]
            library.save(item, with_speakers(part, end), 21.0)
        for label, name in SPEAKERS.items():
            library.name_speaker(items[0].key, label, name)
        library.fail(items[-1], PermanentError("This video is private.", "Ask its owner."))


def take_screenshots(playwright: Playwright, address: str, browser: str | None) -> None:
    launched = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
    for name, path, size, scheme in (
        ("search", "/?q=record", DESKTOP, "light"),
        ("reading", "/items/youtube:ridge000000", DESKTOP, "light"),
        ("library", "/library", DESKTOP, "dark"),
        ("phone", "/items/youtube:ridge000000?t=70", PHONE, "dark"),
        ("add", "/", DESKTOP, "light"),
    ):
        context = launched.new_context(viewport=size, color_scheme=scheme, base_url=address)
        page = context.new_page()
        page.goto(address)  # with the token, which the browser keeps
        page.goto(path)
        if name == "add":
            page.get_by_role("link", name="Add recordings").click()
            page.get_by_role("button", name="Choose files").wait_for()
        page.wait_for_timeout(300)
        page.screenshot(path=IMAGES / f"page-{name}.png")
        context.close()
    launched.close()


def main() -> None:
    browser = sys.argv[1] if len(sys.argv) > 1 else shutil.which("chromium")
    with tempfile.TemporaryDirectory() as directory:
        make_library(Path(directory))
        command = [sys.executable, "-m", "homescribe", "--library", directory, "serve", "--no-open"]
        with subprocess.Popen(
            [*command, "--port", "0"],
            env={**os.environ, "HOMESCRIBE_CONFIG": "/home/ann/.config/homescribe/config.toml"},
            stderr=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stderr is not None
            found = re.search(r"http://\S+", server.stderr.readline())
            assert found is not None
            with sync_playwright() as playwright:
                take_screenshots(playwright, found[0], browser)
            server.terminate()


if __name__ == "__main__":
    main()
