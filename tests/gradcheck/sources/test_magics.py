"""Whole cells as IPython reads them, held to IPython's own transformation."""

import ast
import random
import sysconfig
import time
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from backlit.gradcheck.sources.cells import cell_magic, plain_python

CELLS = [
    "%load_ext x\nx = 1\n",
    "!ls \\\n  -l\ny = 2\n",
    "files = !ls *.png\nn = len(files)",
    "timing = %timeit -o f()\nf(1)",
    "a, b = %who_ls\n",
    "(a,\n b) = %who_ls\n",
    "help?\nx = 1",
    "np.sum??\n",
    "?np.sum\n??f\n",
    "x = 1  # and why?\n",
    "if x > 1:  # larger?\n    y = 2\nz = 3",
    "if a:\n    !ls\nelse:\n    %time f()\nb = 1",
    "x = [1\n != 2]\n",
    "print('shape %s'\n      % (x.shape,))\n",
    "x = (a\n     % b)\nassert x, (\n    a != b)\n",
    "total = 5 \\\n    % 3\n",
    's = """\n%matplotlib inline\n!ls\nwhat?\n"""\nx = 1',
    "s = '''a\\'''\n!b'''\n",
    "s = 'it is \\\n%s?'\nx = 2",
    "question = 'really?'\n",
    "print('really?')  # ?\n",
    "d = {'a': 1,\n     'b': '!'}\n!echo it's\ne = 3",
    "# what is this?\n# %matplotlib\nx = 1\n",
    ",f a b\n;f a b\n/f a b\n",
    "  x = 1\n  y = 2\n",
    "\n\n   \nx = 1\n",
    ">>> x = 1\n>>> if x:\n...     y = 2\n",
    "In [1]: x = 1\n   ...: y = 2\n",
    "x = 3 # != 4 ?\ny = x != 4\n",
    "f(a=1)\n%b\n",
    "x = lambda q=1: q % 2\n",
    "%%time\nx = 1\n",
    "a = b % c\nif a:\n    !ls\n",
    "def f(x):\n    %timeit g(x)\n    !touch y\n    z = !pwd\n    return x\n",
    "class A:\n    def f(self):\n        self.x?\n        return 1\n",
    "f'{x!r}'\nf'{x:%d}'\n",
    "x = f'''\n{y!r} %d\n'''\n%who\n",
    "@decorated\n@also(1)\ndef f(): pass\n%who\n",
    "!ls\n\n\n!!ls -a\n%cd ..\n",
    "x == 1\nx != 2\n",
    "x: int = 3\ny: list = !ls\n",
    "x += 1\nx //= 2\n",
    "",
    "\n",
    "# only a comment",
]


class _OwnCalls(ast.NodeTransformer):
    """Take the calls out that IPython puts in, as `plain_python` does."""

    def visit_Expr(self, node):
        return ast.Pass() if _is_ipython(node.value) else self.generic_visit(node)

    def visit_Call(self, node):
        if _is_ipython(node):
            return ast.Call(ast.Name("get_ipython", ast.Load()), [], [])
        return self.generic_visit(node)


def _is_ipython(node):
    while isinstance(node, (ast.Call, ast.Attribute)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return isinstance(node, ast.Name) and node.id == "get_ipython"


def by_ipython(cell):
    tree = ast.parse(TransformerManager().transform_cell(cell))
    if cell.startswith("%%time"):  # its body is a cell of its own
        tree = ast.parse(TransformerManager().transform_cell(cell.partition("\n")[2]))
    return ast.dump(_OwnCalls().visit(tree))


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_is_what_ipython_makes_of_it(cell):
    ours = plain_python(cell)
    assert ast.dump(ast.parse(ours)) == by_ipython(cell)
    assert ours.count("\n") == (cell if cell.endswith("\n") else cell + "\n").count("\n")


def test_many_cells_put_together_by_chance_are_what_ipython_makes_of_them():
    rng = random.Random(0)
    pieces = [c.rstrip("\n") + "\n" for c in CELLS if c.strip() and c[0] not in " >I\n"]
    pieces = [c for c in pieces if not c.startswith("%%")]
    for _ in range(300):
        chosen = rng.choices(pieces, k=rng.randint(2, 5))
        if rng.random() < 0.4:
            chosen.insert(rng.randrange(len(chosen)), "def f():\n    %who\n    return 1\n")
        cell = "".join(chosen)
        assert ast.dump(ast.parse(plain_python(cell))) == by_ipython(cell), cell


def test_python_stays_as_it_is():
    library = Path(sysconfig.get_path("stdlib"))
    files = random.Random(0).sample(sorted(library.glob("*.py")), 40)
    for path in [*files, library / "tokenize.py", library / "inspect.py"]:
        text = path.read_text(encoding="utf-8")
        assert plain_python(text) == text, path


def test_cells_of_other_languages_are_empty_and_named():
    for cell in ("%%bash\nrm x\n", "\n%%writefile a.py\nx = 1\n", "%%javascript\nf()\n"):
        assert plain_python(cell) == ""
        assert cell_magic(cell) == cell.split()[0]
    assert cell_magic("%%time\nx = 1\n") is None
    assert cell_magic("x = 1\n") is None
    assert plain_python("\n%%time\n%%capture out\nx = 1\n!ls\n") == "\n\n\nx = 1\npass\n"


def test_what_is_no_python_stays_none():
    for cell in ("f()?\n", "x = = !ls\n", "def f(:\n", "it's ?\n"):
        with pytest.raises(SyntaxError):
            ast.parse(plain_python(cell))


def test_a_cell_that_never_ends_is_read_in_little_time():
    for text in ('"""' + "x\n" * 50_000, "(" * 50_000, "!\\\n" * 20_000, "'" * 50_001):
        begun = time.perf_counter()
        plain_python(text)
        assert time.perf_counter() - begun < 5.0  # each is linear: some 0.1 s
