"""The compiled engine: one Numba function for any depth, and what calls it."""
