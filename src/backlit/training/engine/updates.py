"""Optimizer steps, each one loop over parameters, gradient and moments.

Every optimizer sees ``g = scale * (gradient + penalty * W)``; biases have no penalty. Moments and
parameters that have become too small to matter are set to zero: those of a converged network, and
the weights of an input that is always zero, would otherwise decay into denormal numbers, which are
a hundred times slower.
"""

import math

from backlit.training.engine.codes import (
    ADAM,
    BETA1,
    BETA2,
    EPSILON,
    KEEP,
    MOMENTUM,
    PENALTY,
    REST1,
    REST2,
    SCALE,
    SGD,
    STEP,
)
from backlit.training.engine.functions import flushed


def update(optimizer, p, g, first, second, n, numbers):
    """Take one step with `n` parameters.

    Parameters
    ----------
    optimizer : int
        Which one.
    p, g, first, second : pointer
        Parameters, gradient and moments.
    n : int
        How many.
    numbers : pointer
        What the step is made of, in the parameters' type: the penalty's and the clipping's factor
        of the gradient, what is kept of the weights (decoupled decay: Loshchilov and Hutter 2019),
        the length of the step, Adam's epsilon, and each moment's decay and the rest to one.
    """
    l2, scale, keep = numbers[PENALTY], numbers[SCALE], numbers[KEEP]
    step, epsilon = numbers[STEP], numbers[EPSILON]
    b1, c1, b2, c2 = numbers[BETA1], numbers[REST1], numbers[BETA2], numbers[REST2]
    if optimizer == ADAM:
        for i in range(n):
            gradient = scale * (g[i] + l2 * p[i])
            mean = flushed(b1 * first[i] + c1 * gradient)
            square = flushed(b2 * second[i] + c2 * gradient * gradient)
            first[i] = mean
            second[i] = square
            p[i] = flushed(keep * p[i] - step * mean / (math.sqrt(square) + epsilon))
    elif optimizer == SGD:
        for i in range(n):
            p[i] = flushed(keep * p[i] - step * (scale * (g[i] + l2 * p[i])))
    elif optimizer == MOMENTUM:
        for i in range(n):
            velocity = flushed(b1 * first[i] - step * (scale * (g[i] + l2 * p[i])))
            first[i] = velocity
            p[i] = flushed(keep * p[i] + velocity)
    else:
        # Nesterov in Sutskever's form: the step looks ahead along the new velocity
        for i in range(n):
            move = step * (scale * (g[i] + l2 * p[i]))
            velocity = flushed(b1 * first[i] - move)
            first[i] = velocity
            p[i] = flushed(keep * p[i] + b1 * velocity - move)


def squared_norm(p, g, n, penalty):
    """Return the squared norm of ``g + penalty * p`` over `n` elements, in double precision."""
    total = 0.0
    for i in range(n):
        value = float(g[i]) + penalty * float(p[i])
        total += value * value
    return total
