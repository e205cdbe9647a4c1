"""The docs are true: commands, options, Python names, make targets and links exist."""

import ast
import dataclasses
import importlib.util
import re
import sys
import tomllib
from pathlib import Path

import click
import pytest

import homescribe as public
from homescribe import demo
from homescribe.cli.main import homescribe
from homescribe.exit_codes import ExitCode
from test_architecture import FRONT, IMPORTS

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_command_reference_is_what_help_says():
    page = ROOT / "docs" / "reference" / "commands.md"
    assert page.read_text(encoding="utf-8") == script("generate").reference(), "run `make docs`"


def test_the_python_reference_has_every_public_name_and_field():
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    assert page == script("generate").python_reference(), "run `make docs`"
    assert sorted(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == sorted(public.__all__)
    options = page.split("### TranscriptionOptions\n")[1].split("\n### ")[0]
    fields = [field.name for field in dataclasses.fields(public.TranscriptionOptions)]
    assert re.findall(r"^\| `(\w+)` \|", options, re.MULTILINE) == fields


def test_homescribe_is_never_installed_by_a_name_that_a_stranger_may_own():
    by_name = re.compile(
        r"(?:pip|pipx|uv tool|uv pip) install (?:-\S+ )*['\"]?homescribe(?!\[\w+\] @ )"
    )
    pages = {page: page.read_text(encoding="utf-8") for page in [*PAGES, ROOT / "Makefile"]}
    assert [page.name for page, text in pages.items() if by_name.search(text)] == []


def test_every_exit_code_is_in_the_docs():
    codes = [f"{code:d}" for code in ExitCode]
    line = r"codes?\W+(0 success.*?130)"  # "Exit codes: 0 success, 1 some items failed, ..."
    for page in ("README.md", "docs/reference/commands.md"):
        [listed] = re.findall(line, (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
        assert re.findall(r"\d+", listed) == codes, page
    errors = (ROOT / "docs" / "concepts" / "errors.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", errors, re.MULTILINE) == codes


def test_no_link_in_the_docs_is_broken():
    assert list(script("generate").broken_links()) == []


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


def test_examples_in_python_use_names_that_exist():
    missing, found = [], 0
    for page in PAGES:
        for block in re.findall(r"```python\n(.+?)```", page.read_text("utf-8"), re.DOTALL):
            for module, name in names_of_homescribe(ast.parse(block)):
                found += 1
                if not hasattr(importlib.import_module(module), name):
                    missing.append(f"{page.name}: {module}.{name}")
    assert found >= 10
    assert missing == []


def names_of_homescribe(tree):
    """(module, name) of everything of homescribe that the code imports or uses as `homescribe.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("homescribe"):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "homescribe":
            yield "homescribe", node.attr


def test_targets_of_make_in_the_docs_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    prose = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    used = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", prose))
    assert {"demo", "test", "quick", "release"} <= used <= targets


def test_urls_of_the_project_have_one_base():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]
    assert set(urls) == {"Documentation", "Source", "Issues", "Changelog"}
    assert [url for url in urls.values() if not url.startswith(urls["Source"])] == []


def test_the_table_of_the_architecture_has_every_module_and_what_it_imports():
    imports = {}
    for module, imported in IMPORTS.items():
        folder = module.split("/")[0]
        imports.setdefault(folder, set()).update(name.split("/")[0] for name in imported)
    expected = {
        folder: sorted(names - {folder})
        for folder, names in imports.items()
        if folder not in (FRONT, "__main__")
    }
    page = (ROOT / "docs" / "concepts" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)(/|\.py)` \| .* \| (.*)\|$", page, re.MULTILINE)
    assert {folder: re.findall(r"\w+", names) for folder, _, names in rows} == expected
    package = Path(public.__file__).parent
    wrong = [f"{name}{end}" for name, end, _ in rows if (package / name).is_dir() != (end == "/")]
    assert wrong == []


def test_the_picture_of_the_architecture_is_what_its_script_draws():
    drawn = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert drawn == script("diagram").picture(), "run `python docs/diagram.py`"


@pytest.mark.models
def test_the_steps_in_the_python_reference_transcribe(tmp_path, capsys):
    page = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    [code] = [
        block for block in re.findall(r"```python\n(.+?)```", page, re.DOTALL) if "Run(" in block
    ]
    for written, tried in {
        "~/homescribe": tmp_path / "library",
        "talks/": demo.samples() / "fox-20s.mp3",
        "small": "demo",
    }.items():
        assert code.count(f'"{written}"') == 1
        code = code.replace(f'"{written}"', repr(str(tried)))
    exec(code, {})
    assert capsys.readouterr().out.splitlines()[-1].endswith(" done")
