import io
import re
import time

import pytest
from rich.console import Console

from backlit import console
from backlit._progress import ProgressBar, error_console
from backlit.photos.evaluation import evaluate_labels
from backlit.photos.judging import FolderEvaluation


@pytest.fixture
def terminal(monkeypatch, request):
    stream = io.StringIO()
    width = getattr(request, "param", 120)
    made = Console(file=stream, force_terminal=True, width=width, highlight=False)
    for place in ("backlit._progress.make_console", "backlit.console.make_console"):
        monkeypatch.setattr(place, lambda **_: made)
    return stream


def test_the_bar_learns_how_many_there_are_while_it_counts(terminal, monkeypatch):
    with ProgressBar("predicting", unit="pictures") as bar:
        bar.expect(lambda: 40)
        deadline = time.monotonic() + 10
        while bar.total is None and time.monotonic() < deadline:
            time.sleep(0.001)
        for done in range(1, 41):
            bar.tick(done)
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
    with ProgressBar("predicting", unit="pictures") as bar:
        for done in range(1, 12_346):
            bar.tick(done, 12_345)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "predicting 12345/12345 0:00:00" in shown
    assert "pictures/s" not in shown


def test_nothing_is_counted_for_nobody(terminal):
    with ProgressBar("predicting", unit="pictures", hidden=True) as bar:
        bar.expect(lambda: pytest.fail("counted"))
        bar.tick(1)
    assert terminal.getvalue() == ""


def test_stages_follow_each_other_and_warnings_stand_above(terminal):
    with ProgressBar(instead="training ...") as bar:
        bar.stage("reading", 3)
        bar.advance(3)
        assert error_console() is bar.console
        console.warn("left out x.jpg")
        bar.stage("training 1/1", 20)
        bar.advance(1, "loss 0.5000")
        bar.advance(20, "loss 0.2500")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    for words in ("reading", "warning: left out x.jpg\n", "training 1/1 20/20", "loss 0.2500"):
        assert words in shown, shown
    assert "training ..." not in shown


def test_a_line_instead_of_a_bar_where_there_is_no_terminal(capsys):
    with ProgressBar(instead="training ...") as bar:
        assert not bar.shown
        for name in ("reading", "training 1/1"):
            bar.stage(name, 3)
            bar.advance(3, "loss 0.5")
    assert capsys.readouterr() == ("", "training ...\n")
