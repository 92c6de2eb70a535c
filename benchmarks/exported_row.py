"""One row through every form of an exported network, against onnxruntime's and scikit-learn's time.

``python -m benchmarks.exported_row`` trains a 30-100-1 classifier, exports it, and times one row
after comparing the outputs: in Python (the estimators, the Python file, the ONNX file by
onnxruntime), in Node (the JavaScript module), and in C (the header in each of its types, gcc -O2).
What a tool is missing for is said to be missing. Every round times each of them once, in an order
that turns; the table has the median and the least of the rounds, in microseconds a call, and the
load of the machine stands below it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.neural_network
from sklearn.exceptions import ConvergenceWarning

import backlit
from backlit.formats.export.onnx_form import session
from benchmarks import _harness

#: calls from Python in a round
CALLS = 500

C_PROGRAM = """
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <time.h>
#include "m.h"
static const {real} x[] = {{{row}}};
int main(void) {{
  {real} out[M_N_OUTPUTS];
  struct timespec begin, end;
  volatile {real} sum = 0;
  for (int round = 0; round < 2; round++) {{
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < {calls}; i++) {{ m_predict(x, out); sum += out[1]; }}
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.9f\\n", ((double)(end.tv_sec - begin.tv_sec) * 1e6
           + (double)(end.tv_nsec - begin.tv_nsec) / 1e3) / {calls});
  }}
  printf("%.17g\\n", (double)out[1]);
  return 0;
}}
"""

NODE_PROGRAM = """
import {{ predictProba }} from "./m.mjs";
const row = {row};
let sum = 0;
for (let i = 0; i < 20000; i++) sum += predictProba(row)[1];
for (let round = 0; round < 2; round++) {{
  const begin = process.hrtime.bigint();
  for (let i = 0; i < {calls}; i++) sum += predictProba(row)[1];
  console.log(Number(process.hrtime.bigint() - begin) / 1e3 / {calls});
}}
console.log(predictProba(row)[1]);
"""


class Program:
    """A program that times its own calls: prints microseconds a call, twice, and its answer.

    Parameters
    ----------
    command : list of str
    folder : Path
        Where it is.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self._command, self._folder = command, folder

    def run(self) -> tuple[float, float]:
        """Return microseconds a call, the second time, and the probability."""
        done = subprocess.run(
            self._command, cwd=self._folder, capture_output=True, text=True, check=True
        )
        _, micros, value = map(float, done.stdout.split())
        return micros, value


def in_c(model: Any, X: np.ndarray, dtype: str, folder: Path) -> Program | None:
    """Return the header compiled into a program; None without a compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return None
    real = "double" if dtype == "float64" else "float"
    folder.mkdir()
    backlit.export(model, folder / "m.h", dtype=dtype, inputs=X)
    row = ", ".join(f"({real}){value!r}" for value in X[0].tolist())
    (folder / "main.c").write_text(C_PROGRAM.format(real=real, row=row, calls=20_000))
    subprocess.run(
        [compiler, "-std=c99", "-O2", "main.c", "-o", "main", "-lm"], cwd=folder, check=True
    )
    return Program([str(folder / "main")], folder)


def in_node(model: Any, X: np.ndarray, folder: Path) -> Program | None:
    """Return the module called by a program of Node; None without Node."""
    node = shutil.which("node")
    if node is None:
        return None
    folder.mkdir()
    backlit.export(model, folder / "m.mjs", inputs=X)
    program = NODE_PROGRAM.format(row=json.dumps(X[0].tolist()), calls=20_000)
    (folder / "main.mjs").write_text(program)
    return Program([node, "main.mjs"], folder)


def in_python(model: Any, theirs: Any, X: np.ndarray) -> dict[str, Callable[[], float]]:
    """Return what is called from Python."""
    row = X[:1].copy()
    scope: dict[str, Any] = {"__name__": "exported"}
    found: dict[str, Callable[[], float]] = {
        "scikit-learn": lambda: theirs.predict_proba(row)[0, 1],
        "backlit": lambda: model.predict_proba(row)[0, 1],
        "Python file": lambda: scope["predict_proba"](row)[0, 1],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backlit.export(model, folder / "m.py", inputs=X)
        exec((folder / "m.py").read_text(), scope)
        for dtype in ("float32", "float64"):
            backlit.export(model, folder / "m.onnx", dtype=dtype, inputs=X)
            runtime = session((folder / "m.onnx").read_bytes())
            given = {"X": row.astype(dtype)}
            found[f"ONNX, {dtype}, onnxruntime"] = lambda runtime=runtime, given=given: runtime.run(
                ["probabilities"], given
            )[0][0, 1]
    return found


def raced(
    calls: dict[str, Callable[[], float]], programs: dict[str, Program | None], rounds: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Time everything once a round; returns microseconds of each round, and the answers."""
    names = [*calls, *(name for name, program in programs.items() if program is not None)]
    times: dict[str, list[float]] = {name: [] for name in names}
    answers: dict[str, float] = {}
    for round_ in range(rounds):
        begin = round_ % len(names)
        for name in names[begin:] + names[:begin]:
            program = programs.get(name)
            if program is not None:
                micros, answers[name] = program.run()
            else:
                answers[name] = float(calls[name]())
                began = time.perf_counter()
                for _ in range(CALLS):
                    calls[name]()
                micros = (time.perf_counter() - began) / CALLS * 1e6
            times[name].append(micros)
    return times, answers


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--write", action="store_true", help="the table that the pages show")
    options = parser.parse_args()
    generator = np.random.default_rng(0)
    X = generator.standard_normal((1000, 30))
    y = (X[:, 0] > 0).astype(int)
    warnings.simplefilter("ignore", ConvergenceWarning)
    settings: dict[str, Any] = {"hidden_layer_sizes": (100,), "max_iter": 5, "random_state": 0}
    ours = backlit.MLPClassifier(**settings).fit(X, y)
    theirs = sklearn.neural_network.MLPClassifier(**settings).fit(X, y)
    expected = float(ours.predict_proba(X[:1])[0, 1])
    calls = in_python(ours, theirs, X)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = {"JavaScript, Node": in_node(ours, X, folder / "node")}
        for dtype in ("float32", "float64", "int8", "q15"):
            programs[f"C, {dtype}"] = in_c(ours, X, dtype, folder / dtype)
        times, answers = raced(calls, programs, options.rounds)
    rows: list[tuple[str, str, str, str]] = []
    for name in [*calls, *programs]:
        if name not in times:
            rows.append((name, "not installed", "", ""))
            continue
        error = abs(answers[name] - expected)
        median, least = statistics.median(times[name]), min(times[name])
        rows.append((name, f"{median:.3g}", f"{least:.3g}", f"{error:.0e}"))
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(_harness.machine())
    print(_harness.versions("backlit", "scikit-learn", "onnxruntime", "numpy"))
    print(_harness.control())
    print(load)
    columns = ["one row of a 30-100-1 classifier", "microseconds", "at least", "off by"]
    print("\n" + _harness.markdown(columns, rows))
    if options.write:
        command = "python -m benchmarks.exported_row"
        _harness.record("exported_row", command, columns, rows, load)


if __name__ == "__main__":
    main()
