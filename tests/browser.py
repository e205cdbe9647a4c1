"""Find the browser that the page tests drive, and install one where there is none.

    python tests/browser.py    prints the path of the browser, installing Chromium if necessary

An installed browser is used first, then Chromium from the system's package manager (as root), then the one
that Playwright downloads.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (  # macOS
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# Package manager: commands that install Chromium.
PACKAGE_MANAGERS = {
    "apt-get": [
        ["apt-get", "update", "--quiet=2"],
        ["apt-get", "install", "--quiet=2", "--yes", "--no-install-recommends", "chromium"],
    ],
    "dnf": [["dnf", "install", "--quiet", "--assumeyes", "chromium"]],
}
MISSING = (
    "No browser found for the tests of the pages: install Chromium or Google Chrome (make test does so "
    "where it can), or run the other tests with: pytest -m 'not browser'"
)


def find() -> str | None:
    """Path of a browser that starts; None if there is none."""
    installed = [path for name in NAMES if (path := shutil.which(name))]
    for path in (*installed, *APPLICATIONS):
        if _starts(path):
            return path
    downloaded = _playwright_browser()
    return downloaded if downloaded and _starts(downloaded) else None


def install() -> str | None:
    """Install Chromium. Returns its path; None if no way worked."""
    for program, commands in PACKAGE_MANAGERS.items():
        # Ubuntu's package is a snap, which does not start in a container.
        if _is_root() and shutil.which(program) and _distribution() != "ubuntu":
            _run(commands)
    playwright = [sys.executable, "-m", "playwright", "install", "chromium"]
    if find() is None and _is_root():
        _run([[*playwright, "--with-deps"]])  # also installs the libraries that it needs
    if find() is None:
        _run([playwright])
    return find()


def _run(commands: list[list[str]]) -> None:
    """Run commands up to the first that fails. Their output goes to standard error."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in commands:
        print("+", *command, file=sys.stderr)  # noqa: T201
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
        )
        if done.returncode != 0:
            return


def _distribution() -> str:
    """The id of the Linux distribution: "debian", "ubuntu"; "" elsewhere."""
    try:
        return platform.freedesktop_os_release()["ID"]
    except OSError:
        return ""


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _playwright_browser() -> str | None:
    """The Chromium that `playwright install` has downloaded."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def _starts(path: str) -> bool:
    """Whether this is a browser: a package may install a script that only refers to a snap."""
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main() -> None:
    path = find() or install()
    if path is None:
        sys.exit(MISSING)
    print(path)  # noqa: T201 - a script


if __name__ == "__main__":
    main()
