"""Sequences of calls on an estimator: what is drawn, and what must hold after each call.

A sequence fits, goes on, predicts, pickles, clones, sets parameters and assigns or deletes fitted
attributes, with data of other shapes, types and forms from one call to the next. Number n of a seed
is always the same. A call may be refused by an exception that was raised on purpose; any other
exception is a finding, and so are results that don't fit the data. Dense data lie right before
memory that must not be read, so that reading on ends the process.
"""

import copy
import ctypes
import linecache
import mmap
import pickle
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from backlit import MLPClassifier, MLPRegressor
from backlit.errors import BacklitError

FEATURES = (1, 2, 3, 7, 520)  # from 512 on the engine reads rows of X where they lie
ROWS = (1, 2, 5, 20, 60)
OUTPUTS = (1, 2, 3, 40, 900)
CLASSES = (2, 3, 5, 30)
HIDDEN: tuple[Any, ...] = (4, 5, (), (4, 4), (60,), (3, 2, 3))
ATTRIBUTES = (
    "classes_", "n_features_in_", "n_outputs_", "n_layers_", "n_iter_", "t_", "loss_curve_",
    "best_loss_", "out_activation_", "validation_scores_", "coefs_", "intercepts_",
)  # fmt: skip
PARAMETERS: dict[str, tuple[Any, ...]] = {
    "hidden_layer_sizes": HIDDEN,
    "activation": ("relu", "tanh", "logistic", "identity", "gelu", ["relu"], ["tanh", "elu"]),
    "solver": ("adam", "adam", "sgd", "lbfgs"),
    "warm_start": (True, False),
    "early_stopping": (True, False),
    "batch_size": ("auto", 1, 3, 7, 10_000),
    "max_iter": (1, 2, 3),
    "shuffle": (True, False),
    "learning_rate": ("constant", "adaptive", "invscaling", "cosine"),
    "momentum": (0.0, 0.9),
    "nesterovs_momentum": (True, False),
    "dropout": (0.0, 0.5, [0.5], [0.1, 0.2]),
    "max_grad_norm": (None, 1.0),
    "alpha": (0.0, 0.1),
    "weight_decay": (0.0, 0.1),
    "dtype": (None, "float32", "float64"),
    "threads": (None, 2, 3),
    "loss": ("squared_error", "huber", "poisson", "quantile", "absolute_error"),
    "class_weight": (None, "balanced", {0: 2.0}),
    "validation_fraction": (0.1, 0.5),
}


class Finding(AssertionError):
    """Something that must not be."""


_libc = ctypes.CDLL(None, use_errno=True)
_kept: list[mmap.mmap] = []


def before_a_wall(array: np.ndarray) -> np.ndarray:
    """Return a copy that ends where memory ends: whoever reads on is killed."""
    page = mmap.PAGESIZE
    room = -(-array.nbytes // page) * page
    memory = mmap.mmap(-1, room + page)
    _kept.append(memory)  # a view keeps it too, but its wall must come down before
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if _libc.mprotect(ctypes.c_void_p(start + room), ctypes.c_size_t(page), 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    placed = np.frombuffer(memory, array.dtype, array.size, room - array.nbytes)
    placed = placed.reshape(array.shape)
    placed[...] = array
    return placed


class Sequence:
    """One sequence.

    Parameters
    ----------
    seed, index : int
        Which.
    """

    def __init__(self, seed: int, index: int) -> None:
        self.rng = np.random.default_rng([seed, index])
        self.log: list[str] = []
        self.regresses = bool(self.rng.integers(2))
        kind = MLPRegressor if self.regresses else MLPClassifier
        settings = {"hidden_layer_sizes": 4, "max_iter": 2, "random_state": 0}
        for name in self.rng.choice([*PARAMETERS], 4, replace=False):
            if name in kind().get_params():
                settings[str(name)] = self.pick(PARAMETERS[str(name)])
        self.model: Any = kind(**settings)
        self.log.append(f"{kind.__name__}(**{settings})")
        self.n_features, self.n_outputs = self.pick(FEATURES), self.pick(OUTPUTS)
        self.n_classes, self.label_kind = self.pick(CLASSES), self.pick(("int", "text", "several"))
        self.deleted: set[str] = set()

    def pick(self, values: Any) -> Any:
        """Draw one of some values."""
        return values[int(self.rng.integers(len(values)))]

    def chance(self, share: float) -> bool:
        """Whether something happens that happens this often."""
        return bool(self.rng.random() < share)

    # ------------------------------------------------------------------------------------- data

    def inputs(self, m: int, n: int) -> Any:
        """Draw examples in one of many forms."""
        dense = self.rng.standard_normal((m, n))
        form = self.pick(("dense",) * 4 + (
            "single", "whole", "half", "fortran", "strided", "unaligned", "locked", "list", "csr",
            "csc", "coo", "wide csr", "damaged",
        ))  # fmt: skip
        self.form = form
        if form in ("dense", "single", "whole", "half"):
            types = {"dense": "f8", "single": "f4", "whole": "i8", "half": "f2"}
            return before_a_wall(dense.astype(types[form]))
        if form == "fortran":
            return np.asfortranarray(dense)
        if form == "strided":
            return np.repeat(dense, 2, axis=0)[::2]
        if form == "unaligned":
            raw = np.zeros(dense.nbytes + 1, np.uint8)[1:].view(dense.dtype).reshape(m, n)
            raw[...] = dense
            return raw
        if form == "locked":
            dense.flags.writeable = False
            return dense
        if form == "list":
            return dense.tolist()
        dense[dense < 0.3] = 0
        if self.chance(0.5):
            dense = dense.astype(np.float32)
        sparse = scipy.sparse.csr_array(dense)
        if form == "wide csr":
            sparse.indices = sparse.indices.astype(np.int64)
            sparse.indptr = sparse.indptr.astype(np.int64)
        elif form == "damaged" and sparse.nnz:
            at = int(self.rng.integers(sparse.nnz))
            sparse.indices[at] = self.pick((n, -1, 2**31 - 1, 10_000_000))
            if self.chance(0.3):
                sparse = sparse.asformat("csr")
                sparse.indptr[-1] += self.pick((1, 1000, 10_000_000))
        return sparse if form in ("wide csr", "damaged") else sparse.asformat(form)

    def labels(self, m: int) -> Any:
        """Draw targets or labels."""
        if self.regresses:
            y = np.abs(self.rng.standard_normal((m, self.n_outputs)))
            y = y.ravel() if self.n_outputs == 1 and self.chance(0.8) else y
            return before_a_wall(y.astype(self.pick(("f8", "f8", "f4", "i8"))))
        k = self.n_classes
        if self.label_kind == "several":
            return (self.rng.random((m, k)) < 0.5).astype(int)
        whole = np.concatenate([np.arange(min(k, m)), self.rng.integers(0, k, max(m - k, 0))])
        return whole if self.label_kind == "int" else np.array([f"c{i}" for i in whole])

    def weights(self, m: int) -> Any:
        """Draw sample weights, mostly none."""
        kind = self.pick((None,) * 5 + ("ones", "random", "single", "short"))
        if kind is None:
            return None
        n = m - 1 if kind == "short" else m
        return before_a_wall((0.1 + self.rng.random(n)).astype("f4" if kind == "single" else "f8"))

    def change_shapes(self) -> None:
        """Now and then, let the data have other shapes from here on."""
        if self.chance(0.2):
            self.n_features = self.pick(FEATURES)
        if self.chance(0.25):
            self.n_outputs = self.pick(OUTPUTS)
            self.n_classes = self.pick(CLASSES)
        if self.chance(0.1):
            self.label_kind = self.pick(("int", "text", "several"))

    # ------------------------------------------------------------------------------------ calls

    def learn(self, method: str) -> None:
        """Fit, or go on, and look at what came of it."""
        self.change_shapes()
        m = self.pick(ROWS)
        X, y, weights = self.inputs(m, self.n_features), self.labels(m), self.weights(m)
        arguments: dict[str, Any] = {"sample_weight": weights}
        if method == "partial_fit" and not self.regresses and self.chance(0.8):
            k = self.n_classes
            arguments["classes"] = (
                np.arange(k) if self.label_kind != "text" else [f"c{i}" for i in range(k)]
            )
        if self.chance(0.15):
            n = self.n_features if self.chance(0.8) else self.pick(FEATURES)
            if self.chance(0.2):
                self.n_outputs, self.n_classes = self.pick(OUTPUTS), self.pick(CLASSES)
            m_val = self.pick(ROWS)
            arguments["X_val"], form = self.inputs(m_val, n), self.form
            arguments["y_val"] = self.labels(m_val)
            self.form += f", X_val {form} {m_val}x{n}"
        self.log.append(
            f"{method}(X {self.form} {m}x{self.n_features}, y {np.shape(y)} {np.asarray(y).dtype}, "
            f"weights {None if weights is None else len(weights)}, {sorted(arguments)})"
        )
        twin = copy.deepcopy(self.model) if self.chance(0.2) else None
        getattr(self.model, method)(X, y, **arguments)
        self.deleted.clear()
        self.examine(X, y, m)
        if twin is not None:
            getattr(twin, method)(X, y, **arguments)
            for mine, other in zip(self.model.coefs_, twin.coefs_, strict=True):
                if not np.array_equal(mine, other):
                    raise Finding("the same call on a copy ended with other weights")

    def examine(self, X: Any, y: Any, m: int) -> None:
        """Compare a fitted network with the data that it was just fitted to."""
        model, y = self.model, np.asarray(y)
        shapes = [W.shape for W in model.coefs_]
        dims = [shapes[0][0], *(shape[1] for shape in shapes)]
        if [b.shape for b in model.intercepts_] != [(n,) for n in dims[1:]]:
            raise Finding(f"intercepts_ do not follow coefs_ of {shapes}")
        if dims[0] != self.n_features or model.n_features_in_ != dims[0]:
            raise Finding(f"fitted {self.n_features} features with coefs_ of {shapes}")
        if model.n_outputs_ != dims[-1]:
            raise Finding(f"n_outputs_ is {model.n_outputs_}, but coefs_ have {shapes}")
        if not all(np.isfinite(array).all() for array in (*model.coefs_, *model.intercepts_)):
            raise Finding("weights that are not finite")
        predicted = model.predict(X)
        if self.regresses:
            expected = (m,) if y.size == m else y.shape
            if dims[-1] != y.size // m or predicted.shape != expected:
                raise Finding(f"y of {y.shape}, but {dims[-1]} outputs, {predicted.shape}")
            if not np.isfinite(predicted).all() and model.loss != "poisson":
                raise Finding("predictions that are not finite")
            return
        several = y.ndim == 2 and y.shape[1] > 1
        if predicted.shape != (y.shape if several else (m,)) and predicted.ndim == y.ndim:
            raise Finding(f"y of {y.shape}, predicted {predicted.shape}")
        probabilities = model.predict_proba(X)
        inside = (probabilities >= 0).all() and (probabilities <= 1 + 1e-5).all()
        if not (np.isfinite(probabilities).all() and inside):
            raise Finding("probabilities that are none")

    def use(self) -> None:
        """Predict or score."""
        m, n = self.pick(ROWS), self.n_features
        n = n if self.chance(0.8) else self.pick(FEATURES)
        method = self.pick(("predict", "score") if self.regresses else
                           ("predict", "predict_proba", "score"))  # fmt: skip
        X = self.inputs(m, n)
        self.log.append(f"{method}(X {self.form} {m}x{n})")
        if method == "score":
            self.model.score(X, self.labels(m))
        else:
            getattr(self.model, method)(X)

    def set_parameter(self) -> None:
        """Set one parameter."""
        known = [name for name in PARAMETERS if name in self.model.get_params()]
        name = self.pick(known)
        value = self.pick(PARAMETERS[name])
        self.log.append(f"set_params({name}={value!r})")
        self.model.set_params(**{name: value})

    def assign(self) -> None:
        """Assign, or delete, a fitted attribute."""
        name = self.pick((*ATTRIBUTES, "coefs_", "coefs_", "intercepts_", "both", "item"))
        n_in, n_out = self.pick((self.n_features, *FEATURES)), self.pick(OUTPUTS)
        dims = [n_in, *self.pick(([4], [5], [], [4, 4])), n_out]
        dtype = self.pick(("f8", "f4", "f2", "i8"))
        W = [np.ones(s, dtype) / 8 for s in pairwise(dims)]
        b = [np.zeros(n, dtype) for n in dims[1:]]
        self.log.append(f"assign {name} (dims {dims} {dtype})")
        if name == "item":
            coefs = self.model.coefs_
            coefs[self.pick(range(len(coefs)))] = self.pick(W)
        elif name == "both":
            self.model.coefs_, self.model.intercepts_ = W, b
        elif name == "coefs_":
            self.model.coefs_ = W
        elif name == "intercepts_":
            self.model.intercepts_ = b
        elif self.chance(0.3) and hasattr(self.model, name):
            self.log[-1] = f"del {name}"
            delattr(self.model, name)
            self.deleted.add(name)
        elif name == "classes_" and not self.regresses:
            self.model.classes_ = np.arange(self.pick(CLASSES))
        elif name in ("n_features_in_", "n_outputs_", "n_layers_"):
            setattr(self.model, name, self.pick(FEATURES))

    def copied(self) -> None:
        """Go on with a copy: pickled, cloned or deep."""
        how = self.pick(("pickle", "deepcopy", "clone"))
        self.log.append(how)
        if how == "clone":
            self.model = clone(self.model)
            self.deleted.clear()
        elif how == "pickle":
            self.model = pickle.loads(pickle.dumps(self.model))
        else:
            self.model = copy.deepcopy(self.model)

    def step(self) -> bool:
        """Make the next call; return whether it was accepted."""
        call = self.pick(("fit",) * 4 + ("partial_fit",) * 5 + ("use",) * 3 + ("set",) * 4
                         + ("assign",) * 4 + ("copy",))  # fmt: skip
        calls = {
            "use": self.use,
            "set": self.set_parameter,
            "assign": self.assign,
            "copy": self.copied,
        }
        try:
            if call in calls:
                calls[call]()
            else:
                self.learn(call)
        except Finding:
            raise
        except Exception as error:
            if not self.on_purpose(error):
                raise
            self.log[-1] += f" -> {type(error).__name__}: {str(error)[:100]}"
            return False
        return True

    def on_purpose(self, error: Exception) -> bool:
        """Whether an exception is an answer: raised as one, in backlit or in scikit-learn."""
        if isinstance(error, (BacklitError, NotFittedError)):
            return True
        trace = error.__traceback__
        assert trace is not None
        while trace.tb_next is not None:
            trace = trace.tb_next
        path = trace.tb_frame.f_code.co_filename
        if "/sklearn/" in path.replace("\\", "/"):
            return True
        missing = getattr(error, "name", None)
        if isinstance(error, AttributeError) and missing in ATTRIBUTES:
            return True  # deleted, or never there
        return linecache.getline(path, trace.tb_lineno).lstrip().startswith("raise ")


def attempt(seed: int, index: int) -> str:
    """Make the calls of one sequence; raise, with what led there, on a finding.

    Returns
    -------
    str
        "accepted" if the last call was, else "refused".
    """
    sequence = Sequence(seed, index)
    accepted = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(int(sequence.rng.integers(3, 9))):
                accepted = sequence.step()
    except Exception as error:
        done = "\n  ".join(sequence.log)
        raise Finding(f"sequence {index} of seed {seed}:\n  {done}\n{error!r}") from error
    finally:
        _kept.clear()
    return "accepted" if accepted else "refused"
