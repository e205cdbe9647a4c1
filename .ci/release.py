"""Check, build and tag a release. Nothing is uploaded or pushed: the last lines say which commands do that.

make release    runs lint and all tests first, then this script
make package    builds and checks the files only

The version is the one in src/homescribe/__init__.py. The script stops with one line when
- a file is not committed, the branch is not main, or the tag exists,
- `Source` in [project.urls] is not the address of the git remote "origin",
- CHANGELOG.md has no dated section for the version, or "Unreleased" still has entries,
- the built files do not pass `twine check`, or one of them is larger than MAX_BYTES,
- one of them, installed on its own, does not print the version, or its demo does not find its phrase.
"""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
MAX_BYTES = 15_000_000  # of an archive; the model and recordings of the demo are two thirds of it
PHRASE = "quick brown fox"  # in the demo's recordings


def version(root: Path = ROOT) -> str:
    """Return the version that src/homescribe/__init__.py states."""
    text = (root / "src/homescribe/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert found, "__init__.py has no __version__"
    return found[1]


def release_notes(changelog: str, version: str) -> str:
    """Return the changelog's section of `version`, without its heading.

    Raises SystemExit if there is none with a date, or if entries are left under "Unreleased".
    """
    sections = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    bodies = {heading: body.strip() for heading, _, body in (s.partition("\n") for s in sections)}
    if bodies.get("[Unreleased]"):
        sys.exit(f"CHANGELOG.md: move the entries under [Unreleased] to [{version}] - YYYY-MM-DD.")
    for heading, body in bodies.items():
        match = re.fullmatch(r"\[(.+)\] - (\d{4}-\d{2}-\d{2})", heading)
        if match and match[1] == version and body:
            datetime.date.fromisoformat(match[2])
            return body
    sys.exit(f"CHANGELOG.md has no section [{version}] - YYYY-MM-DD.")


def web_address(remote: str) -> str:
    """Return the https address of a git remote, without user, port and ".git"."""
    match = re.fullmatch(r"(?:\w+://)?(?:[^@/]+@)?([^:/]+)(?::\d+)?[:/](.+?)(?:\.git)?/?", remote)
    return f"https://{match[1]}/{match[2]}" if match else remote


def check_repository(tag: str) -> None:
    """Stop unless the working tree is a clean main whose remote is the project's address."""
    if _git("status", "--porcelain"):
        sys.exit("There are uncommitted changes.")
    if (branch := _git("branch", "--show-current")) != "main":
        sys.exit(f"The branch is {branch}, not main.")
    if _git("tag", "--list", tag):
        sys.exit(f"The tag {tag} exists. Raise the version in src/homescribe/__init__.py.")
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    origin = web_address(_git("remote", "get-url", "origin"))
    if origin != urls["Source"]:
        sys.exit(f"pyproject.toml: Source is {urls['Source']}, but origin is {origin}.")


def build(version: str) -> list[Path]:
    """Build the source archive and the wheel, and check each, also installed on its own."""
    shutil.rmtree(DIST, ignore_errors=True)
    _run(sys.executable, "-m", "build", "--outdir", str(DIST))
    files = sorted(DIST.iterdir())
    _run(sys.executable, "-m", "twine", "check", "--strict", *map(str, files))
    for file in files:
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
        if file.stat().st_size > MAX_BYTES:
            sys.exit(f"{file.name} is larger than {MAX_BYTES / 1e6:.0f} MB.")
        check_installed(file, version)
    return files


def check_installed(file: Path, version: str) -> None:
    """Install an archive into an environment of its own, and run the demo there, far from the source tree."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        _run(f"{folder}/bin/pip", "install", "--quiet", str(file))
        program = f"{folder}/bin/homescribe"
        shown = _output(program, "--version", cwd=folder)
        if version not in shown:
            sys.exit(f"{file.name} prints {shown.strip()!r}, not version {version}.")
        _output(program, "demo", "--output", "demo", cwd=folder)
        found = _output(program, "--library", "demo", "search", PHRASE, "--json", cwd=folder)
        if PHRASE not in found.lower():
            sys.exit(f"{file.name}: the demo did not find {PHRASE!r}: {found.strip()!r}")
    print(f"{file.name}: installed alone, {version}; the demo finds {PHRASE!r}.")


def main() -> None:
    """Release the current version; with --build, only build and check its files."""
    release = version()
    if sys.argv[1:] == ["--build"]:
        build(release)
        return
    tag = f"v{release}"
    check_repository(tag)
    notes = release_notes((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), release)
    files = build(release)
    _git("tag", "--annotate", tag, "--cleanup=verbatim", "--message", f"{tag}\n\n{notes}")
    names = " ".join(str(file.relative_to(ROOT)) for file in files)
    print(f"Built and tagged {tag}. To publish it:")
    print(f"  git push origin main {tag}")
    print(f"  .venv/bin/twine upload {names}")


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"git {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout.strip()


def _output(*command: str, cwd: str) -> str:
    """Run a command and return its standard output."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"This failed: {' '.join(command)}")
    return done.stdout


def _run(*command: str) -> None:
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit(f"This failed: {' '.join(command)}")


if __name__ == "__main__":
    main()
