"""Commands for machines of one's own: ray with status and stop."""

from __future__ import annotations

import click

from homescribe.assemble import build_ray_backend, open_library
from homescribe.cli.options import Group, configured
from homescribe.cli.output import print_table
from homescribe.cli.program import message
from homescribe.config import Config
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
@configured("address")
def ray_stop(config: Config) -> None:
    """End homescribe's workers on a cluster now.

    Without --address: end the whole cluster on this machine. The results of calls in flight are lost;
    the next run transcribes those items again.
    """
    stopped = build_ray_backend(config).stop()
    message("Stopped." if stopped else "Nothing is running.")


COMMANDS = (ray,)
