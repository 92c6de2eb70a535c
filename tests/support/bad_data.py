"""Every entry point that takes data against every kind of bad data: what comes of each pair.

`outcome` runs one pair and says one of

* "same": what the same numbers as a plain float64 array give, to 1e-11 (the order in which BLAS
  sums depends on where an array lies);
* "close": as that, but for the rounding of a narrower type;
* "answer": a finite answer (there is no plainer form of the data);
* "not finite": a score that scikit-learn's metric makes of such labels;
* "refused: Name": an exception of backlit's, a ValueError or a TypeError, with a message;

and raises `AssertionError` for anything else: another exception, a warning, a number that is not
finite, an input that was changed. `tests/test_bad_data.py` holds all of it against
`bad_data_expected.json`, and `python -m benchmarks.bad_data` writes both from what is found.
"""

import pickle
import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse

import backlit
from backlit import MLPClassifier, MLPRegressor, losses, training
from backlit.activations import activation_backward, activation_forward
from backlit.errors import BacklitError
from backlit.formats.tensors import load_tensors, save_tensors

M, N = 12, 3
_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(M, N)).round(3)
Y = (X[:, 0] > 0).astype(int)
TARGETS = X @ [1.0, -2.0, 0.5]
W, b = _RNG.normal(size=(2, N)), _RNG.normal(size=(2, 1))
PARAMETERS = {"W1": W, "b1": b, "W2": _RNG.normal(size=(1, 2)), "b2": np.zeros((1, 1))}


def _memory_map(array: np.ndarray) -> np.ndarray:
    file = tempfile.NamedTemporaryFile(suffix=".bin")  # noqa: SIM115
    mapped = np.memmap(file, array.dtype, "w+", shape=array.shape)
    mapped[...] = array
    return mapped


def _read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.setflags(write=False)
    return array


def unaligned(array: np.ndarray) -> np.ndarray:
    """Return a copy at an odd address, as `np.frombuffer` makes one behind a header."""
    array = np.ascontiguousarray(array)
    space = np.zeros(array.nbytes + 1, np.uint8)
    copy = np.frombuffer(space, array.dtype, array.size, offset=1).reshape(array.shape)
    copy[...] = array
    assert not copy.flags.aligned
    return copy


def _explicit_zeros(array: np.ndarray) -> Any:
    matrix = scipy.sparse.csr_array(np.where(array == 0, 1, array))
    matrix.data[array.ravel() == 0] = 0
    return matrix


def _put(array: Any, value: Any) -> Any:
    array = np.array(array)
    array[(1,) + (0,) * (array.ndim - 1)] = value
    return array


def _thin(array: np.ndarray) -> np.ndarray:
    return np.where(np.abs(array) < 0.7, 0, array)


#: name -> function of a good matrix that returns the bad one and the plain one (None: there is
#: none). What has two forms is the same data.
BAD: dict[str, Callable[[np.ndarray], tuple[Any, Any]]] = {
    "NaN": lambda A: (_put(A, np.nan), None),
    "infinity": lambda A: (_put(A, np.inf), None),
    "huge (1e300)": lambda A: (A * 1e300, None),
    "tiny (1e-300)": lambda A: (A * 1e-300, None),
    "all the same": lambda A: (np.ones_like(A), None),
    "zero rows": lambda A: (A[:0], None),
    "no columns": lambda A: (A[:, :0], None),
    "one axis": lambda A: (A[:, 0], None),
    "three axes": lambda A: (A[:, :, None], None),
    "one column more": lambda A: (np.hstack([A, A[:, :1]]), None),
    "a row less": lambda A: (A[1:], None),
    "a number": lambda A: (3.0, None),
    "None": lambda A: (None, None),
    "text": lambda A: ("numbers", None),
    "strings": lambda A: (A.astype(str), A),
    "objects": lambda A: (A.astype(object), A),
    "objects with None": lambda A: (_put(A.astype(object), None), None),
    "mixed types": lambda A: ([[*row[:-1].tolist(), "x"] for row in A], None),
    "ragged list": lambda A: ([A[0].tolist()[:-1], *A[1:].tolist()], None),
    "list of lists": lambda A: (A.tolist(), A),
    "dates": lambda A: (A.astype("datetime64[s]"), None),
    "complex": lambda A: (A.astype(complex), None),
    "integers": lambda A: ((A * 9).astype(int), (A * 9).astype(int).astype(float)),
    "booleans": lambda A: (A > 0, (A > 0).astype(float)),
    "float16": lambda A: (A.astype(np.float16), A.astype(np.float16).astype(float)),
    "long double": lambda A: (A.astype(np.longdouble), A),
    "masked": lambda A: (np.ma.masked_array(A, A > 1), None),
    "read-only": lambda A: (_read_only(A), A),
    "columns first": lambda A: (np.asfortranarray(A), A),
    "every other": lambda A: (np.repeat(np.repeat(A, 2, 0), 2, 1)[::2, ::2], A),
    "backwards": lambda A: (A[::-1, ::-1].copy()[::-1, ::-1], A),
    "byte-swapped": lambda A: (A.astype(A.dtype.newbyteorder()), A),
    "memory map": lambda A: (_memory_map(A), A),
    "unaligned": lambda A: (unaligned(A), A),
    "unaligned, NaN": lambda A: (unaligned(_put(A, np.nan)), None),
    "sparse": lambda A: (scipy.sparse.csr_array(_thin(A)), _thin(A)),
    "sparse, zeros in it": lambda A: (_explicit_zeros(_thin(A)), _thin(A)),
    "sparse with NaN": lambda A: (scipy.sparse.csr_array(_put(A, np.nan)), None),
    "pandas": lambda A: (_pandas(A), A),
    "pandas, missing": lambda A: (_pandas(_put(A, np.nan)), None),
    "pandas, NA": lambda A: (_pandas((A * 9).astype(int)).astype("Int64").replace(0, pd.NA), None),
    "pandas, names twice": lambda A: (pd.DataFrame(A, columns=["a"] * A.shape[1]), A),
    "Polars": lambda A: (_polars(A), A),
    "Polars, missing": lambda A: (_polars(A).with_columns(pl.lit(None).alias("c0")), None),
}


def _pandas(A: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(A, columns=[f"c{i}" for i in range(A.shape[1])])


def _polars(A: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame({f"c{i}": A[:, i] for i in range(A.shape[1])})


# ----------------------------------------------------------------------------- the entry points


def _settings(classifier: bool = True) -> dict[str, Any]:
    return {"hidden_layer_sizes": (3,), "max_iter": 3, "random_state": 0, "batch_size": 4}


@cache
def _fitted() -> tuple[MLPClassifier, MLPRegressor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            MLPClassifier(**_settings()).fit(X, Y),
            MLPRegressor(**_settings()).fit(X, TARGETS),
        )


def _weights(estimator: Any) -> Any:
    return [*estimator.coefs_, *estimator.intercepts_]


def _saved(array: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        save_tensors(Path(folder) / "m", {"a": array}, {})
        return load_tensors(Path(folder) / "m")[0]["a"]


def _layer(A_prev: Any) -> Any:
    Z = np.ones((2, M))
    return (A_prev, W, b), Z


def _linear(A_prev: Any, W: Any) -> Any:
    return W @ A_prev, (A_prev, W)


def _linear_back(dZ: Any, cache: Any) -> Any:
    return cache[1].T @ dZ, dZ @ cache[0].T


class Report(ValueError):
    """A report of `check_backward` that says what is wrong with what it was given."""


def _check(rows: Any) -> Any:
    report = backlit.check_backward(_linear, _linear_back, {"A_prev": rows, "W": np.ones((2, M))})
    if not report.ok:
        raise Report(str(report))
    return []


#: name -> what takes X, examples in rows
ENTRIES: dict[str, Callable[[Any], Any]] = {
    "training.fit": lambda A: training.fit(A, Y, hidden=(3,), epochs=2, batch_size=4).parameters,
    "training.fit, validation": lambda A: (
        training.fit(X, Y, hidden=(3,), epochs=2, validation=(A, Y)).parameters
    ),
    "MLPClassifier.fit": lambda A: _weights(MLPClassifier(**_settings()).fit(A, Y)),
    "MLPClassifier.fit, lbfgs": lambda A: _weights(
        MLPClassifier(**_settings(), solver="lbfgs").fit(A, Y)
    ),
    "MLPClassifier.partial_fit": lambda A: _weights(
        MLPClassifier(**_settings()).partial_fit(A, Y, classes=[0, 1])
    ),
    "MLPClassifier.predict": lambda A: _fitted()[0].predict(A),
    "MLPClassifier.predict_proba": lambda A: _fitted()[0].predict_proba(A),
    "MLPClassifier.score": lambda A: _fitted()[0].score(A, Y),
    "MLPRegressor.fit": lambda A: _weights(MLPRegressor(**_settings()).fit(A, TARGETS)),
    "MLPRegressor.partial_fit": lambda A: _weights(
        MLPRegressor(**_settings()).partial_fit(A, TARGETS)
    ),
    "MLPRegressor.predict": lambda A: _fitted()[1].predict(A),
    "MLPRegressor.score": lambda A: _fitted()[1].score(A, TARGETS),
    # these take any number of columns: the matrix is their examples
    "relu": lambda A: backlit.relu(A)[0],
    "sigmoid": lambda A: backlit.sigmoid(A)[0],
    "activation_forward, softmax": lambda A: activation_forward(A, "softmax")[0],
    "relu_backward": lambda A: backlit.relu_backward(A, X),
    "sigmoid_backward": lambda A: backlit.sigmoid_backward(A, X),
    "activation_backward, softmax": lambda A: activation_backward(A, X, "softmax"),
    "linear_forward": lambda A: backlit.linear_forward(A, np.ones((2, M)), b)[0],
    "linear_backward": lambda A: backlit.linear_backward(A, (X, np.ones((M, M)), np.ones((M, 1)))),
    "linear_activation_forward": lambda A: backlit.linear_activation_forward(
        A, np.ones((2, M)), b, "tanh"
    )[0],
    "linear_activation_backward": lambda A: backlit.linear_activation_backward(
        A, ((X, np.ones((M, M)), np.ones((M, 1))), X), "tanh"
    ),
    "model_forward": lambda A: backlit.model_forward(
        A, {"W1": np.ones((1, M)), "b1": np.zeros((1, 1))}
    )[0],
    "model_backward, Y": lambda A: _model_backward(A),
    "compute_cost, Y": lambda A: backlit.compute_cost(np.full((M, N), 0.5), A),
    "cost_from_logits, Y": lambda A: losses.cost_from_logits(X, A, "squared"),
    "loss_gradient": lambda A: losses.loss_gradient(A, np.abs(X), "squared"),
    "initialize, update": lambda A: backlit.update_parameters(
        {"W1": A, "b1": np.zeros((M, 1))}, {"dW1": A, "db1": np.ones((M, 1))}, 0.1
    ),
    "check_backward": _check,
    "save_tensors": _saved,
}


def _model_backward(Y: Any) -> Any:
    parameters = {"W1": np.ones((M, 2)), "b1": np.zeros((M, 1))}
    AL, caches = backlit.model_forward(X[:2], parameters, activations=["identity"])
    return backlit.model_backward(AL, Y, caches, activations=["identity"])


#: labels: name -> (labels, the plain form or None); y of the classifier, and of the regressor
BAD_LABELS: dict[str, tuple[Any, Any]] = {
    "one class": (np.zeros(M, int), None),
    "NaN": (_put(Y.astype(float), np.nan), None),
    "infinity": (_put(Y.astype(float), np.inf), None),
    "a label less": (Y[1:], None),
    "none at all": (Y[:0], None),
    "None": (None, None),
    "a number": (1, None),
    "text": ("labels", None),
    "one column": (Y[:, None], None),
    "three axes": (Y[:, None, None], None),
    "strings": (np.where(Y > 0, "night", "day"), None),
    "objects": (Y.astype(object), Y),
    "objects with None": (_put(Y.astype(object), None), None),
    "mixed types": ([*Y[:-1].tolist(), "x"], None),
    "ragged list": ([[0, 1], *Y[1:].tolist()], None),
    "list": (Y.tolist(), Y),
    "booleans": (Y > 0, None),
    "floats": (Y.astype(float), None),
    "fractions": (TARGETS, None),
    "huge (1e300)": (TARGETS * 1e300, None),
    "complex": (Y.astype(complex), None),
    "dates": (Y.astype("datetime64[s]"), None),
    "masked": (np.ma.masked_array(Y, Y > 0), None),
    "read-only": (_read_only(Y), Y),
    "every other": (np.repeat(Y, 2)[::2], Y),
    "byte-swapped": (Y.astype(Y.dtype.newbyteorder()), Y),
    "memory map": (_memory_map(Y), Y),
    "unaligned": (unaligned(Y), Y),
    "unaligned, NaN": (unaligned(_put(Y.astype(float), np.nan)), None),
    "sparse": (scipy.sparse.csr_array(Y[:, None]), None),
    "pandas": (pd.Series(Y, name="y"), Y),
    "pandas, missing": (pd.Series(_put(Y.astype(float), np.nan)), None),
    "pandas, NA": (pd.Series(Y).astype("Int64").replace(0, pd.NA), None),
    "Polars": (pl.Series("y", Y), Y),
    "Polars, missing": (pl.Series("y", [None, *Y[1:].tolist()]), None),
}

LABEL_ENTRIES: dict[str, Callable[[Any], Any]] = {
    "training.fit": lambda y: training.fit(X, y, hidden=(3,), epochs=2, batch_size=4).parameters,
    "training.fit, softmax": lambda y: (
        training.fit(X, y, hidden=(3,), epochs=2, output="softmax").parameters
    ),
    "training.fit, identity": lambda y: (
        training.fit(X, y, hidden=(3,), epochs=2, output="identity").parameters
    ),
    "sample_weight": lambda y: (
        training.fit(X, Y, hidden=(3,), epochs=2, sample_weight=y).parameters
    ),
    "MLPClassifier.fit": lambda y: _weights(MLPClassifier(**_settings()).fit(X, y)),
    "MLPClassifier.partial_fit": lambda y: _weights(
        MLPClassifier(**_settings()).partial_fit(X, y, classes=[0, 1])
    ),
    "MLPClassifier.score": lambda y: _fitted()[0].score(X, y),
    "MLPClassifier, sample_weight": lambda y: _weights(
        MLPClassifier(**_settings()).fit(X, Y, sample_weight=y)
    ),
    "MLPRegressor.fit": lambda y: _weights(MLPRegressor(**_settings()).fit(X, y)),
    "MLPRegressor.partial_fit": lambda y: _weights(MLPRegressor(**_settings()).partial_fit(X, y)),
    "MLPRegressor.score": lambda y: _fitted()[1].score(X, y),
    "compute_cost": lambda y: backlit.compute_cost(np.full((1, M), 0.5), y),
    "model_backward": lambda y: backlit.model_backward(
        *_pass()[:1], y, _pass()[1], input_gradient=True
    ),
}


@cache
def _pass() -> Any:
    return backlit.model_forward(X.T, PARAMETERS)


# ------------------------------------------------------------------------------- what comes of it


def _flat(value: Any) -> np.ndarray:
    if isinstance(value, dict):
        value = [value[name] for name in sorted(value)]
    if isinstance(value, (list, tuple)):
        parts = [_flat(item) for item in value]
        return np.concatenate(parts) if parts else np.zeros(0)
    return np.asarray(value, dtype=np.float64).ravel()


def _state(value: Any) -> bytes:
    """Return what an input holds, to see whether it was changed."""
    if isinstance(value, np.ma.MaskedArray):
        return value.data.tobytes() + value.mask.tobytes()
    if isinstance(value, np.ndarray) and value.dtype != object:
        return value.tobytes() + repr((value.dtype, value.shape, value.strides)).encode()
    if scipy.sparse.issparse(value):
        return b"".join(part.tobytes() for part in (value.data, value.indices, value.indptr))
    if isinstance(value, pd.DataFrame):
        value = value.copy()  # without what pandas remembers about it
    return pickle.dumps(value)


def outcome(entry: Callable[[Any], Any], bad: Any, plain: Any) -> str:
    """Run one pair; see the module."""
    before = _state(bad)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for documented in DOCUMENTED:
            warnings.filterwarnings("ignore", documented)
        try:
            found = _flat(entry(bad))
            verdict = ""
        except (BacklitError, ValueError, TypeError) as error:
            verdict = f"refused: {type(error).__name__}"
            message = str(error)
        assert _state(bad) == before, "the input was changed"
        if verdict:
            assert len(message) >= 15, f"no message: {message!r}"
            return verdict
        if not np.isfinite(found).all():
            assert found.size == 1, "the answer is not finite"
            return "not finite"  # a score of scikit-learn's, see `METRICS`
        if plain is None:
            return "answer"
        expected = _flat(entry(plain))
    assert found.shape == expected.shape, "the answer has another shape"
    if np.allclose(found, expected, rtol=1e-11, atol=1e-12):
        return "same"
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3)
    return "close"


#: warnings that belong to the answer: scikit-learn's own, and those that its estimators give too
DOCUMENTED = (
    ".*Maximum iterations.*",
    ".*lbfgs failed to converge.*",
    ".*X has feature names, but.*",
    ".*A column-vector y was passed.*",
)
#: scikit-learn's metrics warn of NumPy's overflow where they look at such labels
METRICS = ("MLPClassifier.score", "MLPRegressor.score")


def cells() -> list[tuple[str, str, str]]:
    """Return all pairs: (table, bad data, entry point)."""
    return [
        *(("X", name, entry) for name in BAD for entry in ENTRIES),
        *(("y", name, entry) for name in BAD_LABELS for entry in LABEL_ENTRIES),
    ]


def outcome_of(table: str, name: str, entry: str) -> str:
    """Run the pair of a cell."""
    call = (ENTRIES if table == "X" else LABEL_ENTRIES)[entry]
    bad, plain = BAD[name](X) if table == "X" else BAD_LABELS[name]
    with np.errstate(**({"all": "ignore"} if entry in METRICS else {})):
        return outcome(call, bad, plain)


EXPECTED = Path(__file__).with_name("bad_data_expected.json")
