"""What the runs of `benchmarks/tables.py` say: ratios, ranks, and the documentation's tables.

Ratios are those of a method's figure to our single network's on the same split: the mean of their
logarithms over a table's splits, then over tables. Intervals of 95 % come from drawing tables with
replacement. The error is 1 - accuracy, to which half a test row is added, or the root mean squared
error.
"""

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import numpy as np
from packaging.requirements import Requirement

from _harness import record
from tables_catalogue import UNSEEN

OURS = "realmlp td"
#: what the documentation calls the methods
NAMES = {
    "realmlp td": "RealMLP", "realmlp td x5": "RealMLP, 5 members", "realmlp td-s": "RealMLP, TD-S",
    "pytabkit td": "RealMLP-TD of pytabkit", "pytabkit td-s": "RealMLP-TD-S of pytabkit",
    "tabm": "TabM of pytabkit", "mlp": "scikit-learn's MLP", "linear": "logistic, ridge",
    "hist gradient boosting": "HistGradientBoosting", "lightgbm": "LightGBM",
    "catboost": "CatBoost",
}  # fmt: skip
#: what is installed for them, with its extras
_PACKAGES = {
    **dict.fromkeys(("realmlp td", "realmlp td x5", "realmlp td-s"), ("backlit", "sklearn")),
    **dict.fromkeys(("pytabkit td", "pytabkit td-s", "tabm"), ("pytabkit", "models")),
    **dict.fromkeys(("mlp", "linear", "hist gradient boosting"), ("scikit-learn",)),
    "lightgbm": ("lightgbm", "scikit-learn"),
    "catboost": ("catboost",),
}
#: where all finished runs are kept, to go on from
_RUNS = Path(__file__).parents[1] / "docs" / "log" / "2026-11-30-tables.jsonl"

Runs = dict[tuple[str, int, str], dict[str, Any]]
#: columns' names, and rows
Shown = tuple[list[str], list[list[Any]]]


def installed_mib(name: str, *extras: str) -> int:
    """Return the size of an installed package and all that it needs, in MiB."""
    sizes: dict[str, int] = {}
    waiting = [(name, extras)]
    while waiting:
        wanted, chosen = waiting.pop()
        key = re.sub(r"[-_.]+", "-", wanted).lower()
        try:
            found = distribution(wanted)
        except PackageNotFoundError:  # for another system or Python
            continue
        if key in sizes:
            continue
        files = [Path(str(found.locate_file(file))) for file in found.files or ()]
        sizes[key] = sum(file.stat().st_size for file in files if file.exists())
        for line in found.requires or ():
            asked = Requirement(line)
            marks = [{"extra": extra} for extra in ("", *chosen)]
            if asked.marker is None or any(asked.marker.evaluate(mark) for mark in marks):
                waiting.append((asked.name, tuple(asked.extras)))
    return sum(sizes.values()) >> 20


def read(path: Path) -> Runs:
    """Return the finished runs by table, split and method."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line]
    return {(r["table"], r["split"], r["method"]): r for r in lines if "error" in r}


def peak_mib() -> int:
    """Return the most memory that this process had, in MiB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def _error(run: dict[str, Any]) -> float:
    return float(run["error"] + (0.5 / (run["rows"] / 3) if run["classes"] else 0.0))


def _figure(run: dict[str, Any], what: str) -> float:
    return _error(run) if what == "error" else float(run[what])


def ratios(
    runs: Runs, method: str, other: str, what: str, tables: list[str]
) -> dict[str, list[float]]:
    """Return, by table, the logarithms of a method's figure over another's, split by split."""
    found: dict[str, list[float]] = {}
    for (table, split, name), run in runs.items():
        beside = runs.get((table, split, other))
        if (
            name != method
            or table not in tables
            or beside is None
            or what not in {**run, "error": 0}
        ):
            continue
        quotient = _figure(run, what) / max(_figure(beside, what), 1e-9)
        found.setdefault(table, []).append(float(np.log(max(quotient, 1e-9))))
    return found


def mean_ratio(by_table: dict[str, list[float]]) -> tuple[float, float, float]:
    """Return the geometric mean over tables, and the ends of its interval."""
    means = np.array([np.mean(values) for values in by_table.values()])
    drawn = np.random.default_rng(0).choice(means, (10_000, len(means))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(np.exp(means.mean())), float(np.exp(low)), float(np.exp(high))


def ranks(runs: Runs, methods: list[str], tables: list[str]) -> tuple[dict[str, float], int]:
    """Return each method's mean rank by its error, and over how many tables all of them ran."""
    of_table = []
    for table in tables:
        splits = [s for s in range(20) if all((table, s, m) in runs for m in methods)]
        if splits:
            means = [np.mean([_error(runs[table, s, m]) for s in splits]) for m in methods]
            of_table.append([sum(b < a for b in means) + (sum(b == a for b in means) + 1) / 2
                             for a in means])  # fmt: skip
    if not of_table:
        return {}, 0
    return dict(zip(methods, np.mean(of_table, axis=0), strict=True)), len(of_table)


def _told(values: tuple[float, float, float]) -> str:
    middle, low, high = values
    return f"{middle:.3f} ({low:.3f} - {high:.3f})"


def overview(runs: Runs) -> Shown:
    """Return the comparison over the tables that were not looked at, a row for each method."""
    tables = list(UNSEEN)
    present = [m for m in NAMES if any(name == m and t in tables for t, _, name in runs)]
    covered = {m: len({t for t, _, name in runs if name == m and t in tables}) for m in present}
    often = [m for m in present if covered[m] >= 0.75 * covered[OURS]]
    ranked, common = ranks(runs, often, tables)
    rows: list[list[Any]] = []
    for method in present:
        errors = ratios(runs, method, OURS, "error", tables)
        if not errors:
            continue
        losses = ratios(runs, method, OURS, "log_loss", tables)
        times = ratios(runs, method, OURS, "cpu_seconds", tables)
        own = [run for (table, _, name), run in runs.items() if name == method and table in tables]
        row = [NAMES[method], len(errors), len(own), _told(mean_ratio(errors))]
        row.append(f"{mean_ratio(losses)[0]:.3f}" if losses else "")
        row.append(f"{ranked[method]:.1f}" if method in ranked else "")
        row.append(f"{mean_ratio(times)[0]:.2f}")
        row.append(int(np.median([run["peak_mib"] for run in own])))
        row.append(installed_mib(*_PACKAGES[method]))
        rows.append(row)
    columns = [
        "method", "tables", "runs", "error to RealMLP's (95 %)", "log loss to RealMLP's",
        f"mean rank ({common} tables)", "CPU time to RealMLP's", "memory, MiB", "installed, MiB",
    ]  # fmt: skip
    return columns, rows


def each_table(runs: Runs) -> Shown:
    """Return, for each table, each method's mean error over its splits, and how many there are."""
    methods = [m for m in NAMES if any(name == m for _, _, name in runs)]
    rows = []
    for table in UNSEEN:
        own = [r for (t, _, _), r in runs.items() if t == table]
        if not own:
            continue
        cells = []
        for method in methods:
            found = [r["error"] for (t, _, m), r in runs.items() if (t, m) == (table, method)]
            cells.append(f"{np.mean(found):.4g} ({len(found)})" if found else "")
        shape = f"{own[0]['rows']:,} x {own[0]['columns']}"
        rows.append([table, shape, *cells])
    columns = ["table", "rows x columns", *(NAMES[m] for m in methods)]
    return columns, rows


def claims(runs: Runs) -> Shown:
    """Return what is compared with what, over the tables that were not looked at."""
    compared = [
        (OURS, "pytabkit td", "error"),
        (OURS, "pytabkit td", "log_loss"),
        (OURS, "pytabkit td", "cpu_seconds"),
        ("realmlp td-s", "pytabkit td-s", "error"),
        (OURS, "mlp", "error"),
        (OURS, "mlp", "log_loss"),
        (OURS, "lightgbm", "error"),
        ("realmlp td x5", OURS, "error"),
        ("realmlp td x5", "lightgbm", "error"),
        (OURS, "tabm", "error"),
    ]
    rows = []
    for method, other, what in compared:
        by_table = ratios(runs, method, other, what, list(UNSEEN))
        if by_table:
            told = " ".join(what.split("_")).replace("cpu", "CPU")
            both = f"{NAMES[method]} to {NAMES[other]}"
            rows.append([told, both, _told(mean_ratio(by_table)), len(by_table)])
    return ["", "ratio of", "mean (95 %)", "tables"], rows


def log_losses(runs: Runs) -> Shown:
    """Return, for each table of classes, the log loss of our network and of scikit-learn's."""
    rows = []
    for table, found in ratios(runs, OURS, "mlp", "log_loss", list(UNSEEN)).items():
        splits = [s for s in range(20) if (table, s, OURS) in runs and (table, s, "mlp") in runs]
        pair = [np.mean([runs[table, s, m]["log_loss"] for s in splits]) for m in (OURS, "mlp")]
        told = [f"{value:.4f}" for value in pair]
        rows.append([table, *told, f"{np.exp(np.mean(found)):.3f}", len(splits)])
    return ["table", NAMES[OURS], NAMES["mlp"], "ratio", "splits"], rows


def way(runs: Runs) -> tuple[float, ...]:
    """Return how far our network, and boosted trees, are from scikit-learn's (logarithms)."""
    ours = ratios(runs, "mlp", OURS, "error", list(UNSEEN))
    trees = ratios(runs, "mlp", "lightgbm", "error", list(UNSEEN))
    both = [table for table in ours if table in trees]
    return tuple(float(np.mean([np.mean(found[t]) for t in both])) for found in (ours, trees))


def write(path: Path) -> None:
    """Write the documentation's tables, and print what they say."""
    runs = read(path)
    for name, (columns, rows) in (
        ("tables_unseen", overview(runs)),
        ("tables_claims", claims(runs)),
        ("tables_log_loss", log_losses(runs)),
        ("tables_each", each_table(runs)),
    ):
        record(name, "python benchmarks/tables.py --write", columns, rows)
        print(name, *columns, sep=" | ")
        for row in rows:
            print("   ", *row, sep=" | ")
    print("way from scikit-learn's network to ours, and to boosted trees:", *way(runs))
    lines = [
        json.dumps({name: _rounded(value) for name, value in run.items()})
        for _, run in sorted(runs.items())
    ]
    _RUNS.write_text("\n".join(lines) + "\n")


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
