"""Output on a terminal of 80 columns."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from contextlib import suppress

import pytest

from fake_plugins import item, listing
from homescribe.errors import PermanentError
from homescribe.library import Library

COLUMNS = 80
ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07)")


@pytest.fixture
def shown(tmp_path):
    """Run homescribe on a terminal; return its exit code and output."""

    def run(*arguments):
        terminal, other_end = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "HOMESCRIBE_LIBRARY": "library"}
        environment.pop("COLUMNS", None)
        process = subprocess.Popen(
            [sys.executable, "-m", "homescribe", *arguments],
            **dict.fromkeys(("stdin", "stdout", "stderr"), other_end),
            cwd=tmp_path,
            env=environment,
        )
        os.close(other_end)
        output = b""
        with suppress(OSError):  # Linux: the other end is closed
            while data := os.read(terminal, 65536):
                output += data
        os.close(terminal)
        return process.wait(30), output.decode()

    return run


@pytest.mark.models
def test_the_live_view_fits_and_restores_the_cursor(shown):
    code, output = shown("demo")
    assert code == 0
    assert "realtime" in output
    view = [line for line in ESCAPE.sub("\n", output).splitlines() if "items ·" in line]
    assert view
    assert max(len(line.rstrip()) for line in view) <= COLUMNS
    assert output.count("\x1b[?25h") == output.count("\x1b[?25l")  # shown again as often as hidden


def test_a_table_fits(shown, tmp_path):
    with Library(tmp_path / "library") as library:
        items = [item(n, title="A very long title " * 40, duration=36000.0) for n in range(3)]
        library.record("ytdlp", listing("https://site.example/a/rather/long/address", ()), items)
    for command in ("list", "sources", "status", "config"):
        code, output = shown(command)
        assert code == 0
        lines = ESCAPE.sub("", output).splitlines()
        assert max(len(line.rstrip()) for line in lines) <= COLUMNS, command
    _, output = shown("list")
    for each in items:  # a key is never cut, however long the title is
        assert f"10:00:00  {each.key}  A very long" in ESCAPE.sub("", output)


def test_the_reason_of_a_failure_is_never_cut(shown, tmp_path):
    reason = " ".join(f"word{n}" for n in range(40))
    with Library(tmp_path / "library") as library:
        library.record("ytdlp", listing("https://site.example/", ()), [item(1), item(2)])
        library.fail(item(1), PermanentError(f"{reason} end."))
    code, output = shown("list")
    lines = [line.rstrip() for line in ESCAPE.sub("", output).splitlines()]
    assert code == 0
    assert max(map(len, lines)) <= COLUMNS
    assert f"{reason} end." in " ".join(line.strip() for line in lines)
    assert lines[1].endswith("Talk 1")
    assert lines[-1].endswith("Talk 2")
