"""Draw docs/images/demo.svg: the output of `homescribe demo` in a terminal of 80 columns.

python docs/demo_image.py    run the demo and write the picture
"""

from __future__ import annotations

import io
import os
import pty
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 80
IMAGE = Path(__file__).parent / "images" / "demo.svg"


def record(command: list[str], directory: str) -> str:
    """Run `command` in a pseudo-terminal and return all that it writes, with escape sequences."""
    output = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 65536)
        output.extend(data)
        return data

    os.environ.update(COLUMNS=str(COLUMNS), TERM="xterm-256color")
    os.chdir(directory)
    pty.spawn(command, read)
    return output.decode()


def final_lines(terminal: str) -> str:
    """Return the lines that a terminal shows in the end.

    The progress display moves the cursor up and clears the lines that it drew before.
    """
    lines: list[str] = []
    for raw in terminal.replace("\r\n", "\n").split("\n"):
        for _ in range(raw.count("\x1b[1A")):
            if lines:
                lines.pop()
        lines.append(raw.rpartition("\x1b[2K")[2].replace("\r", ""))
    return "\n".join(lines).replace("\x1b[?25l", "").replace("\x1b[?25h", "").strip("\n")


def main() -> None:
    """Run the demo and write the picture."""
    with tempfile.TemporaryDirectory() as directory:
        shown = final_lines(record([sys.executable, "-m", "homescribe", "demo"], directory))
        shown = shown.replace(directory, "/home/me")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("$ homescribe demo\n" + shown), soft_wrap=False)
    IMAGE.parent.mkdir(exist_ok=True)
    console.save_svg(str(IMAGE), title="homescribe")


if __name__ == "__main__":
    main()
