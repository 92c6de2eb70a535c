"""`check_target`: files, notebooks and modules, without running what they do."""

import io
import json
import sys

import pytest

from backlit.errors import SettingError
from backlit.gradcheck.sources.target import check_target, load_target
from gradcheck.notebook import CLASSIC, SAFE_OUTPUT, source

TRAP = "raise SystemExit('top level was run')\n"


def run(target, form="table"):
    out, err = io.StringIO(), io.StringIO()
    code = check_target(str(target), format=form, stdout=out, stderr=err)
    return code, out.getvalue(), err.getvalue()


def notebook(path, *cells):
    found = [{"cell_type": "markdown", "source": ["# Title\n"]}]
    found += [
        {"cell_type": "code", "source": cell.splitlines(keepends=True), "outputs": []}
        for cell in cells
    ]
    path.write_text(json.dumps({"cells": found, "nbformat": 4, "metadata": {}}), encoding="utf-8")
    return path


def test_the_classic_notebook_has_exactly_two_problems(tmp_path):
    text = source(*CLASSIC)
    head, tail = text.split("def linear_backward")
    path = notebook(
        tmp_path / "day_and_night.ipynb",
        "%matplotlib inline\n!pip install nothing\nimport matplotlib_is_not_here as plt\n" + TRAP,
        head,
        "def linear_backward" + tail,
        "parameters = train(X, Y)\nplt.plot(costs)\n" + TRAP,
        "this is no python",
    )
    code, out, _ = run(path, "json")
    data = json.loads(out)
    assert code == 1
    assert [(p["function"], p["gradient"], p["relation"]) for p in data["problems"]] == [
        ("linear_backward", None, "raises"),
        ("linear_backward", "A_prev", "scale"),
    ]
    assert data["problems"][1]["factor_name"] == "1/m"
    assert data["first"] == data["problems"][0]
    assert "code cell 3" in data["problems"][1]["file"]
    assert "code cell 5" in data["unchecked"][0]["function"]
    code, out, _ = run(path)
    assert code == 1
    assert "2 problems. The first wrong place going backward: linear_backward." in out
    assert "code cell 3" in out
    assert "\x1b" not in out


def test_a_right_file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(source(SAFE_OUTPUT) + "\n" + TRAP, encoding="utf-8")
    code, out, err = run(path)
    assert (code, err) == (0, "")
    assert "every gradient is right" in out
    code, out, _ = run(path, "json")
    assert code == 0
    assert json.loads(out)["ok"] is True


def test_one_function_of_a_file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(source(SAFE_OUTPUT, *CLASSIC), encoding="utf-8")
    assert run(f"{path}:relu_backward")[0] == 0
    code, out, _ = run(f"{path}:linear_backward", "json")
    assert code == 1
    assert {f["function"] for f in json.loads(out)["findings"]} == {"linear_backward"}
    assert run(f"{path}:linear_forward")[0] == 1
    assert run(f"{path}:compute_cost")[0] == 2
    assert run(f"{path}:nothing")[0] == 2


def test_nothing_but_definitions_is_run(tmp_path):
    text = source(SAFE_OUTPUT).replace(
        "def linear_backward(dZ, cache):",
        "@print\ndef unused(x=exit_now()):\n    pass\n\n\n"
        "def helper(x=open('touched', 'w')):\n    return 1\n\n\n"
        "class Thing:\n    open('touched', 'w')\n    size = 3\n"
        "    other = open('touched', 'w')\n\n\n"
        "def linear_backward(dZ, cache):\n    helper(), Thing.size",
    )
    text = "open('touched', 'w')\nx = open('touched', 'w')\n" + text
    text += "\nfor _ in range(3):\n    open('touched', 'w')\nif True:\n    open('touched', 'w')\n"
    text += "with open('touched', 'w') as f:\n    pass\n[open('touched', 'w') for _ in range(2)]\n"
    text += "if __name__ == '__main__':\n    open('touched', 'w')\n"
    path = tmp_path / "net.py"
    path.write_text(text.replace("'touched'", repr(str(tmp_path / "touched"))), encoding="utf-8")
    code, _, err = run(path)
    assert code == 0, err
    assert not (tmp_path / "touched").exists()


def test_constants_and_neighbours_are_there(tmp_path):
    (tmp_path / "my_helpers_of_a_net.py").write_text("SCALE = 2.0\n", encoding="utf-8")
    text = source(SAFE_OUTPUT).replace(
        "return dA_prev, dW, db\n", "return dA_prev, dW / SCALE * TWO, db + EMPTY['zero']\n"
    )
    text = (
        "from my_helpers_of_a_net import SCALE\nTWO: float = 4 / 2\nEMPTY = {'zero': 0.0}\n"
        "try:\n    import json\nexcept ImportError:\n    json = None\n" + text
    )
    path = tmp_path / "net.py"
    path.write_text(text, encoding="utf-8")
    code, _, err = run(path)
    assert code == 0, err
    assert str(tmp_path) not in sys.path
    sys.modules.pop("my_helpers_of_a_net", None)


def test_the_course_helpers_stand_in_where_they_are_missing(tmp_path):
    text = source(SAFE_OUTPUT)
    start, end = text.index("def sigmoid(Z)"), text.index("def linear_forward")
    names = "sigmoid, sigmoid_backward, relu, relu_backward"
    path = tmp_path / "net.py"
    for line in (f"from dnn_utils_v2 import {names}\n", "from dnn_app_utils_v3 import *\n"):
        path.write_text(line + text[:start] + text[end:], encoding="utf-8")
        code, out, err = run(path)
        assert code == 0, err
        assert "stand in" in out


def test_a_name_set_by_code_that_is_not_run_is_told(tmp_path):
    path = tmp_path / "net.py"
    text = source(("    m = A_prev.shape[1]\n    dW", "    dW"), SAFE_OUTPUT)
    path.write_text("X = load()\nm = X.shape[1]\n" + text, encoding="utf-8")
    code, out, _ = run(path, "json")
    assert code == 1
    assert [p["relation"] for p in json.loads(out)["problems"]] == ["raises"]
    assert "m is set by a statement at top level" in out


def test_what_functions_print_does_not_reach_standard_output(tmp_path):
    path = tmp_path / "net.py"
    text = source(
        SAFE_OUTPUT,
        ("    m = A_prev.shape[1]\n    dW", "    print('noise')\n    m = A_prev.shape[1]\n    dW"),
    )
    path.write_text(text, encoding="utf-8")
    _, out, err = run(path, "json")
    json.loads(out)
    assert "noise" in err


def test_modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_net_module.py").write_text(source(SAFE_OUTPUT, *CLASSIC), encoding="utf-8")
    assert run("a_net_module:relu_backward")[0] == 0
    assert run("a_net_module:linear_backward")[0] == 1
    assert run("a_net_module")[0] == 1
    assert run("a_net_module:missing")[0] == 2
    sys.modules.pop("a_net_module", None)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("not_there.py", "no such file"),
        ("not_there.ipynb", "no such file"),
        ("no_such_module_at_all:f", "there is no module 'no_such_module_at_all'"),
        ("what is this?", "no module's name"),
    ],
)
def test_usage_errors(target, words):
    code, out, err = run(target)
    assert (code, out) == (2, "")
    assert words in err


def test_broken_files(tmp_path):
    path = tmp_path / "x.ipynb"
    path.write_text("{not json", encoding="utf-8")
    assert run(path)[0] == 2
    path.write_text("[]", encoding="utf-8")
    assert run(path)[0] == 2
    script = tmp_path / "x.py"
    script.write_text("def f(:\n", encoding="utf-8")
    assert run(script)[0] == 2
    script.write_text("x = 1\n", encoding="utf-8")
    assert run(script)[0] == 2
    script.write_bytes(b"\xff\xfe\x00")
    assert run(script)[0] == 2
    other = tmp_path / "x.txt"
    other.write_text("x", encoding="utf-8")
    assert run(other)[0] == 2
    assert run(script, "yaml")[0] == 2


def test_an_old_notebook_format(tmp_path):
    cell = {"cell_type": "code", "input": source(SAFE_OUTPUT).splitlines(keepends=True)}
    path = tmp_path / "old.ipynb"
    path.write_text(json.dumps({"worksheets": [{"cells": [cell]}]}), encoding="utf-8")
    assert run(path)[0] == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.ipynb", "[" * 100_000),
        ("a.ipynb", '{"cells": [{"cell_type": "code", "source": [1]}]}'),
        ("a.ipynb", '{"cells": [{"cell_type": "code", "source": 1}]}'),
        ("a.py", "x = 1\0"),
        ("a.py", "x = " + "-" * 3_000 + "1"),
        ("a.py", "x = " + "(" * 5_000),
    ],
)
def test_files_that_break_parsers(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingError, match=name):
        load_target(str(tmp_path / name))


EVIL = """
def linear_forward(A_prev, W, b):
    return W @ A_prev + b, (A_prev, W, b)
def linear_backward(dZ, cache):
    raise ValueError("\\x1b[31mred\\x9b2J\\x7f \\u202egpj \\udcff")
"""


@pytest.mark.parametrize("form", ["table", "json"])
def test_what_the_user_s_code_says_cannot_steer_a_terminal(tmp_path, form):
    path = tmp_path / "evil\x1b[2J.py"
    path.write_text(EVIL)
    code, out, err = run(path, form)
    assert code == 1
    for text in (out, err):
        assert all(character == "\n" or character.isprintable() for character in text)
    if form == "json":
        data = json.loads(out)
        assert data["target"] == str(path)
        assert "\x1b[31mred\x9b2J\x7f \u202egpj \udcff" in data["first"]["message"]
    else:
        assert r"\x1b[31mred\x9b2J\x7f" in out
        assert r"\u202egpj" in out
        assert r"\xff" in out
    code, out, err = run(tmp_path / "gone\x1b[2J.py")
    assert (code, out) == (2, "")
    assert r"gone\x1b[2J.py" in err
    assert "\x1b" not in err


def test_a_report_is_printed_safely_by_any_console(tmp_path):
    from rich.console import Console

    from backlit.gradcheck.sources.target import check_loaded

    path = tmp_path / "evil.py"
    path.write_text(EVIL)
    report = check_loaded(load_target(str(path)))
    assert "\x1b" not in str(report)
    file = io.StringIO()
    Console(file=file, width=100).print(report)
    assert r"\x1b[31mred" in file.getvalue()
    assert "\x1b" not in file.getvalue()


def test_messages_name_the_folder_and_the_file(tmp_path):
    code, _, err = run(tmp_path)
    assert (code, err) == (2, f"error: nothing in {tmp_path} looks like a backward pass.\n")
    path = tmp_path / "mine.py"
    path.write_text("def f(x):\n    return x\n", encoding="utf-8")
    _, _, err = run(f"{path}:Nope")
    assert err == f"error: there is no function Nope in {path}.\n"
