"""Fork a process in which other threads fit, and see that each child can fit and return.

``python tests/support/forks.py --forks 10`` forks so many times, beside threads that fit with Adam,
SGD and L-BFGS all the time. Each child fits with all of them in its turn and exits. ``--cold``
begins with no compiled code: the first forks come while it is compiled. Exit code 1 if a child hung
or failed.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
import warnings

SOLVERS = ("adam", "sgd", "lbfgs")


def fit_once(solver: str, m: int = 150) -> float:
    """Fit a small network, drawing from NumPy's global random numbers."""
    import numpy as np

    from backlit import MLPRegressor

    X = np.linspace(-1, 1, m * 4).reshape(m, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MLPRegressor(hidden_layer_sizes=8, solver=solver, max_iter=3)
        return float(model.fit(X, X[:, 0]).predict(X[:1])[0])


def child() -> None:
    """What a forked child does: all kinds of fits; it never returns."""
    code = 1
    try:
        for solver in SOLVERS:
            fit_once(solver)
        code = 0
    finally:
        os._exit(code)


def waited_for(pid: int, seconds: float) -> str:
    """Wait for a child; kill it if it takes too long."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return "returned" if status == 0 else f"status {status}"
        time.sleep(0.002)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return "hung"


def main() -> int:
    """Fork beside fits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forks", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=60.0, help="what a child may take")
    parser.add_argument("--cold", action="store_true", help="begin without compiled code")
    options = parser.parse_args()
    import numpy  # noqa: F401 (what others import amid a fork is theirs to lock)

    import backlit  # noqa: F401

    stop = threading.Event()

    def work(solver: str) -> None:
        while not stop.is_set():
            fit_once(solver)

    with tempfile.TemporaryDirectory() as folder:
        if options.cold:
            os.environ["BACKLIT_CACHE_DIR"] = folder
        threads = [threading.Thread(target=work, args=(s,), daemon=True) for s in SOLVERS]
        for thread in threads:
            thread.start()
        outcomes: dict[str, int] = {}
        for number in range(options.forks):
            time.sleep(0.003 * (number % 7))  # amid imports, compilations, draws, products
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
                pid = os.fork()
            if pid == 0:
                child()
            found = waited_for(pid, options.seconds)
            outcomes[found] = outcomes.get(found, 0) + 1
        stop.set()
        for thread in threads:
            thread.join()
    print(json.dumps(outcomes))
    return 0 if set(outcomes) <= {"returned"} else 1


if __name__ == "__main__":
    sys.exit(main())
