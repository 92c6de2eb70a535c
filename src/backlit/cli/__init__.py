"""The command line, one module a command.

Results go to standard output, progress and warnings to standard error. Exit codes: 0 all well,
1 an error, 2 wrong usage, 3 some pictures could not be read, 130 Ctrl-C, 143 SIGTERM.
"""

import os
import signal

from backlit._signals import Termination

__all__ = ["main"]


def main() -> None:
    """Run the command line; leaves with an exit code."""
    with Termination(signal.SIGINT) as termination:  # from here on: loading commands takes a while
        try:
            from backlit.cli.app import main as run

            run()
        except BaseException as error:
            if not termination.ended_by(error):
                from backlit._terminal import print_traceback

                print_traceback(error)
                os._exit(1)
            os._exit(termination.code)
