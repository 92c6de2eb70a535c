"""backlit under load: ``python -m benchmarks.load`` runs every command in full.

``python -m benchmarks.load COMMAND [OPTIONS]`` runs one: soak (an hour), threads, processes,
pictures, determinism, signals, moments (tests/support/loads.py); the test suite runs them scaled
down.
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
    wrong = 0
    for arguments in [sys.argv[1:]] if len(sys.argv) > 1 else [[name] for name in COMMANDS]:
        wrong |= subprocess.run([sys.executable, str(SCRIPT), *arguments], check=False).returncode
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
