"""Commands about this machine: doctor, config, demo, completion."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from homescribe import config as settings
from homescribe import demo as bundled
from homescribe import doctor as machine
from homescribe.assemble import open_library, open_sources
from homescribe.cli.commands.sources import add_all
from homescribe.cli.commands.transcribe import Writer, execute
from homescribe.cli.interrupt import interruptible
from homescribe.cli.options import configured
from homescribe.cli.output import highlighted
from homescribe.cli.tables import print_table
from homescribe.config import Config
from homescribe.text.display import clock
from homescribe.text.sanitize import terminal_safe

BROKEN = 3
PHRASE = '"quick brown fox"'
DEMO_FORMATS = ("txt", "srt", "vtt", "json", "md")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@configured()
def doctor(config: Config, as_json: bool) -> int:
    """Is this machine ready? What to do if not.

    Looks at yt-dlp and its age, JavaScript, engines, models, disk and library.
    """
    checks = list(machine.check(config))
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(check) for check in checks], indent=2))
    else:
        colours = {"ok": "green", "warning": "yellow", "broken": "red"}
        for check in checks:
            state = click.style(f"{check.state:<8}", fg=colours[check.state])
            click.echo(f"{state} {check.name:<15} {terminal_safe(check.finding)}")
            if check.fix:
                click.echo(f"{'':<8} {'':<15} {check.fix}")
    return BROKEN if any(check.state == "broken" for check in checks) else 0


@click.command("config")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@configured()
def config_(config: Config, as_json: bool) -> None:
    """Every setting and where its value comes from.

    The file is TOML, a setting a line: model = "small"
    """
    origins = click.get_current_context().ensure_object(dict)["origins"]
    values = {setting.name: getattr(config, setting.name) for setting in settings.settings()}
    if as_json:
        found = {name: {"value": value, "from": origins[name]} for name, value in values.items()}
        click.echo(json.dumps(found, indent=2, default=str))
        return
    click.echo(f"{settings.path()}", err=True)
    print_table(
        ("setting", "value", "from"),
        [
            (name, "" if value is None else str(value), origins[name])
            for name, value in values.items()
        ],
        wide=2,
    )


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default="homescribe-demo",
    show_default=True,
    help="Where the demo's library and files go.",
)
def demo(output: Path) -> int:
    """Do the main job on bundled speech.

    With a bundled model: nothing is downloaded.
    """
    config = Config(library=output, model="demo", engine="faster-whisper")
    with interruptible() as stop, open_library(config) as library:
        click.echo("Transcribing three bundled recordings with the bundled model.", err=True)
        with open_sources(config, library) as sources:
            listed = add_all(library, sources, [str(bundled.samples())], stop, everything=True)
            code = execute(config, library, sources, stop)
        writer = Writer(DEMO_FORMATS, output / "exports")
        writer.write_stored(library, [item.key for entry in listed for item in entry.items])
        click.echo(f"\nhomescribe search {PHRASE!r}", err=True)
        for hit in library.search(PHRASE):
            click.echo(f"  {hit.title} {clock(hit.start)}  {highlighted(hit.text, hit.highlights)}")
    click.echo(
        f"\nTranscripts as files: {(output / 'exports').absolute()}\n"
        f"The library:          {library.path.absolute()}\n"
        f"Read along, in a browser: homescribe --library {output} serve\n"
        "Next: homescribe transcribe YOUR-FILE-OR-CHANNEL",
        err=True,
    )
    return code


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: homescribe completion bash > ~/.local/share/bash-completion/completions/homescribe
    zsh:  homescribe completion zsh > ~/.zfunc/_homescribe
    fish: homescribe completion fish > ~/.config/fish/completions/homescribe.fish
    """
    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root, {}, "homescribe", "_HOMESCRIBE_COMPLETE").source())


COMMANDS = (doctor, config_, demo, completion)
