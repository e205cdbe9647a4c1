"""The tree is the architecture: who may import whom, and what stays unloaded."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import homescribe

PACKAGE = Path(homescribe.__file__).parent

# module: what of homescribe it may import. A folder's rule serves every module in it.
ALLOWED = {
    "errors": set(),
    "core": {"errors"},
    "audio": {"errors"},
    "plugins": {"errors"},
    "demo": {"errors"},
    "sources/files": {"core", "errors", "audio", "sources/text"},
    "sources/podcast": {"core", "errors", "sources/transfer", "sources/text"},
    "sources/transfer": {"core", "errors", "sources/text"},
    "sources/text": set(),
    "sources/ytdlp": {
        *("core", "errors", "sources/text", "sources/ytdlp_errors", "sources/ytdlp_process")
    },
    "sources/ytdlp_errors": {"core", "errors", "sources/text"},
    "sources/ytdlp_process": {"core", "errors", "sources/ytdlp_errors"},
    "sources/ytdlp_child": set(),
    "engines": {"core", "errors", "audio", "demo", "engines"},
    "money": {"errors"},
    "plan": {"core", "errors", "library", "money"},
    "backends": {"core", "errors", "plugins"},
    "backends/modal_wire": {"core", "errors"},
    "backends/modal_transcribe": {"core", "errors", "plugins", "money", "backends/modal_wire"},
    "backends/modal_backend": {
        "core",
        "errors",
        "money",
        "backends/modal_wire",
        "backends/modal_transcribe",
    },
    "exporters": {"core", "errors"},
    "library": {"core", "errors", "library"},
    "pipeline": {"core", "errors", "library", "plugins", "pipeline"},
    "doctor": {"core", "errors", "config", "library", "plugins"},
    "config": {"core", "errors"},
    "records": {"library"},
    "renting": {"backends", "config", "core", "library", "money", "plugins"},
    "text": {"core"},
    "web": {
        *("core", "errors", "audio", "config", "exporters", "library", "money", "pipeline"),
        *("plan", "plugins", "records", "renting", "text", "web"),
    },
}
HEAVY = [
    "torch",
    "whisper",
    "modal",
    "yt_dlp",
    "faster_whisper",
    "av",
    "starlette",
    "rich",
    "feedparser",
]
# What is imported from these are modules.
PACKAGES = ("homescribe", "homescribe.backends", "homescribe.engines", "homescribe.sources")


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix()
        yield name.removesuffix("/__init__"), path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module]
            if node.module in PACKAGES:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith("homescribe."):
                yield name.removeprefix("homescribe.").replace(".", "/")


@pytest.mark.parametrize(("name", "path"), [pytest.param(*m, id=m[0]) for m in modules()])
def test_imports_go_one_way(name, path):
    allowed = ALLOWED.get(name, ALLOWED.get(name.partition("/")[0]))
    if allowed is None:  # the edge: the command line, the package's front
        return
    for imported in imports(path):
        names = {imported, imported.partition("/")[0]}
        assert names & allowed or imported == "__version__", f"{name} imports {imported}"


@pytest.mark.parametrize("module", ["homescribe", "homescribe.cli"])
def test_importing_loads_nothing_heavy(module):
    code = f"import {module}, sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_module_is_named_like_one_of_the_standard_library():
    taken = {name for name, _ in modules() if name.rpartition("/")[2] in sys.stdlib_module_names}
    assert taken == set()
