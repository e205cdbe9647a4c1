"""The docs tell the truth about the commands, and their links lead somewhere."""

import importlib.util
from pathlib import Path

import click

from homescribe.cli.main import homescribe

ROOT = Path(__file__).resolve().parent.parent


def generator():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_what_help_says():
    page = ROOT / "docs" / "reference" / "commands.md"
    assert page.read_text(encoding="utf-8") == generator().reference(), "run `make docs`"


def test_no_link_in_the_docs_is_broken():
    assert list(generator().broken_links()) == []


def test_every_option_of_every_command_says_what_it_does():
    def walk(command):
        yield command
        for below in getattr(command, "commands", {}).values():
            yield from walk(below)

    silent = [
        f"{command.name} {parameter.name}"
        for command in walk(homescribe)
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert silent == []


def test_every_command_is_named_in_a_guide_or_the_readme():
    prose = "\n".join(
        page.read_text(encoding="utf-8")
        for page in [ROOT / "README.md", *(ROOT / "docs" / "guides").glob("*.md")]
    )
    missing = [name for name in homescribe.commands if f"homescribe {name}" not in prose]
    assert missing == []
