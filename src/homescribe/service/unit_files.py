"""The files that make systemd or launchd run `homescribe sync`, every night or all the time; a line for cron.

Formats: systemd.service(5), systemd.timer(5), systemd.syntax(7), launchd.plist(5), crontab(5).
"""

from __future__ import annotations

import plistlib
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homescribe.errors import UserError
from homescribe.exit_codes import ExitCode

UNIT = "homescribe-sync"
LABEL = "org.homescribe.sync"
NOTE = "Written by `homescribe service install`; `homescribe service remove` deletes it."
RESTART_PAUSE = 60  # seconds after which a watching process that failed is started again
MAX_DELAY = 5 * 60  # seconds: not every machine asks a site in the same second of the night
# Exit codes that are no failure: another run is working on the library; interrupted, as at shutdown.
EXPECTED_EXITS = (ExitCode.ANOTHER_RUN, ExitCode.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class NightlySync:
    """A command to run every day, or to keep running.

    Attributes:
        command: program and arguments; the program's path is absolute.
        environment: variables that are set for it.
        hour, minute: when, in local time.
        watch: it is to run all the time.

    Raises UserError for a word that the files of the system's schedulers cannot have.
    """

    command: tuple[str, ...]
    environment: Mapping[str, str]
    hour: int
    minute: int
    secrets: frozenset[str] = frozenset()  # names of variables that are shown to nobody
    watch: bool = False

    def __post_init__(self) -> None:
        for word in (*self.command, *self.environment.values()):
            if any(ord(character) < 32 or ord(character) == 127 for character in word):
                raise UserError(
                    f"{word!r} has a control character, which no scheduler of the system accepts.",
                    "Rename the file or folder, or leave the option out.",
                )
            if any(0xD800 <= ord(character) < 0xE000 for character in word):
                raise UserError(
                    f"{word!r} is not valid UTF-8, which the system's schedulers need.",
                    "Rename the file or folder, or leave the option out.",
                )

    @property
    def at(self) -> str:
        return f"{self.hour:02}:{self.minute:02}"


def parsed_time(text: str) -> tuple[int, int]:
    """Return hour and minute of a time such as "02:00"; raise UserError if it is none."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})", text.strip(), re.ASCII)
    if not found or int(found[1]) > 23 or int(found[2]) > 59:
        raise UserError(f"{text!r} is not a time of day.", "Write hours and minutes: 02:00, 23:30.")
    return int(found[1]), int(found[2])


def systemd_units(sync: NightlySync) -> dict[str, str]:
    """Return the text of the service, and of its timer unless it runs all the time, by file name."""
    command = " ".join(_quoted(word) for word in sync.command)
    variables = [
        f"Environment={_quoted(f'{name}={value}')}" for name, value in sync.environment.items()
    ]
    kind = (
        ["Type=exec", "Restart=on-failure", f"RestartSec={RESTART_PAUSE}"]
        if sync.watch
        else ["Type=oneshot"]
    )
    service = [
        f"# {NOTE}",
        "[Unit]",
        "Description=List all sources of homescribe and transcribe what is new",
        "",
        "[Service]",
        *kind,
        f"ExecStart=:{command}",  # ":" leaves "$" as it is
        *variables,
        "Nice=10",
        "IOSchedulingClass=idle",
        f"SuccessExitStatus={' '.join(f'{code:d}' for code in EXPECTED_EXITS)}",
    ]
    if sync.watch:
        service += ["", "[Install]", "WantedBy=default.target"]
        return {f"{UNIT}.service": _lines(service)}
    timer = [
        f"# {NOTE}",
        "[Unit]",
        "Description=Every night: list all sources of homescribe and transcribe what is new",
        "",
        "[Timer]",
        f"OnCalendar=*-*-* {sync.at}:00",
        f"RandomizedDelaySec={MAX_DELAY}",
        "Persistent=true",  # after a night in which the machine was off, when it is on again
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]
    return {f"{UNIT}.service": _lines(service), f"{UNIT}.timer": _lines(timer)}


def launchd_agent(sync: NightlySync, log: Path) -> str:
    """Return the text of the property list. What the command prints is appended to `log`."""
    when: dict[str, object] = {"StartCalendarInterval": {"Hour": sync.hour, "Minute": sync.minute}}
    if sync.watch:
        when = {
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": RESTART_PAUSE,
        }
    agent = {
        "Label": LABEL,
        "ProgramArguments": list(sync.command),
        "EnvironmentVariables": dict(sync.environment),
        **when,
        "StandardOutPath": str(log),
        "StandardErrorPath": str(log),
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "Nice": 10,
    }
    head, body = plistlib.dumps(agent, sort_keys=False).decode().split("\n", 1)
    return f"{head}\n<!-- {NOTE} -->\n{body}"


def crontab_line(sync: NightlySync) -> str:
    """Return the line for `crontab -e`, without secrets.

    In a crontab, "%" ends the command unless it is escaped.
    """
    variables = [
        f"{name}={value}" for name, value in sync.environment.items() if name not in sync.secrets
    ]
    words = [*(["env", *variables] if variables else []), *sync.command]
    when = "@reboot" if sync.watch else f"{sync.minute} {sync.hour} * * *"
    return f"{when}  {shlex.join(words)}".replace("%", r"\%")


def _quoted(word: str) -> str:
    """Return a word for a unit file: in quotes if it must be, "%" doubled since it begins a specifier."""
    word = word.replace("%", "%%")
    if re.fullmatch(r"[\w./:=,@+%-]+", word, re.ASCII):
        return word
    return '"' + word.replace("\\", r"\\").replace('"', r"\"") + '"'


def _lines(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
