"""What every test shares: how Hypothesis draws, its process, and that Ctrl-C is answered."""

import signal

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

# A shell that runs something in the background has it ignore Ctrl-C, and so would all that the
# tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """The tests of a file share a process; those of all files in `cluster` do, and its workers."""
    for item in items:
        name = "cluster" if item.path.parent.name == "cluster" else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(name))
