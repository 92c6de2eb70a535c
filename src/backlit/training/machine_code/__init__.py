"""Machine code: made once for named levels of processors, carried by the package, and loaded.

A `programs.Program` names functions in the subset of Python that Numba compiles. `building` makes
their code ahead of time, when the package is built; `prebuilt` loads it, without Numba. Where none
fits, `translating` makes what is needed in a second process, `caching` keeps it, and `linking`
loads it by llvmlite. `loading` chooses between the two.
"""
