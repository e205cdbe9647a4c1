"""Draw a bar chart of engine_speed's output: wall seconds per minute of audio, one bar per engine.

python -m benchmarks.plot engines.json docs/images/engines.svg
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path

from benchmarks.accuracy_tables import percent
from benchmarks.engine_speed import Row

BAR, GAP, LEFT, WIDTH = 22, 10, 270, 760  # pixels
OURS, OTHERS = "#2f6f4f", "#9aa5b1"


def svg(rows: Sequence[Row]) -> str:
    """Return the chart as SVG: shortest bar first, each with its word error rate."""
    costs = sorted(
        ((60 * r["wall_seconds"] / r["audio_seconds"], r) for r in rows), key=lambda cost: cost[0]
    )
    scale = (WIDTH - LEFT - 190) / costs[-1][0]
    height = 40 + len(costs) * (BAR + GAP)
    title = f"Seconds for a minute of audio, model {rows[0]['model']}: shorter is better"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (cost, row) in enumerate(costs):
        y = 36 + number * (BAR + GAP)
        colour = OURS if row["engine"].startswith("homescribe") else OTHERS
        text = f"{cost:.1f} (words wrong: {percent(row['wrong'], row['words'])})"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(row["engine"])}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{cost * scale:.0f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + cost * scale + 6:.0f}" y="{y + 16}">{text}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path, help="the file that engine_speed wrote with --json")
    parser.add_argument("image", type=Path, help="the SVG file to write")
    options = parser.parse_args()
    options.image.write_text(svg(json.loads(options.rows.read_text())))


if __name__ == "__main__":
    main()
