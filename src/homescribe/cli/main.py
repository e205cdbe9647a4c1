"""The command line: run a command, print its error, and exit with its exit code.

Data goes to standard output, everything else to standard error.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
import threading
from typing import NoReturn

import click

from homescribe import __version__
from homescribe.cli.commands import (
    audio_files,
    captions,
    cloud,
    export,
    manage,
    mcp,
    query,
    ray_cluster,
    replace,
    serve,
    service,
    setup,
    sources,
    speakers,
    transcribe,
)
from homescribe.cli.options import Group
from homescribe.cli.program import message
from homescribe.errors import Cancelled, HomescribeError
from homescribe.exit_codes import ExitCode, exit_code
from homescribe.text import log_lines
from homescribe.text.sanitize import terminal_message


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="homescribe")
@click.option(
    "--library",
    metavar="DIR",
    help="Directory of the library.",
    expose_value=False,
    callback=(lambda ctx, parameter, value: ctx.ensure_object(dict).update(library=value)),
)
def homescribe() -> None:
    """Transcribe whole channels, playlists, podcasts and folders; search, read and export the text.

    \b
    homescribe transcribe https://www.youtube.com/@channel -f txt,srt
    homescribe search "a phrase somebody said"

    All settings can also be set in config.toml or in the environment: see `homescribe config`.
    """


for _module in (
    sources,
    cloud,
    ray_cluster,
    transcribe,
    captions,
    query,
    manage,
    replace,
    speakers,
    export,
    audio_files,
    serve,
    service,
    mcp,
    setup,
):
    for _command in _module.COMMANDS:
        homescribe.add_command(_command)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and exit with its exit code: that of this process's command line without `arguments`."""
    _open_standard_streams()
    log_lines.install()
    code = run(arguments)
    if arguments is None:
        _exit(code)
    sys.exit(code)  # the process and its threads are the caller's


def _open_standard_streams() -> None:
    """Open the null device for each standard stream that the caller closed (`homescribe list >&-`).

    Otherwise the next file that is opened gets its number, and messages would be written into that file.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def run(arguments: list[str] | None) -> int:
    """Run a command, print its error if it fails, and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A title may have characters that the terminal's encoding does not have.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    color = False if os.environ.get("NO_COLOR") else None
    try:
        result: object = homescribe.main(
            arguments, prog_name="homescribe", standalone_mode=False, color=color
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except SystemExit:  # click exits on a closed pipe: `homescribe list | head`
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt, Cancelled):
        message("Interrupted. Nothing is lost: the same command continues from here.")
        return ExitCode.INTERRUPTED
    except HomescribeError as error:
        message(f"Error: {terminal_message(error.message)}")
        if error.hint:
            message(terminal_message(error.hint))
        return exit_code(error)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        message("Error: cannot write the output: no space left on the disk.")
        return 2


def _exit(code: int) -> NoReturn:
    """Exit without waiting for threads that are busy in a decoder or a model.

    The library is closed by now, and everything that was finished is stored.
    """
    if any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
