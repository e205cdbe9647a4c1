"""The tree is the architecture: who may import whom, and what stays unloaded."""

import ast
import graphlib
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
    "plugins": {"core", "errors"},
    "demo": {"errors"},
    "text/display": {"core"},
    "text": {"core", "errors", "text"},
    "sources": {"core", "errors", "audio", "text", "sources"},
    "sources/ytdlp/child": set(),
    "engines": {"core", "errors", "audio", "demo", "engines"},
    "cost/prices": {"errors"},
    "cost": {"core", "errors", "library", "plugins", "cost"},
    "backends": {"core", "errors", "plugins"},
    "backends/modal": {"core", "errors", "plugins", "cost", "backends/modal"},
    "backends/modal/modal_transcribe": {
        *("core", "errors", "plugins", "cost/prices", "backends/modal/wire")
    },
    "backends/modal/wire": {"core", "errors"},
    "formats": {"core", "errors", "plugins", "text", "formats"},
    "library": {"core", "errors", "plugins", "text", "library"},
    "pipeline": {"core", "errors", "library", "plugins", "pipeline"},
    "config": {"core", "errors"},
    "doctor": {"core", "errors", "config", "library", "plugins"},
    "assemble": {
        *("backends", "config", "core", "cost", "errors", "library", "pipeline", "plugins")
    },
    "web": {
        *("assemble", "core", "errors", "audio", "config", "cost", "formats", "library"),
        *("pipeline", "plugins", "text", "web"),
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


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix()
        yield name.removesuffix("/__init__"), path


def imports(path, known):
    """Modules of homescribe that the file at `path` imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] != "homescribe":
                continue
            inside = "/".join(parts[1:])
            while inside and inside not in known:  # a name in a module
                inside = inside.rpartition("/")[0]
            if inside:
                yield inside


MODULES = dict(modules())
IMPORTS = {name: set(imports(path, MODULES)) for name, path in MODULES.items()}


def rule(name):
    """What the module may import: its own rule, or that of the nearest folder around it."""
    while name and name not in ALLOWED:
        name = name.rpartition("/")[0]
    return ALLOWED.get(name)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name):
    allowed = rule(name)
    if allowed is None:  # the edge: the command line, the package's front
        return
    for imported in IMPORTS[name]:
        folders = {"/".join(imported.split("/")[: n + 1]) for n in range(imported.count("/") + 1)}
        assert folders & allowed, f"{name} imports {imported}"


def test_no_module_imports_itself_by_way_of_others():
    """Also inside a folder, and also by imports inside of functions."""
    with pytest.raises(graphlib.CycleError):  # it would be seen
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    # A package's __init__ stands for all that it re-exports; its own modules do not import it.
    graphlib.TopologicalSorter(IMPORTS).prepare()


@pytest.mark.parametrize("module", ["homescribe", "homescribe.cli.main"])
def test_importing_loads_nothing_heavy(module):
    code = f"import {module}, sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_module_is_named_like_one_of_the_standard_library():
    taken = {name for name, _ in modules() if name.rpartition("/")[2] in sys.stdlib_module_names}
    assert taken == set()
