import io
import re
import time

import pytest
from rich.console import Console

from backlit import console
from backlit.console import CountingProgress
from backlit.photos.evaluation import evaluate_labels
from backlit.photos.judging import FolderEvaluation


@pytest.fixture
def terminal(monkeypatch, request):
    stream = io.StringIO()
    width = getattr(request, "param", 120)
    made = Console(file=stream, force_terminal=True, width=width, highlight=False)
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


@pytest.mark.parametrize("terminal", [40], indirect=True)
def test_forty_columns_are_enough(terminal):
    """No word and no number is broken, and no bar is cut off."""
    labels = [0] * 1200 + [1] * 1300
    evaluation = evaluate_labels(labels, [0] * 1100 + [1] * 1400, ("day", "night"))
    console.show_evaluation(FolderEvaluation(evaluation, [], [], "validation"))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    for words in (
        "validation 2400/2500   96.0 % 95–97 %",
        "class     n prec. % rec. % F1 %",
        "night 1,300    92.9  100.0 96.3",
        "day              1100   100",
    ):
        assert words in text, text
    assert max(map(len, text.splitlines())) <= 40
    terminal.truncate(0)
    with CountingProgress("predicting") as tick:
        for _ in range(12_345):
            tick(12_345)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "predicting 12345/12345 0:00:00" in shown
    assert "pictures/s" not in shown


def test_nothing_is_counted_for_nobody(terminal):
    with CountingProgress("predicting", hidden=True) as tick:
        tick.expect(lambda: pytest.fail("counted"))
        tick()
    assert terminal.getvalue() == ""
