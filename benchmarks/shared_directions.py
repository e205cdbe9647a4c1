"""Find what the embeddings of all voices share, for homescribe/speakers/shared_directions.py.

    python -m benchmarks.shared_directions DIR --embedding E.onnx --leave-out ID ID --same ID,ID

DIR has recordings of one voice each and a manifest.json, as for benchmarks/speakers.py. The directions are
those of the first half of its voices, so that the second half shows what they are worth. Prints the hash of
the file and the directions, and how similar the voices of the second half are with and without them.
"""

from __future__ import annotations

import argparse
import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversations import USUAL_LEVEL, Voice, band, voices
from homescribe.audio import SAMPLE_RATE
from homescribe.speakers.embedding import VoiceEmbedder

Vectors = NDArray[np.float32]

PIECE = 4 * SAMPLE_RATE  # samples that are embedded at once
MOST = 12  # pieces of a voice
NOISE = 0.0003
LINES: tuple[tuple[float, float], ...] = ((0, 8000), (300, 3400))  # Hz: clean, telephone


def unit(vectors: NDArray[np.floating]) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), np.float32)


def pieces(embedder: VoiceEmbedder, voice: Voice, line: tuple[float, float]) -> Vectors:
    """Return the embeddings of a voice, piece by piece, over a line that carries some frequencies."""
    samples = np.concatenate(voice.utterances)
    samples = samples * (USUAL_LEVEL / float(np.sqrt(np.mean(samples**2))))
    draw = np.random.default_rng(0)
    samples = band((samples + NOISE * draw.standard_normal(len(samples))).astype(np.float32), *line)
    size = min(PIECE, len(samples) // 2)
    starts = range(0, len(samples) - size + 1, size)
    return np.stack([embedder.embed(samples[at : at + size]) for at in starts[:MOST]])


def similarities(first: Vectors, second: Vectors) -> str:
    """Say how similar the halves of each voice are, and those of two voices."""
    similar = first @ second.T
    same, other = np.diag(similar), similar[~np.eye(len(similar), dtype=bool)]
    return (
        f"same {same.min():.2f} to {same.max():.2f}, mean {same.mean():.2f}; "
        f"different {other.min():.2f} to {other.max():.2f}, mean {other.mean():.2f}"
    )


def table(known: Sequence[Voice], found: dict[str, list[Vectors]], shared: Vectors) -> None:
    halves = {
        (name, line, half): unit(np.sum(np.array_split(found[name][line], 2)[half], axis=0))
        for name in found
        for line in range(len(LINES))
        for half in range(2)
    }
    for one, other in ((0, 0), (1, 1), (0, 1)):
        first = np.stack([halves[voice.name, one, 0] for voice in known])
        second = np.stack([halves[voice.name, other, 1] for voice in known])
        print(LINES[one], LINES[other])
        print("  as they are:", similarities(first, second))
        removed = [unit(vectors - vectors @ shared.T @ shared) for vectors in (first, second)]
        print("  without    :", similarities(*removed))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--embedding", type=Path, required=True)
    parser.add_argument("--leave-out", nargs="*", default=[], help="ids with several people")
    parser.add_argument("--same", nargs="*", default=[], metavar="ID,ID", help="ids of one person")
    options = parser.parse_args()
    same = [one.split(",") for one in options.same]
    known = voices(options.folder, leave_out=options.leave_out, same=same)
    embedder = VoiceEmbedder(options.embedding, raw=True)
    found = {voice.name: [pieces(embedder, voice, line) for line in LINES] for voice in known}
    means = [
        np.mean([unit(found[voice.name][line].sum(axis=0)) for voice in known[::2]], axis=0)
        for line in range(len(LINES))
    ]
    shared = np.linalg.svd(np.stack(means), full_matrices=False)[2].astype("<f2")
    print(embedder.weights, base64.b64encode(shared.tobytes()).decode())
    table(known[1::2], found, shared.astype(np.float32))


if __name__ == "__main__":
    main()
