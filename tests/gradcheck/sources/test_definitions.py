"""What of a file runs: its definitions, and nothing that does more than define."""

import sys

import numpy as np
import pytest

from backlit.gradcheck.sources.cells import Cell
from backlit.gradcheck.sources.extraction import extract
from backlit.gradcheck.sources.namespaces import forget_modules
from backlit.gradcheck.sources.target import check_loaded, load_target

PAIR = """
import numpy as np

def affine_forward(x, w, b):
    return x @ w + b, (x, w)

def affine_backward(d, cache):
    {use}
    data, w = cache
    return d @ w.T, data.T @ d, d.sum(0)
"""


@pytest.fixture(autouse=True)
def _no_modules_stay():
    yield
    forget_modules()


def load(folder, text, use="pass", **neighbours):
    """Load a file whose `train` and `open` leave a trace; return it with whether they did."""
    touch = f"def train(*a, **k):\n    open({str(folder / 'ran')!r}, 'w').close()\n\n"
    for name, content in neighbours.items():
        (folder / f"{name}.py").write_text(touch + content)
    path = folder / "mine.py"
    path.write_text(touch + text + PAIR.format(use=use))
    return load_target(str(path))


AT_DEFINITION = {
    "default of a lambda": ("act = lambda x, q=train(): x", "act"),
    "keyword default of a lambda": ("act = lambda x, *, q=train(): x", "act"),
    "lambda in a list": ("acts = [lambda x, q=train(): x]", "acts"),
    "lambda as a default": ("def act(x, f=lambda q=train(): 1):\n    return x", "act"),
    "base class": ("class Cfg(train() or object):\n    lr = 1", "Cfg"),
    "metaclass": ("class Cfg(metaclass=train() or type):\n    lr = 1", "Cfg"),
    "own metaclass": (
        "class M(type):\n    def __new__(cls, *a, **k):\n        train()\n"
        "        return type.__new__(cls, *a)\nclass Cfg(metaclass=M):\n    lr = 1",
        "Cfg",
    ),
    "class keyword": ("class Cfg(object, tag=train()):\n    lr = 1", "Cfg"),
    "__init_subclass__": (
        "class Base:\n    def __init_subclass__(cls):\n        train()\n"
        "class Cfg(Base):\n    lr = 1",
        "Cfg",
    ),
    "subscript of a base": (
        "class Base:\n    def __class_getitem__(cls, k):\n        train()\n        return cls\n"
        "class Cfg(Base[3]):\n    lr = 1",
        "Cfg",
    ),
    "enumeration": (
        "from enum import Enum\nclass Cfg(Enum):\n    A = 1\n"
        "    def __init__(self, n):\n        train()",
        "Cfg",
    ),
    "class body": ("class Cfg:\n    lr = train()\n    x, y = 1, train()\n    train()", "Cfg"),
    "subscript in a target": ("d = {}\nx = d[train()] = 3", "x"),
    "attribute in a target": ("import numpy as np\nx = np.sum = 3", "x"),
    "target in a class": ("import numpy as np\nclass Cfg:\n    lr = np.sum = 3", "Cfg"),
    "decorator": ("@train\ndef act(x):\n    return x", "act"),
    "decorator with constants": ("@train('x', 3)\ndef act(x):\n    return x", "act"),
    "decorator of a class": ("@train('x')\nclass Cfg:\n    lr = 1", "Cfg"),
    "decorator of a method": ("class Cfg:\n    @train(1)\n    def f(self):\n        pass", "Cfg"),
    "decorator by partial": (
        "from functools import partial\n@partial(train, 3)\ndef act(x):\n    return x",
        "act",
    ),
    "a property of its own": (
        "def property(f):\n    train()\nclass Cfg:\n    @property\n    def f(self):\n        pass",
        "Cfg",
    ),
    "annotation": ("def act(x: train()) -> train():\n    return x\nx: train() = 3", "act, x"),
    "lambda in a class": ("class Cfg:\n    f = lambda self, q=train(): q", "Cfg"),
    "lambda in a lambda": ("act = lambda x, f=lambda q=train(): q: x", "act"),
    "keyword of a builder": (
        "from collections import namedtuple\nP = namedtuple('P', 'x', defaults=[train()])",
        "1",
    ),
    "default": ("def act(x=train(), *, y=train()):\n    return x", "act"),
    "comprehension": ("xs = [train() for _ in range(2)]", "1"),
    "conditional": ("x = 3 if train() else 4", "1"),
    "walrus": ("x = (y := train())", "1"),
    "f-string": ("x = f'{train()}'", "1"),
    "augmented": ("x = 3\nx += train() or 1", "x"),
    "builtins": ("__builtins__ = {}\nx = 1", "x"),
    "__getattr__ of the module": ("def __getattr__(name):\n    train()", "1"),
}


@pytest.mark.parametrize("name", AT_DEFINITION)
def test_defining_runs_nothing_else(tmp_path, name):
    text, use = AT_DEFINITION[name]
    loaded = load(tmp_path, text + "\n", use)
    assert not (tmp_path / "ran").exists()
    assert callable(np.sum)
    report = check_loaded(loaded)
    assert report.ok, report
    assert {f.gradient for f in report.findings} == {"x", "w", "b"}


def test_what_only_builds_a_value_is_there(tmp_path):
    text = """
import functools
import dataclasses
from abc import ABCMeta, abstractmethod
from collections import namedtuple
from typing import Generic, TypeVar
import numpy as np

T = TypeVar("T")
EPS = np.finfo(float).eps
TABLE = np.array([[0.0, 1.0], [1.0, 0.0]])
Point = namedtuple("Point", "x y")


class Base(Generic[T], metaclass=ABCMeta):
    __slots__ = ()

    @abstractmethod
    def size(self): ...


@dataclasses.dataclass
class Cfg(Base[int]):
    values: list = dataclasses.field(default_factory=list)
    rate: float = 0.5

    @property
    def twice(self):
        return 2 * self.rate

    @twice.setter
    def twice(self, value):
        self.rate = value / 2

    def size(self):
        return 1


@functools.lru_cache(maxsize=None)
def one():
    return 1
"""
    use = "c = Cfg(); c.twice = 3.0; assert c.rate == 1.5 and one.cache_info() and EPS < 1e-9"
    use += " and Point(1, 2).y == 2 and TABLE.shape == (2, 2) and isinstance(Base, ABCMeta)"
    loaded = load(tmp_path, text, use)
    assert loaded.notes == []
    assert check_loaded(loaded).ok


NEIGHBOUR = """
import sys
train()
sys.exit(0)
W = train()
SCALE = 2.0

class Base:
    open('nowhere/at/all')
    def scaled(self, x):
        return SCALE * x

def act(x, q=train()):
    return x
"""


def test_modules_of_the_folder_are_read_as_the_file_is(tmp_path):
    package = tmp_path / "layers_of_mine"
    package.mkdir()
    (package / "__init__.py").write_text("from .deep import deepest\nraise SystemExit(0)\n")
    (package / "deep.py").write_text("import neighbour\ndef deepest(): return neighbour.act(5)\n")
    bare = tmp_path / "no_init"
    bare.mkdir()
    (bare / "inner.py").write_text("raise SystemExit(0)\nSIZE = 3\n")
    text = "from neighbour import act, Base, W\nimport layers_of_mine, no_init.inner\n"
    use = "from late import late; assert Base().scaled(2) == 4 and act(3) == 3 and late() == 1"
    use += " and layers_of_mine.deepest() == 5 and no_init.inner.SIZE == 3"
    loaded = load(tmp_path, text, use, neighbour=NEIGHBOUR, late="train()\ndef late(): return 1\n")
    report = check_loaded(loaded)
    assert report.ok, report
    assert len(report.findings) == 3
    assert not (tmp_path / "ran").exists()
    forget_modules()
    assert not {"neighbour", "late", "layers_of_mine", "no_init"} & set(sys.modules)


def test_what_a_neighbour_does_not_define_is_said_where_it_is_used(tmp_path):
    loaded = load(tmp_path, "from neighbour import W\n", "W()", neighbour=NEIGHBOUR)
    (left,) = check_loaded(loaded).unchecked
    assert "W is set by a statement at top level of neighbour.py" in left.reason


def test_a_module_of_the_folder_is_no_known_decorator(tmp_path):
    text = "from numba_of_mine import jit\n@jit\ndef act(x):\n    return x\n"
    neighbour = "def jit(f):\n    train()\n    return f\n"
    load(tmp_path, text, "act", numba_of_mine=neighbour)
    assert not (tmp_path / "ran").exists()


def test_two_folders_with_modules_of_one_name(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "helpers_here.py").write_text(f"NAME = {name!r}\n")
        cell = Cell("mine", "from helpers_here import NAME\ndef f_backward(d, c):\n    NAME\n")
        assert extract([cell], [], folder).names["NAME"] == name


def test_a_broken_neighbour_is_a_note(tmp_path):
    loaded = load(tmp_path, "import neighbour\n", "neighbour", neighbour="def f(:\n")
    assert any("neighbour.py is left out" in note for note in loaded.notes)
