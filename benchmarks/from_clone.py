"""From a clone to the end of the first fit: bytes fetched, bytes installed, seconds.

    python -m benchmarks.from_clone                          # what is committed here
    python -m benchmarks.from_clone main 0ecfa2e --runs 3 --write

Each revision is cloned into an empty folder and installed by its README's first command, with
nothing in pip's cache, so that the environments that pip makes to build in count, too. Then a
network of iris's size is trained in a new process, with an empty cache of compiled code. Revisions
take turns.
"""

import argparse
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import _harness

ROOT = Path(__file__).parents[1]
HEADER = [
    "revision", "MB fetched", "MB installed", "of them .pyc", "s to install", "s of the first fit",
    "s in all",
]  # fmt: skip

_FIT = """
import numpy as np
from backlit.training import fit
X = np.random.default_rng(0).standard_normal((150, 4))
fit(X, np.arange(150) % 3, hidden=(16,), output="softmax", epochs=20)
"""
#: a line of pip's log; those of a build environment are there once more, further to the right
_FETCHED = re.compile(r"^\S+ {3}Downloading .*\(([\d.]+) (bytes|kB|MB)\)", re.MULTILINE)
_UNITS = {"bytes": 1e-6, "kB": 1e-3, "MB": 1.0}


class Trial(NamedTuple):
    """What one installation and fit took: megabytes and seconds."""

    fetched: float
    installed: float
    compiled: float
    installing: float
    fitting: float


def first_command(readme: str) -> str:
    """Return the README's first command that makes an environment."""
    found = re.search(r"^python3 -m venv .*$", readme, re.MULTILINE)
    if found is None:
        raise SystemExit("the README has no line that begins with: python3 -m venv")
    return found[0]


def fetched(log: str) -> float:
    """Return the megabytes that pip says it downloaded; it rounds to a tenth of its unit."""
    return sum(float(number) * _UNITS[unit] for number, unit in _FETCHED.findall(log))


def try_revision(revision: str) -> Trial:
    """Clone, install and fit in an empty folder."""
    with tempfile.TemporaryDirectory() as place:
        folder, log, cache = Path(place) / "clone", Path(place) / "log", Path(place) / "cache"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
        subprocess.run(["git", "checkout", "-q", revision], cwd=folder, check=True)
        kept = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
        environment = {
            **kept, "PIP_NO_CACHE_DIR": "1", "PIP_LOG": str(log), "PIP_PROGRESS_BAR": "off",
            "HOME": str(cache), "XDG_CACHE_HOME": str(cache), "BACKLIT_CACHE_DIR": str(cache),
        }  # fmt: skip
        command = first_command((folder / "README.md").read_text(encoding="utf-8"))
        began = time.perf_counter()
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        installed = time.perf_counter()
        python = folder / ".venv" / "bin" / "python"
        subprocess.run([python, "-c", _FIT], cwd=place, env=environment, check=True)
        done = time.perf_counter()
        text = log.read_text(encoding="utf-8", errors="replace")
        sizes = [_megabytes(folder / ".venv", pattern) for pattern in ("*", "*.pyc")]
        return Trial(fetched(text), *sizes, installed - began, done - installed)


def _megabytes(folder: Path, pattern: str) -> float:
    files = (path for path in folder.rglob(pattern) if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files) / 1e6


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("revisions", nargs="*", default=["HEAD"], help="of this repository")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    options = parser.parse_args()
    print(_harness.machine())
    trials: dict[str, list[Trial]] = {revision: [] for revision in options.revisions}
    for _ in range(options.runs):
        for revision, some in trials.items():
            some.append(try_revision(revision))
            print(revision, some[-1], flush=True)
    rows = []
    for revision, some in trials.items():
        middle = Trial(*(statistics.median(values) for values in zip(*some, strict=True)))
        everything = statistics.median(one.installing + one.fitting for one in some)
        rows.append([
            revision, f"{middle.fetched:.0f}", f"{middle.installed:.0f}", f"{middle.compiled:.0f}",
            f"{middle.installing:.0f}", f"{middle.fitting:.1f}", f"{everything:.0f}",
        ])  # fmt: skip
    print(_harness.markdown(HEADER, rows))
    if options.write:
        command = f"python -m benchmarks.from_clone {' '.join(options.revisions)}"
        _harness.record("from_clone", f"{command} --runs {options.runs}", HEADER, rows)


if __name__ == "__main__":
    main()
