"""Damaged media and feeds beside good ones: a run ends with the good ones done, and with no error but ours.
Damaged pages and lists: no error but ours, and no address that is none. Damaged captions: no error but ours,
and no text or times that are none.

The environment variable HOMESCRIBE_FUZZ is the number of cases, HOMESCRIBE_FUZZ_SEED the first seed:
`make fuzz` runs thousands from a random one. A failure names its seed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = int(os.environ.get("HOMESCRIBE_FUZZ", "300"))
SEED = int(os.environ.get("HOMESCRIBE_FUZZ_SEED", "1"))
BATCH = 1000
MOST_SECONDS = 20  # for two seconds of audio, on a busy machine
MOST_MEGABYTES = 1500

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(60 + CASES),
    pytest.mark.skipif(sys.platform == "win32", reason="measures memory with `resource`"),
]


@pytest.mark.parametrize("what", ["media", "feeds", "addresses", "captions"])
def test_damaged_inputs_are_failures_of_their_own(tmp_path, what):
    for seed in range(SEED, SEED + CASES, BATCH):
        cases = min(BATCH, SEED + CASES - seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        # In a process of its own: a crash in native code fails the test.
        command = [sys.executable, "-W", "ignore", Path(__file__).with_name("fuzz.py"), what]
        done = subprocess.run(
            [*command, str(seed), str(cases), folder],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
            timeout=1800,
        )
        name = f"{what}, seeds {seed} to {seed + cases - 1}"
        assert (done.returncode, done.stderr) == (0, ""), f"{name}: {done.stderr[-3000:]}"
        result = json.loads(done.stdout)
        assert result["problems"] == [], name
        assert result["outcomes"] > cases / 2, name
        assert result["slowest"] < MOST_SECONDS, f"{name}: {result['slowest_key']}"
        assert result["megabytes"] < MOST_MEGABYTES, name
