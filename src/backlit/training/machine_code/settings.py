"""The environment of a process that compiles: Numba's settings, the same ones everywhere."""

import os

from backlit.training.machine_code.levels import ANY, Level


def environment_for(level: Level) -> dict[str, str]:
    """Return the environment of a process whose Numba compiles for a level.

    Parameters
    ----------
    level : Level
        What for.

    Returns
    -------
    dict of str to str
        This process's environment, without settings of Numba's that are not the level's.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA_")}
    target = {} if level == ANY else {"NUMBA_CPU_NAME": level.cpu, "NUMBA_CPU_FEATURES": ""}
    # vector functions of a library that may be here or not would compute other bits, and Numba
    # writes what it keeps in sets in their order
    fixed = {"NUMBA_DISABLE_INTEL_SVML": "1", "PYTHONHASHSEED": "0"}
    return {**kept, **target, **fixed}
