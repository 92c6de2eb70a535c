"""Layers with hand-written backward passes, right or with one chosen fault.

Each maker draws shapes and numbers from a generator and returns (forward, backward, inputs). A
fault is a short name; None is the right function. Gradients follow the mean convention (1/m on
parameters) unless `mean=False`.
"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z, axis):
    e = np.exp(z - np.max(z.real, axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


ACTIVATIONS = {
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z))),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "leaky_relu": (lambda z: np.where(z > 0, z, 0.01 * z), lambda z: np.where(z > 0, 1, 0.01)),
    "softplus": (lambda z: np.log1p(np.exp(z)), sigmoid),
    "elu": (lambda z: np.where(z > 0, z, np.exp(z) - 1), lambda z: np.where(z > 0, 1, np.exp(z))),
    "silu": (
        lambda z: z * sigmoid(z),
        lambda z: sigmoid(z) + z * sigmoid(z) * (1 - sigmoid(z)),
    ),
    "sin": (np.sin, np.cos),
    "square": (lambda z: z * z, lambda z: 2 * z),
    "abs": (np.abs, np.sign),
    "sign": (lambda z: z * np.sign(z), np.sign),
}


def sizes(rng, count, low=2, high=6):
    return [int(n) for n in rng.integers(low, high, size=count)]


def dense(rng, fault=None, mean=True, rows=False, square=False, m=None, form="tuple"):
    n_in, n_out, drawn = sizes(rng, 3)
    n_in, n_out = max(n_in, 2), max(n_out, 2)
    m = m or max(drawn, 3)
    if square:
        n_in = n_out = m
    x = rng.normal(size=(n_in, m))
    w = rng.normal(size=(n_out, n_in))
    b = rng.normal(size=(n_out, 1))
    decay = 0.3

    def forward(A_prev, W, b):
        return W @ A_prev + b, (A_prev, W, b)

    calls = {"W": np.zeros((n_out, n_in))}

    def backward(dZ, cache):
        A_prev, W, _ = cache
        count = A_prev.shape[1]
        c = 1 / count if mean else 1.0
        dA_prev = W.T @ dZ
        dW = c * dZ @ A_prev.T
        db = c * np.sum(dZ, axis=1, keepdims=True)
        match fault:
            case None:
                pass
            case "dA/m":
                dA_prev = dA_prev / count
            case "dA*m":
                dA_prev = dA_prev * count
            case "dW/m":
                dW = dW / count
            case "db*m":
                db = db * count
            case "-dW":
                dW = -dW
            case "2dA":
                dA_prev = 2 * dA_prev
            case "half db":
                db = db / 2
            case "dA/n_out":
                dA_prev = dA_prev / dZ.shape[0]
            case "dW/n_in":
                dW = dW / A_prev.shape[0]
            case "0.37dW":
                dW = 0.37 * dW
            case "dW.T":
                dW = c * A_prev @ dZ.T
            case "W@dZ":
                dA_prev = W @ dZ
            case "dZ@A":
                dW = c * dZ @ A_prev
            case "dW.T*m":
                dW = A_prev @ dZ.T if mean else A_prev @ dZ.T / count
            case "W.T*dZ":
                dA_prev = W.T * dZ
            case "dZ*A":
                dW = c * dZ * A_prev
            case "db unsummed":
                db = c * dZ
            case "dW unsummed":
                dW = c * np.einsum("im,jm->mij", dZ, A_prev)
            case "db unsummed*m":
                db = dZ if mean else dZ / count
            case "db flat":
                db = c * np.sum(dZ, axis=1)
            case "dW flat":
                dW = dW.reshape(-1)
            case "db row":
                db = db.T
            case "db last":
                db = c * dZ[:, -1:]
            case "dW last":
                dW = c * dZ[:, -1:] @ A_prev[:, -1:].T
            case "dW first":
                dW = c * np.outer(dZ[:, 0], A_prev[:, 0])
            case "dA last":
                dA_prev = dA_prev * (np.arange(count) == count - 1)
            case "dW all but last":
                dW = c * dZ[:, :-1] @ A_prev[:, :-1].T
            case "decay":
                dW = dW + decay * W
            case "decay/m":
                dW = dW + decay / count * W
            case "accumulates":
                calls["W"] = calls["W"] + dW
                dW = calls["W"]
            case "mutates d":
                dZ *= 2
                dZ /= 2
                dZ += 1
            case "mutates W":
                W -= 0.1 * dW
            case "swapped":
                dA_prev, dW = dW, dA_prev
            case "no m":
                dW = dZ @ A_prev.T / m_is_missing()
            case "zero":
                dA_prev = np.zeros_like(dA_prev)
            case "one entry dA" | "one entry dW" | "one entry db":
                {"dA": dA_prev, "dW": dW, "db": db}[fault[-2:]].flat[-1] *= 1.001
            case "sums all":
                db = c * np.sum(dZ)
            case "wrong axis":
                db = c * np.sum(dZ, axis=0, keepdims=True)
            case "no db":
                return dA_prev, dW
            case "noise":
                dW = dW + 0.1 * np.cos(np.arange(dW.size)).reshape(dW.shape)
            case "nan":
                dA_prev = dA_prev / np.where(np.arange(count) == 0, 0.0, 1.0)
            case _:
                raise AssertionError(fault)
        if form == "dict":
            return {"dW": dW, "db": db, "dA_prev": dA_prev}
        if form == "names":
            return {"W": dW, "b": db, "A_prev": dA_prev}
        return dA_prev, dW, db

    if not rows:
        return forward, backward, {"A_prev": x, "W": w, "b": b}

    def forward_rows(X, W, b):
        z, cache = forward(X.T, W.T, b.reshape(-1, 1))
        return z.T, cache

    def backward_rows(dZ, cache):
        dx, dw, db = backward(dZ.T, cache)
        return dx.T, dw.T, db.reshape(-1) if db.size == n_out else db.T

    return forward_rows, backward_rows, {"X": x.T, "W": w.T, "b": b.reshape(-1)}


def m_is_missing():
    return m_not_defined  # noqa: F821 - the fault is that nothing defines it


def undefined_m(rng, second=False, variable="m"):
    """The classic: m is not defined in backward; with `second`, dA_prev carries 1/m as well."""
    forward, _, inputs = dense(rng)
    body = f"""
def backward(dZ, cache):
    A_prev, W, b = cache
    dW = np.dot(dZ, A_prev.T) / {variable}
    db = np.sum(dZ, axis=1, keepdims=True) / {variable}
    dA_prev = np.dot(W.T, dZ){f" / {variable}" if second else ""}
    return dA_prev, dW, db
"""
    scope = {"np": np}
    exec(body, scope)
    return forward, scope["backward"], inputs


def raising(rng, kind):
    forward, right, inputs = dense(rng)

    def backward(dZ, cache):
        if kind == "key":
            return {"a": 1}["A_prev"]
        if kind == "unpack":
            _, _ = cache
        if kind == "name":
            return sigmoid_derivativ(dZ)  # noqa: F821
        if kind == "zero":
            return 1 // 0
        return right(dZ, cache)

    return forward, backward, inputs


def activation(rng, kind, fault=None):
    g, slope = ACTIVATIONS[kind]
    n, m = sizes(rng, 2, 3, 7)
    z = rng.normal(size=(n, m)) * 1.5
    z = np.where(np.abs(z) < 0.05, 0.3, z)

    def forward(Z):
        return g(Z), Z

    def backward(dA, cache):
        Z = cache
        A = g(Z)
        match fault:
            case None:
                return dA * slope(Z)
            case "missing":
                return dA
            case "twice":
                return dA * slope(Z) ** 2
            case "at A":
                return dA * slope(A)
            case "A-form at Z":
                return dA * (Z * (1 - Z) if kind == "sigmoid" else 1 - Z**2)
            case "of relu":
                return dA * (Z > 0)
            case "sign":
                return -dA * slope(Z)
            case "mutates":
                dA *= slope(Z)
                return dA
            case "half":
                return dA * slope(Z) / 2
            case "/m":
                return dA * slope(Z) / Z.shape[1]
            case "nan":
                return dA * slope(Z) / np.where(np.abs(Z) == np.max(np.abs(Z)), 0.0, 1.0)
            case "one entry":
                found = dA * slope(Z)
                found[0, 0] *= 1.001
                return found
            case "tuple":
                return (dA * slope(Z),)
        raise AssertionError(fault)

    return forward, backward, {"Z": z}


def dense_activation(rng, kind, fault=None, cached="Z"):
    g, slope = ACTIVATIONS[kind]
    n_in, n_out, m = sizes(rng, 3, 3, 6)
    x, w, b = (
        rng.normal(size=(n_in, m)),
        rng.normal(size=(n_out, n_in)),
        rng.normal(size=(n_out, 1)),
    )

    def forward(A_prev, W, b):
        Z = W @ A_prev + b
        A = g(Z)
        return A, ((A_prev, W, b), Z if cached == "Z" else A)

    def backward(dA, cache):
        (A_prev, W, b), kept = cache
        Z = kept if cached == "Z" else W @ A_prev + b
        c = 1 / A_prev.shape[1]
        right = dA * slope(Z)
        dZ = {
            None: right,
            "missing": dA,
            "twice": right * slope(Z),
            "at A": dA * slope(g(Z)),
            "of tanh": dA * (1 - np.tanh(Z) ** 2),
        }.get(fault, right)
        dA_prev, dW, db = W.T @ dZ, c * dZ @ A_prev.T, c * dZ.sum(axis=1, keepdims=True)
        if fault == "missing in dW":
            dW = c * dA @ A_prev.T
        if fault == "missing in dA":
            dA_prev = W.T @ dA
        if fault == "dA/m":
            dA_prev = c * dA_prev
        if fault == "db unsummed":
            db = c * dZ
        if fault == "dA with W":
            dA_prev = W @ dZ
        return dA_prev, dW, db

    return forward, backward, {"A_prev": x, "W": w, "b": b}


def softmax_layer(rng, fault=None, rows=False, dense_too=False):
    n, m, n_in = sizes(rng, 3, 3, 6)
    axis = 1 if rows else 0
    z = rng.normal(size=(m, n) if rows else (n, m))

    def d_softmax(dA, A):
        if fault == "diagonal":
            return dA * A * (1 - A)
        if fault == "no sum":
            return dA * A
        if fault == "missing":
            return dA
        if fault == "plus":
            return A * (dA + np.sum(dA * A, axis=axis, keepdims=True))
        dZ = A * (dA - np.sum(dA * A, axis=axis, keepdims=True))
        if fault == "-":
            return -dZ
        if fault == "/m":
            return dZ / dZ.shape[1 - axis]
        return dZ

    if not dense_too:

        def forward(Z):
            A = softmax(Z, axis)
            return A, A

        return forward, lambda dA, cache: d_softmax(dA, cache), {"Z": z}

    def forward_dense(A_prev, W, b):
        A = softmax(W @ A_prev + b, 0)
        return A, (A_prev, W, b, A)

    def backward_dense(dA, cache):
        A_prev, W, _, A = cache
        dZ = d_softmax(dA, A)
        c = 1 / A_prev.shape[1]
        return W.T @ dZ, c * dZ @ A_prev.T, c * dZ.sum(axis=1, keepdims=True)

    inputs = {
        "A_prev": rng.normal(size=(n_in, m)),
        "W": rng.normal(size=(n, n_in)),
        "b": rng.normal(size=(n, 1)),
    }
    return forward_dense, backward_dense, inputs


def softmax_cross_entropy(rng, fault=None, rows=False):
    n, m = sizes(rng, 2, 3, 7)
    if n == m:
        m += 1
    axis = 1 if rows else 0
    z = rng.normal(size=(m, n) if rows else (n, m))
    labels = rng.integers(0, n, size=m)
    y = np.eye(n)[labels]
    y = y if rows else y.T

    def forward(Z, Y):
        P = softmax(Z, axis)
        return -np.sum(Y * np.log(P)) / Z.shape[1 - axis], (P, Y)

    def backward(d, cache):
        P, Y = cache
        count = P.shape[1 - axis]
        right = d * (P - Y) / count
        match fault:
            case None:
                return right
            case "no 1/m":
                return d * (P - Y)
            case "Y - P":
                return d * (Y - P) / count
            case "/n":
                return right / P.shape[axis]
            case "no d":
                return (P - Y) / count
            case "diagonal":
                return d * (-Y / P) * P * (1 - P) / count
            case "missing":
                return d * (-Y / P) / count
            case "transposed":
                return right.T
            case "flat":
                return right.reshape(-1)
            case "last":
                last = np.arange(count) == count - 1
                return right * (last[:, None] if rows else last[None, :])
            case "one entry":
                right[1, 1] *= 1.001
                return right
        raise AssertionError(fault)

    return forward, backward, {"Z": z, "Y": y}


def binary_cross_entropy(rng, fault=None, saturated=False):
    m = sizes(rng, 1, 3, 8)[0]
    z = rng.normal(size=(1, m)) * 2
    if saturated:
        z[0, 0] = 60.0
    y = (rng.random(size=(1, m)) < 0.5) * 1.0
    y[0, 0] = 1.0

    def forward(Z, Y):
        return np.sum(np.log1p(np.exp(-np.abs(Z))) + np.maximum(Z, 0) - Z * Y) / Y.shape[1], (Z, Y)

    def forward_complex(Z, Y):
        if np.iscomplexobj(Z):
            raise TypeError("real numbers only")
        return forward(Z, Y)

    def backward(d, cache):
        Z, Y = cache
        A = sigmoid(Z)
        if fault == "quotient" or (fault is None and not saturated):
            dA = -(np.divide(Y, A) - np.divide(1 - Y, 1 - A))
            return d * dA * A * (1 - A) / Y.shape[1]
        if fault == "missing":
            return d * ((1 - Y) / (1 - A) - Y / A) / Y.shape[1]
        if fault == "twice":
            return d * (A - Y) * A * (1 - A) / Y.shape[1]
        if fault == "2":
            return 2 * d * (A - Y) / Y.shape[1]
        return d * (A - Y) / Y.shape[1]

    return forward_complex, backward, {"Z": z, "Y": y}


def squared_error(rng, fault=None):
    n, m = sizes(rng, 2, 3, 6)
    a, y = rng.normal(size=(n, m)), rng.normal(size=(n, m))

    def forward(A, Y):
        return np.sum((A - Y) ** 2) / (2 * A.shape[1]), (A, Y)

    def backward(d, cache):
        A, Y = cache
        dA = d * (A - Y) / A.shape[1]
        return {"2": 2 * dA, "-": -dA, "no mean": dA * A.shape[1]}.get(fault, dA)

    return forward, backward, {"A": a, "Y": y}


def l2_cost(rng, fault=None):
    """A linear least-squares cost with an L2 term in the forward pass."""
    n_in, m = sizes(rng, 2, 4, 7)
    x, w, y = rng.normal(size=(n_in, m)), rng.normal(size=(2, n_in)), rng.normal(size=(2, m))
    decay = 0.7

    def forward(W, X, Y):
        E = W @ X - Y
        return (np.sum(E * E) + decay * np.sum(W * W)) / (2 * X.shape[1]), (W, X, E)

    def backward(d, cache):
        W, X, E = cache
        times = {"missing": 0, "doubled": 2}.get(fault, 1)
        return {"dW": d * (E @ X.T + times * decay * W) / X.shape[1]}

    return forward, backward, {"W": w, "X": x, "Y": y}


def batch_norm(rng, fault=None, mean=False):
    m, n = sizes(rng, 2, 4, 7)
    if m == n:
        m += 1
    eps = 1e-5
    total = {"gamma": np.zeros(n)}

    def forward(x, gamma, beta):
        mu = x.mean(axis=0)
        centred = x - mu
        var = np.mean(centred**2, axis=0)
        inv = 1 / np.sqrt(var + eps)
        xhat = centred * inv
        return gamma * xhat + beta, {"xhat": xhat, "gamma": gamma, "inv": inv}

    def backward(dout, cache):
        xhat, gamma, inv = cache["xhat"], cache["gamma"], cache["inv"]
        N = dout.shape[0]
        c = 1 / N if mean else 1.0
        dbeta = c * dout.sum(axis=0)
        dgamma = c * np.sum(dout * xhat, axis=0)
        dxhat = dout * gamma
        dx = inv / N * (N * dxhat - dxhat.sum(axis=0) - xhat * np.sum(dxhat * xhat, axis=0))
        match fault:
            case None:
                pass
            case "dx no 1/N":
                dx = dx * N
            case "-dgamma":
                dgamma = -dgamma
            case "dbeta unsummed":
                dbeta = dout
            case "dgamma unsummed":
                dgamma = dout * xhat
            case "dgamma keepdims":
                dgamma = dgamma[None, :]
            case "dgamma last":
                dgamma = dout[-1] * xhat[-1]
            case "swapped":
                dgamma, dbeta = dbeta, dgamma
            case "dx.T":
                dx = dx.T
            case "constants":
                dx = dxhat * inv
            case "accumulates":
                total["gamma"] += dgamma
                dgamma = total["gamma"].copy()
            case "mutates":
                dout *= gamma
            case "dgamma/N":
                dgamma = dgamma / N
            case "nan":
                dx = dx * (xhat / np.where(xhat > 0.3, 0.0, xhat)) ** 2
            case "decay":
                dgamma = dgamma + 0.2 * gamma
            case "one entry":
                dx[-1, -1] *= 1.001
            case _:
                raise AssertionError(fault)
        return dx, dgamma, dbeta

    return (
        forward,
        backward,
        {
            "x": rng.normal(size=(m, n)) * 2 + 1,
            "gamma": rng.uniform(0.5, 2, size=n),
            "beta": rng.normal(size=n),
        },
    )


def layer_norm(rng, fault=None, columns=False):
    m, n = sizes(rng, 2, 4, 7)
    if m == n:
        m += 1
    eps = 1e-6

    def forward(X, gamma, beta):
        if columns:
            X, gamma, beta = X.T, gamma.T, beta.T
        centred = X - X.mean(axis=1, keepdims=True)
        inv = 1 / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + eps)
        xhat = centred * inv
        out = gamma * xhat + beta
        return out.T if columns else out, (xhat, gamma, inv)

    def backward(dout, cache):
        xhat, gamma, inv = cache
        if columns:
            dout = dout.T
        c = 1 / dout.shape[0]
        D = dout.shape[1]
        g = dout * gamma
        dX = inv * (g - g.mean(axis=1, keepdims=True) - xhat * np.mean(g * xhat, 1, keepdims=True))
        dgamma = c * np.sum(dout * xhat, axis=0, keepdims=True)
        dbeta = c * dout.sum(axis=0, keepdims=True)
        if fault == "dX*D":
            dX = dX * D
        elif fault == "dX/m":
            dX = dX * c
        elif fault == "dgamma unsummed":
            dgamma = c * dout * xhat
        elif fault == "dbeta flat":
            return (dX.T if columns else dX), (dgamma.T if columns else dgamma), dbeta.reshape(-1)
        elif fault == "no mean term":
            dX = inv * (g - xhat * np.mean(g * xhat, axis=1, keepdims=True))
        elif fault == "dgamma is dbeta":
            dgamma = dbeta
        elif fault == "dbeta first":
            dbeta = c * dout[:1]
        if columns:
            dX, dgamma, dbeta = dX.T, dgamma.T, dbeta.T
        return dX, dgamma, dbeta

    x, gamma, beta = (
        rng.normal(size=(m, n)) * 2,
        rng.uniform(0.5, 2, size=(1, n)),
        rng.normal(size=(1, n)),
    )
    if columns:
        x, gamma, beta = x.T, gamma.T, beta.T
    return forward, backward, {"X": x, "gamma": gamma, "beta": beta}


def embedding(rng, fault=None, tokens=False, mean=False):
    words, d, m = sizes(rng, 3, 4, 7)
    shape = (m, 3) if tokens else (m,)
    ids = rng.integers(0, words, size=shape)
    ids.reshape(-1)[-1] = ids.reshape(-1)[0]  # a word that comes twice

    def forward(ids, E):
        return E[ids], (ids, E)

    def backward(dout, cache):
        ids, E = cache
        dE = np.zeros_like(E)
        c = 1 / ids.shape[0] if mean else 1.0
        if fault == "overwrites":
            dE[ids] = dout
        elif fault == "last":
            np.add.at(dE, ids[-1:], dout[-1:])
        elif fault == "mutates":
            np.add.at(E, ids, -0.1 * dout)
            np.add.at(dE, ids, dout)
        elif fault == "decay":
            np.add.at(dE, ids, dout)
            dE += 0.1 * E
        else:
            np.add.at(dE, ids, c * dout)
        if fault == "dE.T":
            dE = dE.T
        if fault == "-":
            dE = -dE
        if fault == "one entry":
            dE[ids.reshape(-1)[0], 0] *= 1.001
        return {"dE": dE}

    return forward, backward, {"ids": ids, "E": rng.normal(size=(words, d))}


GATES = ("f", "i", "g", "o")


def lstm(rng, fault=None, both=True, mean=True):
    """One LSTM cell, examples in columns, one weight matrix a gate; outputs h (and c)."""
    n, d, m = sizes(rng, 3, 3, 5)
    if m == n:
        m += 1
    held = {}

    def forward(x, h_prev, c_prev, Wf, Wi, Wg, Wo, bf, bi, bg, bo):
        z = np.concatenate([h_prev, x], axis=0)
        f, i = sigmoid(Wf @ z + bf), sigmoid(Wi @ z + bi)
        g, o = np.tanh(Wg @ z + bg), sigmoid(Wo @ z + bo)
        c = f * c_prev + i * g
        t = np.tanh(c)
        h = o * t
        held["z"] = z
        cache = {
            "z": z,
            "f": f,
            "i": i,
            "g": g,
            "o": o,
            "t": t,
            "c": c,
            "c_prev": c_prev,
            "W": (Wf, Wi, Wg, Wo),
            "n": n,
        }
        return ((h, c) if both else h), cache

    def backward(d_out, k):
        dh, dc_next = d_out if both else (d_out, 0.0)
        z, f, i, g, o, t = (k[name] for name in ("z", "f", "i", "g", "o", "t"))
        if fault == "stale":
            z = held["z"]
        count = z.shape[1]
        c = 1 / count if mean else 1.0
        d_tanh = 1.0 if fault == "no tanh'" else (1 - t**2)
        if fault == "tanh' twice":
            d_tanh = (1 - t**2) ** 2
        dc = dh * o * d_tanh + dc_next
        df = dc * k["c_prev"] * f * (1 - f)
        di = dc * g * i * (1 - i)
        dg = dc * i * (1 - g**2)
        do = dh * t * o * (1 - o)
        if fault == "no f'":
            df = dc * k["c_prev"]
        if fault == "no g'":
            dg = dc * i
        if fault == "o' twice":
            do = do * o * (1 - o)
        gates = (df, di, dg, do)
        dWs = [c * d_gate @ z.T for d_gate in gates]
        dbs = [c * d_gate.sum(axis=1, keepdims=True) for d_gate in gates]
        dz = sum(W.T @ d_gate for W, d_gate in zip(k["W"], gates, strict=True))
        dh_prev, dx = dz[:n], dz[n:]
        dc_prev = dc * f
        if fault == "dWi/m":
            dWs[1] = c * dWs[1]
        if fault == "dWo.T":
            dWs[3] = dWs[3].T
        if fault == "db unsummed":
            dbs[2] = c * dg
        if fault == "dbf last":
            dbs[0] = c * df[:, -1:]
        if fault == "swapped":
            dWs[0], dWs[1] = dWs[1], dWs[0]
        if fault == "dx/m":
            dx = c * dx
        if fault == "dc_prev -":
            dc_prev = -dc_prev
        if fault == "db flat":
            dbs[3] = dbs[3].reshape(-1)
        if fault == "one entry":
            dWs[2][0, 1] *= 1.001
        return (dx, dh_prev, dc_prev, *dWs, *dbs)

    inputs = {
        "x": rng.normal(size=(d, m)),
        "h_prev": rng.normal(size=(n, m)),
        "c_prev": rng.normal(size=(n, m)),
    }
    inputs |= {f"W{gate}": rng.normal(size=(n, n + d)) * 0.7 for gate in GATES}
    inputs |= {f"b{gate}": rng.normal(size=(n, 1)) for gate in GATES}
    return forward, backward, inputs


def im2col(x, kh, kw):
    batch, channels, height, width = x.shape
    out_h, out_w = height - kh + 1, width - kw + 1
    cols = np.empty((channels, kh, kw, batch, out_h, out_w), dtype=x.dtype)
    for i in range(kh):
        for j in range(kw):
            cols[:, i, j] = x[:, :, i : i + out_h, j : j + out_w].transpose(1, 0, 2, 3)
    return cols.reshape(channels * kh * kw, -1)


def convolution(rng, fault=None, relu=False, mean=False):
    batch, filters = 3, sizes(rng, 1, 2, 4)[0]
    channels, k = 2, 2
    x = rng.normal(size=(batch, channels, 4, 5))
    w = rng.normal(size=(filters, channels, k, k + 1))
    kh, kw = k, k + 1

    def forward(x, w, b):
        batch = x.shape[0]
        cols = im2col(x, w.shape[2], w.shape[3])
        out = w.reshape(w.shape[0], -1) @ cols + b[:, None]
        shape = (w.shape[0], batch, x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1)
        z = out.reshape(shape).transpose(1, 0, 2, 3)
        return (np.maximum(z, 0) if relu else z), (x, w, cols, z)

    def backward(dout, cache):
        x, w, cols, z = cache
        c = 1 / x.shape[0] if mean else 1.0
        if relu and fault != "missing":
            dout = dout * (z > 0)
        flat = dout.transpose(1, 0, 2, 3).reshape(w.shape[0], -1)
        dw = c * (flat @ cols.T).reshape(w.shape)
        db = c * flat.sum(axis=1)
        dcols = (w.reshape(w.shape[0], -1).T @ flat).reshape(
            x.shape[1], w.shape[2], w.shape[3], x.shape[0], *dout.shape[2:]
        )
        dx = np.zeros_like(x)
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                part = dcols[:, i, j].transpose(1, 0, 2, 3)
                if fault == "overwrites":
                    dx[:, :, i : i + dout.shape[2], j : j + dout.shape[3]] = part
                else:
                    dx[:, :, i : i + dout.shape[2], j : j + dout.shape[3]] += part
        match fault:
            case "dw/N":
                dw = dw / x.shape[0]
            case "2dx":
                dx = 2 * dx
            case "-db":
                db = -db
            case "db unsummed":
                db = dout.sum(axis=(2, 3))
            case "db keepdims":
                db = db[:, None]
            case "dw flat":
                dw = dw.reshape(w.shape[0], -1)
            case "dw axes":
                dw = dw.transpose(1, 0, 2, 3)
            case "dw first":
                first = dout[:1].transpose(1, 0, 2, 3).reshape(w.shape[0], -1)
                dw = (first @ im2col(x[:1], kh, kw).T).reshape(w.shape)
            case "db last":
                db = dout[-1].sum(axis=(1, 2))
            case "decay":
                dw = dw + 0.05 * w
            case "mutates":
                x[:] = 0
            case "one entry":
                dx[0, 0, 1, 1] *= 1.001
        return dx, dw, db

    return forward, backward, {"x": x, "w": w, "b": rng.normal(size=filters)}


def attention(rng, fault=None, batched=False, same=False):
    t_q, t_k, d, e = sizes(rng, 4, 3, 6)
    if same:
        t_k = t_q
    lead = (2,) if batched else ()

    def swap(a):
        return np.swapaxes(a, -1, -2)

    def forward(Q, K, V):
        scale = 1 / np.sqrt(Q.shape[-1])
        P = softmax(scale * Q @ swap(K), -1)
        return P @ V, (Q, K, V, P)

    def backward(dO, cache):
        Q, K, V, P = cache
        scale = 1 / np.sqrt(Q.shape[-1])
        dV = swap(P) @ dO
        dP = dO @ swap(V)
        dS = P * (dP - np.sum(dP * P, axis=-1, keepdims=True))
        if fault == "diagonal":
            dS = dP * P * (1 - P)
        if fault == "no sum":
            dS = dP * P
        if fault == "no softmax'":
            dS = dP
        if fault == "dQ no scale":
            scale_q = 1.0
        elif fault == "dQ scale twice":
            scale_q = scale**2
        else:
            scale_q = scale
        dQ = scale_q * dS @ K
        dK = scale * swap(dS) @ Q
        if fault == "dS@Q":
            dK = scale * dS @ Q
        if fault == "P@dO":
            dV = P @ dO
        if fault == "swapped":
            dQ, dK = dK, dQ
        if fault == "dV.T":
            dV = swap(dV)
        if fault == "-dK":
            dK = -dK
        if fault == "2dV":
            dV = 2 * dV
        if fault == "one entry":
            dK.reshape(-1)[2] *= 1.001
        return dQ, dK, dV

    return (
        forward,
        backward,
        {
            "Q": rng.normal(size=(*lead, t_q, d)),
            "K": rng.normal(size=(*lead, t_k, d)),
            "V": rng.normal(size=(*lead, t_k, e)),
        },
    )


class Stateful:
    """A layer that keeps its cache on itself, the way many course layers do."""

    def __init__(self, fault=None):
        self.fault = fault
        self.d_w = 0.0

    def forward(self, X, W):
        self.x, self.w = X, W
        return np.tanh(X @ W), (X, W)

    def backward(self, d_output, cache):
        X, W = cache
        if self.fault in ("stale", "stale X"):
            X = self.x
        if self.fault == "stale":
            W = self.w
        dz = d_output * (1 - np.tanh(X @ W) ** 2)
        dW = X.T @ dz / X.shape[0]
        if self.fault == "accumulates":
            self.d_w = self.d_w + dW
            dW = self.d_w
        if self.fault == "accumulates in place":
            if isinstance(self.d_w, float):
                self.d_w = np.zeros_like(W)
            self.d_w += dW
            dW = self.d_w
        return dz @ W.T, dW


def stateful(rng, fault=None):
    m, n_in, n_out = sizes(rng, 3, 3, 6)
    layer = Stateful(fault)
    inputs = {"X": rng.normal(size=(m, n_in)), "W": rng.normal(size=(n_in, n_out))}
    return layer.forward, layer.backward, inputs


def two_layers(rng, fault=None):
    """A relu layer and a sigmoid layer as one function, everything in the cache."""
    n0, n1, n2, m = sizes(rng, 4, 3, 6)

    def forward(X, W1, b1, W2, b2):
        Z1 = W1 @ X + b1
        A1 = np.maximum(Z1, 0)
        Z2 = W2 @ A1 + b2
        A2 = sigmoid(Z2)
        return A2, {"X": X, "Z1": Z1, "A1": A1, "W2": W2, "A2": A2, "W1": W1}

    def backward(dA2, k):
        m = dA2.shape[1]
        dZ2 = dA2 * k["A2"] * (1 - k["A2"])
        if fault == "no sigmoid'":
            dZ2 = dA2
        dA1 = k["W2"].T @ dZ2
        dZ1 = dA1 * (k["Z1"] > 0)
        if fault == "no relu'":
            dZ1 = dA1
        if fault == "dA/m":
            dZ1 = dZ1 / m
        return {
            "dX": k["W1"].T @ dZ1,
            "dW1": dZ1 @ k["X"].T / m,
            "db1": dZ1.sum(axis=1, keepdims=True) / m,
            "dW2": dZ2 @ k["A1"].T / m,
            "db2": dZ2.sum(axis=1, keepdims=True) / m,
        }

    return (
        forward,
        backward,
        {
            "X": rng.normal(size=(n0, m)),
            "W1": rng.normal(size=(n1, n0)),
            "b1": rng.normal(size=(n1, 1)),
            "W2": rng.normal(size=(n2, n1)),
            "b2": rng.normal(size=(n2, 1)),
        },
    )
