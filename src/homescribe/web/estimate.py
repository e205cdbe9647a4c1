"""Time and price of transcribing items, as the page shows them before a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from homescribe import plugins
from homescribe.assemble import compares_voices, endpoint_options, open_library, times_sent
from homescribe.config import Config
from homescribe.core import Item, Source
from homescribe.cost.plan import make_plan
from homescribe.cost.prices import (
    DEFAULT_ENGINE,
    DEFAULT_GPU,
    DEFAULT_MODEL,
    PRICES_DATE,
    PRICES_FROM,
    machine,
    published_rate,
)


class Estimate(TypedDict):
    """`plan` of the snapshot. What is not known is None, never a guess."""

    titles: list[str]  # of the sources
    items: int
    audio_seconds: float
    unknown_durations: int  # number of items
    captions_to_request: (
        int  # items whose captions are requested first; what is kept is not transcribed
    )
    download_seconds: float  # at least, with the pauses between downloads
    backend: str
    speed: float | None  # times realtime
    seconds: float | None
    dollars: float | None
    prices: str  # where the price comes from


def estimate(
    config: Config,
    items: Sequence[Item],
    titles: list[str],
    pause: float,
    local_speed: float | None,
) -> Estimate:
    """The estimate for `items` of the sources called `titles`, with `pause` seconds between two downloads.

    The local backend's time comes from `local_speed`, the speed of this library's latest transcripts; the
    Modal backend's time and price come from cost/plan.py; the price of an endpoint is that of the settings.
    """
    audio_seconds = sum(item.duration or 0.0 for item in items)
    download_seconds = len(items) * pause
    result = Estimate(
        titles=titles,
        items=len(items),
        audio_seconds=audio_seconds,
        unknown_durations=sum(item.duration is None for item in items),
        captions_to_request=_captions_to_request(config, items),
        download_seconds=download_seconds,
        backend=config.backend,
        speed=None,
        seconds=None,
        dollars=None,
        prices="",
    )
    if config.backend == "local":
        result["dollars"] = 0.0
        result["speed"] = local_speed
        if local_speed and audio_seconds:
            # Downloads run ahead of the engine, so the longer of the two counts.
            result["seconds"] = max(audio_seconds / local_speed, download_seconds)
    elif config.backend == "modal":
        _add_modal_price(result, config, items, pause)
    elif config.backend == "openai":
        _add_endpoint_price(result, config, items)
    return result


def _captions_to_request(config: Config, items: Sequence[Item]) -> int:
    """Return of how many new items a run requests captions that it may then keep."""
    if config.captions not in ("auto", "use"):
        return 0
    found = ((item, plugins.source_of(item)) for item in items)
    return sum(
        source.captions is not Source.captions and bool(source.caption_key(item))
        for item, source in found
    )


def _add_modal_price(result: Estimate, config: Config, items: Sequence[Item], pause: float) -> None:
    """Fill in time and price for the GPU of `config`, at Modal's published prices."""
    rented = machine(config.gpu or DEFAULT_GPU)
    if compares_voices(config.transcription()):
        rented = rented.with_speakers
    with open_library(config) as library:
        planned = make_plan(
            library,
            items,
            engine=config.engine or DEFAULT_ENGINE,
            model=config.model or DEFAULT_MODEL,
            pause=lambda item: pause,
            rate=published_rate,
            prices=f"{PRICES_FROM} as of {PRICES_DATE}",
            machines=[rented],
            containers=config.containers,
        )
    row = next(row for row in planned.rows if row.backend == "modal")
    result["speed"] = row.speed
    result["seconds"] = row.wall_seconds
    result["dollars"] = row.dollars_streamed if config.when == "stream" else row.dollars
    result["prices"] = f"{planned.prices}, on {row.gpu}"


def _add_endpoint_price(result: Estimate, config: Config, items: Sequence[Item]) -> None:
    """Fill in what an endpoint bills, where the settings say it."""
    options = endpoint_options(config)
    if options.price_per_minute is None:
        return
    times = times_sent(config)
    result["dollars"] = sum(options.price.of(times * (item.duration or 0.0)) for item in items)
    result["prices"] = f"${options.price_per_minute:g} a minute at {options.host}, by your settings"
