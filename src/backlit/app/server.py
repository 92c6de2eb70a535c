"""The web application: which address leads to which function."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from backlit.app.bodies import OpenBodies
from backlit.app.guard import Guard
from backlit.app.photo import PhotoDesk, rendered_scene
from backlit.app.plane.datasets import DATASETS, dataset
from backlit.app.plane.exporting import as_code, as_safetensors
from backlit.app.plane.network import HIDDEN, PlaneNetwork, draw_network
from backlit.app.plane.passes import run_pass
from backlit.app.plane.table import read_table
from backlit.app.plane.training import train
from backlit.app.plane.values import Values
from backlit.app.sorting import MOST_SHOWN, SortingDesk
from backlit.errors import BacklitError, NonFiniteError, PhotoError
from backlit.photos.classifier import PhotoClassifier

MAX_PHOTO = 100_000_000
"""Largest picture file that is taken, in bytes."""

MAX_REQUEST = 4_000_000
"""Largest other request, in bytes."""

OUTGROWN = "The numbers of this pass outgrow double precision: choose smaller weights."
"""What is said where a result is not finite."""

STATIC = Path(__file__).with_name("static")

Answer = Callable[[Request], Awaitable[Response]]


def create_app(
    classifier: PhotoClassifier, host: str = "127.0.0.1", sorting: SortingDesk | None = None
) -> ASGIApp:
    """Build the application.

    Parameters
    ----------
    classifier : PhotoClassifier
        Classifies photographs.
    host : str, optional
        The address that the server listens on.
    sorting : SortingDesk, optional
        A folder to sort, which gets a page of its own.

    Returns
    -------
    ASGI application
    """
    desk = PhotoDesk(classifier)
    one_photo = anyio.CapacityLimiter(1)  # a large picture takes hundreds of megabytes

    async def photo(request: Request) -> Response:
        data = await request.body()
        label = request.query_params.get("label")
        found = await anyio.to_thread.run_sync(desk.look_at, data, label, limiter=one_photo)
        return JSONResponse(found)

    async def model(_: Request) -> Response:
        return JSONResponse({**desk.description(), "sorting": sorting is not None})

    routes = [
        Route("/", _page("photo.html")),
        Route("/steps", _page("steps.html")),
        Route("/api/model", model),
        Route("/api/photo", photo, methods=["POST"], middleware=_limit(MAX_PHOTO)),
        Route("/api/scene/{number:int}", _scene),
        Route("/api/choices", _choices),
        _json_route("/api/dataset", _dataset),
        Route("/api/table", _table, methods=["POST"], middleware=_limit(MAX_REQUEST)),
        _json_route("/api/network", _draw),
        _json_route("/api/pass", _pass),
        _json_route("/api/train", _train),
        _json_route("/api/code", _code),
        _json_route("/api/safetensors", _safetensors),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    if sorting is not None:
        routes[:0] = _sorting_routes(sorting)
    handlers = {BacklitError: _refused, HTTPException: _failed, Exception: _broken}
    app = Starlette(routes=routes, middleware=[Middleware(OpenBodies)], exception_handlers=handlers)
    return Guard(app, host=host)  # outermost, so that every answer has its headers


def _sorting_routes(desk: SortingDesk) -> list[Route]:
    """Make the routes of the page on which a folder is sorted."""

    async def thumbnail(request: Request) -> Response:
        data = await run_in_threadpool(desk.picture, request.path_params["number"])
        return Response(data, media_type="image/webp")

    async def state(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(desk.state))

    def sheet(values: Values) -> Any:
        return desk.sheet(values.text("order"), values.integer("count", 1, MOST_SHOWN))

    def label(values: Values) -> Any:
        return desk.label([values.integer("id", 0, 1 << 31)], values.text("label"))

    def train_again(_: Values) -> Any:
        desk.train()
        return desk.state()

    return [
        Route("/sort", _page("sort.html")),
        Route("/api/sort/state", state),
        Route("/api/sort/picture/{number:int}", thumbnail),
        _json_route("/api/sort/sheet", sheet),
        _json_route("/api/sort/label", label),
        _json_route("/api/sort/undo", lambda _: desk.undo()),
        _json_route("/api/sort/train", train_again),
        _json_route("/api/sort/save", lambda _: desk.save()),
        _json_route("/api/sort/move", lambda _: desk.move()),
        _json_route("/api/sort/back", lambda _: desk.move_back()),
    ]


def _limit(size: int) -> list[Middleware]:
    return [Middleware(RequestBodyLimitMiddleware, max_body_size=size)]


def _page(name: str) -> Answer:
    async def page(_: Request) -> Response:
        return FileResponse(STATIC / name)

    return page


def _json_route(path: str, function: Callable[[Values], Any]) -> Route:
    """Make a route of a function from JSON values to what JSON, or a file, can hold."""

    async def answer(request: Request) -> Response:
        try:
            given = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise HTTPException(400, "This is no valid JSON.") from None
        return await run_in_threadpool(_finite, function, Values(given))

    return Route(path, answer, methods=["POST"], middleware=_limit(MAX_REQUEST))


def _finite(function: Callable[[Values], Any], values: Values) -> Response:
    """Answer with a function's result; where its numbers are not finite, with a sentence."""
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = function(values)
    except (NonFiniteError, OverflowError) as error:
        raise NonFiniteError(OUTGROWN) from error
    if isinstance(found, Response):
        return found
    try:
        return JSONResponse(found)
    except ValueError as error:  # NaN and infinity are no JSON
        raise NonFiniteError(OUTGROWN) from error


async def _scene(request: Request) -> Response:
    data = await run_in_threadpool(rendered_scene, request.path_params["number"])
    return Response(data, media_type="image/webp")


async def _choices(_: Request) -> Response:
    return JSONResponse({"datasets": DATASETS, "activations": HIDDEN})


async def _table(request: Request) -> Response:
    return JSONResponse(await run_in_threadpool(read_table, await request.body()))


def _dataset(values: Values) -> Any:
    return dataset(
        values.text("name"),
        values.integer("count", 2, 1000),
        values.number("noise", 0.0, 1.0),
        values.integer("seed", 0, 2**32 - 1),
    )


def _draw(values: Values) -> Any:
    return draw_network(values).as_json()


def _pass(values: Values) -> Any:
    return run_pass(PlaneNetwork.read(values), values.flag("field"))


def _train(values: Values) -> Any:
    return train(PlaneNetwork.read(values), values.integer("steps", 1, 1000))


def _code(values: Values) -> Response:
    return _download(as_code(PlaneNetwork.read(values)).encode(), "text/x-python", "network.py")


def _safetensors(values: Values) -> Response:
    data = as_safetensors(PlaneNetwork.read(values))
    return _download(data, "application/octet-stream", "network.safetensors")


def _download(data: bytes, kind: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(data, media_type=kind, headers=headers)


async def _refused(_: Request, error: Exception) -> Response:
    """Say what was wrong with what the page sent; without the name of a temporary file."""
    text = error.reason if isinstance(error, PhotoError) else str(error)
    return JSONResponse({"error": text}, status_code=422)


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _broken(_: Request, error: Exception) -> Response:
    """Answer after a fault of the program; the server's log has it."""
    return JSONResponse({"error": "The server failed: this is a fault of backlit."}, 500)
