"""The package's log: what failed where something else went on in its place.

By the standard `logging`, under ``backlit`` and each module's own name. Nothing is shown unless the
program sets up logging, or the environment has ``BACKLIT_DEBUG=1``, which shows it on standard
error.
"""

import logging
import os
from functools import cache


class _ToStandardError(logging.Handler):
    """Prints records by the writer for terminals, which is loaded where there is one to print."""

    def emit(self, record: logging.LogRecord) -> None:
        from backlit._terminal import print_line

        for line in self.format(record).splitlines():
            print_line(line, stderr=True)


def logger(name: str) -> logging.Logger:
    """Return a module's logger, silent by default.

    Parameters
    ----------
    name : str
        The module's ``__name__``.

    Returns
    -------
    logging.Logger
    """
    _prepare()
    return logging.getLogger(name)


@cache
def _prepare() -> None:
    ours = logging.getLogger("backlit")
    if os.environ.get("BACKLIT_DEBUG", "") in ("", "0"):
        ours.addHandler(logging.NullHandler())  # or Python would print warnings by itself
        return
    handler = _ToStandardError()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    ours.addHandler(handler)
    ours.setLevel(logging.DEBUG)
