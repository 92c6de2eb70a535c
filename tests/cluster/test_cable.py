"""A cut cable: the packets of a worker beyond it are lost, and no connection is closed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.cut_cable import STEP_TIMEOUT, TIMEOUT


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def namespaces():
    """Yield two network namespaces with a cable between them."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces need iproute2")
    near, far = (f"backlit-{os.getpid()}-{side}" for side in ("near", "far"))
    try:
        ip("netns", "add", near)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be had here: {error.stderr.strip()}")
    try:
        ip("netns", "add", far)
        ip("link", "add", "cable", "netns", near, "type", "veth", "peer", "name", "cable",
           "netns", far)  # fmt: skip
        for side, address in ((near, "10.231.77.1/24"), (far, "10.231.77.2/24")):
            ip("-n", side, "addr", "add", address, "dev", "cable")
            ip("-n", side, "link", "set", "lo", "up")
            ip("-n", side, "link", "set", "cable", "up")
        yield near, far
    finally:
        for side in (near, far):
            pids = subprocess.run(
                ["ip", "netns", "pids", side], capture_output=True, text=True, check=False
            ).stdout.split()
            for pid in pids:  # what the program had started, if it came to an untimely end
                os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "del", side], capture_output=True, check=False)


def test_a_cut_cable_is_noticed_in_time(namespaces, tmp_path):
    near, far = namespaces
    program = Path(__file__).with_name("cut_cable.py")
    done = subprocess.run(
        ["ip", "netns", "exec", near, sys.executable, str(program), near, far,
         str(tmp_path / "kept")],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    # with a worker on this side, the training goes on there, with the same bits
    assert said["goes on"]["vector"] == said["expected"]
    assert said["goes on"]["workers"] == 1
    assert STEP_TIMEOUT <= said["goes on"]["seconds"] < STEP_TIMEOUT + 20
    # without, it ends, and what it had kept goes on elsewhere
    assert "no worker for 8 seconds" in said["stops"]["error"]
    assert "resume=True" in said["stops"]["error"]
    least = STEP_TIMEOUT + TIMEOUT
    assert least <= said["stops"]["seconds"] < least + 20
    assert said["resumed"] == said["expected"]
