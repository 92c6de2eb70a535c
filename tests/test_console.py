import io
import time

import pytest
from rich.console import Console

from backlit import console
from backlit.console import CountingProgress


@pytest.fixture
def terminal(monkeypatch):
    stream = io.StringIO()
    made = Console(file=stream, force_terminal=True, width=120, highlight=False)
    monkeypatch.setattr(console, "_console", lambda stderr: made)
    return stream


def test_the_bar_learns_how_many_there_are_while_it_counts(terminal, monkeypatch):
    with CountingProgress("predicting") as tick:
        tick.expect(lambda: 40)
        deadline = time.monotonic() + 10
        while tick.total is None and time.monotonic() < deadline:
            time.sleep(0.001)
        for _ in range(40):
            tick()
    shown = terminal.getvalue()
    assert "predicting" in shown
    assert "40/40" in shown
    assert "pictures/s" in shown


def test_nothing_is_counted_for_nobody(terminal):
    with CountingProgress("predicting", hidden=True) as tick:
        tick.expect(lambda: pytest.fail("counted"))
        tick()
    assert terminal.getvalue() == ""
