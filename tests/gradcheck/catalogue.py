"""Wrong backward functions with their diagnoses, and right ones; a command that tries them all.

    python tests/gradcheck/catalogue.py --seeds 50

An entry says which problems, and no others, the checker has to name: {gradient: relation or
(relation, factor name)}; the key None is for the call as a whole.
"""

import argparse
import functools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import gradcheck.layers as make
from backlit.gradcheck import check_backward


@dataclass(frozen=True)
class Entry:
    """One function of the catalogue."""

    name: str
    maker: Callable[..., Any]
    problems: dict[str | None, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def check(self, seed):
        forward, backward, inputs = self.maker(np.random.default_rng(seed))
        return check_backward(
            forward, backward, inputs, seed=seed, repair=False, seconds=60, **self.options
        )

    def verdict(self, report):
        """Return what is not as it should be; an empty text if all is."""
        found = {}
        for f in (*report.problems, *report.remarks):
            found.setdefault(f.gradient, []).append(f)
        said = []
        for key, expected in self.problems.items():
            here = found.pop(key, [])
            relation, factor = expected if isinstance(expected, tuple) else (expected, None)
            fits = [f for f in here if "+".join(f.relations) == relation or f.relation == relation]
            if len(here) != 1 or not fits:
                said.append(f"{key}: expected {relation}, got {[f.label for f in here]}")
            elif factor is not None and fits[0].factor_name != factor:
                said.append(f"{key}: expected factor {factor}, got {fits[0].factor_name}")
            elif "+" in relation and "+".join(fits[0].relations) != relation:
                said.append(f"{key}: expected {relation}, got {fits[0].label}")
        said += [f"{key}: not expected: {[f.label for f in fs]}" for key, fs in found.items()]
        return "; ".join(said)


def entry(name, maker, problems=None, options=None, **settings):
    made = functools.partial(maker, **settings) if settings else maker
    return Entry(name, made, problems or {}, options or {})


def dense(fault, problems, **settings):
    name = f"dense: {fault}" + "".join(f", {k}={v}" for k, v in settings.items())
    return entry(name, make.dense, problems, fault=fault, **settings)


def of(maker, fault, problems, **settings):
    label = maker.__name__ + "".join(f" {k}={v}" for k, v in settings.items())
    return entry(f"{label}: {fault}", maker, problems, fault=fault, **settings)


EVERYWHERE = ("A_prev", "W", "b")


def everywhere(relation, names=EVERYWHERE):
    return dict.fromkeys(names, relation)


WRONG = [
    # scale
    dense("dA/m", {"A_prev": ("scale", "1/m")}),
    dense("dA/m", {"A_prev": ("scale", "1/m")}, mean=False),
    dense("dA/m", {"X": ("scale", "1/m")}, rows=True),
    dense("dA/m", {"A_prev": ("scale", "1/m")}, square=True),
    dense("dA*m", {"A_prev": ("scale", "m")}),
    dense("dW/m", {"W": ("scale", "1/m")}),
    dense("db*m", {"b": ("scale", "m")}),
    dense("-dW", {"W": ("scale", "-1")}),
    dense("2dA", {"A_prev": ("scale", "2")}),
    dense("half db", {"b": ("scale", "1/2")}),
    dense("dA/n_out", {"A_prev": ("scale", "1/n_out")}),
    dense("dW/n_in", {"W": ("scale", "1/n_in")}),
    dense("0.37dW", {"W": ("scale", "0.37")}),
    of(make.activation, "sign", {"Z": ("scale", "-1")}, kind="tanh"),
    of(make.activation, "half", {"Z": ("scale", "1/2")}, kind="relu"),
    of(make.activation, "/m", {"Z": ("scale", "1/m")}, kind="sigmoid"),
    of(make.softmax_layer, "-", {"Z": ("scale", "-1")}),
    of(make.softmax_layer, "/m", {"Z": ("scale", "1/m")}),
    of(make.softmax_layer, "/m", {"Z": ("scale", "1/m")}, rows=True),
    of(make.softmax_cross_entropy, "no 1/m", {"Z": ("scale", "m")}),
    of(make.softmax_cross_entropy, "no 1/m", {"Z": ("scale", "m")}, rows=True),
    of(make.softmax_cross_entropy, "Y - P", {"Z": ("scale", "-1")}),
    of(make.softmax_cross_entropy, "/n", {"Z": ("scale", "1/n_out")}),
    of(make.softmax_cross_entropy, "no d", {"Z": ("scale", "1/d_output")}),
    of(make.binary_cross_entropy, "2", {"Z": ("scale", "2")}),
    of(make.squared_error, "2", {"A": ("scale", "2")}),
    of(make.squared_error, "no mean", {"A": ("scale", "m")}),
    of(make.batch_norm, "dx no 1/N", {"x": ("scale", "m")}),
    of(make.batch_norm, "-dgamma", {"gamma": ("scale", "-1")}),
    of(make.layer_norm, "dX*D", {"X": ("scale", "n_out")}),
    of(make.layer_norm, "dX/m", {"X": ("scale", "1/m")}),
    of(make.layer_norm, "dX/m", {"X": ("scale", "1/m")}, columns=True),
    of(make.embedding, "-", {"E": ("scale", "-1")}),
    of(make.lstm, "dWi/m", {"Wi": ("scale", "1/m")}),
    of(make.lstm, "dx/m", {"x": ("scale", "1/m")}),
    of(make.lstm, "dc_prev -", {"c_prev": ("scale", "-1")}, both=False),
    of(make.convolution, "dw/N", {"w": ("scale", "1/m")}, mean=True),
    of(make.convolution, "2dx", {"x": ("scale", "2")}),
    of(make.convolution, "-db", {"b": ("scale", "-1")}),
    of(make.attention, "dQ no scale", {"Q": "scale"}),
    of(make.attention, "dQ scale twice", {"Q": "scale"}, batched=True),
    of(make.attention, "-dK", {"K": ("scale", "-1")}),
    of(make.attention, "2dV", {"V": ("scale", "2")}, batched=True),
    of(make.two_layers, "dA/m", dict.fromkeys(("X", "W1", "b1"), ("scale", "1/m"))),
    # transpose
    dense("dW.T", {"W": "transpose"}),
    dense("dW.T", {"W": "transpose"}, mean=False),
    dense("dW.T", {"W": "transpose"}, square=True),
    dense("W@dZ", {"A_prev": "transpose"}),
    dense("W@dZ", {"A_prev": "transpose"}, square=True),
    dense("dZ@A", {"W": "transpose"}),
    dense("dW.T*m", {"W": ("transpose+scale", "m")}),
    of(make.softmax_cross_entropy, "transposed", {"Z": "transpose"}),
    of(make.batch_norm, "dx.T", {"x": "transpose"}),
    of(make.embedding, "dE.T", {"E": "transpose"}),
    of(make.lstm, "dWo.T", {"Wo": "transpose"}),
    of(make.convolution, "dw axes", {"w": "transpose"}),
    of(make.attention, "dS@Q", {"K": "transpose"}, same=True),
    of(make.attention, "dS@Q", {"K": "transpose"}),
    of(make.attention, "P@dO", {"V": "transpose"}, same=True),
    of(make.attention, "dV.T", {"V": "transpose"}),
    of(make.dense_activation, "dA with W", {"A_prev": "transpose"}, kind="tanh"),
    # unsummed
    dense("db unsummed", {"b": "unsummed"}),
    dense("db unsummed", {"b": "unsummed"}, mean=False),
    dense("dW unsummed", {"W": "unsummed"}),
    dense("db unsummed*m", {"b": ("unsummed+scale", "m")}),
    of(make.dense_activation, "db unsummed", {"b": "unsummed"}, kind="relu"),
    of(make.batch_norm, "dbeta unsummed", {"beta": "unsummed"}),
    of(make.batch_norm, "dgamma unsummed", {"gamma": "unsummed"}),
    of(make.layer_norm, "dgamma unsummed", {"gamma": "unsummed"}),
    of(make.lstm, "db unsummed", {"bg": "unsummed"}),
    of(make.convolution, "db unsummed", {"b": "unsummed"}),
    # shape
    dense("db flat", {"b": "shape"}),
    dense("dW flat", {"W": "shape"}),
    of(make.softmax_cross_entropy, "flat", {"Z": "shape"}),
    of(make.batch_norm, "dgamma keepdims", {"gamma": "shape"}),
    of(make.layer_norm, "dbeta flat", {"beta": "shape"}),
    of(make.lstm, "db flat", {"bo": "shape"}),
    of(make.convolution, "db keepdims", {"b": "shape"}),
    of(make.convolution, "dw flat", {"w": "shape"}),
    # subset
    dense("db last", {"b": "subset"}),
    dense("dW last", {"W": "subset"}),
    dense("dW first", {"W": "subset"}),
    dense("dA last", {"A_prev": "subset"}),
    dense("dW all but last", {"W": "subset"}),
    dense("dW last", {"W": "subset"}, rows=True),
    of(make.softmax_cross_entropy, "last", {"Z": "subset"}),
    of(make.batch_norm, "dgamma last", {"gamma": "subset"}),
    of(make.layer_norm, "dbeta first", {"beta": "subset"}),
    of(make.embedding, "overwrites", {"E": "repeated"}),
    of(make.embedding, "overwrites", {"E": "repeated"}, tokens=True),
    of(make.embedding, "last", {"E": "subset"}),
    of(make.lstm, "dbf last", {"bf": "subset"}),
    of(make.convolution, "dw first", {"w": "subset"}),
    of(make.convolution, "db last", {"b": "subset"}),
    # activation
    *(
        of(make.activation, fault, {"Z": "activation"}, kind=kind)
        for kind in ("sigmoid", "tanh", "softplus", "silu")
        for fault in ("missing", "twice", "at A")
    ),
    of(make.activation, "missing", {"Z": "activation"}, kind="relu"),
    of(make.activation, "missing", {"Z": "activation"}, kind="leaky_relu"),
    of(make.activation, "missing", {"Z": "activation"}, kind="sin"),
    of(make.activation, "at A", {"Z": "activation"}, kind="sin"),
    of(make.activation, "A-form at Z", {"Z": "activation"}, kind="sigmoid"),
    of(make.activation, "A-form at Z", {"Z": "activation"}, kind="tanh"),
    of(make.activation, "of relu", {"Z": "activation"}, kind="tanh"),
    *(
        of(make.dense_activation, fault, everywhere("activation"), kind=kind)
        for kind in ("sigmoid", "tanh")
        for fault in ("missing", "twice", "at A")
    ),
    of(make.dense_activation, "missing", everywhere("activation"), kind="relu"),
    of(make.dense_activation, "missing", everywhere("activation"), kind="relu", cached="A"),
    of(make.dense_activation, "missing", everywhere("activation"), kind="silu"),
    of(make.dense_activation, "missing", everywhere("activation"), kind="sigmoid", cached="A"),
    of(make.dense_activation, "missing in dW", {"W": "activation"}, kind="relu"),
    of(make.dense_activation, "missing in dA", {"A_prev": "activation"}, kind="tanh"),
    of(make.dense_activation, "of tanh", everywhere("activation"), kind="sigmoid"),
    of(make.softmax_layer, "missing", {"Z": "activation"}),
    of(make.softmax_cross_entropy, "missing", {"Z": "activation"}),
    of(make.binary_cross_entropy, "missing", {"Z": "activation"}),
    of(make.binary_cross_entropy, "twice", {"Z": "activation"}),
    of(make.convolution, "missing", dict.fromkeys("xwb", "activation"), relu=True),
    of(make.lstm, "no f'", dict.fromkeys(("x", "h_prev", "Wf", "bf"), "activation")),
    of(make.lstm, "no g'", dict.fromkeys(("x", "h_prev", "Wg", "bg"), "activation")),
    of(make.lstm, "o' twice", dict.fromkeys(("x", "h_prev", "Wo", "bo"), "activation")),
    of(
        make.lstm,
        "no tanh'",
        dict.fromkeys(("x", "h_prev", "c_prev", "Wf", "Wi", "Wg", "bf", "bi", "bg"), "activation"),
        both=False,
    ),
    of(make.two_layers, "no relu'", dict.fromkeys(("X", "W1", "b1"), "activation")),
    of(
        make.two_layers,
        "no sigmoid'",
        dict.fromkeys(("X", "W1", "b1", "W2", "b2"), "activation"),
    ),
    of(make.attention, "no softmax'", {"Q": "activation", "K": "activation"}),
    # elementwise
    dense("W.T*dZ", {"A_prev": "elementwise"}),
    dense("dZ*A", {"W": "elementwise"}),
    dense("dZ*A", {"W": "elementwise"}, square=True),
    of(make.softmax_layer, "diagonal", {"Z": "elementwise"}),
    of(make.softmax_layer, "diagonal", {"Z": "elementwise"}, rows=True),
    of(make.softmax_layer, "no sum", {"Z": "elementwise"}),
    of(make.softmax_layer, "diagonal", everywhere("elementwise"), dense_too=True),
    of(make.softmax_cross_entropy, "diagonal", {"Z": "elementwise"}),
    of(make.attention, "diagonal", {"Q": "elementwise", "K": "elementwise"}),
    of(make.attention, "no sum", {"Q": "elementwise", "K": "elementwise"}, batched=True),
    # penalty
    dense("decay", {"W": "penalty"}),
    dense("decay/m", {"W": "penalty"}),
    dense("decay", {"W": "penalty"}, mean=False),
    of(
        make.l2_cost,
        "missing",
        {"W": "penalty"},
    ),
    of(make.l2_cost, "doubled", {"W": "penalty"}),
    of(make.embedding, "decay", {"E": "penalty"}),
    of(make.batch_norm, "decay", {"gamma": "penalty"}),
    of(make.convolution, "decay", {"w": "penalty"}),
    # accumulates, stale
    dense("accumulates", {"W": "accumulates"}),
    of(make.stateful, "accumulates", {"W": "accumulates"}),
    of(make.stateful, "accumulates in place", {"W": "accumulates"}),
    of(make.batch_norm, "accumulates", {"gamma": "accumulates"}),
    of(make.stateful, "stale", {"X": "stale", "W": "stale"}),
    of(make.stateful, "stale X", {"X": "stale", "W": "stale"}),
    of(make.lstm, "stale", {f"W{g}": "stale" for g in make.GATES}),
    # mutates
    dense("mutates d", {None: "mutates"}),
    dense("mutates W", {None: "mutates"}),
    of(make.activation, "mutates", {None: "mutates"}, kind="relu"),
    of(make.batch_norm, "mutates", {None: "mutates"}),
    of(make.embedding, "mutates", {None: "mutates"}),
    of(make.convolution, "mutates", {None: "mutates"}),
    # nonfinite
    dense("nan", {"A_prev": "nonfinite"}),
    of(make.activation, "nan", {"Z": "nonfinite"}, kind="sigmoid"),
    of(make.binary_cross_entropy, "quotient", {"Z": "nonfinite"}, saturated=True),
    of(make.batch_norm, "nan", {"x": "nonfinite"}),
    # swapped
    dense("swapped", {"A_prev": "swapped", "W": "swapped"}, square=True),
    of(make.batch_norm, "swapped", {"gamma": "swapped", "beta": "swapped"}),
    of(make.layer_norm, "dgamma is dbeta", {"gamma": "swapped"}),
    of(make.lstm, "swapped", {"Wf": "swapped", "Wi": "swapped"}),
    of(make.attention, "swapped", {"Q": "swapped", "K": "swapped"}, same=True),
    # raises
    entry("undefined m", make.undefined_m, {None: "raises"}),
    entry("undefined N", make.undefined_m, {None: "raises"}, variable="N"),
    entry("undefined batch_size", make.undefined_m, {None: "raises"}, variable="batch_size"),
    entry(
        "undefined m, and 1/m on dA_prev",
        make.undefined_m,
        {None: "raises", "A_prev": ("scale", "1/m")},
        second=True,
    ),
    *(
        entry(f"raises: {kind}", make.raising, {None: "raises"}, kind=kind)
        for kind in ("key", "unpack", "name", "zero")
    ),
    # unknown: wrong, and none of the above; also a tenth of a percent in one entry
    dense("one entry dA", {"A_prev": "unknown"}),
    dense("one entry dW", {"W": "unknown"}),
    dense("one entry db", {"b": "unknown"}),
    dense("noise", {"W": "unknown"}),
    dense("zero", {"A_prev": "unknown"}),
    dense("sums all", {"b": "unknown"}),
    dense("no db", {"b": "unknown"}),
    of(make.activation, "one entry", {"Z": "unknown"}, kind="abs"),
    of(make.softmax_cross_entropy, "one entry", {"Z": "unknown"}),
    of(make.softmax_layer, "plus", {"Z": "unknown"}),
    of(make.batch_norm, "constants", {"x": "unknown"}),
    of(make.batch_norm, "one entry", {"x": "unknown"}),
    of(make.layer_norm, "no mean term", {"X": "unknown"}),
    of(make.embedding, "one entry", {"E": "unknown"}),
    of(make.lstm, "one entry", {"Wg": "unknown"}),
    of(make.convolution, "one entry", {"x": "unknown"}),
    of(make.convolution, "overwrites", {"x": "unknown"}),
    of(make.attention, "one entry", {"K": "unknown"}),
]

RIGHT = [
    *(
        entry(
            f"dense right{''.join(f' {k}={v}' for k, v in settings.items())}",
            make.dense,
            None,
            **settings,
        )
        for settings in (
            {"mean": True},
            {"mean": False},
            {"rows": True},
            {"rows": True, "mean": False},
            {"square": True},
            {"square": True, "mean": False},
            {"m": 1},
            {"form": "dict"},
            {"form": "names"},
            {"m": 9},
        )
    ),
    *(entry(f"{kind}", make.activation, None, kind=kind) for kind in make.ACTIVATIONS),
    entry("relu, gradient in a tuple", make.activation, None, kind="relu", fault="tuple"),
    *(entry(f"dense {kind}", make.dense_activation, None, kind=kind) for kind in make.ACTIVATIONS),
    entry("dense relu, A cached", make.dense_activation, None, kind="relu", cached="A"),
    entry("softmax", make.softmax_layer),
    entry("softmax rows", make.softmax_layer, None, rows=True),
    entry("dense softmax", make.softmax_layer, None, dense_too=True),
    entry("softmax cross-entropy", make.softmax_cross_entropy, None, {"wrt": ["Z"]}),
    entry("softmax cross-entropy rows", make.softmax_cross_entropy, None, {"wrt": "Z"}, rows=True),
    entry("binary cross-entropy", make.binary_cross_entropy, None, {"wrt": ["Z"]}),
    entry("saturated", make.binary_cross_entropy, None, {"wrt": ["Z"]}, saturated=True),
    entry("squared error", make.squared_error, None, {"wrt": ["A"]}),
    entry("least squares with L2", make.l2_cost, None, {"wrt": ["W"]}),
    entry("batch norm", make.batch_norm),
    entry("batch norm, mean", make.batch_norm, None, mean=True),
    entry("batch norm, stated", make.batch_norm, None, {"mean_over": "rows"}, mean=True),
    entry("batch norm, no mean", make.batch_norm, None, {"mean_over": None}),
    entry("layer norm", make.layer_norm),
    entry("layer norm columns", make.layer_norm, None, columns=True),
    entry("embedding", make.embedding),
    entry("embedding tokens", make.embedding, None, tokens=True),
    entry("embedding mean", make.embedding, None, mean=True),
    entry("embedding wrt", make.embedding, None, {"wrt": ["E"]}),
    entry("LSTM cell", make.lstm),
    entry("LSTM cell, h only", make.lstm, None, both=False),
    entry("LSTM cell, sum", make.lstm, None, mean=False),
    entry("convolution", make.convolution),
    entry("convolution relu", make.convolution, None, relu=True),
    entry("convolution mean", make.convolution, None, mean=True),
    entry("attention", make.attention),
    entry("attention batched", make.attention, None, batched=True),
    entry("self-attention", make.attention, None, same=True),
    entry("stateful", make.stateful),
    entry("two layers", make.two_layers),
    entry("dense, W only", make.dense, None, {"wrt": ["W"]}),
    entry("dense stated", make.dense, None, {"mean_over": "columns"}),
    entry("dense no mean", make.dense, None, {"mean_over": None}, mean=False),
    entry("dense rows stated", make.dense, None, {"mean_over": "rows"}, rows=True),
]

# entries about a cost differentiate its first argument only
for index, one in enumerate(WRONG):
    maker = getattr(one.maker, "func", one.maker)
    wrt = {
        make.softmax_cross_entropy: ["Z"],
        make.binary_cross_entropy: ["Z"],
        make.squared_error: ["A"],
        make.l2_cost: ["W"],
    }.get(maker)
    if wrt:
        WRONG[index] = Entry(one.name, one.maker, one.problems, {"wrt": wrt, **one.options})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--only", default="", help="names that contain this")
    options = parser.parse_args()
    begun, failures, checks = time.perf_counter(), 0, 0
    relations = set()
    for kind, entries in (("wrong", WRONG), ("right", RIGHT)):
        for one in entries:
            if options.only not in one.name:
                continue
            bad, start = [], time.perf_counter()
            for seed in range(options.seeds):
                report = one.check(seed)
                checks += 1
                relations |= {r for f in report.findings for r in f.relations}
                said = one.verdict(report)
                if said:
                    bad.append((seed, said))
            failures += len(bad)
            took = (time.perf_counter() - start) / options.seeds
            if bad:
                print(f"{kind} | {one.name} | {len(bad)} of {options.seeds} | {took:.3f} s")
                for seed, said in bad[:3]:
                    print(f"    seed {seed}: {said}")
            elif took > 0.5:
                print(f"slow: {one.name} {took:.2f} s a check")
    print(
        f"{len(WRONG)} wrong and {len(RIGHT)} right functions, {options.seeds} seeds: "
        f"{checks} checks, {failures} not as they should be, "
        f"{time.perf_counter() - begun:.0f} s; relations seen: {', '.join(sorted(relations))}"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
