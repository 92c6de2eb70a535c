"""Optimizer steps, each one loop over parameters, gradient and moments.

Every optimizer sees ``g = scale * (gradient + penalty * W)``; biases have no penalty. Moments that
have become too small to matter are set to zero: those of a converged network would otherwise decay
into denormal numbers, which are a hundred times slower.
"""

import math

from backlit.training.engine.functions import flushed
from backlit.training.engine.simd import kernel, like

#: `Settings.optimizer`
SGD, MOMENTUM, NESTEROV, ADAM = range(4)


@kernel(fast=True)
def update(settings, state, step_number, begin, n, rate, penalty, scale, weights):
    """Take one step with ``n`` parameters from ``begin`` on; return their sum of squares before.

    Parameters
    ----------
    settings, state : Settings, State
        The optimizer's numbers and arrays.
    step_number : int
        Which step this is, counted from 1.
    begin, n : int
        Which parameters.
    rate : float
        Learning rate.
    penalty : float
        L2 strength divided by the batch's weight.
    scale : float
        What the gradient is multiplied by (1 unless clipped).
    weights : bool
        Whether they are weights, which decay, or biases, which do not.
    """
    p = state.parameters[begin : begin + n]
    g = state.gradient[begin : begin + n]
    squares = 0.0
    if penalty != 0.0:
        total = like(p, 0.0)
        for i in range(n):
            total += p[i] * p[i]
        squares = float(total)
    l2, s = like(p, penalty), like(p, scale)
    # decoupled decay (Loshchilov and Hutter 2019) shrinks the weights before the step
    keep = like(p, 1.0 - rate * settings.decay if weights else 1.0)
    if settings.optimizer == ADAM:
        m = state.first[begin : begin + n]
        v = state.second[begin : begin + n]
        t = float(step_number)
        correction = math.sqrt(1.0 - settings.beta2**t)
        step = like(p, rate * correction / (1.0 - settings.beta1**t))
        # Kingma and Ba's Algorithm 1 adds epsilon to the corrected root, their faster form before
        epsilon = like(p, settings.epsilon * (1.0 if settings.scaled_epsilon else correction))
        b1, b2 = like(p, settings.beta1), like(p, settings.beta2)
        c1, c2 = like(p, 1.0 - settings.beta1), like(p, 1.0 - settings.beta2)
        for i in range(n):
            gradient = s * (g[i] + l2 * p[i])
            mean = flushed(b1 * m[i] + c1 * gradient)
            square = flushed(b2 * v[i] + c2 * gradient * gradient)
            m[i] = mean
            v[i] = square
            p[i] = keep * p[i] - step * mean / (math.sqrt(square) + epsilon)
    elif settings.optimizer == SGD:
        step = like(p, rate)
        for i in range(n):
            p[i] = keep * p[i] - step * (s * (g[i] + l2 * p[i]))
    else:
        m = state.first[begin : begin + n]
        step, momentum = like(p, rate), like(p, settings.beta1)
        if settings.optimizer == MOMENTUM:
            for i in range(n):
                velocity = flushed(momentum * m[i] - step * (s * (g[i] + l2 * p[i])))
                m[i] = velocity
                p[i] = keep * p[i] + velocity
        else:
            # Nesterov in Sutskever's form: the step looks ahead along the new velocity
            for i in range(n):
                move = step * (s * (g[i] + l2 * p[i]))
                velocity = flushed(momentum * m[i] - move)
                m[i] = velocity
                p[i] = keep * p[i] + momentum * velocity - move
    return squares


@kernel(fast=True)
def squared_norm(state, begin, n, penalty):
    """Return the squared norm of ``gradient + penalty * W`` over ``n`` parameters."""
    p = state.parameters[begin : begin + n]
    g = state.gradient[begin : begin + n]
    l2 = like(p, penalty)
    total = 0.0
    for i in range(n):
        value = g[i] + l2 * p[i]
        total += float(value) * float(value)
    return total


@kernel()
def clip_scale(partial, threads, limit):
    """Return the factor that brings the gradient's norm down to `limit`, from all threads' sums."""
    total = 0.0
    for thread in range(threads):
        total += partial[8 * thread]
    norm = math.sqrt(total)
    return limit / norm if norm > limit else 1.0
