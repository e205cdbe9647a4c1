"""`homescribe service`: what systemd, launchd and cron get, and what they make of it."""

import getpass
import os
import plistlib
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import CommandLine
from homescribe.cli.commands import service as service_command
from homescribe.cli.program import as_called
from homescribe.errors import SetupError, UserError
from homescribe.exit_codes import ExitCode
from homescribe.library import Library
from homescribe.service import scheduler_programs
from homescribe.service.scheduler_programs import Launchd, Systemd
from homescribe.service.unit_files import (
    NightlySync,
    crontab_line,
    launchd_agent,
    parsed_time,
    systemd_units,
)

HARD_WORDS = (
    "100% of $HOME",
    'a "quoted" one',
    "back\\slash",
    "ümlaut %h",
    "it's",
    "",
    "${X}",
    "a;b",
)
# Answers as systemctl does, and notes each call.
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> "$CALLS"
case "$*" in
  *"$REFUSED"*) echo "Failed: no bus" >&2; exit 1;;
  *show*timer*)
    printf 'ActiveState=active\\nNextElapseUSecRealtime=Thu 02:03\\nLastTriggerUSec=Wed 02:01\\n';;
  *show*service*)
    printf 'ActiveState=%s\\nResult=exit-code\\n' "${SERVICE:-inactive}"
    printf 'ExecMainStatus=%s\\n' "${EXIT_CODE:-2}";;
esac
"""
LAUNCHCTL = """#!/bin/sh
echo "launchctl $*" >> "$CALLS"
case "$1" in
  bootstrap)
    [ "$(grep -c bootstrap "$CALLS")" -gt "$REFUSALS" ] || { echo "Bootstrap failed: 5" >&2; exit 5; };;
  print) printf '\\tstate = not running\\n\\tlast exit code = 0\\n';;
esac
"""


def nightly(*words, **environment):
    return NightlySync((sys.executable, "-m", "homescribe", "sync", *words), environment, 2, 5)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A home directory, and programs of the system that note how they were called."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (
        ("systemctl", SYSTEMCTL),
        ("launchctl", LAUNCHCTL),
        ("loginctl", "#!/bin/sh\necho no"),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("REFUSED", "nothing is")
    monkeypatch.setenv("REFUSALS", "0")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    return tmp_path


def calls(machine):
    return (machine / "calls").read_text().splitlines()


# --- Files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"), [("02:00", (2, 0)), ("23:59", (23, 59)), (" 7:05", (7, 5))]
)
def test_a_time_of_day(text, expected):
    assert parsed_time(text) == expected


@pytest.mark.parametrize("text", ["24:00", "2", "02:60", "02:00:00", "noon", "", "٠٢:٠٠"])
def test_what_is_no_time_of_day(text):
    with pytest.raises(UserError, match="not a time of day"):
        parsed_time(text)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd")
def test_systemd_accepts_the_files(tmp_path):
    for name, text in systemd_units(nightly(*HARD_WORDS, PATH="/usr/bin", X=HARD_WORDS[0])).items():
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
    )
    about_ours = [line for line in done.stderr.splitlines() if "homescribe" in line]
    assert (done.returncode, about_ours) == (0, [])


def test_a_unit_runs_once_a_day_also_after_a_night_without_power():
    units = systemd_units(nightly())
    assert "OnCalendar=*-*-* 02:05:00\n" in units["homescribe-sync.timer"]
    assert "Persistent=true\n" in units["homescribe-sync.timer"]
    assert "SuccessExitStatus=5 130\n" in units["homescribe-sync.service"]


def test_words_of_a_unit_are_not_read_as_specifiers_or_variables():
    service = systemd_units(nightly("100% of $HOME", 'a "b" \\'))["homescribe-sync.service"]
    [line] = [line for line in service.splitlines() if line.startswith("ExecStart=")]
    assert line == rf'ExecStart=:{sys.executable} -m homescribe sync "100%% of $HOME" "a \"b\" \\"'


def test_a_line_break_cannot_add_a_line_to_a_unit():
    with pytest.raises(UserError, match="control character"):
        nightly("a\nExecStartPre=/bin/rm")
    with pytest.raises(UserError, match="control character"):
        nightly(PROXY="a\nExecStartPre=/bin/rm")


def test_a_path_that_is_not_utf8_is_refused_before_anything_is_written():
    with pytest.raises(UserError, match="not valid UTF-8"):
        nightly(HOMESCRIBE_LIBRARY=os.fsdecode(b"/home/me/\xff"))


def test_the_line_for_cron_has_no_secrets(machine, monkeypatch):
    monkeypatch.setenv("REFUSED", "show ")
    environment = {
        "HOMESCRIBE_WEBHOOK_SECRET": "whsec_s3cr3t",
        "HTTPS_PROXY": "http://me:s3cr3t@proxy.example",
        "HOMESCRIBE_MODEL": "small",
    }
    secrets = service_command._secrets(environment)
    assert secrets == {"HOMESCRIBE_WEBHOOK_SECRET", "HTTPS_PROXY"}
    sync = NightlySync(nightly().command, environment, 2, 5, secrets)
    with pytest.raises(SetupError) as caught:
        Systemd().install(sync)
    assert "s3cr3t" not in caught.value.hint
    assert "HOMESCRIBE_MODEL=small" in caught.value.hint
    assert "set HOMESCRIBE_WEBHOOK_SECRET, HTTPS_PROXY" in caught.value.hint
    # A file that only its owner can read.
    assert "whsec_s3cr3t" in systemd_units(sync)["homescribe-sync.service"]


def test_launchd_gets_each_word_as_it_is():
    agent = plistlib.loads(
        launchd_agent(nightly(*HARD_WORDS, A="ü & <b>"), Path("/l/log")).encode()
    )
    assert agent["ProgramArguments"] == list(nightly(*HARD_WORDS).command)
    assert agent["EnvironmentVariables"] == {"A": "ü & <b>"}
    assert agent["StartCalendarInterval"] == {"Hour": 2, "Minute": 5}
    assert agent["StandardErrorPath"] == "/l/log"


def test_a_shell_that_cron_starts_gets_each_word_as_it_is():
    show = "import os, sys; print(sys.argv[1:] == eval(os.environ['EXPECTED']))"
    sync = NightlySync(
        (sys.executable, "-c", show, *HARD_WORDS), {"EXPECTED": repr(list(HARD_WORDS))}, 2, 5
    )
    line = crontab_line(sync)
    assert line.startswith("5 2 * * *  ")
    command = line.removeprefix("5 2 * * *  ").replace(r"\%", "%")  # as cron does
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert "%" not in line.replace(r"\%", "")


def watching(*words):
    command = (sys.executable, "-m", "homescribe", "sync", "--watch", *words)
    return NightlySync(command, {}, 2, 5, watch=True)


def test_a_watching_service_is_started_again_when_it_fails():
    units = systemd_units(watching())
    assert list(units) == ["homescribe-sync.service"]
    [service] = units.values()
    for line in ("Type=exec", "Restart=on-failure", "RestartSec=60", "WantedBy=default.target"):
        assert f"{line}\n" in service
    agent = plistlib.loads(launchd_agent(watching(), Path("/l/log")).encode())
    assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"SuccessfulExit": False})
    assert "StartCalendarInterval" not in agent
    assert crontab_line(watching()).startswith(f"@reboot  {sys.executable} ")


# --- Programs of the system -----------------------------------------------------------------------------


def test_systemd_runs_it_every_night_until_it_is_removed(machine):
    systemd = Systemd()
    systemd.install(nightly())
    files = systemd.status().files
    assert [path.name for path in files] == ["homescribe-sync.service", "homescribe-sync.timer"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]
    for step in ("daemon-reload", "enable homescribe-sync.timer", "restart homescribe-sync.timer"):
        assert f"systemctl --user {step}" in calls(machine)
    assert systemd.remove() == files
    assert "systemctl --user disable --now homescribe-sync.timer" in calls(machine)
    assert not any(path.exists() for path in files)
    assert systemd.remove() == ()


def test_the_state_that_systemd_reports(machine):
    Systemd().install(nightly())
    found = Systemd().status()
    assert (found.active, found.next_run, found.last_run) == (True, "Thu 02:03", "Wed 02:01")
    assert found.last_result == "exit code 2: needs you; see the log"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (ExitCode.OK, "succeeded"),
        (ExitCode.SOME_FAILED, "exit code 1: some items failed"),
        (ExitCode.SETUP_ERROR, "exit code 3: the installation is broken; run homescribe doctor"),
        (ExitCode.BUDGET_REACHED, "exit code 4: the spending cap was reached"),
        (ExitCode.ANOTHER_RUN, "exit code 5: another run was working on the library"),
        (ExitCode.INTERRUPTED, "exit code 130"),
        (203, "exit code 203"),  # systemd's own: the program cannot be run
    ],
)
def test_the_result_of_the_last_run_is_in_words(machine, monkeypatch, code, words):
    monkeypatch.setenv("EXIT_CODE", f"{code:d}")
    Systemd().install(nightly())
    assert Systemd().status().last_result == words


def test_watching_takes_the_place_of_the_nightly_run_and_the_other_way_round(machine, monkeypatch):
    systemd = Systemd()
    systemd.install(nightly())
    systemd.install(watching())
    assert [path.name for path in systemd.status().files] == ["homescribe-sync.service"]
    assert "systemctl --user disable --now homescribe-sync.timer" in calls(machine)
    assert "systemctl --user restart homescribe-sync.service" in calls(machine)
    assert systemd.status().last_result == "exit code 2: needs you; see the log"
    monkeypatch.setenv("SERVICE", "active")
    found = systemd.status()
    assert (found.active, found.next_run, found.last_result) == (True, "", "running now")
    systemd.install(nightly())
    assert len(systemd.status().files) == 2
    assert "systemctl --user disable --now homescribe-sync.service" in calls(machine)


@pytest.mark.parametrize("refused", ["show", "enable", "daemon-reload"])
def test_nothing_is_left_where_systemd_refuses(machine, monkeypatch, refused):
    monkeypatch.setenv("REFUSED", f"{refused} " if refused != "daemon-reload" else refused)
    systemd = Systemd()
    with pytest.raises(SetupError, match="no bus") as caught:
        systemd.install(nightly())
    assert not any(path.exists() for path in systemd.paths)
    if refused == "show":
        assert crontab_line(nightly()) in caught.value.hint


def test_who_logs_out_is_told_that_it_does_not_run_then(machine):
    assert "enable-linger" in Systemd().advice()
    (machine / "programs" / "loginctl").write_text(
        f'#!/bin/sh\n[ "$2" = {getpass.getuser()} ] && echo yes'
    )
    assert Systemd().advice() == ""


def test_launchd_is_asked_again_while_it_still_removes_the_old_agent(machine, monkeypatch):
    monkeypatch.setattr(scheduler_programs, "BOOTSTRAP_PAUSE", 0.0)
    monkeypatch.setenv("REFUSALS", "2")
    launchd = Launchd(machine / "home")
    launchd.install(nightly())
    assert [line.split()[1] for line in calls(machine)] == ["bootout", *["bootstrap"] * 3]
    found = launchd.status()
    assert (found.active, found.last_result) == (True, "succeeded")
    assert launchd.remove() == (launchd.path,)


def test_no_agent_is_left_where_launchd_refuses(machine, monkeypatch):
    monkeypatch.setattr(scheduler_programs, "BOOTSTRAP_PAUSE", 0.0)
    monkeypatch.setenv("REFUSALS", "99")
    launchd = Launchd(machine / "home")
    with pytest.raises(SetupError, match="Bootstrap failed"):
        launchd.install(nightly())
    assert not launchd.path.exists()


# --- The command ----------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "darwin", reason="the command uses launchd here")
def test_the_command_installs_what_it_shows(machine):
    run = CommandLine(machine).run
    Library(machine / "library").close()
    flags = ("--model", "demo", "-f", "md", "-o", "notes 100%", "--limit", "3", "--at", "4:30")
    code, shown, said = run("service", "install", "--dry-run", *flags)
    assert code == 0
    assert said.count("Would write") == 2
    assert not (machine / "calls").exists()

    code, _, said = run("service", "install", *flags)
    assert code == 0, said
    assert "every night at 04:30, by systemd" in said
    assert "There are no sources yet" in said
    units = machine / "home" / "config" / "systemd" / "user"
    service = (units / "homescribe-sync.service").read_text()
    assert service in shown
    notes = str(Path.cwd() / "notes 100%%")
    assert f'-m homescribe sync -f md -o "{notes}" --limit 3\n' in service
    assert "Environment=HOMESCRIBE_MODEL=demo\n" in service
    assert f"Environment=HOMESCRIBE_LIBRARY={machine / 'library'}\n" in service
    assert f"Environment=HOMESCRIBE_CONFIG={machine / 'none.toml'}\n" in service
    assert "OnCalendar=*-*-* 04:30:00\n" in (units / "homescribe-sync.timer").read_text()

    code, shown, _ = run("service", "status")
    assert code == 0
    assert "active, by systemd" in shown
    assert "needs you" in shown
    assert run("service", "remove")[0] == 0
    code, _, said = run("service", "status")
    assert (code, said.split(".")[0]) == (2, "Not installed")


@pytest.mark.skipif(sys.platform == "darwin", reason="the command uses launchd here")
def test_the_command_installs_a_service_that_watches(machine):
    run = CommandLine(machine).run
    Library(machine / "library").close()
    code, shown, said = run(
        "service", "install", "--dry-run", "--watch", "--every", "1d", "--poll", "9"
    )
    assert (code, said.count("Would write")) == (0, 1)
    assert "-m homescribe sync --watch --every 1d --poll 9\n" in shown
    assert "all the time, by systemd" in run("service", "install", "--watch")[2]
    assert "not a duration" in run("service", "install", "--watch", "--every", "x")[2]
    assert "need --watch" in run("service", "install", "--poll", "9")[2]


def test_what_cannot_run_at_night_is_refused(machine, monkeypatch):
    run = CommandLine(machine).run
    assert "There is no library" in run("service", "install")[2]
    Library(machine / "library").close()
    assert "not a time of day" in run("service", "install", "--at", "25:00")[2]
    assert "Name a directory" in run("service", "install", "-o", "-")[2]
    assert run("service", "install", "--model", "no-such-model", "--engine", "no-such")[0] == 2
    assert not (machine / "home" / "config" / "systemd").exists()


def test_the_environment_of_uvx_is_recognized():
    temporary = service_command.TEMPORARY
    assert temporary.search("/home/me/.cache/uv/archive-v0/x7Yq/bin")
    assert temporary.search("/home/me/.cache/pipx/abc/")
    assert not temporary.search("/home/me/.local/share/uv/tools/homescribe")
    assert not temporary.search("/home/me/.local/share/pipx/venvs/homescribe")


def test_the_line_for_cron_is_printed_as_it_is():
    line = crontab_line(nightly())
    assert as_called(line) == line
