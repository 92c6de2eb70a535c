"""`backlit grade`: points by a rubric, and a submission that tries to find it out."""

import functools
import json
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from backlit.cli.app import app
from backlit.errors import SettingError
from backlit.gradcheck.sources.grading import Grade, Item, as_junit, grade, new_rubric, read_rubric
from backlit.gradcheck.sources.isolation import Limits

SOLUTION = """
import numpy as np

def affine_forward(x, w, b):
    return x @ w + b, (x, w)

def affine_backward(d, cache):
    x, w = cache
    return d @ w.T, x.T @ d, d.sum(0)
"""
LIMITS = Limits(30.0, 2000.0)
PARTS = ("output", "x", "w", "b")


@functools.cache
def rubric_and_remarks(text):
    """Have a rubric written, once for all tests that use the solution; it names no folder."""
    said = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "solution.py"
        path.write_text(text)
        rubric = new_rubric(path, LIMITS, said.append)
        assert folder not in rubric
    return rubric, said


def rubric_of(folder, text=SOLUTION):
    (folder / "solution.py").write_text(text)
    return rubric_and_remarks(text)


def graded(folder, text, limits=LIMITS):
    rubric, _ = rubric_of(folder)
    path = folder / "submission.py"
    path.write_text(text)
    result, printed = grade(str(path), read_rubric(rubric, folder), limits)
    return {item.part: item for item in result.items}, printed


def test_a_right_submission_earns_all_in_its_own_style(tmp_path):
    text = SOLUTION.replace("x.T @ d", "np.einsum('ij,ik->jk', x, d)").replace(
        "(x, w)\n", "[w, {'x': x}]\n", 1
    )
    text = text.replace("x, w = cache", "w, x = cache[0], cache[1]['x']")
    items, _ = graded(tmp_path, text)
    assert {p: i.points for p, i in items.items()} == dict.fromkeys(PARTS, 1.0)


@pytest.mark.parametrize(
    ("change", "part", "points", "words"),
    [
        (("d.sum(0)", "d.mean(0)"), "b", 0.5, "1/m"),
        (("x.T @ d,", "-x.T @ d,"), "w", 0.5, "sign"),
        (("x.T @ d,", "np.cos(x.T) @ d,"), "w", 0.0, ""),
        (("x.T @ d,", "None,"), "w", 0.0, ""),
        (("return d @", "return 1 / 0, d @"), "x", 0.0, "division by zero"),
        (("    x, w = cache", "    import os; os._exit(0)"), "w", 0.0, "os._exit(0)"),
        (("x @ w + b,", "x @ w + 2 * b,"), "output", 0.0, "differs"),
        (("x @ w + b,", "0 * (x @ w + b),"), "output", 0.0, "differs"),
    ],
)
def test_points_go_by_what_is_found(tmp_path, change, part, points, words):
    items, _ = graded(tmp_path, SOLUTION.replace(*change))
    assert items[part].points == points
    assert words in items[part].reason


def test_a_forward_of_zeros_makes_no_backward_right(tmp_path):
    text = SOLUTION.replace("x @ w + b,", "0 * (x @ w + b),")
    text = text.replace("d @ w.T, x.T @ d, d.sum(0)", "0 * x, 0 * w, 0 * d.sum(0)")
    items, _ = graded(tmp_path, text)
    assert sum(item.points for item in items.values()) == 0


def test_a_missing_function_and_a_file_that_is_no_python(tmp_path):
    for text in ("import numpy as np\n", "def f(:\n"):
        items, _ = graded(tmp_path, text)
        assert [item.points for item in items.values()] == [0.0] * 4
        assert all("Not graded" in item.reason for item in items.values())


CHEAT = """
import gc, os, sys
import numpy as np

def affine_forward(x, w, b):
    return x @ w + b, (x, w)

def affine_backward(d, cache):
    x, w = cache
    seen = [repr(sys.argv), repr(dict(os.environ))]
    frame = sys._getframe()
    while frame is not None:
        seen += [repr(frame.f_locals)[:100_000], repr(sorted(frame.f_globals))]
        frame = frame.f_back
    seen += [repr(o)[:2000] for o in gc.get_objects() if isinstance(o, (list, tuple, dict))]
    for name in ("environ", "cmdline"):
        try:
            seen.append(open(f"/proc/{{os.getppid()}}/{{name}}").read())
        except OSError:
            pass
    with open({seen!r}, "a") as file:
        file.write("\\n".join(seen))
    import backlit.gradcheck.diagnosis.running as running
    import backlit.gradcheck.probing.truth as truth
    from backlit.gradcheck.reporting.report import Finding
    from backlit.gradcheck.sources.grading import Item
    Finding.ok = Finding.right = Item.right = property(lambda self: True)
    Item.points = 100.0
    running.check_subject = truth.compare = lambda *a, **k: None
    np.allclose = lambda *a, **k: True
    return np.sin(d) @ w.T, np.sin(x.T) @ d, np.sin(d).sum(0)
"""


def test_seeds_and_points_are_out_of_a_submission_s_reach(tmp_path):
    seen = tmp_path / "seen"
    rubric, _ = rubric_of(tmp_path)
    plan = read_rubric(rubric, tmp_path)
    path = tmp_path / "submission.py"
    path.write_text(CHEAT.format(seen=str(seen)))
    result, _ = grade(str(path), plan, LIMITS)
    points = {item.part: item.points for item in result.items}
    assert points == {"output": 1.0, "x": 0.0, "w": 0.0, "b": 0.0}
    text = seen.read_text()
    assert "affine_backward" in text
    for seed in plan.seeds:
        assert str(seed) not in text
        assert hex(seed)[2:] not in text


def test_other_seeds_draw_other_inputs(tmp_path):
    rubric_of(tmp_path)
    texts = []
    for _ in range(2):
        rubric, _ = rubric_and_remarks.__wrapped__(SOLUTION)
        texts.append(rubric)
    assert texts[0] != texts[1]
    assert read_rubric(texts[0], tmp_path).tasks == read_rubric(texts[1], tmp_path).tasks


def test_a_rubric_leaves_out_what_is_wrong_in_the_solution(tmp_path):
    more = (
        "\ndef sq_forward(x):\n    return x * x, x\ndef sq_backward(d, x):\n    return 3 * d * x\n"
    )
    rubric, said = rubric_of(tmp_path, SOLUTION + more)
    assert [t.function for t in read_rubric(rubric, tmp_path).tasks] == ["affine_backward"]
    assert said[0].startswith("sq_backward is left out: it is wrong in the solution")
    with pytest.raises(SettingError, match="no backward pass that is right"):
        rubric_of(tmp_path, "import numpy as np\n" + more)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no 'function'"),
        ("seeds = 3", "has no 'function'"),
        ("x = = 1", "cannot be read"),
        ("seeds = [1]\nsolution = 'solution.py'\nfunction = []", "nothing to grade"),
        (
            "seeds = [1]\nsolution = 'gone.py'\n[[function]]\nname='f'\n[function.points]\nx = 1",
            "is not there",
        ),
        (
            "named = 2\nseeds = [1]\nsolution = 'solution.py'\n[[function]]\nname='f'\n"
            "[function.points]\nx = 1",
            "between 0 and 1",
        ),
    ],
)
def test_rubrics_that_cannot_be_used_are_refused(tmp_path, text, words):
    (tmp_path / "solution.py").write_text(SOLUTION)
    with pytest.raises(SettingError, match=words):
        read_rubric(text, tmp_path)


GRADE = Grade(
    "a.py",
    (
        Item("f_backward", "output", 1.0, 1.0, "agrees."),
        Item("f_backward", "w", 0.5, 1.0, "twice the right value \x1b <&>"),
        Item("g_backward", "x", 0.0, 2.0, "unknown"),
    ),
)


def test_the_forms_for_graders_hold_the_same_points():
    scope = GRADE.for_gradescope()
    assert scope["score"] == sum(t["score"] for t in scope["tests"]) == 1.5
    assert sum(t["max_score"] for t in scope["tests"]) == 4.0
    assert {t["status"] for t in scope["tests"]} == {"passed", "failed"}
    files = GRADE.for_otter()["test_file_results"]
    cases = [case for file in files for case in file["test_case_results"]]
    assert sum(c["test_case"]["points"] for c in cases) == 4.0
    assert sum(c["test_case"]["points"] for c in cases if c["passed"]) == 1.5
    root = ElementTree.fromstring(as_junit([GRADE]))
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    assert len(suite.findall("testcase/failure")) == 2
    json.dumps([GRADE.as_dict(), scope, files])


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("solution.py").write_text(SOLUTION)
    Path("half.py").write_text(SOLUTION.replace("d.sum(0)", "d.mean(0)"))
    run = CliRunner()

    def code(*words):
        return run.invoke(app, ["grade", *words]).exit_code

    assert code("--new", "solution.py") == 0
    assert code("--new", "solution.py") != 0  # it is already there
    assert code("solution.py", "--rubric", "rubric.toml", "-f", "json", "-o", "all.json") == 0
    assert json.loads(Path("all.json").read_text())["points"] == 4.0
    assert code("half.py", "--rubric", "rubric.toml", "-f", "gradescope", "-o", "half.json") == 1
    assert json.loads(Path("half.json").read_text())["score"] == 3.5
    assert code("half.py") != 0
    assert code("half.py", "--rubric", "gone.toml") != 0
    assert code("half.py", "--rubric", "rubric.toml", "-f", "yaml") != 0
