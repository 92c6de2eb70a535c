"""Right gradients from JAX of functions of many kinds: none is blamed, and a nudge shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from backlit.gradcheck import check_backward

FUNCTIONS = {
    "max pooling": (lambda xp, x: xp.max(x.reshape(2, 3, 2, 4, 2), axis=(2, 4)), {"x": (2, 6, 8)}),
    "sort": (lambda xp, x: xp.sort(x, axis=-1), {"x": (3, 6)}),
    "absolute error": (lambda xp, x, y: xp.mean(xp.abs(x - y)), {"x": (3, 6), "y": (3, 6)}),
    "huber": (
        lambda xp, x: xp.where(xp.abs(x) < 1, x * x / 2, xp.abs(x) - 0.5),
        {"x": (3, 6)},
    ),
    "determinant": (lambda xp, a: xp.linalg.det(a), {"a": (4, 4)}),
    "cholesky": (lambda xp, a: xp.linalg.cholesky(a @ a.T + xp.eye(3)), {"a": (3, 3)}),
    "singular values": (lambda xp, a: xp.linalg.svd(a, compute_uv=False), {"a": (3, 4)}),
    "spectrum": (lambda xp, x: xp.abs(xp.fft.fft(x)), {"x": (2, 8)}),
    "vectors": (lambda xp, x, y: x @ y, {"x": (3,), "y": (3,)}),
    "numbers": (lambda xp, a, b: a * b + a, {"a": (), "b": ()}),
    "recurrence": (
        lambda xp, x, w, u: xp.tanh(u @ xp.tanh(u @ xp.tanh(w @ x[0]) + w @ x[1]) + w @ x[2]),
        {"x": (3, 2, 5), "w": (4, 2), "u": (4, 4)},
    ),
    "an input that does nothing": (lambda xp, a, x: x * 1.0 + 0 * a, {"a": (3,), "x": (3,)}),
    "steep": (lambda xp, x: 1 / (1 + xp.exp(-50 * x)), {"x": (3, 4)}),
    "enormous": (lambda xp, x: (1e150 * x) ** 2, {"x": (3, 4)}),
    "minute": (lambda xp, x: (1e-100 * x) ** 2, {"x": (3, 4)}),
}


def pair(function, spoil=None):
    def forward(**inputs):
        return function(np, **inputs), inputs

    @jax.jit  # the checker asks for it some hundred times
    def pulled(values, d):
        return jax.vjp(lambda v: function(jnp, **v), values)[1](d)[0]

    def backward(d, cache):
        with jax.enable_x64(True):
            values = {name: jnp.asarray(value) for name, value in cache.items()}
            found = {n: np.array(value) for n, value in pulled(values, jnp.asarray(d)).items()}
        return spoil(found) if spoil else found

    return forward, backward


def nudge(found):
    first = sorted(found)[-1]
    found[first].reshape(-1)[np.argmax(np.abs(found[first]))] *= 1.001
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_right_ones_pass_and_a_nudge_shows(name):
    function, shapes = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    inputs = {n: np.asarray(rng.normal(size=shape)) for n, shape in shapes.items()}
    report = check_backward(*pair(function), inputs)
    assert report.ok, str(report)
    report = check_backward(*pair(function, nudge), inputs)
    assert [f.gradient for f in report.problems] == [sorted(inputs)[-1]]
