"""backlit under load: ``python -m benchmarks.load`` runs every command in full.

``python -m benchmarks.load COMMAND [OPTIONS]`` runs one: soak (an hour), threads, processes,
pictures, determinism, signals, moments (tests/support/loads.py); the test suite runs them scaled
down. ``--write`` in place of a command runs all and keeps the table for docs/.
Memory with 1e7 rows from a memory map is `benchmarks.memory`. Exit code 1 if anything is wrong.
"""

import subprocess
import sys
from pathlib import Path

from benchmarks import _harness

SCRIPT = Path(__file__).parents[1] / "tests" / "support" / "loads.py"
COMMANDS = ("determinism", "threads", "processes", "pictures", "signals", "moments", "soak")


def main() -> None:
    """Run one command, or all."""
    print(_harness.machine(), flush=True)
    write = sys.argv[1:] == ["--write"]
    everything = write or len(sys.argv) == 1
    wrong, rows = 0, []
    for arguments in [[name] for name in COMMANDS] if everything else [sys.argv[1:]]:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), *arguments], check=False, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        print(done.stdout, end="", flush=True)
        wrong |= done.returncode
        rows.append((arguments[0], "; ".join(done.stdout.splitlines())))
    if write and not wrong:
        _harness.record("load", "python -m benchmarks.load", ("command", "found"), rows)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
