"""What the base installation leaves out, and how to get it."""

from importlib.util import find_spec

from backlit.errors import MissingExtraError


def require(what: str, extra: str, *modules: str) -> None:
    """Say how to get what is missing, before any of it is imported.

    Parameters
    ----------
    what : str
        What needs the modules; it opens the message.
    extra : str
        The extra that brings them.
    *modules : str
        Top-level modules.

    Raises
    ------
    MissingExtraError
        Where one of them is not installed.
    """
    if any(find_spec(module) is None for module in modules):
        raise MissingExtraError(what, extra)
