"""Scaled-down runs of loads.py; `python -m benchmarks.load` runs them in full."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "loads.py"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("soak", "--seconds", "0", "--rounds", "6"), "6 rounds: resident"),
        (("threads", "--threads", "32", "--rounds", "1"), "32 threads, 1 rounds"),
        (("processes", "--processes", "1"), "forkserver: 1 processes, the same bits"),
        (("pictures", "--pictures", "20000", "--each", "200"), "20,000 pictures"),
        (("determinism", "--runs", "4", "--processes", "1"), "1 different result"),
        (("moments", "--moments", "3"), "3 moments:"),
        (("signals", "--signals", "2", "--within", "1", "--limit", "10"), "2 signals: left after"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc on this system")
def test_under_load(arguments, expected):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert expected in done.stdout
