"""Flags for settings, made from config.py so that names, help and defaults stand in one place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from homescribe import config, plugins
from homescribe.errors import UserError

Function = TypeVar("Function", bound=Callable[..., Any])

RUN_SETTINGS = tuple(setting.name for setting in config.settings() if setting.name != "library")
SOURCE_SETTINGS = ("cookies", "cookies_from_browser")


def configured(*names: str) -> Callable[[Function], Function]:
    """Give a command flags for these settings and `--library`, and pass it a Config as first argument."""
    wanted = [s for s in config.settings() if s.name in ("library", *names)]

    def decorate(function: Function) -> Function:
        @functools.wraps(function)
        def command(*args: Any, **kwargs: Any) -> Any:
            flags = {setting.name: kwargs.pop(setting.name) for setting in wanted}
            before = click.get_current_context().ensure_object(dict)
            if flags["library"] is None:
                flags["library"] = before.get("library")
            settings, before["origins"] = config.load(flags)
            return function(settings, *args, **kwargs)

        decorated: Any = command
        for setting in reversed(wanted):
            decorated = _option(setting)(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def _option(setting: config.Setting) -> Callable[[Any], Any]:
    flag = "--" + setting.name.replace("_", "-")
    text = setting.help
    if setting.default not in (None, True, False):
        text += f" Default: {setting.default}."
    if setting.kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", default=None, help=text)
    kind: Any = click.Choice(setting.choices) if setting.choices else setting.kind
    if setting.kind is Path:
        kind = str
    return click.option(flag, type=kind, default=None, metavar=setting.metavar or None, help=text)


def output(required: bool = False, directory: str | None = None) -> Callable[[Function], Function]:
    """`-f FORMATS` and `-o DIR` for commands that write files."""

    def decorate(function: Function) -> Function:
        place = f"Where to write. Default: {directory}." if directory else "Where to write."
        function = click.option(
            "-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help=place
        )(function)
        return click.option(
            "-f",
            "--format",
            "formats",
            required=required,
            callback=_formats,
            metavar="FORMATS",
            help=f"One or several of {', '.join(plugins.BUILT_IN['exporters'])}, with commas between.",
        )(function)

    return decorate


def _formats(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str]:
    chosen = [name.strip().lower() for name in (value or "").split(",") if name.strip()]
    known = plugins.names("exporters")
    if unknown := [name for name in chosen if name not in known]:
        raise UserError(
            f"There is no format named {unknown[0]!r}.", f"Choose from: {', '.join(known)}."
        )
    return list(dict.fromkeys(chosen))
