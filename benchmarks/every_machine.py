"""The tests as they run on other processors: under each of OpenBLAS's kernels, and at each level.

Which instructions compute a product or a logarithm depends on the processor: OpenBLAS and NumPy
choose among kernels when they are loaded, and the package among its prebuilt code. Variables of the
environment choose in their place, so that one machine with AVX-512 stands for the others:

    python -m benchmarks.every_machine                        # every setting, the whole suite
    python -m benchmarks.every_machine --tests numerical      # only what computes, in a tenth of it
    python -m benchmarks.every_machine --tests products       # of that, what OpenBLAS has a part in
    python -m benchmarks.every_machine --settings prescott x86-64-v2 -- tests/test_linear.py

Each setting runs the tests in a process of its own; where a level is asked for whose code is not
prebuilt, Numba compiles it, with a cache of compiled code that is empty at first. Settings that
come to the same kernels are run once. What is found is kept in a file (``--results``), setting by
setting: a run that was interrupted goes on with those that are missing, as long as the sources are
the same. The exit code is 1 if a test failed.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

from benchmarks import _harness

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "build" / "every_machine.json"

#: tests whose outcome hangs on how numbers are rounded, and that take seconds
NUMERICAL = (
    "tests/estimators/test_parity.py",
    "tests/estimators/test_weights.py",
    "tests/estimators/test_tracing.py",
    "tests/photos/compiled",
    "tests/photos/saliency",
    "tests/photos/test_ensemble.py",
    "tests/photos/test_extracting.py",
    "tests/photos/test_features.py",
    "tests/test_accuracy.py",
    "tests/test_activations.py",
    "tests/test_bad_data.py",
    "tests/test_linear.py",
    "tests/test_losses.py",
    "tests/test_model.py",
    "tests/test_per_example.py",
    "tests/tracing",
    "tests/training/test_engine.py",
    "tests/training/test_functions.py",
    "tests/training/test_lbfgs.py",
    "tests/training/test_products.py",
    "tests/training/test_sparse.py",
    "tests/training/test_stepping.py",
)
#: of those, what asks nothing of OpenBLAS, whose kernels change no bit of it
_WITHOUT_PRODUCTS = {
    "tests/test_activations.py",
    "tests/test_bad_data.py",
    "tests/test_losses.py",
    "tests/training/test_functions.py",
}
#: what is run by --tests
TESTS = {
    "all": (),
    "numerical": NUMERICAL,
    "products": (
        *(path for path in NUMERICAL if path not in _WITHOUT_PRODUCTS),
        "--ignore=tests/photos/saliency/test_features_backward.py",
    ),
}


class Setting(NamedTuple):
    """Variables of the environment, cores, and workers that share out the tests."""

    about: str
    variables: dict[str, str]
    cores: int | None = None
    workers: int = 2


def _level(blas: str, level: str, above: Sequence[str]) -> dict[str, str]:
    """Choose a whole machine: OpenBLAS's kernels, the engine's level, NumPy's instructions."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    off = [name for name in __cpu_dispatch__ if name in above and __cpu_features__.get(name)]
    return {
        "OPENBLAS_CORETYPE": blas,
        "BACKLIT_CPU_LEVEL": level,
        "NPY_DISABLE_CPU_FEATURES": " ".join(off),
    }


_ABOVE_V4 = ("AVX512_ICL", "AVX512_SPR")
KERNELS = ("Prescott", "Haswell", "Zen", "SkylakeX", "Cooperlake", "Sapphirerapids")
SETTINGS = {
    "own": Setting("this machine's own choice", {}),
    **{
        kernel.lower(): Setting(f"OpenBLAS's kernels for {kernel}", {"OPENBLAS_CORETYPE": kernel})
        for kernel in KERNELS
    },
    "x86-64-v2": Setting(
        "a processor of 2008: SSE 4.2, vectors of 16 bytes",
        _level("Nehalem", "x86-64-v2", ("X86_V3", "X86_V4", *_ABOVE_V4)),
    ),
    "x86-64-v3": Setting(
        "a processor of 2013: AVX2, vectors of 32 bytes",
        _level("Haswell", "x86-64-v3", ("X86_V4", *_ABOVE_V4)),
    ),
    "x86-64-v4": Setting(
        "a processor of 2017: AVX-512, vectors of 64 bytes",
        _level("SkylakeX", "x86-64-v4", _ABOVE_V4),
    ),
    "one core": Setting("one core for everything", {}, cores=1, workers=1),
    "four threads": Setting(
        "four threads of BLAS on two cores",
        {"OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4"},
        cores=2,
    ),
}

_PROBE = """
import json, numpy, scipy.linalg, threadpoolctl
pools = [p for p in threadpoolctl.threadpool_info() if p["user_api"] == "blas"]
print(json.dumps(sorted({f"{p['architecture']} {p['version']}" for p in pools})))
"""


def _environment(setting: Setting) -> dict[str, str]:
    """Return the environment with a setting's variables in place of others of their kind."""
    chosen = ("OPENBLAS_", "OMP_", "NPY_", "BACKLIT_CPU_") if setting.variables else ()
    kept = {key: value for key, value in os.environ.items() if not key.startswith(chosen)}
    return {**kept, **setting.variables}


def _kernels(setting: Setting) -> list[str]:
    """Return which kernels of OpenBLAS NumPy and SciPy take: not every build has every one."""
    found = subprocess.run(
        [sys.executable, "-c", _PROBE],
        env=_environment(setting),
        stdout=subprocess.PIPE,
        check=True,
    )
    kernels: list[str] = json.loads(found.stdout)
    return kernels


def _twin(name: str, kernels: list[str], kept: dict[str, Any]) -> str | None:
    """Return a setting that was run with the same kernels, where they are all that it chooses."""
    chooses = {kernel.lower() for kernel in KERNELS}
    if name not in chooses:
        return None
    alike = (
        other
        for other, one in kept.items()
        if other in chooses and "twin" not in one and one["kernels"] == kernels
    )
    return next(alike, None)


def _keep_to(cores: int | None) -> None:
    """Give the process that is about to begin so many of the cores."""
    if cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def _sources() -> str:
    """Return a digest of the package and its tests: what a result belongs to."""
    digest = hashlib.sha256()
    for folder in ("src", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _run(setting: Setting, tests: Sequence[str], workers: int | None) -> dict[str, Any]:
    """Run tests under a setting; return counts and what failed."""
    folder = tempfile.mkdtemp(prefix="every-machine-")
    report = Path(folder) / "report.xml"
    environment = _environment(setting)
    if "BACKLIT_CPU_LEVEL" in setting.variables:
        environment["XDG_CACHE_HOME"] = folder
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    command += [f"--junitxml={report}", f"--numprocesses={workers or setting.workers}", *tests]
    began, used = time.monotonic(), _processor_seconds()
    try:
        ended = subprocess.run(
            command, cwd=ROOT, env=environment, check=False, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: _keep_to(setting.cores),
        )  # fmt: skip
        counts, failed = _read(report)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "exit code": ended.returncode,
        **counts,
        "failures": failed,
        "seconds": round(time.monotonic() - began),
        "processor seconds": round(_processor_seconds() - used),
    }


def _processor_seconds() -> float:
    """Return what the processes that were begun here, and have ended, have used of the cores."""
    times = os.times()
    return times.children_user + times.children_system


def _read(report: Path) -> tuple[dict[str, int], list[str]]:
    """Return pytest's counts, and the names of the tests that failed."""
    if not report.exists():
        return {"passed": 0, "failed": 0, "skipped": 0}, ["pytest ended before its report"]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failed = []
    for case in ElementTree.parse(report).iter("testcase"):  # written by pytest a moment ago
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "passed"
        kind = "skipped" if kind == "passed" and "skipped" in kinds else kind
        counts[kind] += 1
        if kind == "failed":
            failed.append(f"{case.get('classname')}::{case.get('name')}")
    return counts, failed


HEADER = ("setting", "what it stands for", "OpenBLAS's kernels", "passed", "failed", "s", "CPU s")


def _table(found: dict[str, Any]) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for name, one in found.items():
        own = [one["passed"], one["failed"], one["seconds"], one["processor seconds"]]
        if "twin" in one:
            own = [f"as {one['twin']}", one["failed"], "", ""]
        rows.append([name, SETTINGS[name].about, ", ".join(one["kernels"]), *own])
    return rows


def main() -> int:
    """Run the settings that are missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--tests", choices=TESTS, default="all")
    parser.add_argument("--workers", type=int, help="processes that share out the tests")
    parser.add_argument("--results", type=Path, default=RESULTS, help="kept here [%(default)s]")
    parser.add_argument("--again", action="store_true", help="run what is kept once more")
    parser.add_argument("--write", action="store_true", help="keep the table for docs/")
    parser.add_argument("paths", nargs="*", help="of tests, in place of --tests")
    options = parser.parse_args()
    if platform.machine().lower() not in ("x86_64", "amd64"):
        parser.error(f"these settings are of x86-64, and this machine is {platform.machine()}.")
    named = options.paths or TESTS[options.tests]
    versions = _harness.versions("numpy", "scipy", "numba")
    key = f"{_sources()}, {versions}, {' '.join(options.paths) or options.tests}"
    kept = json.loads(options.results.read_text()) if options.results.exists() else {}
    kept = kept if kept.get("of") == key else {"of": key, "settings": {}}
    for name in options.settings:
        if name in kept["settings"] and not options.again:
            continue
        print(f"\n== {name}: {SETTINGS[name].about}", flush=True)
        kernels = _kernels(SETTINGS[name])
        twin = _twin(name, kernels, kept["settings"])
        found = (
            kept["settings"][twin] | {"twin": twin}
            if twin
            else _run(SETTINGS[name], named, options.workers)
        )
        kept["settings"][name] = {**found, "kernels": kernels}
        options.results.parent.mkdir(parents=True, exist_ok=True)
        _harness.save(str(options.results), kept)
    rows = {name: kept["settings"][name] for name in options.settings}
    print(f"\n{_harness.machine()}; {versions}\n")
    table = _table(rows)
    print(_harness.markdown(HEADER, table))
    if options.write:
        chosen = "" if options.tests == "all" else f" --tests {options.tests}"
        command = f"python -m benchmarks.every_machine{chosen}"
        _harness.record("other_processors", command, HEADER, table)
    for name, one in rows.items():
        for test in one["failures"]:
            print(f"{name}: {test}")
    return int(any(one["exit code"] for one in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
