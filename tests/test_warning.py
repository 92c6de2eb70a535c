"""Warnings point at the user's line, however deep in the package they arise."""

import types
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score

import backlit
from backlit import MLPClassifier
from backlit._warning import warn_user
from backlit.errors import CheckpointWarning
from backlit.photos import Recipe, train
from backlit.training import Checkpoint, fit
from sample_pictures import save_day_night

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(int)


def line_of(text):
    with open(__file__, encoding="utf-8") as file:
        return next(k for k, line in enumerate(file, 1) if f"# {text}" in line)


@pytest.mark.parametrize("depth", [0, 1, 5])
def test_the_line_outside_of_the_package(depth):
    source = "def inner():\n    warn('so it is', FutureWarning)\n" + "".join(
        f"def inner_{k}():\n    inner{'' if k == 0 else f'_{k - 1}'}()\n" for k in range(5)
    )
    inside = types.ModuleType("backlit.anywhere")
    inside.warn = warn_user
    exec(compile(source, "anywhere.py", "exec"), inside.__dict__)
    function = inside.inner if depth == 0 else getattr(inside, f"inner_{depth - 1}")
    with pytest.warns(FutureWarning, match="so it is") as told:
        function()  # so it is
    assert (told[0].filename, told[0].lineno) == (__file__, line_of("so it is"))


def test_where_everything_is_the_package():
    names = {"__name__": "backlit.cli", "warn": warn_user}
    with pytest.warns(UserWarning, match="nobody else") as told:
        exec("warn('nobody else')", names)
    assert told[0].filename == __file__  # the frame that ran it


def test_a_checkpoint_that_cannot_be_read(tmp_path):
    place = Checkpoint(tmp_path / "c", 0)
    fit(X, Y, hidden=(3,), epochs=3, checkpoint=place)
    newest = max((tmp_path / "c").glob("checkpoint-*"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(b"cut")
    with pytest.warns(CheckpointWarning, match="Going on from the other") as told:
        fit(X, Y, hidden=(3,), epochs=3, checkpoint=place, resume=True)  # damaged
    assert (told[0].filename, told[0].lineno) == (__file__, line_of("damaged"))


def test_a_picture_that_is_left_out(tmp_path):
    folder = save_day_night(tmp_path, 6)
    (folder / "day" / "broken.jpg").write_bytes(b"no picture")
    with pytest.warns(UserWarning, match="left out") as told:
        train(folder, Recipe(hidden=(3,), members=1, epochs=1, copies=0))  # broken
    assert (told[0].filename, told[0].lineno) == (__file__, line_of("broken"))


def test_estimators_below_scikit_learns_wrapper():
    model = MLPClassifier((3,), max_iter=1, random_state=0)
    with pytest.warns(ConvergenceWarning) as told:
        clone(model).fit(X, Y)  # fitted
    assert {(one.filename, one.lineno) for one in told} == {(__file__, line_of("fitted"))}
    lbfgs = clone(model).set_params(solver="lbfgs")
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge") as told:
        lbfgs.fit(X, Y)  # minimized
    assert {(one.filename, one.lineno) for one in told} == {(__file__, line_of("minimized"))}
    with pytest.warns(ConvergenceWarning) as told:
        cross_val_score(model, X, Y, cv=2)  # searched
    assert {(one.filename, one.lineno) for one in told} == {(__file__, line_of("searched"))}


@pytest.mark.parametrize("path", sorted(Path(backlit.__file__).parent.rglob("*.py")), ids=str)
def test_nobody_counts_frames(path):
    assert path.name == "_warning.py" or "stacklevel" not in path.read_text(encoding="utf-8")
