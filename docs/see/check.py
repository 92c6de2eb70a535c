"""Checks functions that were pasted into the page; Pyodide runs it, and any Python can."""

import contextlib
import io
import json
import os
import tempfile
from typing import Any

from backlit.errors import BacklitError
from backlit.gradcheck.sources.target import check_loaded, load_target

MOST_PRINTED = 4000


def check(source: str, seconds: float = 20.0) -> str:
    """Check what looks like a backward pass, in this very process.

    Parameters
    ----------
    source : str
        Python; only its definitions, imports and constants are run.
    seconds : float, optional
        The budget of one function's check.

    Returns
    -------
    str
        JSON: the report with its ``verdict``, or an ``error``; and what was ``printed``.
    """
    printed = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pasted.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(source)
        answer: dict[str, Any]
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                report = check_loaded(load_target(path), seconds=seconds)
            answer = {**report.as_dict(), "verdict": report.verdict()}
        except BacklitError as error:
            answer = {"error": str(error).replace(path, "The code")}
        except SystemExit as error:
            answer = {"error": f"The code ends the program (sys.exit({error.code!r}))."}
    return json.dumps({**answer, "printed": printed.getvalue()[-MOST_PRINTED:]})
