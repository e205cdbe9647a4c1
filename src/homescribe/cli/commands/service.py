"""Commands that run `sync` every night, or all the time: service with install, status and remove."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from homescribe import config as settings
from homescribe.assemble import check_options, open_library
from homescribe.cli.commands.transcribe import check_watch_options, limit_option, watch_options
from homescribe.cli.export_writer import STDOUT, Target
from homescribe.cli.options import (
    RUN_SETTINGS,
    Group,
    configured,
    export_options,
    origins,
)
from homescribe.cli.output import print_json
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.exit_codes import ExitCode
from homescribe.service.scheduler_programs import scheduler
from homescribe.service.unit_files import NightlySync, parsed_time
from homescribe.text.redaction import shown_text
from homescribe.text.sanitize import terminal_safe

# Variables that systemd, launchd and cron do not take from the shell, and that change what a run finds.
KEPT = (
    *("PATH", "HOMESCRIBE_CONFIG", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "HF_HOME"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
)
# Environments of `uvx` and `pipx run`, which are deleted some day.
TEMPORARY = re.compile(r"/(uv/(archive|environments|builds)-v\d+|pipx/\.cache|\.cache/pipx)/")


@click.group(cls=Group)
def service() -> None:
    """Run `sync` every night or always, by systemd or launchd."""


@service.command("install")
@click.option(
    "--at", default="02:00", show_default=True, metavar="HH:MM", help="Time of day on this machine."
)
@watch_options
@click.option("--dry-run", is_flag=True, help="Print what would be written, and change nothing.")
@limit_option
@export_options()
@configured(*RUN_SETTINGS)
def install(
    config: Config,
    at: str,
    watch: bool,
    every: str | None,
    poll: float | None,
    dry_run: bool,
    limit: int | None,
    formats: list[str],
    target: Target,
) -> None:
    """Run `homescribe sync` every night, or all the time with --watch, with these options.

    Writes a systemd timer of your user, or on macOS a launchd agent; neither needs root. Settings of
    config.toml are read at each start. Settings of the environment and options are stored as they are
    now. There is one for each user: installing again replaces it.
    """
    hour, minute = parsed_time(at)
    check_options(config)
    check_watch_options(watch, every, poll)
    if TEMPORARY.search(sys.prefix):
        raise UserError(
            "homescribe is installed for this call only, so the system could not start it at night.",
            "Install it first: see docs/guides/install.md.",
        )
    with open_library(config, must_exist=True) as library:
        empty = not library.sources()
    words = (
        *(("--watch",) if watch else ()),
        *(("--every", every) if every else ()),
        *(("--poll", f"{poll:g}") if poll else ()),
        *_sync_options(formats, target),
        *(("--limit", str(limit)) if limit else ()),
    )
    environment = {**_kept(os.environ), **_settings(config)}
    sync = NightlySync(
        (sys.executable, "-m", "homescribe", "sync", *words),
        environment,
        hour,
        minute,
        _secrets(environment),
        watch,
    )
    system = scheduler()
    if dry_run:
        for path, text in system.files(sync).items():
            message(f"Would write {path}")
            click.echo(text)
        return
    system.install(sync)
    for path in system.files(sync):
        message(f"Wrote {path}")
    when = "all the time" if watch else f"every night at {sync.at}"
    message(f"homescribe sync runs {when}, by {system.name}. Log: {system.log}")
    if advice := system.advice():
        message(advice)
    if empty:
        message("There are no sources yet. Add one: homescribe add URL")


@service.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> ExitCode:
    """Show whether the nightly run is installed, when it runs next, and how it ended last.

    The exit code is 2 if it is not installed, or if the system would not run it.
    """
    system = scheduler()
    found = system.status()
    if as_json:
        values = dataclasses.asdict(found)
        print_json({**values, "files": [str(path) for path in found.files], "log": system.log})
    elif not found.files:
        message("Not installed. To run sync every night: homescribe service install")
    else:
        state = f"active, by {system.name}" if found.active else f"{system.name} does not run it"
        rows = [
            ("state", state),
            ("next run", found.next_run),
            ("last run", found.last_run),
            ("last result", found.last_result),
            *(("file", str(path)) for path in found.files),
            ("log", system.log),
        ]
        for name, value in rows:
            if value:
                click.echo(f"{name:<12} {terminal_safe(value)}")
        if not found.active:
            message("Install it again: homescribe service install")
    return ExitCode.OK if found.files and found.active else ExitCode.USER_ERROR


@service.command("remove")
def remove() -> None:
    """Stop running `sync` every night. The library stays as it is."""
    removed = scheduler().remove()
    for path in removed:
        message(f"Removed {path}")
    if not removed:
        message("Nothing to remove: the nightly run is not installed.")


def _sync_options(formats: list[str], target: Target) -> tuple[str, ...]:
    """Return the options of `sync` that say what to write, with absolute folders."""
    if target.directory == STDOUT:
        raise UserError(
            "-o - prints transcripts, which nobody reads at night.", "Name a directory."
        )
    words: list[str] = []
    if formats:
        words += ["-f", ",".join(formats)]
    if target.beside:
        words.append("--beside")
    if target.template:
        words += ["--output-template", target.template]
    if target.directory or ((formats or target.template) and not target.beside):
        words += ["-o", str((target.directory or Path()).expanduser().absolute())]
    return tuple(words)


def _kept(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[name] for name in KEPT if environ.get(name)}


def _secrets(environment: Mapping[str, str]) -> frozenset[str]:
    """Return the names of variables that are secrets, or contain one, as the address of a proxy may."""
    settings_ = {setting.environment for setting in settings.settings() if setting.secret}
    return frozenset(
        name
        for name, value in environment.items()
        if name in settings_ or shown_text(value) != value
    )


def _settings(config: Config) -> dict[str, str]:
    """Return the settings that flags or the environment gave, as environment variables.

    Those of config.toml are left out: the nightly run reads the file.
    """
    found = {}
    for setting in settings.settings():
        value = getattr(config, setting.name)
        if value is None or origins()[setting.name] not in ("flag", setting.environment):
            continue
        if isinstance(value, Path):
            value = value.absolute()
        found[setting.environment] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


COMMANDS = (service,)
