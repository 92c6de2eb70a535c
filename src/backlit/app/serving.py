"""The server: a port, an address to open, and an end at once."""

import asyncio
import logging
import os
import socket
import webbrowser
from collections.abc import Callable
from threading import Timer
from typing import TYPE_CHECKING

from backlit.app.guard import is_loopback
from backlit.errors import SettingError
from backlit.photos.classifier import PhotoClassifier

if TYPE_CHECKING:
    from backlit.app.sorting import SortingDesk

PREFERRED_PORT = 8421
"""Taken where no port is asked for and it is free, so that the address stays the same."""


def open_socket(host: str, port: int | None) -> socket.socket:
    """Open the socket to listen on.

    Parameters
    ----------
    host : str
        A name or an address of this machine.
    port : int or None
        None for `PREFERRED_PORT` or, where that is taken, any free one; 0 for any.

    Returns
    -------
    socket.socket

    Raises
    ------
    SettingError
        Where the host is not this machine's, or the port is taken.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise SettingError(f"--host {host}: no such address.") from error
    tries = (PREFERRED_PORT, 0) if port is None else (port,)
    for one in tries:
        try:
            return socket.create_server((address[0], one), family=family, backlog=128)
        except OSError as error:
            failure = error
    # asyncio and socket add the address to strerror
    reason = (os.strerror(failure.errno) if failure.errno else str(failure)).lower()
    if port:
        raise SettingError(
            f"Port {port} on {host} cannot be taken ({reason}); choose another one with --port, "
            "or leave it out for a free one."
        ) from failure
    raise SettingError(f"--host {host}: cannot listen there ({reason}).") from failure


def address_of(host: str, listening: socket.socket) -> str:
    """Return what to type into a browser."""
    port = listening.getsockname()[1]
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def serve(
    classifier: PhotoClassifier,
    host: str,
    listening: socket.socket,
    *,
    browser: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
    sorting: "SortingDesk | None" = None,
    remark: str = "",
) -> None:
    """Serve the pages until Ctrl-C.

    Parameters
    ----------
    classifier : PhotoClassifier
        Classifies photographs.
    host : str
        What the socket was opened for.
    listening : socket.socket
        From `open_socket`.
    browser : bool
        Whether to open the page there.
    say, warn : callable
        Called with the address, and with a warning where others can reach the page.
    sorting : SortingDesk, optional
        A folder to sort; its page is the one that is opened.
    remark : str, optional
        Said before the address.
    """
    import uvicorn

    from backlit.app.server import create_app

    address = address_of(host, listening)
    if sorting is not None:
        address += "sort"
        sorting.begin()
    if not is_loopback(host):
        warn(
            f"everybody who reaches {host} over the network can use this page; "
            "there is no password, and nothing is encrypted."
        )
    config = uvicorn.Config(
        create_app(classifier, host, sorting),
        log_level="error",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        timeout_graceful_shutdown=0,
    )
    logging.getLogger("uvicorn.error").addFilter(_worth_saying)
    server = uvicorn.Server(config)
    say(f"{remark}backlit app is at {address}")
    say("Ctrl-C ends it.")
    if browser:
        opening = Timer(0.3, webbrowser.open, (address,))
        opening.daemon = True
        opening.start()
    try:
        server.run(sockets=[listening])
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("Ended.")


def _worth_saying(record: logging.LogRecord) -> bool:
    """Drop what uvicorn says of connections cut off at the end, as they are meant to be."""
    cut_off = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not cut_off and not str(record.msg).startswith("Cancel")
