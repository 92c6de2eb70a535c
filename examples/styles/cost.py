"""A function that returns a cost together with its gradient."""

import numpy as np


def softmax_loss(x, y):
    """Return the mean cross-entropy of scores x (N, C) with labels y (N,), and dx."""
    N = x.shape[0]
    shifted = x - x.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probabilities[np.arange(N), y].mean()
    dx = np.exp(log_probabilities)
    dx[np.arange(N), y] -= 1
    return loss, dx / N
