"""Pages for the browser: a photograph through the network, and a small network step by step.

The server computes, with the package's open functions; the pages show. Nothing leaves the machine.
"""

from backlit._extras import require

require("The app", "app", "starlette", "uvicorn")
