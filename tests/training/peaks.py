"""What calls of the engine take of Python's memory, for a process that does nothing else."""

import tracemalloc

import numpy as np

from backlit.training import Adam
from networks import Network


def _peak(network, engine, batches):
    """Return Python's and NumPy's peak memory in a call, without its results'."""
    order = np.resize(network.order, 20 * batches)
    starts, rates = np.arange(0, 20 * batches + 1, 20), np.full(batches, 1e-3)
    random = np.full(20 * batches * 30, 40_000, np.uint16)
    engine.train(network.examples, order, starts, rates, random)  # Python's own first time
    tracemalloc.start()
    engine.train(network.examples, order, starts, rates, random)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - 2 * 8 * batches


def peaks_of_calls():
    """Return what a long call and a short one take, for 1 and 2 threads."""
    found = {}
    for threads in (1, 2):
        network = Network((20, 30, 4), ("gelu",), "cross_entropy", 60, "float32", True)
        numbers = Adam().numbers()._replace(l2=0.1, clip=1.0)
        engine = network.engine(20, numbers=numbers, dropout=(0.2,), threads=threads)
        found[threads] = [min(_peak(network, engine, n) for _ in range(3)) for n in (2000, 1)]
    return found
