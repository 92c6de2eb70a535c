"""One row through every form of an exported network, against onnxruntime's and scikit-learn's time.

``python -m benchmarks.exported_row`` trains a 30-100-1 classifier, exports it, and times one row
after comparing the outputs: in Python (the estimators, the Python file, the ONNX file by
onnxruntime), in Node (the JavaScript module), and in C (the header in each of its types, gcc -O2).
What a tool is missing for is said to be missing. Microseconds a call, median over rounds.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
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
  for (int round = 0; round < {rounds}; round++) {{
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
for (let round = 0; round < {rounds}; round++) {{
  const begin = process.hrtime.bigint();
  for (let i = 0; i < {calls}; i++) sum += predictProba(row)[1];
  console.log(Number(process.hrtime.bigint() - begin) / 1e3 / {calls});
}}
console.log(predictProba(row)[1]);
"""


def by_c(model: Any, X: np.ndarray, dtype: str, rounds: int) -> tuple[float, float] | None:
    """Return microseconds a call, and the probability; None without a compiler."""
    compiler = shutil.which("gcc")
    if compiler is None:
        return None
    real = "double" if dtype == "float64" else "float"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backlit.export(model, folder / "m.h", dtype=dtype, inputs=X)
        row = ", ".join(f"({real}){value!r}" for value in X[0].tolist())
        (folder / "main.c").write_text(
            C_PROGRAM.format(real=real, row=row, rounds=rounds, calls=20_000)
        )
        subprocess.run(
            [compiler, "-std=c99", "-O2", "main.c", "-o", "main", "-lm"], cwd=folder, check=True
        )
        done = subprocess.run([folder / "main"], capture_output=True, text=True, check=True)
    *times, value = map(float, done.stdout.split())
    return statistics.median(times), value


def by_node(model: Any, X: np.ndarray, rounds: int) -> tuple[float, float] | None:
    """Return microseconds a call, and the probability; None without Node."""
    node = shutil.which("node")
    if node is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        backlit.export(model, folder / "m.mjs", inputs=X)
        (folder / "main.mjs").write_text(
            NODE_PROGRAM.format(row=json.dumps(X[0].tolist()), rounds=rounds, calls=20_000)
        )
        done = subprocess.run(
            [node, "main.mjs"], cwd=folder, capture_output=True, text=True, check=True
        )
    *times, value = map(float, done.stdout.split())
    return statistics.median(times), value


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


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
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
    result = _harness.contest("one row", calls, rounds=options.rounds)
    rows: list[tuple[str, str, str]] = []
    for name, call in calls.items():
        error = abs(float(call()) - expected)
        rows.append((name, f"{result.median(name) * 1e6:.1f}", f"{error:.0e}"))
    others = [("JavaScript, Node", by_node(ours, X, options.rounds))]
    others += [
        (f"C, {dtype}", by_c(ours, X, dtype, options.rounds))
        for dtype in ("float32", "float64", "int8", "q15")
    ]
    for name, found in others:
        if found is None:
            rows.append((name, "not installed", ""))
        else:
            rows.append((name, f"{found[0]:.2f}", f"{abs(found[1] - expected):.0e}"))
    print(_harness.machine())
    print(_harness.versions("backlit", "scikit-learn", "onnxruntime", "numpy"))
    print(_harness.control())
    columns = ["one row of a 30-100-1 classifier", "microseconds", "off by"]
    print("\n" + _harness.markdown(columns, rows))
    if options.write:
        _harness.record("exported_row", "python -m benchmarks.exported_row", columns, rows)


if __name__ == "__main__":
    main()
