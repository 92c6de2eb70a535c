"""How long things take before anything is computed: imports, the command line, the compiler.

``python -m benchmarks.start_up`` runs each in new processes, with an empty cache folder for the
first fit ever and a filled one for the others.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import _harness

FIT = """
import numpy as np
from backlit.training import fit
X = np.random.default_rng(0).standard_normal((200, 10)).astype(np.{dtype})
fit(X, (X[:, 0] > 0).astype(int), hidden=(10,), epochs=1)
"""


def seconds(code: list[str], cache: str, runs: int) -> float:
    """Return the median seconds of a whole process."""
    environment = {**os.environ, "BACKLIT_CACHE_DIR": cache}
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(code, env=environment, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    print(_harness.machine())
    print(_harness.control())
    python = sys.executable
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        bare = seconds([python, "-c", "pass"], cache, runs)
        rows.append(["python -c pass", f"{bare:.2f}", ""])
        for dtype in ("float32", "float64"):
            first = seconds([python, "-c", FIT.format(dtype=dtype)], cache, 1)
            rows.append([f"first fit ever, {dtype}", f"{first:.2f}", f"{first - bare:.2f}"])
        for name, code in (
            ("first fit in a new process", [python, "-c", FIT.format(dtype="float32")]),
            ("import backlit", [python, "-c", "import backlit"]),
            ("import numba", [python, "-c", "import numba"]),
            ("import sklearn.neural_network", [python, "-c", "import sklearn.neural_network"]),
            ("backlit --help", [python, "-m", "backlit", "--help"]),
        ):
            took = seconds(code, cache, runs)
            rows.append([name, f"{took:.2f}", f"{took - bare:.2f}"])
    print()
    print(_harness.markdown(["what", "seconds", "beyond Python"], rows))
    print("\n" + _harness.control())


if __name__ == "__main__":
    main()
