"""Where an exception between two lines would leave more behind than Python can tidy up."""

from types import FrameType


def in_bindings(frame: FrameType | None) -> bool:
    """Tell whether a signal came amid LLVM's bindings, of which an object may be half disposed.

    An interrupt there can have it disposed of twice, which ends the process.

    Parameters
    ----------
    frame : frame or None
        What a signal's handler is given.
    """
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith("llvmlite.binding"):
            return True
        frame = frame.f_back
    return False
