"""A whole net that computes its own cost; its gradients come from one method."""

import numpy as np


class TwoLayerNet:
    """relu, then softmax, with the cross-entropy."""

    def __init__(self, input_size, hidden_size, output_size, std=0.1):
        rng = np.random.default_rng(0)
        self.params = {
            "W1": std * rng.normal(size=(input_size, hidden_size)),
            "b1": np.zeros(hidden_size),
            "W2": std * rng.normal(size=(hidden_size, output_size)),
            "b2": np.zeros(output_size),
        }

    def loss(self, X, y):
        """Return the mean cross-entropy, and the gradients of the parameters."""
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        N = X.shape[0]
        hidden = np.maximum(0, X @ W1 + b1)
        scores = hidden @ W2 + b2
        scores = scores - scores.max(axis=1, keepdims=True)
        probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        cost = -np.log(probabilities[np.arange(N), y]).mean()

        dscores = probabilities.copy()
        dscores[np.arange(N), y] -= 1
        dscores /= N
        dhidden = dscores @ W2.T
        dhidden[hidden <= 0] = 0
        grads = {
            "W2": hidden.T @ dscores,
            "b2": dscores.sum(axis=0),
            "W1": X.T @ dhidden,
            "b1": dhidden.sum(axis=0),
        }
        return cost, grads
