"""Fork 200 times beside threads that fit, and see that every child can fit and returns.

``python -m benchmarks.forks`` runs `tests/support/forks.py`, a short form of which is part of the
test suite, in several processes: most with compiled code in the cache, every fifth without any, so
that its forks come while other threads import and compile. Exit code 1 if a child hung or failed.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from benchmarks import _harness

PROGRAM = Path(__file__).parents[1] / "tests" / "support" / "forks.py"


def main() -> None:
    """Run the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forks", type=int, default=200)
    parser.add_argument("--each", type=int, default=10, help="forks of a process")
    parser.add_argument("--seconds", type=float, default=300.0, help="what a child may take")
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    options = parser.parse_args()
    print(_harness.machine())
    counted = {"warm": Counter[str](), "cold": Counter[str]()}
    left, number = options.forks, 0
    while left > 0:
        forks = min(options.each, left)
        kind = "cold" if number % 5 == 4 else "warm"
        code = [sys.executable, str(PROGRAM), "--forks", str(forks)]
        code += ["--seconds", str(options.seconds), *(["--cold"] if kind == "cold" else [])]
        done = subprocess.run(code, stdout=subprocess.PIPE, text=True, check=False)
        try:
            counted[kind].update(json.loads(done.stdout.splitlines()[-1]))
        except (ValueError, IndexError):
            counted[kind][f"ended with {done.returncode}"] += forks
        left, number = left - forks, number + 1
        print(kind, dict(counted[kind]), flush=True)
    good = sum(one["returned"] for one in counted.values())
    print(f"{good} of {options.forks} returned: {counted}")
    if options.write:
        rows = [
            [
                f"cache of compiled code: {kind}, {options.seconds:g} s",
                sum(one.values()),
                one["returned"],
            ]
            for kind, one in counted.items()
        ]
        columns = ["forks beside fits, time limit of a child", "forks", "children returned"]
        _harness.record("forks", "python -m benchmarks.forks", columns, rows)
    sys.exit(good != options.forks)


if __name__ == "__main__":
    main()
