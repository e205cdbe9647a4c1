"""Install, remove and describe the nightly run with the system's own programs: systemctl, launchctl."""

from __future__ import annotations

import getpass
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from homescribe.errors import SetupError
from homescribe.exit_codes import ExitCode
from homescribe.private_files import make_folder, write_file
from homescribe.service.unit_files import (
    LABEL,
    UNIT,
    NightlySync,
    crontab_line,
    launchd_agent,
    systemd_units,
)

TIMEOUT = 60.0  # seconds for a program of the system to answer
BOOTSTRAP_TRIES = 6  # launchd refuses an agent for a moment after its predecessor was removed
BOOTSTRAP_PAUSE = 0.5  # seconds
REASONS = {  # why a run did not succeed
    ExitCode.SOME_FAILED: "some items failed",
    ExitCode.USER_ERROR: "needs you; see the log",
    ExitCode.SETUP_ERROR: "the installation is broken; run homescribe doctor",
    ExitCode.BUDGET_REACHED: "the spending cap was reached",
    ExitCode.ANOTHER_RUN: "another run was working on the library",
}


@dataclass(frozen=True, slots=True)
class Status:
    """What the system knows about the nightly run. Texts are "" where there is none."""

    files: tuple[Path, ...]  # that exist
    active: bool  # the system will run it
    next_run: str = ""
    last_run: str = ""
    last_result: str = ""


class Scheduler(Protocol):
    """What starts programs at a time of the day."""

    name: str
    log: str  # how to read what the nightly run printed

    def files(self, sync: NightlySync) -> dict[Path, str]:
        """Return the text of each file to write."""
        ...

    def install(self, sync: NightlySync) -> None:
        """Write the files and schedule the run, in place of an earlier one.

        Raises SetupError if the system refuses; then nothing is left behind.
        """
        ...

    def remove(self) -> tuple[Path, ...]:
        """Delete the files and cancel the schedule. Return the files that existed."""
        ...

    def status(self) -> Status:
        """Return what the system knows."""
        ...

    def advice(self) -> str:
        """Return what the user should know about this system, or ""."""
        ...


class Systemd:
    """The user's own systemd; needs no root."""

    name = "systemd"
    log = f"journalctl --user -u {UNIT}"

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        config = environ.get("XDG_CONFIG_HOME") or "~/.config"
        self.folder = Path(config).expanduser() / "systemd" / "user"
        self.paths = (self.folder / f"{UNIT}.service", self.folder / f"{UNIT}.timer")

    def files(self, sync: NightlySync) -> dict[Path, str]:
        return {self.folder / name: text for name, text in systemd_units(sync).items()}

    def install(self, sync: NightlySync) -> None:
        try:
            _run("systemctl", "--user", "show", "--property=Version")
        except SetupError as error:
            raise SetupError(error.message, _cron_hint(sync)) from error
        files = self.files(sync)
        started = f"{UNIT}.service" if sync.watch else f"{UNIT}.timer"
        if self._started() != started:
            self.remove()
        _write(files)
        try:
            _run("systemctl", "--user", "daemon-reload")
            _run("systemctl", "--user", "enable", started)
            _run("systemctl", "--user", "restart", started)  # its options may have changed
        except SetupError:
            self.remove()
            raise

    def remove(self) -> tuple[Path, ...]:
        with suppress(SetupError):  # not enabled, or there is no systemd any more
            _run("systemctl", "--user", "disable", "--now", self._started())
        existed = _delete(self.paths)
        with suppress(SetupError):
            _run("systemctl", "--user", "daemon-reload")
        return existed

    def status(self) -> Status:
        files = tuple(path for path in self.paths if path.exists())
        timer = _properties(
            f"{UNIT}.timer", "ActiveState", "NextElapseUSecRealtime", "LastTriggerUSec"
        )
        service = _properties(f"{UNIT}.service", "ActiveState", "Result", "ExecMainStatus")
        watches = bool(files) and self._started() == f"{UNIT}.service"
        last = timer.get("LastTriggerUSec", "")
        last = "" if last == "n/a" else last
        if service.get("ActiveState") == "activating":  # a oneshot service, until it ends
            result = "running now"
        else:
            result = _result(service.get("ExecMainStatus", "")) if last or watches else ""
            if service.get("Result") not in (None, "", "success", "exit-code"):
                result = service["Result"]  # "signal", "oom-kill", ...
        active = timer.get("ActiveState") == "active"
        if watches:
            running = service.get("ActiveState") == "active"
            return Status(files, running, last_result="running now" if running else result)
        upcoming = timer.get("NextElapseUSecRealtime", "") if active else ""
        return Status(files, active, upcoming, last, result)

    def _started(self) -> str:
        """Return the unit that systemd starts: the timer, or a service that runs all the time."""
        service, timer = self.paths
        return f"{UNIT}.{'service' if service.exists() and not timer.exists() else 'timer'}"

    def advice(self) -> str:
        try:
            linger = _run(
                "loginctl", "show-user", getpass.getuser(), "--property=Linger", "--value"
            )
        except (SetupError, OSError, KeyError):
            linger = ""
        if linger.strip() == "yes":
            return ""
        return "It runs only while you are logged in. To change that: loginctl enable-linger"


class Launchd:
    """The user's launchd on macOS; needs no root."""

    name = "launchd"

    def __init__(self, home: Path | None = None) -> None:
        home = home or Path.home()
        self.path = home / "Library" / "LaunchAgents" / f"{LABEL}.plist"
        self.log_file = home / "Library" / "Logs" / "homescribe.log"
        self.log = str(self.log_file)
        self.domain = f"gui/{os.getuid()}"

    def files(self, sync: NightlySync) -> dict[Path, str]:
        return {self.path: launchd_agent(sync, self.log_file)}

    def install(self, sync: NightlySync) -> None:
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self._stop()
        _write(self.files(sync))
        for left in reversed(range(BOOTSTRAP_TRIES)):
            try:
                _run("launchctl", "bootstrap", self.domain, str(self.path))
                return
            except SetupError as error:
                if not left:
                    _delete([self.path])
                    raise SetupError(error.message, _cron_hint(sync)) from error
                time.sleep(BOOTSTRAP_PAUSE)

    def remove(self) -> tuple[Path, ...]:
        self._stop()
        return _delete([self.path])

    def status(self) -> Status:
        files = (self.path,) if self.path.exists() else ()
        try:
            printed = _run("launchctl", "print", f"{self.domain}/{LABEL}")
        except SetupError:
            return Status(files, active=False)
        running = re.search(r"^\s*state = running\s*$", printed, re.MULTILINE)
        code = re.search(r"^\s*last exit code = (\d+)", printed, re.MULTILINE)
        result = "running now" if running else _result(code[1] if code else "")
        return Status(files, active=True, last_result=result)

    def advice(self) -> str:
        return "It runs only while you are logged in, and after sleep when the Mac wakes up."

    def _stop(self) -> None:
        with suppress(SetupError):  # not loaded
            _run("launchctl", "bootout", f"{self.domain}/{LABEL}")


def scheduler() -> Scheduler:
    """Return that of this machine: launchd on macOS, systemd elsewhere."""
    return Launchd() if sys.platform == "darwin" else Systemd()


def _write(files: Mapping[Path, str]) -> None:
    """Write files that only their owner can read: a setting may be a password."""
    for path, text in files.items():
        make_folder(path.parent)
        draft = path.with_name(f".{path.name}.new")
        write_file(draft, text.encode())
        draft.replace(path)


def _delete(paths: tuple[Path, ...] | list[Path]) -> tuple[Path, ...]:
    existed = tuple(path for path in paths if path.exists())
    for path in existed:
        path.unlink(missing_ok=True)
    return existed


def _properties(unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit; none if systemd does not answer."""
    try:
        printed = _run("systemctl", "--user", "show", unit, f"--property={','.join(names)}")
    except SetupError:
        return {}
    pairs = (line.partition("=") for line in printed.splitlines())
    return {name: value for name, _, value in pairs}


def _result(code: str) -> str:
    """Return the words for an exit code; "" for none."""
    if not code:
        return ""
    if code == f"{ExitCode.OK:d}":
        return "succeeded"
    reasons = {f"{each:d}": reason for each, reason in REASONS.items()}
    return f"exit code {code}: {reasons[code]}" if code in reasons else f"exit code {code}"


def _cron_hint(sync: NightlySync) -> str:
    secrets = ""
    if sync.secrets:
        names = ", ".join(sorted(sync.secrets))
        secrets = f"set {names}, which are secret, in config.toml or the crontab, and "
    return f"With cron, {secrets}add this line after `crontab -e`: {crontab_line(sync)}"


def _run(*command: str) -> str:
    """Run a program of the system and return what it prints. Raises SetupError if it fails."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT,
            check=False,
        )
    except FileNotFoundError as error:
        raise SetupError(f"This machine has no {command[0]}.") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetupError(f"{command[0]} does not run: {error}") from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
        raise SetupError(f"{command[0]} failed: {said.splitlines()[-1]}")
    return done.stdout
