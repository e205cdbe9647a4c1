"""Commands with options in groups, and the options that are made from the settings in config.py."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import click

from homescribe import config, plugins
from homescribe.cli.export_writer import Target
from homescribe.cli.program import name_library
from homescribe.errors import UserError
from homescribe.formats.name_template import FIELDS, checked_template
from homescribe.text.dates import checked_date

OTHER = "Options"
# Heading in `--help` by name of the parameter; OTHER for any other.
GROUPS = {setting.name: setting.group for setting in config.settings() if setting.group}
RUN_SETTINGS = tuple(GROUPS)
REQUEST_SETTINGS = ("cookies", "cookies_from_browser", "user_agent", "allow_private_networks")
SUBTITLE_SETTINGS = tuple(name for name, group in GROUPS.items() if group == config.OUTPUT)
GROUPS |= dict.fromkeys(("formats", "output", "beside", "output_template"), config.OUTPUT)

NAMES_WIDTH = 24  # of the column of option names in `--help`; longer names get a line of their own

Function = Callable[..., object]
Decorator = Callable[[Function], Function]


class Command(click.Command):
    """A command whose `--help` lists its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {
            group: [] for group in (OTHER, *GROUPS.values())
        }
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                names, text = record
                if parameter.secondary_opts:
                    names = f"--[no-]{parameter.opts[0].removeprefix('--')}"
                groups[GROUPS.get(parameter.name or "", OTHER)].append((names, text))
        for group, records in groups.items():
            if records:
                with formatter.section(group):
                    # Padded, so that the texts of all groups are aligned.
                    padded = [(f"{names:<{NAMES_WIDTH}}", text) for names, text in records]
                    formatter.write_dl(padded, col_max=NAMES_WIDTH)


class Group(click.Group):
    """A group of commands, which `--help` lists in the order in which they were added."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


class CommandGroup(Group):
    """A command with options, which runs when none of its subcommands is given."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        Command.format_options(self, ctx, formatter)  # type: ignore[arg-type]
        self.format_commands(ctx, formatter)


def command(name: str | None = None) -> Callable[[Function], Command]:
    """Make a function a command. Its name is the function's unless `name` is given."""
    return click.command(name, cls=Command)


def configured(*names: str) -> Decorator:
    """Add `--library` and the options of these settings. The function gets a Config as its first argument."""
    settings = [s for s in config.settings() if s.name in ("library", *names)]

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def configured_function(*args: object, **kwargs: object) -> object:
            flags = {setting.name: kwargs.pop(setting.name) for setting in settings}
            # What stood before the command's name: `homescribe --library DIR list`.
            root = click.get_current_context().ensure_object(dict)
            if flags["library"] is None:
                flags["library"] = root.get("library")
            name_library(str(flags["library"] or ""))
            loaded, root["origins"] = config.load(flags)
            return function(loaded, *args, **kwargs)

        decorated: Function = configured_function
        for setting in reversed(settings):
            decorated = _option(setting)(decorated)
        return decorated

    return decorate


def selection_options(function: Function) -> Function:
    """Add `--since` and `--latest`, for commands that add sources."""
    function = click.option(
        "--latest",
        type=click.IntRange(min=1),
        metavar="N",
        help="Only the newest N recordings of each source; later updates add newer ones.",
    )(function)
    return click.option(
        "--since",
        metavar="DATE",
        callback=lambda context, parameter, value: value and checked_date(value),
        help="Only recordings of this date (2026-03-01) or later, also in later updates.",
    )(function)


def origins() -> dict[str, str]:
    """Return where each setting of the running command comes from: see `config.load`."""
    found: dict[str, str] = click.get_current_context().ensure_object(dict)["origins"]
    return found


def _option(setting: config.Setting) -> Decorator:
    """Return the option of a setting."""
    flag = "--" + setting.name.replace("_", "-")
    text = setting.help
    if setting.kind is bool:
        if setting.default is not None:
            text += f" Default: {'yes' if setting.default else 'no'}."
        return click.option(f"{flag}/--no-{flag[2:]}", default=None, help=text)
    if setting.default is not None:
        text += f" Default: {setting.default}."
    kind = click.Choice(setting.choices) if setting.choices else setting.kind
    if setting.kind is Path or setting.gigabytes:
        kind = str  # config.load makes it a Path or a number
    return click.option(flag, type=kind, default=None, metavar=setting.metavar or None, help=text)


def export_options(*, required_unless: str = "", directory: str = "") -> Decorator:
    """Add `-f FORMATS` and where to write, for commands that write transcripts as files.

    The function gets `formats`, and `target`, a Target.

    Args:
        required_unless: the formats must be given, except with --beside and with this option.
        directory: the default directory, as the help text names it.
    """

    def decorate(decorated: Function) -> Function:
        @functools.wraps(decorated)
        def function(
            *args: object,
            formats: list[str],
            output: Path | None,
            beside: bool,
            output_template: str | None,
            **kwargs: object,
        ) -> object:
            template = checked_template(output_template) if output_template else None
            target = Target(output, beside, template)
            formats = formats or (["srt"] if beside else [])
            if required_unless and not formats and not kwargs[required_unless]:
                raise click.MissingParameter(param_type="option", param_hint="'-f'")
            return decorated(*args, formats=formats, target=target, **kwargs)

        text = "Directory for the files; - prints them."
        if directory:
            text += f" Default: {directory}."
        function = click.option(
            "--output-template",
            metavar="TEMPLATE",
            help="Names of the files in DIR, as of yt-dlp: '%(channel)s/%(upload_date)s %(title)s.%(ext)s'. "
            f"Fields: {', '.join(FIELDS)}.",
        )(function)
        function = click.option(
            "--beside",
            is_flag=True,
            help="Write beside the recordings, where players look: talk.en.srt beside talk.mp4. A file that "
            "homescribe did not write is kept. Without -f: srt.",
        )(function)
        function = click.option(
            "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help=text
        )(function)
        return click.option(
            "-f",
            "--format",
            "formats",
            callback=_formats,
            metavar="FORMATS",
            help=f"One or more of {', '.join(plugins.BUILT_IN['exporters'])}, separated by commas.",
        )(function)

    return decorate


def _formats(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    """Return the formats that are named in `value`, each once."""
    formats = [name.strip().lower() for name in (value or "").split(",") if name.strip()]
    known = plugins.names("exporters")
    if unknown := [name for name in formats if name not in known]:
        raise UserError(f"Unknown format: {unknown[0]!r}.", f"Choose from: {', '.join(known)}.")
    return list(dict.fromkeys(formats))
