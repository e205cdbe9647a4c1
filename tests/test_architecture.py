"""The tree is the architecture: which module may import which, and what stays unloaded."""

import ast
import graphlib
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import homescribe
from homescribe import plugins

PACKAGE = Path(homescribe.__file__).parent
FRONT = "__init__"  # homescribe itself, which re-exports the public names

# module or folder: what it may import of homescribe. A module without a rule has that of its folder.
ALLOWED = {
    "errors": set(),
    "exit_codes": {"errors"},
    "private_files": set(),
    "core": {"errors"},
    "audio": {"errors", "audio"},
    "plugins": {"core", "errors", "text/redaction"},
    "demo": set(),
    "captions": {"core", "errors", "text", "captions"},
    "text/display": {"core"},
    "text/word_times": {"core"},
    "text/redaction": {"core"},
    "text/sanitize": {"text/redaction"},
    "text/log_lines": {"text/redaction", "text/sanitize"},
    "text/scripts": {"text/letter_folds"},
    "text/word_replacement": {"text/scripts"},
    "text/address_lists": {"errors", "text/charsets"},
    "text/glossary_lines": {"errors", "text/sanitize"},
    "text": {"errors"},
    "sources": {"audio", "captions", "core", "errors", "private_files", "text", "sources"},
    "sources/ytdlp/child": {
        *("sources/radio_streams", "sources/ytdlp/caption_tracks"),
        *("sources/ytdlp/connection_guard", "sources/ytdlp/lister"),
    },
    "sources/radio_streams": set(),
    "sources/ytdlp/connection_guard": {"sources/private_networks"},
    "sources/ytdlp/lister": set(),
    "sources/ytdlp/caption_tracks": {"sources/ytdlp/lister"},
    "engines": {"core", "errors", "audio", "demo", "text", "engines"},
    "engines/scheduler": {"errors", "engines/out_of_memory"},  # knows nothing of Whisper
    "service": {"errors", "exit_codes", "private_files", "service"},
    "speakers": {"audio", "core", "errors", "speakers"},
    "speakers/speaker_setting": {"errors"},
    "speakers/speaker_models": {"errors"},
    "speakers/turn_index": {"core"},
    "speakers/assignment": {"core", "speakers", "text/scripts"},
    "cost/prices": {"errors"},
    "cost/budget": {"errors"},
    "cost/speeds": {"cost/prices"},
    "cost": {"core", "errors", "library", "plugins", "cost"},
    "backends": {"core", "plugins", "speakers"},
    "backends/engine_code": {"core"},
    "backends/meter": set(),
    "backends/repeated_failures": {"errors"},
    "backends/speakers_only": {"core", "speakers", "backends/local"},
    "backends/wire": {"core", "errors"},
    "backends/modal": {
        *("core", "errors", "plugins", "cost", "speakers/speaker_models"),
        *("backends/modal", "backends/repeated_failures", "backends/wire"),
    },
    "backends/modal/modal_transcribe": {
        *("core", "errors", "plugins", "cost/prices"),
        *("backends/engine_code", "backends/wire", "backends/modal/images"),
        *("backends/modal/claims", "backends/modal/worker", "speakers"),
    },
    "backends/modal/claims": {"errors", "backends/wire"},
    "backends/modal/worker": {
        *("core", "errors", "backends/wire", "backends/modal/claims", "backends/meter"),
    },
    "backends/modal/images": {"backends/engine_code", "speakers/speaker_models"},
    "backends/ray": {
        *("core", "errors", "plugins", "backends/engine_code", "backends/meter", "backends/wire"),
        *("backends/ray", "backends/repeated_failures", "speakers"),
    },
    "backends/ray/worker_pool": {"errors", "backends/wire"},  # knows nothing of Ray
    "backends/ray/worker_spec": {"core", "errors"},
    "backends/endpoint": {
        *("audio", "core", "cost/audio_budget", "engines/quality", "engines/segments"),
        *("engines/windows", "errors", "private_files", "speakers", "text"),
        *("backends/endpoint", "backends/repeated_failures"),
    },
    "formats": {"core", "errors", "plugins", "text", "formats"},
    "static_site": {"core", "errors", "formats", "plugins", "text", "static_site"},
    "library": {"core", "errors", "plugins", "private_files", "speakers", "text", "library"},
    "notifications": {
        *("core", "errors", "sources/http_errors", "sources/http_post", "text", "notifications"),
    },
    "pipeline": {
        *("audio", "core", "errors", "library", "plugins", "private_files", "text", "pipeline"),
    },
    "config": {"core", "errors", "speakers/speaker_setting", "text"},
    "config_file": {"errors", "private_files"},
    "glossary": {
        *("config", "core", "engines/prompt_tokens", "errors", "library", "private_files"),
        *("text/charsets", "text/display", "text/glossary_lines"),
    },
    "doctor": {
        *("assemble", "errors", "config", "library", "text/display"),
        "sources/ytdlp/javascript_runtime",
    },
    "sources/ytdlp/javascript_runtime": set(),
    "assistants": {
        *("assemble", "config", "core", "errors", "library", "plugins", "text", "assistants"),
    },
    "assemble": {
        *(
            "backends",
            "captions",
            "config",
            "core",
            "cost",
            "demo",
            "engines/cpu",
            "engines/languages",
            "errors",
            "glossary",
            "library",
        ),
        *("notifications", "pipeline", "plugins", "speakers"),
    },
    "web": {
        *("assemble", "audio", "core", "errors", "config", "config_file", "cost", "formats"),
        *("library", "pipeline", "plugins", "speakers", "private_files", "static_site", "text"),
        *("assistants", "glossary", "web"),
    },
}
# Loaded by the functions that need them, so that `homescribe --help` answers at once.
HEAVY = [
    *(
        "apprise",
        "av",
        "faster_whisper",
        "feedparser",
        "mcp",
        "modal",
        "onnxruntime",
        "ray",
        "rich",
        "sherpa_onnx",
        "starlette",
        "torch",
        "whisper",
    ),
    *("requests", "yt_dlp"),
]


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix()
        yield name.removesuffix("/__init__"), path


def imported_names(path):
    """Full names that the file at `path` imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name):
    """The module of homescribe in which the imported name is defined; None if it is of another package."""
    package, *parts = name.split(".")
    if package != "homescribe":
        return None
    while parts and "/".join(parts) not in MODULES:  # a name in a module
        parts.pop()
    return "/".join(parts) or FRONT


MODULES = dict(modules())
IMPORTED_NAMES = {name: set(imported_names(path)) for name, path in MODULES.items()}
IMPORTS = {
    name: {module for each in names if (module := module_of(each))} - {FRONT}
    for name, names in IMPORTED_NAMES.items()
}


def rule(name):
    """What the module may import: its own rule, else that of the nearest folder around it."""
    while name and name not in ALLOWED:
        name = name.rpartition("/")[0]
    return ALLOWED.get(name)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_one_way(name):
    allowed = rule(name)
    if allowed is None:  # the outermost modules: the command line and the public names
        assert name in {FRONT, "__main__"} or name.split("/")[0] == "cli"
        return
    for imported in IMPORTS[name]:
        folders = {"/".join(imported.split("/")[: n + 1]) for n in range(imported.count("/") + 1)}
        assert folders & allowed, f"{name} imports {imported}"


def test_every_rule_is_needed():
    """A rule allows only what is imported, so that each new import between folders is a decision."""
    unused = set()
    for name, allowed in ALLOWED.items():
        used = set().union(*(IMPORTS[module] for module in MODULES if rule(module) is allowed))
        unused |= {
            (name, target)
            for target in allowed
            if not any(each == target or each.startswith(f"{target}/") for each in used)
        }
    assert unused == set()


def test_no_module_imports_itself_through_others():
    """Also within a folder, and also by imports inside functions."""
    with pytest.raises(graphlib.CycleError):  # a cycle would be found
        graphlib.TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()
    graphlib.TopologicalSorter(IMPORTS).prepare()


def test_modules_import_no_public_name_from_the_package_itself():
    """It imports most modules, so that would be a cycle."""
    for name, names in IMPORTED_NAMES.items():
        taken = {each for each in names if module_of(each) == FRONT}
        assert taken <= {"homescribe", "homescribe.__version__"}, name


# Packages that connect to other machines, and av, which opens an address that a file names. (modal and ray
# connect to the user's own account and machines.)
CONNECTING = {
    *(
        "aiohttp",
        "apprise",
        "av",
        "ftplib",
        "http.client",
        "httpx",
        "huggingface_hub",
        "requests",
        "smtplib",
    ),
    *("socket", "telnetlib", "urllib.request", "urllib3", "websockets", "yt_dlp"),
}
# Everything that is fetched for a user comes through http_response or yt-dlp's process, which keep addresses
# of strangers out of private networks; recordings are opened in audio/container.
CONNECTS = {
    "sources/http_response": {"http.client", "requests", "urllib3"},
    "sources/http_post": {"http.client", "requests", "urllib3"},  # to the user's own address
    "notifications/apprise_service": {"apprise"},  # to the user's own addresses
    "sources/http_errors": {"requests", "urllib3"},  # their exceptions
    "sources/private_networks": {"requests", "socket", "urllib3"},
    "sources/ytdlp/child": {"yt_dlp"},
    "sources/ytdlp/lister": {"yt_dlp"},
    "sources/ytdlp/caption_tracks": {"yt_dlp"},
    "sources/ytdlp/connection_guard": {"requests", "socket", "yt_dlp"},
    "sources/local_files": {"urllib.request"},  # url2pathname
    "audio/container": {"av"},
    "audio/decoder_child": {"av"},  # is ready when it is imported
    "audio/flac_file": {"av"},  # writes
    "audio/media_errors": {"av"},
    "audio/media_types": {"av"},  # a constant
    "audio/speech_copy": {"av"},  # writes
    "audio/speech_file": {"av"},  # writes
    "audio/waveform": {"av"},
    "web/security": {"socket"},  # the name of this machine
    "web/server": {"socket"},  # listens
    "engines/models": {"huggingface_hub"},  # published weights
    "speakers/speaker_models": {"huggingface_hub"},
    "backends/endpoint/endpoint_request": {
        "http.client",
        "requests",
        "urllib3",
    },  # to the user's endpoint
    "backends/modal/modal_errors": {"aiohttp"},  # its exceptions
    "backends/ray/local_cluster": {"socket"},  # ports of this machine
}


def test_every_module_that_can_open_an_address_is_known():
    found = {}
    for name, names in IMPORTED_NAMES.items():
        used = {
            package
            for one in names
            for package in CONNECTING
            if f"{one}.".startswith(f"{package}.")
        }
        if used:
            found[name] = used
    assert found == CONNECTS


def test_only_four_functions_make_requests():
    """`open_url` of http_response, `post` of http_post, `send` of endpoint_request, and yt-dlp.

    The rest opens no address.
    """
    opening = re.compile(
        r"\b(requests\.(?:Session|get|head|post|request)|urlopen|urlretrieve|HTTPS?Connection|YoutubeDL|"
        r"create_connection|av\.open|socket\.socket)\("
    )
    found = {
        (name, match[1])
        for name, path in MODULES.items()
        for match in opening.finditer(code_of(path))
    }
    assert found == {
        ("sources/http_response", "requests.Session"),
        ("sources/http_post", "requests.Session"),
        ("sources/private_networks", "requests.Session"),
        ("sources/ytdlp/child", "urlopen"),  # yt-dlp's own, which is wrapped
        ("audio/container", "av.open"),
        ("audio/flac_file", "av.open"),  # writes
        ("audio/speech_copy", "av.open"),  # writes
        ("audio/speech_file", "av.open"),  # writes
        ("backends/endpoint/endpoint_request", "requests.Session"),
        ("backends/ray/local_cluster", "socket.socket"),  # ports of this machine
        ("backends/ray/local_cluster", "create_connection"),
        ("web/server", "socket.socket"),
    }


def code_of(path):
    """The code of a module without comments and strings, on one line for each statement."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
    return ast.unparse(tree)


def loaded_by(code):
    """Heavy modules that are loaded after `code` was run."""
    code += f"; import sys; print(*[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("module", ["homescribe", "homescribe.cli.main"])
def test_importing_loads_nothing_heavy(module):
    assert loaded_by(f"import {module}") == []


@pytest.mark.parametrize("source", plugins.BUILT_IN["sources"])
def test_describing_an_item_loads_nothing_heavy(source):
    """Search results, exports and pages need links of thousands of items."""
    item = f"Item({source!r}, 'id', '/talk.mp3', 'title')"
    assert loaded_by(f"from homescribe import Item, link; link({item}, 0)") == []


def source_comparisons(tree):
    """Lines that compare the source of something with fixed names.

    >>> item.source == "file"
    """

    def is_source(node):
        name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
        return name == "source"

    def is_fixed(node):
        nodes = getattr(node, "elts", [node])
        return all(isinstance(n, ast.Constant) and isinstance(n.value, str) for n in nodes)

    for node in ast.walk(tree):
        compared = []
        match node:
            case ast.Compare(left, _, others):
                compared = [left, *others]
            case ast.Match(subject, cases):
                values = [
                    n.value for c in cases for n in ast.walk(c.pattern) if hasattr(n, "value")
                ]
                compared = [subject, *values]
            case ast.Call(ast.Attribute(subject, "startswith"), arguments):
                compared = [subject, *arguments]
        if any(map(is_source, compared)) and any(map(is_fixed, compared)):
            yield node.lineno


@pytest.mark.parametrize(
    "code",
    [
        'item.source == "file"',
        '"file" != record.item.source',
        'source in ("youtube", "vimeo")',
        'item.source not in {"file"}',
        'item.source.startswith("you")',
        'match item.source:\n    case "file" | "podcast": pass',
    ],
)
def test_comparisons_of_a_source_are_found(code):
    assert [*source_comparisons(ast.parse(code))] == [1]


def test_only_sources_know_sources_by_name():
    """A new source is one file: everybody else calls the methods of `core.Source`."""
    found = {
        f"{name}:{line}"
        for name, path in MODULES.items()
        if not name.startswith("sources/")
        for line in source_comparisons(ast.parse(path.read_text()))
    }
    assert found == set()


def test_no_two_files_have_the_same_name():
    names = Counter(path.name for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
    assert [name for name, files in names.items() if files > 1] == []


def test_no_module_is_named_like_one_of_the_standard_library():
    named = {path.stem for path in PACKAGE.rglob("*.py")} | {
        path.name for path in PACKAGE.rglob("*") if (path / "__init__.py").exists()
    }
    assert named & set(sys.stdlib_module_names) == set()


def test_the_public_names_are_the_ones_in_all():
    public = {
        name
        for name, value in vars(homescribe).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert sorted(public) == homescribe.__all__
    generated = tuple(f"{name}(" for name in public)  # the docstring of a dataclass without one
    undocumented = {
        name
        for name in public
        if not (text := getattr(homescribe, name).__doc__) or text.startswith(generated)
    }
    assert undocumented == set()


def test_only_assemble_builds_from_a_config():
    """The page and the command line open libraries, sources, backends and runs by way of assemble.py."""
    built = {"Library", "Sources", "SourceOptions", "LocalBackend", "ModalBackend", "Run"}
    for name, path in MODULES.items():
        if name.partition("/")[0] not in ("cli", "web"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in built, f"{name} builds a {node.func.id} itself"
