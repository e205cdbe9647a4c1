"""A picture of what benchmarks.engine measured: CPU seconds per second of audio, an engine a bar.

python -m benchmarks.plot engine.json docs/images/engines.svg
"""

from __future__ import annotations

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any

BAR, GAP, LEFT, WIDTH = 22, 10, 270, 760  # pixels


def svg(rows: list[dict[str, Any]]) -> str:
    """Bars of CPU time, shortest first, each with its word error rate."""
    costs = sorted(((r["cpu_seconds"] / r["audio_seconds"], r) for r in rows), key=lambda c: c[0])
    scale = (WIDTH - LEFT - 190) / costs[-1][0]
    height = 40 + len(costs) * (BAR + GAP)
    title = f"CPU seconds per second of audio, {rows[0]['size']}: shorter is better"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="sans-serif" font-size="13" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (cost, row) in enumerate(costs):
        y = 36 + number * (BAR + GAP)
        colour = "#2f6f4f" if row["engine"].startswith("homescribe") else "#9aa5b1"
        text = f"{cost:.2f} (words wrong: {100 * row['wer']:.1f} %)"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 16}" text-anchor="end">{escape(row["engine"])}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{cost * scale:.0f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + cost * scale + 6:.0f}" y="{y + 16}">{text}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("rows", type=Path)
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    options.picture.write_text(svg(json.loads(options.rows.read_text())))


if __name__ == "__main__":
    main()
