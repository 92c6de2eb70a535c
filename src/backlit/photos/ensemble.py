"""Several networks as one: a network whose logit is the mean of theirs is a dense network too.

The members' first layers stand on top of each other, their later ones along a diagonal, and their
last ones side by side, divided by their number.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Parameters = dict[str, NDArray[np.float32]]


def merge_members(members: Sequence[Parameters], temperature: float = 1.0) -> Parameters:
    """Merge networks of one architecture into one.

    Parameters
    ----------
    members : sequence of dict
        ``W1, b1, ..., WL, bL`` of shapes (n_l, n_{l-1}) and (n_l, 1).
    temperature : float, optional
        Divides the logits.

    Returns
    -------
    dict
        Parameters of the network with ``Z_L = mean over members of Z_L / temperature``; its
        hidden layers are as many times as wide as there are members.
    """
    count = len(members)
    last = len(members[0]) // 2
    merged: Parameters = {}
    for l in range(1, last + 1):
        weights = [member[f"W{l}"] for member in members]
        biases = [member[f"b{l}"] for member in members]
        if l == last:
            scale = np.float32(1.0 / (count * temperature))
            joined = np.hstack(weights) if l > 1 else np.sum(weights, axis=0)
            merged[f"W{l}"] = joined * scale
            merged[f"b{l}"] = np.sum(biases, axis=0) * scale
        else:
            merged[f"W{l}"] = np.vstack(weights) if l == 1 else _diagonal(weights)
            merged[f"b{l}"] = np.vstack(biases)
    return merged


def _diagonal(blocks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    rows, columns = blocks[0].shape
    matrix = np.zeros((rows * len(blocks), columns * len(blocks)), dtype=np.float32)
    for k, block in enumerate(blocks):
        matrix[k * rows : (k + 1) * rows, k * columns : (k + 1) * columns] = block
    return matrix
