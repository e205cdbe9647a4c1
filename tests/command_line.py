"""homescribe as a command in processes of its own, and other packages for it to find."""

import os
import subprocess
import sys

import pytest

from homescribe.library import Library


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Keep the settings of this machine out of the tests."""
    for name in list(os.environ):
        if name.startswith("HOMESCRIBE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOMESCRIBE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HOMESCRIBE_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)


class CommandLine:
    """Runs commands on the library in `folder`, without a config file or settings of the developer.

    `variables` are environment variables; `settings` are homescribe's own, by name: `model="demo"`.
    """

    def __init__(self, folder, variables=(), **settings):
        self.library = folder / "library"
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HOMESCRIBE_", "MODAL_"))
        }
        own = {"library": self.library, "config": folder / "none.toml", **settings}
        self.environment = {**inherited, **dict(variables), **_variables(own)}

    def start(self, *arguments, without=(), **settings):
        """Start a command with further `settings`, and without the environment variables `without`."""
        environment = {**self.environment, **_variables(settings)}
        return subprocess.Popen(
            [sys.executable, "-m", "homescribe", *map(str, arguments)],
            env={name: value for name, value in environment.items() if name not in without},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def run(self, *arguments, timeout=400, **options):
        """Run a command and return its exit code, output and errors."""
        with self.start(*arguments, **options) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return process.returncode, out, err

    def done(self):
        """Keys of the items that are transcribed."""
        with Library(self.library) as library:
            return {record.item.key for record in library.items(state="done")}


def _variables(settings):
    return {f"HOMESCRIBE_{name.upper()}": str(value) for name, value in settings.items()}


def install_package(folder, name, files, entry_points):
    """Write an installed package into `folder`, as pip leaves it there.

    Args:
        files: text by path in `folder`.
        entry_points: {"homescribe.engines": {"name": "module:attribute"}}
    """
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "top_level.txt").write_text(
        "".join(sorted({f"{path.split('/')[0].removesuffix('.py')}\n" for path in files}))
    )
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{point} = {target}\n" for point, target in points.items())
            for group, points in entry_points.items()
        )
    )
