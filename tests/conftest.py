"""What every test shares: how Hypothesis draws, its process, and that Ctrl-C is answered."""

import os
import signal
from importlib.metadata import version

import pytest
from hypothesis import HealthCheck, settings

# The same examples each time: a failure on one machine is a failure on every machine, and says
# which example it was.
settings.register_profile(
    "backlit",
    deadline=None,
    derandomize=True,
    max_examples=60,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("backlit")

# Until 1.8 scikit-learn's test modules refuse to be imported beside array-api-strict without it.
if tuple(map(int, version("scikit-learn").split(".")[:2])) < (1, 8):
    os.environ.setdefault("SCIPY_ARRAY_API", "1")

# A shell that runs something in the background has it ignore Ctrl-C, and so would all that the
# tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


#: what takes longest, begun first, so that no worker is left with one of them in the end
SLOWEST = ("tests/cluster", "tests/test_load.py", "tests/training/test_checkpoints.py")
#: the tests of these share nothing, and need not share a process
ALONE = ("tests/test_load.py",)


def group_of(nodeid):
    """Return whose process a test shares: its file's; all files in `cluster` share its workers."""
    file = nodeid.partition("::")[0]
    if file.startswith("tests/cluster/"):
        return "tests/cluster"
    return nodeid if file in ALONE else file


def pytest_collection_modifyitems(items):
    """Begin with what takes longest."""

    def place(item):
        begins = [item.nodeid.startswith(name) for name in SLOWEST]
        return begins.index(True) if any(begins) else len(SLOWEST)

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Send the tests of a group to one process, so that what they share is made once.

    The marks of ``--dist=loadgroup`` would do, but pytest-xdist 3.8 writes them to a place where
    pytest 9.2 does not look, and each test goes where there is room.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    return Groups(config, log) if config.getvalue("dist") == "loadscope" else None
