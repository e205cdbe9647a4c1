"""The Dockerfile, compose.yaml and .dockerignore. The forge's workflow builds them; here they are read."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from homescribe.cli.commands.serve import serve
from homescribe.config import ENVIRONMENT_PREFIX, settings
from web_server import serving

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STEPS = [
    tuple(line.split(None, 1))
    for line in re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if line.strip()
]


def of(instruction):
    return [rest for name, rest in STEPS if name == instruction]


def test_it_runs_without_root():
    assert of("USER") == ["homescribe"]
    after = [name for name, _ in STEPS[[name for name, _ in STEPS].index("USER") :]]
    assert "RUN" not in after


def test_the_port_is_the_default_one_of_serve():
    port = next(option.default for option in serve.params if option.name == "port")
    assert of("EXPOSE") == [str(port)]
    assert f'"127.0.0.1:{port}:{port}"' in (ROOT / "compose.yaml").read_text()
    assert f"127.0.0.1:{port}/health" in of("HEALTHCHECK")[0]


def test_the_arguments_are_a_command():
    """Those after `docker run homescribe` replace them."""
    arguments = json.loads(of("CMD")[0])
    assert arguments[0] == serve.name
    serve.make_context(serve.name, arguments[1:], resilient_parsing=True)
    assert set(arguments[1::2]) <= {*serve.params[1].opts, "--no-open"}


def test_settings_of_the_image_are_settings():
    known = {setting.environment for setting in settings()} | {f"{ENVIRONMENT_PREFIX}CONFIG"}
    given = {word.partition("=")[0] for word in shlex.split(of("ENV")[0])}
    assert {name for name in given if name.startswith(ENVIRONMENT_PREFIX)} <= known
    assert {"HOMESCRIBE_LIBRARY=/data", "XDG_CACHE_HOME=/data/cache"} <= set(
        shlex.split(of("ENV")[0])
    )
    assert of("VOLUME") == ["/data"]


def test_extras_of_the_image_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    [chosen] = [argument.removeprefix("EXTRAS=") for argument in of("ARG") if "EXTRAS" in argument]
    assert set(chosen.split(",")) <= set(extras)
    assert "homescribe" in extras["all"][0]
    inside = set(re.search(r"\[(.+)\]", extras["all"][0])[1].split(","))
    assert inside == set(extras) - {"all", "whisper", "ray"}  # those need gigabytes, or a cluster


def test_the_build_gets_what_it_copies_and_nothing_else():
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copied = {word for line in of("COPY") if "--from" not in line for word in line.split()[:-1]}
    assert {word.removeprefix("./") for word in copied} == let_through
    assert any(fnmatch("**/__pycache__", line) for line in ignored)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {project["readme"], *project["license-files"], "pyproject.toml", "src"} == let_through


def test_the_health_check_succeeds_only_while_the_server_works(tmp_path):
    [line] = of("HEALTHCHECK")
    program, option, code = json.loads(line.partition("CMD ")[2])
    assert (program, option) == ("python", "-c")

    def check(address):
        here = code.replace("http://127.0.0.1:8765", address)
        assert here != code
        return subprocess.run(
            [sys.executable, "-c", here], stderr=subprocess.DEVNULL, check=False
        ).returncode

    with serving(tmp_path) as address:
        assert check(address) == 0
    assert check(address) != 0


def test_compose_starts_nothing_without_a_token():
    text = (ROOT / "compose.yaml").read_text()
    assert re.search(r"HOMESCRIBE_TOKEN: \$\{HOMESCRIBE_TOKEN:\?.+\}", text)
    assert "cap_drop: [ALL]" in text
    volumes = re.search(r"volumes:\n\s+- (\w+):/data", text)
    assert volumes
    assert re.search(rf"^volumes:\n  {volumes[1]}:", text, re.MULTILINE)


@pytest.mark.parametrize("line", of("RUN"))
def test_pip_leaves_no_cache_in_a_layer(line):
    assert "pip install" not in line or "--no-cache-dir" in line
    assert "sudo" not in line
    assert "latest" not in "".join(of("FROM"))
