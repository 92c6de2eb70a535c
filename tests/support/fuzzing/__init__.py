"""Mutated files for every reader, by a fixed seed: `python -m benchmarks.fuzz` runs many."""
