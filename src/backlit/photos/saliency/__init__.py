"""The gradient of a label's log-odds, carried back through the features to the pixels.

Each module is the backward of the module of the same name beside this package, in float64. Where a
step has no derivative (a tie, a kink), it says which subgradient it takes.
"""
