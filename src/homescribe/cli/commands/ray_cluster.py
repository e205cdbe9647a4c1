"""Commands for machines of one's own: ray with status and stop."""

from __future__ import annotations

import sys

import click

from homescribe.assemble import build_ray_backend, open_library
from homescribe.cli.options import Group, configured
from homescribe.cli.output import print_table
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.errors import SetupError, UserError
from homescribe.text.display import count
from homescribe.text.sanitize import terminal_safe


@click.group(cls=Group)
def ray() -> None:
    """Show or stop homescribe's work on a Ray cluster."""


@ray.command("status")
@configured("address")
def ray_status(config: Config) -> None:
    """Show machines, workers and calls of a cluster.

    Without --address: of the cluster on this machine, if there is one. Nothing is started.
    """
    found = build_ray_backend(config).status()
    with open_library(config) as library:
        click.echo(f"in flight  {count(len(library.calls('ray')), 'call')} of this library")
    if found is None:
        message("No cluster is running on this machine. The next run with --backend ray starts it.")
        return
    click.echo(f"cluster    {terminal_safe(found.address)}")
    cpus, gpus = sum(n.cpus for n in found.nodes), sum(n.gpus for n in found.nodes)
    click.echo(
        f"machines   {len(found.nodes)} with {count(int(cpus), 'core')} and {count(int(gpus), 'GPU')}"
    )
    click.echo(f"kept       {count(found.kept, 'result')} not collected yet")
    print_table(
        ("engine", "model", "workers", "ready", "calls", "done", "retried", "workers lost"),
        [
            (
                terminal_safe(pool["engine"]),
                terminal_safe(pool["model"]),
                str(pool["workers"]),
                str(pool["ready"]),
                str(pool["unfinished"]),
                str(pool["done"]),
                str(pool["retried"]),
                str(pool["deaths"]),
            )
            for pool in found.pools
        ],
    )
    for pool in found.pools:
        if pool["error"]:
            message(terminal_safe(f"{pool['engine']} {pool['model']}: {pool['error']}"))


@ray.command("stop")
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@configured("address")
def ray_stop(config: Config, yes: bool) -> None:
    """End homescribe's workers on a cluster now, those of other users as well.

    Without --address: end the whole cluster on this machine. Calls that are not finished and
    results that are not collected are lost, also those of other libraries and users; the next
    run of each transcribes those items again. If there are any, the command asks first.
    """
    if not yes and not _confirmed(config):
        message("Nothing was stopped.")
        return
    message("Stopped." if build_ray_backend(config).stop() else "Nothing is running.")


def _confirmed(config: Config) -> bool:
    """Return whether nothing would be lost, or the user agrees to losing it."""
    try:
        found = build_ray_backend(config).status()
    except SetupError as error:
        if config.address is not None:
            raise
        lost = f"what the cluster on this machine still has (it does not say: {error.message})"
    else:
        if found is None or not (found.unfinished or found.kept):
            return True
        unfinished, kept = count(found.unfinished, "call"), count(found.kept, "result")
        lost = f"{unfinished} not finished and {kept} not collected, of all libraries and users"
    if not _at_a_terminal():
        raise UserError(
            terminal_safe(f"Nothing was stopped. It would lose {lost}."),
            "Let homescribe run --backend ray collect them first, or add --yes.",
        )
    return click.confirm(terminal_safe(f"Stop, and lose {lost}?"), err=True)


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


COMMANDS = (ray,)
