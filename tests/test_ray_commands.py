"""Commands on a real Ray cluster of this machine, and the keeper that starts and ends it."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra ray")

from command_line import CommandLine, install_package
from homescribe import demo
from homescribe.backends.ray import local_cluster
from homescribe.library import Library
from ray_cluster import processes_of, ray_cluster, wait_until
from speech_samples import assert_words, sample_text

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with ray_cluster(tmp_path_factory.mktemp("ray")) as running:
        yield running
    wait_until(lambda: not processes_of(running.state))


@pytest.fixture
def client(cluster, tmp_path):
    return CommandLine(
        tmp_path, cluster.environment, backend="ray", engine="counted", model="demo", workers=1
    )


@pytest.mark.models
def test_a_folder_is_transcribed_and_every_command_knows_it(cluster, client, tmp_path):
    code, out, err = client.run("ray", "status")
    assert (code, out) == (0, "in flight  0 calls of this library\n"), err
    assert "No cluster is running on this machine" in err
    code, out, err = client.run("plan", demo.samples())
    code, _, err = client.run("add", demo.samples())
    assert code == 0, err
    code, out, err = client.run("plan", "--json")
    assert code == 0, err
    assert "known after three recordings" in err
    assert "ray" not in {row["backend"] for row in json.loads(out)["rows"]}

    code, _, err = client.run("run")
    assert code == 0, err
    assert "3 items transcribed" in err
    with Library(client.library) as library:
        for record in library.items():
            assert_words(sample_text(record.item.title), library.transcript(record.item.key).text)
    # What Ray prints about itself is not for the user.
    assert "Ray" not in err
    assert "WARNING" not in err

    code, out, err = client.run("ray", "status")
    assert code == 0, err
    assert re.search(r"machines   1 with 2 cores and 0 GPUs", out)
    assert "kept       0 results" in out
    assert re.search(r"counted\s+demo\s+1\s+1\s+0\s+3\s+0\s+0\n", out)
    code, out, err = client.run("status")
    assert re.search(r"ray CPU +3 calls, [\d.]+x realtime for one worker", out), out
    assert "spent" not in out
    code, out, err = client.run("status", "--json")
    assert json.loads(out)["own_machines"]["ray CPU"]["calls"] == 3
    code, out, err = client.run("doctor", "--json")
    [ray] = [check for check in json.loads(out) if check["name"] == "ray"]
    assert ray["state"] == "ok"
    assert "1 machines, 2 cores, 0 GPUs" in ray["finding"]

    local = local_cluster.find()
    secret_free(local.token, [err, out])
    assert stat.S_IMODE(local_cluster.folder().stat().st_mode) == 0o700
    assert stat.S_IMODE((local_cluster.folder() / "cluster.json").stat().st_mode) == 0o600


def secret_free(token, texts):
    """Assert that a token is in no output, no command line and no log of Ray."""
    for text in texts:
        assert token not in text
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                assert token.encode() not in (process / "cmdline").read_bytes()
            except OSError:
                continue
    stated = json.loads((local_cluster.folder() / "cluster.json").read_text())
    logs = [path for path in Path(stated["scratch"]).rglob("*") if path.is_file()]
    assert len(logs) > 5
    for path in [*logs, local_cluster.folder() / "log"]:
        assert token.encode() not in path.read_bytes(), path


@pytest.mark.models
def test_the_plan_has_the_clusters_speed_and_no_price(cluster, client, tmp_path):
    client.run("add", demo.samples())
    assert client.run("run")[0] == 0
    client.run("remove", sorted(client.done())[0], "--yes")
    client.run("add", demo.samples())
    code, out, err = client.run("plan", "--json")
    assert code == 0, err
    rows = {row["gpu"]: row for row in json.loads(out)["rows"]}
    assert rows["ray CPU"]["backend"] == "ray"
    assert rows["ray CPU"]["dollars"] == 0
    assert rows["ray CPU"]["speed"] > 1
    assert "3 calls of this library" in rows["ray CPU"]["speed_source"]
    code, out, err = client.run("plan")
    [line] = [line for line in out.splitlines() if line.startswith("ray CPU")]
    assert "$" not in line


def test_everything_listens_on_the_loopback_interface_only(cluster, client):
    local_cluster.ensure()
    inodes = set()
    for pid in processes_of(cluster.state):
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            if match := re.fullmatch(r"socket:\[(\d+)\]", str(handle.readlink())):
                inodes.add(match[1])
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                listening.add(fields[1].rpartition(":")[0])
    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert listening
    assert listening <= loopback


def test_a_client_that_is_killed_loses_nothing(cluster, client, tmp_path):
    settings = {"engine": "stumbling", "model": "do sleep 3"}
    client.run("add", demo.samples())
    process = client.start("run", **settings)
    before = len(cluster.lines("begin"))
    wait_until(lambda: len(cluster.lines("begin")) >= before + 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with Library(client.library) as library:
        assert library.calls("ray")
    code, _, err = client.run("ray", "stop")
    assert code == 2, err
    assert re.search(r"would lose \d calls? not finished and \d results? not collected", err), err
    code, _, err = client.run("run", **settings)
    assert code == 0, err
    assert len(client.done()) == 3
    assert len(cluster.lines("begin")) - before == 3


def test_an_address_needs_its_token_and_something_that_answers(cluster, client):
    local = local_cluster.ensure()
    began = time.monotonic()
    right = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": local.token}
    for environment, expected in [
        (right, 0),
        ({**right, "RAY_AUTH_TOKEN": "0" * 64}, 3),
        ({"RAY_AUTH_MODE": "disabled"}, 3),
    ]:
        client.environment |= environment
        code, out, err = client.run("ray", "status", "--address", local.address)
        assert code == expected, err
        if expected:
            assert "The cluster refuses this machine's token." in err
        else:
            assert f"cluster    {local.address}" in out
        secret_free(local.token, [out, err])
    code, _, err = client.run("run", "--address", "ray://127.0.0.1:9")
    assert code == 0  # nothing is pending, so nothing is asked
    client.run("add", demo.samples())
    code, _, err = client.run("run", "--address", "ray://127.0.0.1:9")
    assert code == 3
    assert "nothing answers at 127.0.0.1:9" in err
    code, out, _ = client.run("doctor", "--json", "--address", "ray://127.0.0.1:9")
    [ray] = [check for check in json.loads(out) if check["name"] == "ray"]
    assert (code, ray["state"]) == (3, "broken")
    code, _, err = client.run("run", "--address", "127.0.0.1:6379")
    assert code == 2
    assert "Use ray://HOST:10001" in err
    assert time.monotonic() - began < 240


def test_an_engine_or_model_that_does_not_work_is_one_sentence(client, tmp_path):
    client.run("add", demo.samples())
    code, _, err = client.run("run", engine="stumbling", model="missing")
    assert code == 2
    assert "There is no model named 'missing'." in err
    code, _, err = client.run("run", engine="stumbling", model="foreign")
    assert code == 3
    assert "stumbling cannot load foreign on" in err
    assert "Foreign: a and b" in err
    assert "Traceback" not in err
    code, _, err = client.run("run", engine="stumbling", model="do memory")
    assert code == 1
    assert "The GPU is out of memory." in err
    with Library(client.library) as library:
        assert library.calls("ray") == []
        assert {record.state for record in library.items()} == {"failed"}


def test_packages_of_an_engine_are_installed_on_the_cluster(cluster, tmp_path):
    wheel = make_wheel(tmp_path, "hs-added", "hs_added.py", "WORD = 'installed'\n")
    folder = tmp_path / "packages"
    engine = ENGINE_WITH_PACKAGE.replace("WHEEL", wheel.as_uri())
    install_package(
        folder,
        "with-package",
        {"with_package.py": engine},
        {"homescribe.engines": {"with-package": "with_package:WithPackage"}},
    )
    variables = {**cluster.environment, "PYTHONPATH": str(folder)}
    client = CommandLine(tmp_path, variables, backend="ray", engine="with-package", model="any")
    client.run("add", demo.samples())
    code, _, err = client.run("run")
    assert code == 0, err
    with Library(client.library) as library:
        assert [library.transcript(key).text for key in client.done()] == ["installed"] * 3


ENGINE_WITH_PACKAGE = """
from homescribe.core import EngineRequirements, Segment, Transcript

class WithPackage:
    name, slots = "with-package", 1
    requirements = EngineRequirements(
        packages=("hs-added @ WHEEL",), languages=("en",), download=lambda model, folder: None
    )
    def __init__(self, model):
        self.model = model
    def transcribe(self, audio, options, stop, progress):
        import hs_added
        return Transcript(self.name, self.model, "en", 1.0, (Segment(0.0, 1.0, hs_added.WORD),))
    def close(self):
        pass
"""


def make_wheel(folder, name, file, text):
    """Write a wheel with one module."""
    import zipfile

    stem = name.replace("-", "_")
    path = folder / f"{stem}-1.0-py3-none-any.whl"
    info = f"{stem}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(file, text)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def test_stop_ends_everything_and_leaves_no_token(cluster, client):
    local = local_cluster.ensure()
    scratch = Path(json.loads((local_cluster.folder() / "cluster.json").read_text())["scratch"])
    assert scratch.parent.stat().st_mode & 0o077 == 0
    code, _, err = client.run("ray", "stop", "--yes")
    assert (code, err) == (0, "Stopped.\n")
    try:
        wait_until(lambda: not processes_of(cluster.state), 180)
    except AssertionError as error:
        left = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in processes_of(cluster.state)]
        raise AssertionError(f"still running: {left}") from error
    assert not scratch.parent.exists()
    for path in local_cluster.folder().rglob("*"):
        assert local.token.encode() not in path.read_bytes()
    assert not (cluster.home / ".ray").exists(), "Ray has stored a token of its own"
    code, _, err = client.run("ray", "stop")
    assert (code, err) == (0, "Nothing is running.\n")


# --- The keeper, with something else in place of Ray -----------------------------------------------------

KEEPER = """
import sys
from pathlib import Path
from homescribe.backends.ray import local_cluster as keeper
keeper.LEASE, keeper.FIRST_LEASE = 1.0, 2.0
keeper._ray_start = lambda port, scratch: [
    sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"
]
sys.exit(keeper.keep(Path(sys.argv[1])))
"""


def start_keeper(folder):
    return subprocess.Popen(
        [sys.executable, "-c", KEEPER, folder],
        env={**os.environ, "RAY_AUTH_TOKEN": "a-secret"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def stated(folder):
    try:
        return json.loads((folder / "cluster.json").read_text())
    except FileNotFoundError:
        return None


def test_the_keeper_ends_when_the_lease_is_not_renewed(tmp_path):
    lease = tmp_path / "lease"
    lease.touch()
    keeper = start_keeper(tmp_path)
    address = wait_until(lambda: stated(tmp_path))["address"]
    assert local_cluster._is_kept(tmp_path)
    for _ in range(5):
        time.sleep(0.5)
        lease.touch()
    assert keeper.poll() is None
    scratch = Path(stated(tmp_path)["scratch"]).parent
    assert scratch.exists()
    assert keeper.wait(60) == 0
    assert not (tmp_path / "cluster.json").exists()
    assert not scratch.exists()
    assert not local_cluster._is_kept(tmp_path)
    port = int(address.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_a_keeper_that_is_killed_takes_ray_with_it_and_the_next_one_clears_up(tmp_path):
    (tmp_path / "lease").touch()
    first = start_keeper(tmp_path)
    left = wait_until(lambda: stated(tmp_path))
    scratch = Path(left["scratch"]).parent
    first.kill()
    first.wait()
    assert scratch.exists()
    port = int(left["address"].rpartition(":")[2])
    wait_until(lambda: not local_cluster._answers(port), 10)
    (tmp_path / "lease").touch()
    second = start_keeper(tmp_path)
    wait_until(lambda: (stated(tmp_path) or left) != left)
    assert not scratch.exists()
    second.terminate()
    assert second.wait(60) == 0
