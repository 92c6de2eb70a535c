"""The command line, one module a command.

Results go to standard output, progress and warnings to standard error. Exit codes: 0 all well,
1 an error, 2 wrong usage, 3 some pictures could not be read, 130 Ctrl-C.
"""

from backlit.cli.app import main

__all__ = ["main"]
