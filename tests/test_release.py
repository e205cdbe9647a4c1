"""What `make release` checks before it builds and tags."""

import importlib.util
import itertools
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import homescribe

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def release():
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_version_is_the_packages(release):
    assert release.version() == homescribe.__version__


def test_notes_are_the_section_of_the_version(release):
    log = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-03-01\n\n### Added\n\n- A thing.\n"
    log += "\n## [0.1.0] - 2026-01-01\n\n- All.\n"
    assert release.release_notes(log, "0.2.0") == "### Added\n\n- A thing."
    assert release.release_notes(log, "0.1.0") == "- All."


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("## [Unreleased]\n\n- New.\n\n## [0.1.0] - 2026-01-01\n\n- All.\n", "Unreleased"),
        ("## [0.1.0]\n\n- All.\n", "no section"),
        ("## [0.1.0] - 2026-01-01\n", "no section"),
        ("## [0.0.9] - 2026-01-01\n\n- All.\n", "no section"),
    ],
)
def test_a_changelog_that_is_not_ready_stops_the_release(release, log, message):
    with pytest.raises(SystemExit, match=message):
        release.release_notes(log, "0.1.0")


@pytest.mark.parametrize(
    ("package", "fixed"),
    [
        ("requests", "2.32.4"),  # CVE-2024-47081
        ("urllib3", "2.6.3"),  # CVE-2026-21441
        ("starlette", "0.49.1"),  # CVE-2025-62727
    ],
)
def test_no_version_with_a_known_hole_may_be_installed(package, fixed):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = [
        *project["dependencies"],
        *itertools.chain(*project["optional-dependencies"].values()),
    ]
    found = [one for one in map(Requirement, stated) if one.name == package]
    assert found
    for one in found:
        floors = [Version(part.version) for part in one.specifier if part.operator == ">="]
        assert floors, one
        assert max(floors) >= Version(fixed), one


@pytest.mark.parametrize(
    "remote",
    [
        "git@forge.example:us/homescribe.git",
        "ssh://git@forge.example:22/us/homescribe.git",
        "https://token@forge.example/us/homescribe.git",
        "https://forge.example/us/homescribe/",
    ],
)
def test_a_remote_is_compared_by_its_web_address(release, remote):
    assert release.web_address(remote) == "https://forge.example/us/homescribe"
