"""Bounds on the bodies of requests that are open at once: their sum, and their time."""

import math

import anyio
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_OPEN = 250_000_000
"""Bytes of bodies that are held at once, of all requests together."""

PAUSE = 20.0
"""Longest time without a byte of a body that has begun, in seconds."""

WHOLE = 180.0
"""Longest time for a whole body, in seconds."""


class OpenBodies:
    """ASGI middleware that counts what is held of all bodies, and waits for none for ever.

    Parameters
    ----------
    app : ASGI application
        What reads the bodies.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on; the application gets an HTTPException where a bound is passed."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        own, open_ = 0, True
        end = anyio.current_time() + WHOLE

        async def bounded() -> Message:
            nonlocal own, open_
            if not open_:  # what comes now is the end of the connection
                return await receive()
            patience = min(PAUSE, end - anyio.current_time())
            with anyio.move_on_after(patience) as waiting:
                message = await receive()
            if waiting.cancelled_caught:
                open_ = False
                raise HTTPException(
                    408, "The upload has stopped, or takes too long.", {"Connection": "close"}
                )
            size = len(message.get("body", b""))
            own, self.held = own + size, self.held + size
            open_ = bool(message.get("more_body"))
            if self.held > MAX_OPEN:
                open_ = False
                raise HTTPException(
                    503,
                    "Too many uploads at once: try again when the others are done.",
                    {"Connection": "close", "Retry-After": str(math.ceil(PAUSE))},
                )
            return message

        try:
            await self.app(scope, bounded, send)
        finally:
            self.held -= own
