"""Files of Python 2 are checked as their translation, or left out with the line and the reason."""

import ast
import io
import json
from pathlib import Path

import numpy as np
import pytest

from backlit.gradcheck.sources.cells import (
    Cell,
    as_python3,
    builtins_of_python2,
    looks_like_python2,
    translated,
)
from backlit.gradcheck.sources.target import check_targets


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("print 'a', x", "print('a', x)"),
        ("print; print 1", "print(); print(1)"),
        ("print 'a',", "print('a',)"),
        ("print('a') % 3; print 1", "print(('a') % 3); print(1)"),
        ("print(1), (2); print 1", "print((1), (2)); print(1)"),
        ("print >>log, 'a'", "print(log, 'a')"),
        ("print 'a', \\\n    'b'  # c", "print('a', \\\n    'b')  # c"),
        ("if x: print x", "if x: print(x)"),
        ("f = lambda x: x; print f", "f = lambda x: x; print(f)"),
        ("try:\n    pass\nexcept E, e:\n    pass", "try:\n    pass\nexcept E as e:\n    pass"),
        (
            "try:\n    pass\nexcept (A, B), e:\n    pass",
            "try:\n    pass\nexcept (A, B) as e:\n    pass",
        ),
        ("raise E, 'a'", "raise E( 'a')"),
        ("x = 10L + 0777 + 0 + 00.5", "x = 10 + 0o777 + 0 + 00.5"),
        ("if a <> b: pass", "if a != b: pass"),
        ("for k in d.iteritems(): print k", "for k in d.items(): print(k)"),
        ("if d.has_key(k): print k", "if d.__contains__(k): print(k)"),
        ("exec 'x = 1'", "exec('x = 1')"),
        ("if x:\n\tprint 1\n        print 2", "if x:\n        print(1)\n        print(2)"),
        ("s = '''\nprint 1\n'''; print s", "s = '''\nprint 1\n'''; print(s)"),
    ],
)
def test_statements(old, new):
    made = translated(old + "\n")
    assert made is not None
    ast.parse(made)
    assert made == new + "\n"


@pytest.mark.parametrize("text", ["def f(a, (b, c)): print a", "x = ", "print 'a", "x = `y`"])
def test_what_is_not_translated(text):
    assert translated(text + "\n") is None


@pytest.mark.parametrize(
    ("text", "python2"),
    [
        ("print 'a'", True),
        ("print ('a') % 3", True),
        ("except ValueError, e:", True),
        ("raise E, 'a'", True),
        ("x = 3L", True),
        ("def f(:", False),
        ("print('a'", False),
        ("dW = # YOUR CODE", False),
    ],
)
def test_what_looks_like_python_2(text, python2):
    assert looks_like_python2(text) is python2


def test_functions_of_python_2():
    space = {"__builtins__": builtins_of_python2()}
    exec("a = zip([1], [2])[0], map(abs, [-1])[0], xrange(3)[2], reduce(max, [1, 4])", space)
    assert space["a"] == ((1, 2), 1, 2, 4)


def test_names_that_a_file_binds_itself_are_its_own():
    notes: list[str] = []
    cell = Cell("a.py", "def reduce(x):\n    return x\n\ndef f(long):\n    return reduce(long)\n")
    assert as_python3(cell, notes) is cell
    assert notes == []


LAYER = """import numpy as np


class Dense(object):
    def __init__(self, n_in, n_out):
        self.W = np.random.randn(n_in, n_out)

    def forward(self, x):
        print 'forward', x.shape
        self.x = x
        return x.dot(self.W)

    def backward(self, d):
        self.dW = np.zeros_like(self.W)
        try:
            for i in xrange(len(d)):
                self.dW += np.outer(self.x[i], d[i])
        except ValueError, e:
            raise RuntimeError, "no %s" % e
        return d.dot(self.W.T)
"""


def run(path: Path) -> tuple[int, dict, str]:
    out, err = io.StringIO(), io.StringIO()
    code = check_targets([str(path)], format="json", stdout=out, stderr=err)
    return code, json.loads(out.getvalue()) if out.getvalue() else {}, err.getvalue()


def test_a_file_of_python_2_is_checked_and_stays_as_it_is(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(LAYER, encoding="utf-8")
    code, data, _ = run(path)
    assert (code, {f["gradient"] for f in data["findings"]}) == (0, {"x", "W"})
    assert any("is Python 2 (line 9)" in note for note in data["notes"])
    assert path.read_text(encoding="utf-8") == LAYER
    wrong = LAYER.replace("d.dot(self.W.T)", "2 * d.dot(self.W.T)")
    path.write_text(wrong, encoding="utf-8")
    code, data, _ = run(path)
    assert code == 1
    assert data["repairs"][0]["line"] == 1 + wrong[: wrong.index("return 2 * d")].count("\n")


def test_a_neighbour_of_python_2_is_translated_as_well(tmp_path):
    (tmp_path / "layers.py").write_text(LAYER, encoding="utf-8")
    (tmp_path / "net.py").write_text(
        "import numpy as np\nfrom layers import Dense\n\n\nclass Scaled(Dense):\n"
        "    def forward(self, x):\n        return 3 * Dense.forward(self, x)\n"
        "    def backward(self, d):\n        return Dense.backward(self, 3 * d)\n",
        encoding="utf-8",
    )
    code, data, _ = run(tmp_path / "net.py")
    assert (code, {f["gradient"] for f in data["findings"]}) == (0, {"x", "W"})


def test_names_alone(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "import numpy as np\n\n\ndef square(z):\n    return z ** 2\n\n\n"
        "def square_prime(z):\n    d = np.zeros_like(z)\n    for i in xrange(z.size):\n"
        "        d.flat[i] = 2 * z.flat[i] * (1 / 2 + 1 / 2)\n    return d\n",
        encoding="utf-8",
    )
    code, data, _ = run(path)
    assert code == 0
    note = next(note for note in data["notes"] if "Python 2" in note)
    assert "uses xrange" in note
    assert "`1 / 2` (line 11) rounds down" in note


def test_what_cannot_be_translated_is_named_with_its_line(tmp_path):
    path = tmp_path / "net.py"
    path.write_text("def relu_backward(dA, (Z, W)):\n    print 'x'\n    return dA\n")
    code, _, said = run(path)
    assert code == 2
    assert "it is Python 2" in said
    assert "(line 1)" in said


def test_the_numbers_are_those_of_python_3():
    space = {"__builtins__": builtins_of_python2(), "np": np}
    exec(translated("print 1\nx = 1 / 2\n"), space)
    assert space["x"] == 0.5


def test_tabs_beside_spaces_are_no_python_2(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "import numpy as np\n\n\nclass ReLU:\n    def forward(self, x):\n        out = None\n"
        "\t\tout = np.maximum(0, x)\n        self.x = x\n        return out\n"
        "    def backward(self, d):\n        return d * (self.x > 0)\n",
        encoding="utf-8",
    )
    code, data, _ = run(path)
    assert code == 0
    assert any("indented by tabs and spaces (line 7)" in note for note in data["notes"])
