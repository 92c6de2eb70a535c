"""JAX custom_vjp functions and PyTorch autograd.Functions."""

import numpy as np
import pytest

from backlit.gradcheck import check_backward, from_jax, from_torch


def inputs():
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(5, 4)), "w": rng.normal(size=(4, 3))}


def jax_layer(factor=1.0, entry=1.0):
    jax = pytest.importorskip("jax")
    jnp = jax.numpy

    @jax.custom_vjp
    def layer(x, w):
        return jnp.tanh(x @ w)

    def forward(x, w):
        y = jnp.tanh(x @ w)
        return y, (x, w, y)

    def backward(cache, dy):
        x, w, y = cache
        dz = dy * (1 - y**2)
        dw = x.T @ dz
        return factor * dz @ w.T, dw.at[1, 2].multiply(entry)

    layer.defvjp(forward, backward)
    return layer


def test_jax():
    assert check_backward(jax_layer(), None, inputs()).ok
    report = check_backward(jax_layer(factor=0.2), None, inputs())
    assert [(f.gradient, f.factor_name) for f in report.problems] == [("x", "1/5")]
    report = check_backward(jax_layer(entry=1.001), None, inputs())
    assert [(f.gradient, f.relation) for f in report.problems] == [("w", "unknown")]


def test_jax_functions_without_a_rule_are_right():
    jax = pytest.importorskip("jax")
    assert check_backward(*from_jax(lambda x, w: jax.nn.relu(x @ w)), inputs()).ok


def torch_layer(factor=1.0, narrow=False):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    class Layer(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            if narrow:
                x, w = x.float(), w.float()
            y = torch.tanh(x @ w)
            ctx.save_for_backward(x, w, y)
            return y

        @staticmethod
        def backward(ctx, dy):
            x, w, y = ctx.saved_tensors
            dz = dy * (1 - y**2)
            dx, dw = dz @ w.T, factor * x.T @ dz
            return dx.double(), dw.double()

    return Layer


def test_torch():
    assert check_backward(torch_layer(), None, inputs()).ok
    assert check_backward(*from_torch(torch_layer()), inputs()).ok
    report = check_backward(torch_layer(factor=2.0), None, inputs())
    assert [(f.gradient, f.factor_name) for f in report.problems] == [("w", "2")]
    assert check_backward(torch_layer(narrow=True), None, inputs()).accuracy == "float32"
