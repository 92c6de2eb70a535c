"""A pair of functions: forward returns a cache, backward takes it."""

import numpy as np


def affine_forward(x, w, b):
    """Return x @ w + b, and what backward needs."""
    return x @ w + b, (x, w)


def affine_backward(dout, cache):
    """Return the gradients of x, w and b."""
    x, w = cache
    return dout @ w.T, x.T @ dout, np.sum(dout, axis=0)
