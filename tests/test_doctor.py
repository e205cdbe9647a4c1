"""The checks of `homescribe doctor`."""

import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from homescribe import doctor, plugins
from homescribe.config import Config
from homescribe.core import Item, Transcript
from homescribe.library import Library
from homescribe.sources.ytdlp import javascript_runtime
from permissions import let_others_read

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs here are shell scripts")
PYTHON = sys.executable  # of this environment; a fixture changes sys.executable
CACHES = ("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with only Python installed; returns its home directory."""
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{home / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(home / "bin" / "python"))
    for name in CACHES:
        monkeypatch.delenv(name, raising=False)
    return home


def found(name, machine):
    config = replace(Config(), library=machine / "library")
    [one] = [one for one in doctor.check(config) if one.name == name]
    return one


def deno(machine, script, name="deno"):
    program = machine / "bin" / name
    program.write_text(script)
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "state", "finding"),
    [
        ("#!/bin/sh\necho deno 2.4.1", "ok", "deno 2.4.1"),
        ("#!/bin/sh\necho deno 2.2.9", "warning", "too old"),
        ("#!/bin/sh\nexit 1", "warning", "does not run"),
        ("#!/nowhere/sh\n", "warning", "does not run"),
        ("\x7fELF of another machine", "warning", "does not run"),
        ("#!/bin/sh\nprintf '\\377\\376'", "warning", "does not run"),
        ("#!/bin/sh\nexec sleep 60", "warning", "does not run"),
    ],
    ids=["good", "old", "fails", "no interpreter", "foreign", "bytes", "hangs"],
)
def test_deno_that_is_missing_old_or_broken(machine, monkeypatch, script, state, finding):
    if "sleep" in script:
        monkeypatch.setattr(javascript_runtime, "VERSION_TIMEOUT", 0.2)
    deno(machine, script)
    check = found("javascript", machine)
    assert (check.state, finding in check.finding) == (state, True)
    assert bool(check.fix) is (state != "ok")


@pytest.mark.parametrize(
    ("node", "state", "finding"),
    [("v22.3.0", "ok", "node 22.3.0"), ("v20.1.0", "warning", "node 20.1.0 is too old")],
)
def test_node_is_used_where_there_is_no_deno(machine, monkeypatch, node, state, finding):
    monkeypatch.setenv("PATH", str(machine / "bin"))
    assert found("javascript", machine).finding == "neither deno nor node 22 was found"
    deno(machine, f"#!/bin/sh\necho {node}", "node")
    check = found("javascript", machine)
    assert (check.state, check.finding) == (state, finding)


@pytest.mark.parametrize(
    ("variables", "hub", "whisper"),
    [
        ({}, ".cache/huggingface/hub", ".cache/whisper"),
        ({"XDG_CACHE_HOME": "xdg"}, "xdg/huggingface/hub", "xdg/whisper"),
        ({"XDG_CACHE_HOME": "xdg", "HF_HOME": "hf"}, "hf/hub", "xdg/whisper"),
        ({"HF_HOME": "hf", "HF_HUB_CACHE": "models"}, "models", ".cache/whisper"),
    ],
)
def test_downloaded_models_are_found(machine, monkeypatch, variables, hub, whisper):
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(machine / folder))
    assert "none yet" in found("models", machine).finding
    (machine / hub / "models--Systran--faster-whisper-small").mkdir(parents=True)
    (machine / whisper).mkdir(parents=True)
    (machine / whisper / "tiny.pt").touch()
    assert found("models", machine).finding == "small, tiny (openai)"


def test_a_read_only_library_is_a_warning(machine):
    assert "none yet" in found("library", machine).finding
    with Library(machine / "library") as library:
        library.save(Item("file", "1", "/talk.mp3", "talk"), Transcript("e", "m", "en", 1.0, ()))
    assert found("library", machine).state == "ok"
    (machine / "library" / "library.db").chmod(0o444)
    (machine / "library").chmod(0o555)
    let_others_read(machine)
    script = """
import os, sys
from dataclasses import replace
from pathlib import Path
from homescribe import doctor
from homescribe.config import Config
config = replace(Config(), library=Path(sys.argv[1]))
list(doctor.check(config))  # loads all modules: the user below may not be able to read them
if os.geteuid() == 0:
    os.setuid(65534)  # root can write everywhere
for one in doctor.check(config):
    if one.name == "library":
        print(one.state, one.finding)
"""
    done = subprocess.run(
        [PYTHON, "-c", script, machine / "library"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("warning")
    assert "1 items, no damage, but read-only" in done.stdout


def test_hints_name_extras_that_exist_and_nothing_else_of_homescribe():
    """`pip install 'homescribe[web]'` adds to what is installed. The name alone could be a stranger's."""
    root = Path(__file__).resolve().parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    assert set(plugins.EXTRAS.values()) <= extras
    for path in sorted(Path(doctor.__file__).parent.rglob("*.py")):
        named = re.findall(r"install (?:-U )?['\"]?homescribe(\[[\w{}]+\])?", path.read_text())
        assert {"[{extra}]", *(f"[{extra}]" for extra in extras)} >= set(named), path


def test_speakers_are_checked_where_the_settings_request_them(machine, monkeypatch, tmp_path):
    def finding(**settings):
        config = replace(Config(), library=machine / "library", **settings)
        [one] = [one for one in doctor.check(config) if one.name == "speakers"]
        return one

    assert finding().state == "ok"
    assert finding(speakers="auto").finding.startswith("sherpa-onnx 2")
    missing = finding(speakers="auto", speaker_embedding=tmp_path / "none.onnx")
    assert (missing.state, "names no file" in missing.finding) == ("broken", True)
    assert finding(speakers="many").state == "broken"
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    without = finding(speakers="auto")
    assert (without.state, "homescribe[speakers]" in without.fix) == ("broken", True)
