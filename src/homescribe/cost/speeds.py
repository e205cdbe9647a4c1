"""Expected speeds of engines on rented GPUs, where a library has too few calls of its own.

All figures are times realtime, published by others, of programs that decode windows in batches as the engines
here do. Each names its source. They may be off by FIRST_PLAN_FACTOR either way: recordings, options and
drivers differ, and figures of one GPU are scaled to others by the bandwidth of their memory, which decoding
mostly waits for.
"""

from __future__ import annotations

from dataclasses import dataclass

from homescribe.cost.prices import Machine

# A first plan holds to within this factor either way, and a cap reserves for the slow end of it.
FIRST_PLAN_FACTOR = 3.0

# Times realtime that one core decodes audio and detects speech: about 30 s per hour (benchmarks/stages.py).
CORE_SPEED = 120.0
# Times realtime that one core decodes audio and tells speakers apart: 43 s for half an hour
# (benchmarks/speakers.py with --hours 0.5, docs/benchmarks.md).
SPEAKER_SPEED = 42.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A published speed of the large model on one GPU."""

    gpu: str
    bandwidth: float  # of the GPU's memory in GB/s
    speed: float  # times realtime
    source: str


# Beam search with five beams, the default, takes 1.4 times as long as the greedy search of the two figures
# that are marked so: measured with `base` on a CPU (benchmarks.accuracy).
BEAM_FACTOR = 1.4
LEADERBOARD = "the Open ASR Leaderboard (transformers, batches of 64, an A100)"
FIGURES = {
    "openai-whisper": (
        # https://github.com/huggingface/open_asr_leaderboard, en_shortform.csv: large-v3 145.5, greedy.
        Figure("A100-80GB", 2039, 145.5 / BEAM_FACTOR, LEADERBOARD),
        # Turbo in batches of 32: 404, greedy; of the large model by the leaderboard's proportion.
        # https://inferencebench.io/blog/whisper-large-v3-turbo-597x-realtime-asr-benchmark/
        Figure(
            "H100", 3350, 404 / (200.2 / 145.5) / BEAM_FACTOR, "inferencebench.io (batches of 32)"
        ),
    ),
    "faster-whisper": (
        # https://github.com/SYSTRAN/faster-whisper#large-v2-model-on-gpu: 13 minutes of audio in 17 s, with
        # batches of 8 and five beams.
        Figure(
            "RTX 3070 Ti",
            608,
            780 / 17,
            "faster-whisper's README (batches of 8, an RTX 3070 Ti)",
        ),
    ),
}
# No published figure shows that CTranslate2 profits from faster memory than that of an A100.
FASTEST_SCALED = 2039.0  # GB/s

# Models relative to large-v3 in batches on a GPU, by the leaderboard's figures: tiny.en 348.1, base.en 320.7,
# small.en 268.9, medium.en 182.1, turbo 200.2, large-v3 145.5. The encoder of turbo is that of large, and
# in batches most of the time goes into the encoder.
RELATIVE_ON_GPU = {
    "tiny": 348.1 / 145.5,
    "base": 320.7 / 145.5,
    "small": 268.9 / 145.5,
    "medium": 182.1 / 145.5,
    "turbo": 200.2 / 145.5,  # before large: "large-v3-turbo" is the turbo
    "large": 1.0,
}
# On a processor, by the table in openai/whisper's README (English) and, for turbo, 1036 s against 1611 s with
# int8 in batches of 4 (https://github.com/rishikanthc/Scriberr/pull/470).
RELATIVE_ON_CPU = {
    "tiny": 10.0,
    "base": 7.0,
    "small": 4.0,
    "medium": 2.0,
    "turbo": 1611 / 1036,
    "large": 1.0,
}
# Seconds for 13 minutes of audio with `small` on eight threads of a Core i7-12700K, by faster-whisper's
# README: with int8 in batches of 8, and of openai-whisper itself, which is slower than its engine here.
CPU_SECONDS = {"faster-whisper": 51, "openai-whisper": 418}
CPU_THREADS = 8
CPU_SOURCE = "faster-whisper's README ({}, eight threads of a Core i7), scaled by threads"


def expected_speed(engine: str, model: str, rented: Machine) -> tuple[float, str]:
    """Return the expected times realtime of `model` on a machine that was not measured, and the source."""
    if rented.gpu == "CPU":
        return cpu_speed(engine, model, round(2 * rented.cores), speakers=rented.speakers)
    figures = FIGURES.get(engine, FIGURES["openai-whisper"])
    nearest = min(figures, key=lambda figure: abs(figure.bandwidth - rented.bandwidth))
    limit = max(FASTEST_SCALED, *(figure.bandwidth for figure in figures))
    scale = min(rented.bandwidth, limit) / nearest.bandwidth
    speed = nearest.speed * scale * _relative(model, RELATIVE_ON_GPU)
    source = nearest.source
    if nearest.gpu != rented.gpu:
        source += ", scaled by memory bandwidth"
    if engine not in FIGURES:
        source += ", of another engine"
    core = 1 / (1 / CORE_SPEED + 1 / SPEAKER_SPEED) if rented.speakers else CORE_SPEED
    return min(speed, core * rented.cores), source


def cpu_speed(
    engine: str, model: str, threads: int, *, speakers: bool = False
) -> tuple[float, str]:
    """Return the expected times realtime of `model` on a processor, and the source.

    Args:
        speakers: whether it also tells speakers apart.
    """
    measured = engine if engine in CPU_SECONDS else "openai-whisper"
    small = 780 / CPU_SECONDS[measured]
    relative = _relative(model, RELATIVE_ON_CPU) / RELATIVE_ON_CPU["small"]
    speed = min(small * relative * threads / CPU_THREADS, CORE_SPEED * threads)
    if speakers:
        speed = 1 / (1 / speed + 1 / (SPEAKER_SPEED * threads))
    return speed, CPU_SOURCE.format(measured)


def _relative(model: str, table: dict[str, float]) -> float:
    """Return the speed of a model relative to large, by its name."""
    family = model.rpartition("/")[2].lower()
    return next((speed for name, speed in table.items() if name in family), 1.0)
