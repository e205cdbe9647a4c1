"""Commands about this installation: doctor, config, demo, completion."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from homescribe import config as settings
from homescribe import demo as bundled
from homescribe import doctor as checks
from homescribe.assemble import open_library, open_sources
from homescribe.cli.actions import add_sources, run_and_report
from homescribe.cli.export_writer import ExportWriter, Target
from homescribe.cli.interrupt import interruptible
from homescribe.cli.options import command, configured
from homescribe.cli.output import highlighted, print_json, print_table, print_wrapped
from homescribe.cli.program import as_called, message
from homescribe.config import Config
from homescribe.exit_codes import ExitCode
from homescribe.text.display import clock
from homescribe.text.sanitize import terminal_safe

PHRASE = '"quick brown fox"'
SECRET = "(set)"
DEMO_FORMATS = ("txt", "srt", "vtt", "json", "md")


@command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured("backend", "address", "model", "base_url", "price_per_minute", "allow_http")
def doctor(config: Config, as_json: bool) -> ExitCode:
    """Check this machine, and print how to fix problems.

    Checks Python, yt-dlp and its age, the JavaScript runtime, engines, models, disk and library.
    """
    results = list(checks.check(config))
    if as_json:
        print_json([dataclasses.asdict(result) for result in results])
    else:
        colors = {"ok": "green", "warning": "yellow", "broken": "red"}
        for result in results:
            state = click.style(f"{result.state:<8}", fg=colors[result.state])
            click.echo(f"{state} {result.name:<15} {terminal_safe(result.finding)}")
            if result.fix:
                click.echo(as_called(f"{'':<8} {'':<15} {result.fix}"))
    broken = any(result.state == "broken" for result in results)
    return ExitCode.SETUP_ERROR if broken else ExitCode.OK


@command("config")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured()
def config_(config: Config, as_json: bool) -> None:
    """Print every setting and where its value comes from.

    Settings can be stored in config.toml, one per line: model = "small"
    """
    origins = click.get_current_context().ensure_object(dict)["origins"]
    values = {
        setting.name: SECRET if setting.secret and value else value
        for setting in settings.settings()
        for value in [getattr(config, setting.name)]
    }
    if as_json:
        found = {name: {"value": value, "from": origins[name]} for name, value in values.items()}
        print_json(found)
        return
    message(f"{settings.path()}")
    print_table(
        ("setting", "value", "from"),
        [
            (name, "" if value is None else str(value), origins[name])
            for name, value in values.items()
        ],
        flexible=2,
    )


@command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default="homescribe-demo",
    show_default=True,
    help="Directory for the library and the files of the demo.",
)
def demo(output: Path) -> ExitCode:
    """Transcribe bundled recordings with a bundled model.

    Nothing is downloaded.
    """
    config = Config(library=output, model="demo", engine="faster-whisper")
    with interruptible() as stop, open_library(config) as library:
        message("Transcribing three bundled recordings with the bundled model.")
        with open_sources(config, library) as sources:
            results = add_sources(library, sources, [str(bundled.samples())], stop, everything=True)
            code = run_and_report(
                config, library, sources, stop, formats=DEMO_FORMATS, captions=False
            )
        writer = ExportWriter(
            DEMO_FORMATS, Target(output / "exports"), config.subtitles(), default=Path()
        )
        writer.write_stored(library, [item.key for result in results for item in result.items])
        here = f"homescribe --library {shlex.quote(str(output))}"
        message(f"\n{here} search {shlex.quote(PHRASE)}")
        for hit in library.search(PHRASE):
            label = f"  {terminal_safe(hit.title)} {clock(hit.start)}  "
            print_wrapped(label, highlighted(hit.text, hit.highlights))
    message(f"\nTranscripts as files: {(output / 'exports').absolute()}")
    message(f"The library:          {library.path.absolute()}")
    message(f"Read and listen in a browser: {here} serve")
    message("Next: homescribe transcribe YOUR-FILE-OR-CHANNEL")
    return code


@command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

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
