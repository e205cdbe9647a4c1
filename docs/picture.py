"""Makes docs/images/demo.svg from a real run of `homescribe demo` in a terminal of 80 columns.

python docs/picture.py
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


def recorded(command: list[str], directory: str) -> str:
    """What `command` shows on a terminal, with its colours."""
    output = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 65536)
        output.extend(data)
        return data

    os.environ.update(COLUMNS=str(COLUMNS), TERM="xterm-256color")
    os.chdir(directory)
    pty.spawn(command, read)
    return output.decode()


def settled(terminal: str) -> str:
    """The lines that are left when the live view has been taken away again.

    Each line is what was last written to it: the view moves up and clears what it drew.
    """
    lines: list[str] = []
    for raw in terminal.replace("\r\n", "\n").split("\n"):
        for _ in range(raw.count("\x1b[1A")):
            if lines:
                lines.pop()
        lines.append(raw.rpartition("\x1b[2K")[2].replace("\r", ""))
    return "\n".join(lines).replace("\x1b[?25l", "").replace("\x1b[?25h", "").strip("\n")


def main() -> None:
    """Run the demo and draw it."""
    with tempfile.TemporaryDirectory() as directory:
        shown = settled(recorded([sys.executable, "-m", "homescribe", "demo"], directory))
        shown = shown.replace(directory, "/home/me")
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("$ homescribe demo\n" + shown), soft_wrap=False)
    IMAGE.parent.mkdir(exist_ok=True)
    console.save_svg(str(IMAGE), title="homescribe")


if __name__ == "__main__":
    main()
