"""A real Ray cluster on this machine for tests, and an engine that does what its media or its model says."""

import contextlib
import os
import sys
import time
from pathlib import Path

import pytest

from command_line import install_package
from homescribe import plugins
from homescribe.backends.ray import local_cluster

# An engine of another package. It writes a line to the file $ENGINE_LOG when it begins and when it ends a
# recording, and waits while there is a file of that name with ".hold".
ENGINE = '''
import os, pathlib, time
from homescribe.core import EngineRequirements, Segment, Transcript
from homescribe.engines.faster_whisper import FasterWhisper
from homescribe.errors import PermanentError, UserError

LOG = pathlib.Path(os.environ.get("ENGINE_LOG", "/dev/null"))

class Foreign(Exception):
    """An exception of a package that only the worker has."""
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")

def note(*words):
    with LOG.open("a") as log:
        log.write(" ".join(map(str, words)) + "\\n")

class Stumbling:
    name, slots = "stumbling", 2
    requirements = EngineRequirements(
        packages=(), languages=("en",), download=lambda model, folder: None, slots=2
    )
    def __init__(self, model):
        if model == "missing":
            raise UserError("There is no model named 'missing'.", "Use another.")
        if model == "foreign":
            raise Foreign("a", "b")
        self.model, self.present = model, 0
    def transcribe(self, audio, options, stop, progress):
        what = audio.media.decode(errors="replace")
        if self.model.startswith("do "):  # where the media is a real recording
            what = self.model.removeprefix("do ")
        note("begin", audio.item.id, os.getpid())
        self.present += 1
        try:
            if what.startswith("die"):
                os._exit(1)
            if what.startswith("permanent"):
                raise PermanentError("There is no audio.", "Take another file.")
            if what.startswith("memory"):
                raise UserError("The GPU is out of memory.", "Take a larger one.")
            if what.startswith("foreign"):
                raise Foreign("CUDA", "trouble")
            if what.startswith("exit"):
                raise SystemExit(3)
            if what.startswith("nothing"):
                return None
            if what.startswith("meet"):  # two recordings at once in this process
                deadline = time.monotonic() + 20
                while self.present < 2 and time.monotonic() < deadline:
                    time.sleep(0.01)
                what = f"met {self.present >= 2}"
                time.sleep(0.3)
            if what.startswith("sleep"):
                time.sleep(float(what.split()[1]))
            segment = Segment(0.0, 1.0, f" {what}")
            return Transcript(self.name, self.model, "en", 60.0, (segment,))
        finally:
            self.present -= 1
            note("end", audio.item.id, os.getpid())
    def close(self):
        pass

class Counted(FasterWhisper):
    """faster-whisper, with a line in the log when it begins and when it has a transcript."""
    def transcribe(self, audio, options, stop, progress):
        note("begin", audio.item.id, os.getpid())
        transcript = super().transcribe(audio, options, stop, progress)
        while LOG.with_suffix(".hold").exists():
            time.sleep(0.01)
        note("end", audio.item.id, os.getpid())
        return transcript
'''
ENGINES = {"stumbling": "stumbling_engine:Stumbling", "counted": "stumbling_engine:Counted"}


class RayCluster:
    """This machine's cluster in `folder`, and what commands and tests need to use it.

    `environment` are the variables of commands that use it.
    """

    def __init__(self, folder):
        self.log = folder / "engine.log"
        self.log.touch()
        packages = folder / "packages"
        install_package(
            packages,
            "stumbling-engine",
            {"stumbling_engine.py": ENGINE},
            {"homescribe.engines": ENGINES},
        )
        self.packages = packages
        self.state = folder / "state"
        self.home = folder / "home"
        self.home.mkdir()
        self.environment = {
            "HOME": str(self.home),
            "XDG_STATE_HOME": str(self.state),
            "ENGINE_LOG": str(self.log),
            "PYTHONPATH": str(packages),
            local_cluster.CPUS: "2",
        }

    def lines(self, word):
        """Item ids (and process ids) of the engine's log lines that start with `word`."""
        split = (line.split() for line in self.log.read_text().splitlines())
        return [(words[1], int(words[2])) for words in split if words[0] == word]

    def working(self):
        """Ids of the worker processes that have begun a recording and not ended it."""
        left = self.lines("begin")
        for each in self.lines("end"):
            left.remove(each)
        return {pid for _, pid in left if _alive(pid)}


@contextlib.contextmanager
def ray_cluster(folder):
    """Yield a RayCluster that is used by this process and its children; end Ray afterwards."""
    cluster = RayCluster(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(cluster.packages)
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        plugins._entry_points.cache_clear()
        try:
            yield cluster
        finally:
            local_cluster.stop()
            plugins._entry_points.cache_clear()


def processes_of(folder):
    """Ids of processes that have `folder` in their environment, this one excepted; on Linux only."""
    found = []
    if sys.platform != "linux":
        return found
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with contextlib.suppress(OSError):
                if os.fsencode(folder) in (process / "environ").read_bytes():
                    found.append(int(process.name))
    return found


def wait_until(condition, seconds=60.0):
    """Wait until `condition()` is true and return its value; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)
    return value


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
