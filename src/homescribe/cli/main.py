"""The command line: what to do stands in the other rooms, here it gets a name, flags and an exit code.

Data goes to stdout, everything else to stderr. Exit codes: 0 ok, 1 some items failed, 2 the user must act,
3 the set-up is broken, 4 the spending cap was reached, 130 interrupted.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
from typing import Any, NoReturn

import click

from homescribe import __version__
from homescribe.cli.commands import cloud, query, serve, setup, sources, transcribe
from homescribe.errors import BudgetReached, Cancelled, HomescribeError, SetupError
from homescribe.text.sanitize import terminal_safe

INTERRUPTED = 130


class _InOrder(click.Group):
    """Commands in the order of a person's work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="homescribe")
@click.option(
    "--library",
    metavar="DIR",
    help="Where the library is.",
    expose_value=False,
    callback=(lambda ctx, parameter, value: ctx.ensure_object(dict).update(library=value)),
)
def homescribe() -> None:
    """Whole channels, playlists, podcasts and folders as text to search, read along and export.

    \b
    homescribe transcribe https://www.youtube.com/@channel -f txt,srt
    homescribe search "a phrase somebody said"

    Every setting can also stand in config.toml or in the environment: see `homescribe config`.
    """


for _room in (sources, cloud, transcribe, query, serve, setup):
    for _command in _room.COMMANDS:
        homescribe.add_command(_command)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code."""
    _leave(_run(arguments))


def _run(arguments: list[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a title in a script that the terminal does not know
            stream.reconfigure(errors="replace")
    color = False if os.environ.get("NO_COLOR") else None
    try:
        result: Any = homescribe.main(
            arguments, prog_name="homescribe", standalone_mode=False, color=color
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except SystemExit:  # click's way out of a closed pipe: `homescribe list | head`
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.ClickException as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt, Cancelled):
        click.echo("Interrupted. Nothing is lost: the same command goes on from here.", err=True)
        return INTERRUPTED
    except HomescribeError as error:
        click.echo(f"Error: {terminal_safe(error.message)}", err=True)
        if error.hint:
            click.echo(terminal_safe(error.hint), err=True)
        return exit_code(error)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        click.echo("Error: the output cannot be written: no space left.", err=True)
        return 2


def exit_code(error: HomescribeError) -> int:
    """The exit code for an error that ended a command."""
    if isinstance(error, SetupError):
        return 3
    return 4 if isinstance(error, BudgetReached) else 2


def _leave(code: int) -> NoReturn:
    """Exit without waiting for threads that are deep inside a decoder or a model.

    By now the library is closed and everything that was finished is stored.
    """
    if any(thread.daemon and thread.is_alive() for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
