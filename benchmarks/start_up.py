"""How long things take before anything is computed: imports, first fits, the command line.

    python -m benchmarks.start_up                  # new processes, by turns, medians
    python -m benchmarks.start_up --runs 11 --write
    python -m benchmarks.start_up --compile        # the first fit ever without prebuilt code, too

A fit's time is what its process takes beyond one that imports NumPy alone, or scikit-learn's
networks.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import _harness

_DATA = """
import numpy as np
X = np.random.default_rng(0).standard_normal((150, 4)).astype(np.{dtype})
y = np.arange(150) % 3
"""
_FIT = (
    _DATA
    + """
from backlit.training import fit
fit(X, y, hidden=(16,), output="softmax", epochs=20)
"""
)
_ESTIMATOR = (
    _DATA
    + """
import sklearn.neural_network
from backlit import MLPClassifier
MLPClassifier((16,), max_iter=20, tol=0, n_iter_no_change=99).fit(X, y)
"""
)
_WITHOUT_CODE = """
from backlit.training.machine_code import prebuilt
prebuilt.library_for = lambda program: None
"""
_IGNORING = ["-W", "ignore"]  # twenty epochs do not converge

#: what is run, and what its time is told beyond
PROCESSES = {
    "Python": (["-c", "pass"], None),
    "import numpy": (["-c", _DATA.format(dtype="float64")], "Python"),
    "fit of iris's size, float64": (["-c", _FIT.format(dtype="float64")], "import numpy"),
    "fit of iris's size, float32": (["-c", _FIT.format(dtype="float32")], "import numpy"),
    "import sklearn.neural_network": (
        ["-c", _DATA.format(dtype="float64") + "import sklearn.neural_network"], "Python",
    ),
    "estimator's fit": (
        [*_IGNORING, "-c", _ESTIMATOR.format(dtype="float64")], "import sklearn.neural_network",
    ),
    "import backlit": (["-c", "import backlit"], "Python"),
    "backlit --help": (["-m", "backlit", "--help"], "Python"),
}  # fmt: skip


def seconds(code: list[str], cache: str) -> float:
    """Return the seconds of a whole process."""
    environment = {**os.environ, "BACKLIT_CACHE_DIR": cache}
    began = time.perf_counter()
    subprocess.run([sys.executable, *code], env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="the first fit ever, compiled here")
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    options = parser.parse_args()
    print(_harness.machine())
    print(_harness.control())
    times: dict[str, list[float]] = {name: [] for name in PROCESSES}
    with tempfile.TemporaryDirectory() as cache:
        for turn in range(options.runs + 1):
            for name, (code, _) in PROCESSES.items():
                took = seconds(code, cache)
                if turn:  # the first one fills the system's caches
                    times[name].append(took)
        medians = {name: statistics.median(some) for name, some in times.items()}
        rows = []
        for name, (_, beyond) in PROCESSES.items():
            more = f"{medians[name] - medians[beyond]:.2f} ({beyond})" if beyond else ""
            rows.append([name, f"{medians[name]:.2f}", more])
        if options.compile:
            for place in ("first fit ever, compiled here", "the next process, from the cache"):
                took = seconds(["-c", _WITHOUT_CODE + _FIT.format(dtype="float64")], cache)
                more = f"{took - medians['import numpy']:.2f} (import numpy)"
                rows.append([place, f"{took:.2f}", more])
    header = ["process", "seconds", "beyond"]
    print()
    print(_harness.markdown(header, rows))
    print("\n" + _harness.control())
    if options.write:
        command = f"python -m benchmarks.start_up --runs {options.runs}"
        _harness.record("start_up", command + " --compile" * options.compile, header, rows)


if __name__ == "__main__":
    main()
