"""The lock files of the images at Modal: complete, and as the engines state."""

import importlib.util
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from homescribe import plugins
from homescribe.backends.modal import images
from homescribe.speakers.speaker_models import COMMON_PACKAGES, PACKAGES

ROOT = Path(__file__).resolve().parent.parent
ENGINES = list(plugins.BUILT_IN["engines"])
LOCKS = [*ENGINES, images.SPEAKER_LOCK]


@pytest.fixture(scope="module")
def lock_images():
    spec = importlib.util.spec_from_file_location("lock_images", ROOT / ".ci" / "lock_images.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def index():
    """Skip with a reason where the package index is not reached, so that the summary names it."""
    pytest.importorskip("uv", reason="uv is not installed: pip install --group test")
    try:
        urllib.request.urlopen("https://pypi.org/simple/openai-whisper/", timeout=10).close()
    except (urllib.error.URLError, OSError) as error:
        pytest.skip(f"the package index is not reached, so no lock file was resolved: {error}")


def locked(engine):
    """Return version and number of hashes of each package in an engine's lock file."""
    text = images.lock_file(engine).read_text()
    entries = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    found = {}
    for entry in entries:
        name, version = re.match(r"([a-z0-9-]+)==(\S+) \\\n", entry).groups()
        found[name] = version, entry.count("--hash=sha256:")
    return found


@pytest.mark.parametrize("engine", LOCKS)
def test_every_stated_package_is_locked_in_its_version(engine, lock_images):
    packages = locked(engine)
    stated = lock_images.locks()[engine]
    for requirement in stated:
        name, _, version = requirement.partition("==")
        assert packages[name.replace("_", "-")][0] == version
    assert len(packages) > len(stated)  # what these need in turn
    assert all(hashes for _, hashes in packages.values())


def test_faster_whispers_image_has_no_torch_and_openai_whispers_no_second_cuda():
    assert not {"torch", "triton"} & set(locked("faster-whisper"))
    assert not [name for name in locked("openai-whisper") if name.endswith("cu12")]


def test_engines_have_what_speakers_import_besides():
    assert {package.partition("==")[0] for package in PACKAGES} <= set(locked(images.SPEAKER_LOCK))
    for engine in ENGINES:
        assert set(COMMON_PACKAGES) <= set(locked(engine))
        assert not set(locked(engine)) & set(locked(images.SPEAKER_LOCK))


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("engine", LOCKS)
def test_a_lock_file_is_what_make_lock_images_writes(engine, lock_images, index):
    """Nothing is missing, nothing is left over, and the versions fit together."""
    content = lock_images.lock(engine)
    assert content == images.lock_file(engine).read_text()


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("engine", LOCKS)
def test_the_locked_packages_can_be_installed_for_the_images_python(engine, tmp_path, index):
    """With their dependencies, none of which may be without a hash."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--require-hashes"),
            *("--python-version", images.PYTHON, "--python-platform", images.PLATFORM),
            *("--target", str(tmp_path), "-r", str(images.lock_file(engine))),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"Would install {len(locked(engine))} packages" in done.stderr


def test_the_uv_of_the_images_is_the_one_that_locks():
    assert f'"uv=={images.UV}"' in (ROOT / "pyproject.toml").read_text()
