"""Who may ask: pages of this very server, under a name that no stranger's page can take.

A page on the web can make its visitor's browser send requests to 127.0.0.1 (cross-site request
forgery), and can point a name of its own there (DNS rebinding). The first kind carries another
page's origin, the second another host.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer carries: a page may load and ask nothing but its own server."""


class Guard:
    """ASGI middleware that turns away requests from elsewhere.

    Parameters
    ----------
    app : ASGI application
        What is guarded.
    host : str
        The address that the server listens on.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app = app
        self.loopback = is_loopback(host)
        self.names = {"localhost", host.casefold()}
        if not self.loopback:
            self.names |= {socket.gethostname().casefold(), socket.getfqdn().casefold()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on and add the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        reason = self.refusal(Headers(scope=scope), scope["method"])
        if reason:
            refused = JSONResponse({"error": reason}, status_code=403)
            await refused(scope, receive, send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)

    def refusal(self, headers: Headers, method: str) -> str:
        """Say why a request is refused; nothing where it is not."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return "This address is not one that backlit app answers to."
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{hosts[0]}":
            return "The request comes from another page."
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return "The request comes from another page."
        # What a form of another page can send is none of these.
        kind = headers.get("content-type", "").partition(";")[0].strip()
        if method == "POST" and kind not in ("application/json", "application/octet-stream"):
            return "POST needs application/json or application/octet-stream."
        return ""

    def _knows(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").casefold()
        except ValueError:
            return False
        if name in self.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # An address in figures cannot be pointed elsewhere.
        return address.is_loopback or not self.loopback


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
