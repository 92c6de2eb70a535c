"""The gradient of a label's log-odds, carried back through the features to the pixels.

``features``, ``pixels``, ``rank_statistics``, ``soft_histograms``, ``hues`` and ``patches`` are the
backward of the modules of the same names beside this package, in float64. Where a step has no
derivative (a tie, a kink), they say which subgradient they take. ``explaining`` puts it all
together for a picture.
"""
