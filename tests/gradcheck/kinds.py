"""Nets, layer classes and recurrent nets for the catalogue: source with one fault, or with none.

Each function is written out for one activation, layout and depth, as somebody would write it, so
that a repair finds its lines.
"""

import io
import itertools
import linecache
from dataclasses import dataclass, field

import numpy as np

from backlit.gradcheck import check_backward, check_layer

ACTIVATIONS = {
    "tanh": ("np.tanh({z})", "(1 - {a} ** 2)"),
    "sigmoid": ("1 / (1 + np.exp(-({z})))", "{a} * (1 - {a})"),
    "softplus": ("np.log1p(np.exp({z}))", "(1 - np.exp(-{a}))"),
}
LAYOUTS = {
    "rows": {
        "z": "{a} @ W{n} + b{n}",
        "dW": "{a}.T @ dZ{n} / m",
        "db": "dZ{n}.sum(axis=0, keepdims=True) / m",
        "dA": "dZ{n} @ W{n}.T",
        "m": "X.shape[0]",
        "last": "{a}[-1:].T @ dZ{n}[-1:] / m",
    },
    "columns": {
        "z": "W{n} @ {a} + b{n}",
        "dW": "dZ{n} @ {a}.T / m",
        "db": "dZ{n}.sum(axis=1, keepdims=True) / m",
        "dA": "W{n}.T @ dZ{n}",
        "m": "X.shape[1]",
        "last": "dZ{n}[:, -1:] @ {a}[:, -1:].T / m",
    },
}
LOSSES = {
    "squares": ("np.sum((A{L} - Y) ** 2) / (2 * m)", "A{L} = {z}"),
    "binary": (
        "-np.sum(Y * np.log(A{L}) + (1 - Y) * np.log(1 - A{L})) / m",
        "A{L} = 1 / (1 + np.exp(-({z})))",
    ),
}
NET_FAULTS = {
    "sign": {"W1": ("scale", "-1"), "b1": ("scale", "-1")},
    "no slope": {"W1": {"activation", "unknown"}, "b1": {"activation", "unknown"}},
    "no mean": {"W1": ("scale", "m")},
    "bias twice": {"b1": ("scale", "2")},
    "turned": {"W1": "transpose"},
    "last example": {"W1": {"subset", "unknown"}},
    "unsummed": {"b1": "unsummed"},
    "half": {"W1": ("scale", "1/2"), "b1": ("scale", "1/2")},
}
TIME_FAULTS = {
    "transpose": ({"U", "K", "c"}, {"transpose"}),
    "square": ({"U", "K", "c"}, {"square", "activation"}),
    "step": ({"U"}, {"step"}),
    "last step": ({"K"}, {"last step"}),
    "sign": ({"U", "K", "c"}, {"scale", "unknown"}),
    "lost carry": ({"U", "K", "c"}, {"path", "unknown", "last step", "subset"}),
}
LAYER_FAULTS = {
    "twice": {"W": ("scale", "2")},
    "no sum": {"b": "unsummed"},
    "sign": {"b": ("scale", "-1")},
    "first example": {"W": "subset"},
}
_numbers = itertools.count()


def compiled(text):
    """Run source under a name of its own, at which its lines are found."""
    label = f"<catalogue {next(_numbers)}>.py"
    linecache.cache[label] = (len(text), None, io.StringIO(text).readlines(), label)
    scope = {"np": np, "__name__": "catalogue_of_kinds"}
    exec(compile(text, label, "exec"), scope)
    return scope


@dataclass(frozen=True)
class Kind:
    """One function: how it is checked, and what is right to say of it."""

    name: str
    check: object
    problems: dict = field(default_factory=dict)  # gradient: a relation, or a set of them

    def verdict(self, report):
        """Return what is not as it should be; an empty text if all is."""
        found = {f.gradient: f for f in report.problems}
        further = set(found) - set(self.problems)
        said = [f"{name}: not expected: {found[name].label}" for name in further]
        for name, expected in self.problems.items():
            relation, factor = expected if isinstance(expected, tuple) else (expected, None)
            allowed = {relation} if isinstance(relation, str) else set(relation)
            one = found.get(name)
            if one is None or one.relation not in allowed:
                said.append(f"{name}: expected {allowed}, got {one and one.label}")
            elif factor is not None and one.factor_name != factor:
                said.append(f"{name}: expected factor {factor}, got {one.factor_name}")
        return "; ".join(said)


def net_text(activation, layout, loss, depth, fault):
    act, slope = ACTIVATIONS[activation]
    form = LAYOUTS[layout]
    cost, last = LOSSES[loss]
    names = [f"{p}{n}" for n in range(1, depth + 1) for p in ("W", "b")]
    lines = [f"def net(X, Y, {', '.join(names)}):", f"    m = {form['m']}"]
    for n in range(1, depth + 1):
        before = "X" if n == 1 else f"A{n - 1}"
        z = form["z"].format(a=before, n=n)
        if n < depth:
            lines.append(f"    A{n} = {act.format(z=z)}")
        else:
            lines.append("    " + last.format(L=n, z=z))
    layers = range(1, depth + 1)
    kept = ["X", "Y", *[f"W{n}" for n in layers], *[f"A{n}" for n in layers]]
    lines += [f"    return {cost.format(L=depth)}, ({', '.join(kept)})", "", ""]
    lines += [
        "def net_backward(d, cache):",
        f"    {', '.join(kept)} = cache",
        f"    m = {form['m']}",
    ]
    lines.append(f"    dZ{depth} = d * (A{depth} - Y)")
    for n in range(depth, 0, -1):
        before = "X" if n == 1 else f"A{n - 1}"
        dW, db = form["dW"].format(a=before, n=n), form["db"].format(n=n)
        if n == 1:
            dW, db = _with_fault(fault, dW, db, form, before)
        lines += [f"    dW{n} = {dW}", f"    db{n} = {db}"]
        if n > 1:
            right = f"({form['dA'].format(n=n)}) * {slope.format(a=f'A{n - 1}')}"
            if n == 2:
                right = {
                    "sign": f"-{right}",
                    "no slope": form["dA"].format(n=n),
                    "half": f"0.5 * {right}",
                }.get(fault, right)
            lines.append(f"    dZ{n - 1} = {right}")
    found = ", ".join(f'"d{n}": d{n}' for n in names)
    return "\n".join([*lines, f"    return {{{found}}}", ""])


def _with_fault(fault, dW, db, form, before):
    if fault == "no mean":
        dW = dW.removesuffix(" / m")
    elif fault == "bias twice":
        db = f"2 * {db}"
    elif fault == "turned":
        dW = f"({dW}).T"
    elif fault == "last example":
        dW = form["last"].format(a=before, n=1)
    elif fault == "unsummed":
        db = "dZ1 / m"
    return dW, db


def net(activation, layout, loss, depth, fault=None):
    text = net_text(activation, layout, loss, depth, fault)

    def check(seed):
        rng = np.random.default_rng(seed)
        scope = compiled(text)
        sizes = [4, *[int(n) for n in rng.permutation([5, 6, 7])[: depth - 1]], 3]
        m = 8
        columns = layout == "columns"
        inputs = {
            "X": rng.normal(size=(4, m) if columns else (m, 4)),
            "Y": (rng.uniform(size=(3, m) if columns else (m, 3)) > 0.5).astype(float),
        }
        for n in range(1, depth + 1):
            a, b = sizes[n - 1], sizes[n]
            inputs[f"W{n}"] = rng.normal(size=(b, a) if columns else (a, b)) * 0.7
            inputs[f"b{n}"] = rng.normal(size=(b, 1) if columns else (1, b)) * 0.3
        wrt = [n for n in inputs if n not in "XY"]
        return check_backward(
            scope["net"],
            scope["net_backward"],
            inputs,
            wrt=wrt,
            seed=seed,
            repair=False,
            seconds=60,
        )

    return Kind(
        f"net {activation} {layout} {loss} {depth}: {fault}", check, NET_FAULTS.get(fault, {})
    )


def time_text(activation, fault):
    act, slope = ACTIVATIONS[activation]
    slope = slope.format(a="h[t + 1]")
    if fault == "square":
        slope = {"tanh": "(1 - h[t + 1])", "sigmoid": "h[t + 1]"}[activation]
    back = {"transpose": "U @ dz", "sign": "-U.T @ dz", "lost carry": "0 * (U.T @ dz)"}
    state = "h[t + 1].T" if fault == "step" else "h[t].T"
    adding = "=" if fault == "last step" else "+="
    return f"""
def recurrent(U, K, c, x):
    h = [np.zeros_like(c)]
    for row in x:
        h.append({act.format(z="U @ h[-1] + K @ row + c")})
    return h[-1], (U, K, c, x, h)


def recurrent_backward(dh, cache):
    U, K, c, x, h = cache
    dU, dK, dc = np.zeros_like(U), np.zeros_like(K), np.zeros_like(c)
    for t in reversed(range(len(x))):
        dz = dh * {slope}
        dU += dz @ {state}
        dK {adding} dz @ x[t].T
        dc += dz
        dh = {back.get(fault, "U.T @ dz")}
    return dU, dK, dc
"""


def over_time(activation, steps, fault=None):
    text = time_text(activation, fault)
    wrong, allowed = TIME_FAULTS.get(fault, (set(), set()))

    def check(seed):
        rng = np.random.default_rng(seed)
        scope = compiled(text)
        U = rng.normal(size=(4, 4))
        U *= 0.8 / np.linalg.norm(U, 2)  # states that stay bounded
        inputs = {"U": U, "K": rng.normal(size=(4, 3)) * 0.7}
        inputs |= {"c": rng.normal(size=(4, 1)) * 0.5, "x": rng.normal(size=(steps, 3, 1))}
        functions = scope["recurrent"], scope["recurrent_backward"]
        return check_backward(*functions, inputs, wrt=["U", "K", "c"], seed=seed, seconds=60)

    name = f"recurrent {activation} {steps}: {fault}"
    return Kind(name, check, dict.fromkeys(wrong, allowed))


HOLDERS = {
    "attributes": ("self.dW = {dW}", "self.db = {db}", ""),
    "dict": ("self.grads = dict(W={dW})", "self.grads['b'] = {db}", ""),
    "other names": ("self.grad_W = {dW}", "self.grad_b = {db}", ""),
    "returned": ("dW = {dW}", "db = {db}", ", dW, db"),
}


def layer_text(holder, fault):
    dW = {"twice": "2 * self.x.T @ d", "first example": "self.x[:1].T @ d[:1]"}
    db = {"no sum": "d", "sign": "-d.sum(axis=0)"}
    first, second, returned = HOLDERS[holder]
    return f"""
class Dense:
    def __init__(self, n_in, n_out, rng):
        self.W, self.b = rng.normal(size=(n_in, n_out)), rng.normal(size=n_out)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, d):
        {first.format(dW=dW.get(fault, "self.x.T @ d"))}
        {second.format(db=db.get(fault, "d.sum(axis=0)"))}
        return d @ self.W.T{returned}
"""


def layer(holder, m, fault=None):
    text = layer_text(holder, fault)

    def check(seed):
        rng = np.random.default_rng(seed)
        made = compiled(text)["Dense"](4, 3, rng)
        return check_layer(made, rng.normal(size=(m, 4)), seed=seed)

    return Kind(f"layer {holder} {m}: {fault}", check, LAYER_FAULTS.get(fault, {}))


def _nets(faults):
    for activation in ("tanh", "sigmoid", "softplus"):
        for layout, loss, depth in itertools.product(LAYOUTS, LOSSES, (2, 3)):
            for fault in faults:
                yield net(activation, layout, loss, depth, fault)


def _times(faults):
    for activation, steps, fault in itertools.product(("tanh", "sigmoid"), (3, 4), faults):
        yield over_time(activation, steps, fault)


def _layers(faults):
    for holder, m, fault in itertools.product(HOLDERS, (5, 7, 6), faults):
        yield layer(holder, m, fault)


WRONG = [*_nets(NET_FAULTS), *_times(TIME_FAULTS), *_layers(LAYER_FAULTS)]
RIGHT = [*_nets([None]), *_times([None]), *_layers([None]), *(
    over_time("softplus", steps, None) for steps in range(2, 16)
)]  # fmt: skip
