"""A channel through the Ray backend, while workers and the client are killed.

The full run (430 videos, three workers and three clients killed) takes some minutes: make ray-soak
"""

import os
import random
import signal
import sys
import time
from collections import Counter

import pytest

pytest.importorskip("ray", reason="needs the extra ray")

from command_line import CommandLine
from homescribe.backends.ray.ray_backend import RayBackend
from homescribe.library import Library
from ray_cluster import processes_of, ray_cluster, wait_until
from speech_samples import assert_words

pytestmark = [pytest.mark.slow, pytest.mark.models]

FULL = os.environ.get("HOMESCRIBE_SOAK") == "full"
VIDEOS, WORKER_KILLS, CLIENT_KILLS = (430, 3, 3) if FULL else (40, 1, 1)
RANDOM = random.Random(12)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.timeout(3600 if FULL else 600)
def test_every_recording_is_computed_once_whatever_is_killed(tmp_path, faketube):
    faketube.videos = VIDEOS
    faketube.save()
    with ray_cluster(tmp_path) as cluster:
        path = os.pathsep.join((faketube.environment["PYTHONPATH"], str(cluster.packages)))
        client = CommandLine(
            tmp_path,
            {**faketube.environment, **cluster.environment, "PYTHONPATH": path},
            sleep_interval=0,
            captions="ignore",  # requests are counted
            backend="ray",
            engine="counted",
            model="demo",
            workers=2,
        )
        code, _, err = client.run("add", faketube.CHANNEL)
        assert code == 0, err
        began = time.monotonic()
        kill(client, cluster)
        code, _, err = client.run("run", timeout=1800)
        assert code == 0, err
        took = time.monotonic() - began

        with Library(client.library) as library:
            for number in range(1, VIDEOS + 1):
                key = f"youtube:{faketube.id(number)}"
                assert_words(faketube.words(number), library.transcript(key).text)
            [measured] = library.measured("ray")
        computed = Counter(key for key, _ in cluster.lines("end"))
        assert len(computed) == VIDEOS
        assert set(computed.values()) == {1}
        # A worker that replaces another may find nothing left to begin.
        assert 2 <= len({pid for _, pid in cluster.lines("begin")}) <= 2 + WORKER_KILLS
        [pool] = RayBackend().status().pools
        begun = len(cluster.lines("begin"))
        assert pool["deaths"] == WORKER_KILLS
        assert 2 <= pool["starts"] <= 2 + WORKER_KILLS
        assert pool["done"] == VIDEOS
        assert pool["retried"] >= begun - VIDEOS > 0  # a worker may die before it begins
        print(  # noqa: T201 - with -s this is the report
            f"\n{VIDEOS} transcripts in {took:.0f} s with {WORKER_KILLS} workers and {CLIENT_KILLS} clients "
            f"killed; {sum(computed.values())} computed, {pool['retried']} begun again after their worker "
            f"was killed; one worker at {measured.speed:.0f} times realtime"
        )
    wait_until(lambda: not processes_of(cluster.state))


def kill(client, cluster):
    """Kill workers and clients in turn, at moments that are spread over the run."""
    hold = cluster.log.with_suffix(".hold")
    steps = ["worker"] * WORKER_KILLS + ["client"] * CLIENT_KILLS
    RANDOM.shuffle(steps)
    process = client.start("run")
    for number, step in enumerate(steps, 1):
        goal = number * VIDEOS // (len(steps) + 2)
        while len(client.done()) < goal:
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        time.sleep(RANDOM.uniform(0.0, 1.0))
        if step == "client":
            process.send_signal(signal.SIGKILL)
            process.communicate()
            process = client.start("run")
            continue
        # No recording ends while this file exists, so none is killed between its end and its reply.
        hold.touch()
        pids = wait_until(cluster.working)
        time.sleep(1.0)
        os.kill(RANDOM.choice(sorted(pids)), signal.SIGKILL)
        hold.unlink()
    process.send_signal(signal.SIGINT)  # the next run collects what this one has submitted
    process.communicate()
