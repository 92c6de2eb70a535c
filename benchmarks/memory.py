"""What a fit adds to the memory of its data: asserted, not only printed.

``python -m benchmarks.memory`` writes rows to a memory-mapped file, fits a net to them in a new
process, and compares that process's peak with what the design allows: one vector of the parameters'
size for the gradient and for each moment, two batches of activations, 16 bytes a row, and the
interpreter with its libraries. Exit code 1 if the peak is above.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import _harness

CHILD = """
import sys
import numpy as np
from backlit.training import fit

def own():  # resident pages that are not the mapped file's
    fields = dict(line.split(":") for line in open("/proc/self/status") if ":" in line)
    return int(fields["RssAnon"].split()[0]) * 1024

path, m, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
fit(np.zeros((300, n), np.float32), np.arange(300) % 2, hidden=(64,), epochs=1, batch_size=200)
X = np.memmap(path, np.float32, "r", shape=(m, n))
y = (np.arange(m) % 2).astype(np.int32)
before = own()
most = before

def watch(progress):
    global most
    most = max(most, own())

fit(X, y, hidden=(64,), epochs=1, batch_size=200, callback=watch)
print(most - before)
"""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--features", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    options = parser.parse_args()
    m, n = options.rows, options.features
    print(_harness.machine())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.f32"
        data = np.memmap(path, np.float32, "w+", shape=(m, n))
        generator = np.random.default_rng(0)
        for begin in range(0, m, 1_000_000):
            data[begin : begin + 1_000_000] = generator.standard_normal(
                data[begin : begin + 1_000_000].shape, dtype=np.float32
            )
        data.flush()
        run = subprocess.run(
            [sys.executable, "-c", CHILD, str(path), str(m), str(n)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    added = int(run.stdout)
    parameters = 4 * (n * 64 + 64 + 64 + 1)
    allowed = 16 * m + 3 * parameters + 2 * 4 * 208 * (n + 64 + 1) + (8 << 20)
    print(
        f"{m:,} rows of {n}: data {4 * m * n / 1e6:.0f} MB, the fit added {added / 1e6:.1f} MB "
        f"({added / m:.1f} bytes a row), allowed {allowed / 1e6:.1f} MB"
    )
    if options.write:
        columns = ("rows of a memory map", "the fit adds, MB", "bytes a row", "allowed, MB")
        row = (m, round(added / 1e6), round(added / m, 1), round(allowed / 1e6))
        _harness.record("memory", "python -m benchmarks.memory", columns, [row])
    sys.exit(added > allowed)


if __name__ == "__main__":
    main()
