"""Scaled-down runs of loads.py; `python -m benchmarks.load` runs them in full."""

import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
#: each in a process of its own
APART = {
    "soak --seconds 0 --rounds 24": "24 rounds: resident",
    "pictures --pictures 20000 --each 200": "20,000 pictures",
    "moments --moments 3": "3 moments:",
    "signals --signals 2 --within 1 --limit 10": "2 signals: left after",
}
#: one after the other in one process, as most of the time of one goes into imports
TOGETHER = {
    "threads --threads 32 --rounds 1": "32 threads, 1 rounds",
    "determinism --runs 4 --processes 1": "1 different result",
    "processes --processes 1": "forkserver: 1 processes, the same bits",
}

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="no /proc on this system"
)


def _run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, check=False, timeout=300, cwd=SUPPORT,
    )  # fmt: skip


@pytest.mark.parametrize("command", APART, ids=lambda command: command.split()[0])
def test_under_load(command):
    done = _run(SUPPORT / "loads.py", *command.split())
    assert done.returncode == 0, done.stdout + done.stderr
    assert APART[command] in done.stdout


def test_under_load_in_one_process():
    done = _run("-c", f"import loads\nfor one in {list(TOGETHER)}: loads.main(one.split())")
    assert done.returncode == 0, done.stdout + done.stderr
    for said in TOGETHER.values():
        assert said in done.stdout
