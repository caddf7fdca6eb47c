"""The application's routes and schema, as the app mounts them, without a server or a system behind them."""

from __future__ import annotations

import copy
import functools
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute


@functools.cache
def application() -> FastAPI:
    """Return every room's routes in one application that is never served."""
    from weighthouse.app import routers
    from weighthouse.web.schema import describe

    made = FastAPI(title="Weighthouse", version="1", redirect_slashes=False)
    for router in routers.every():
        made.include_router(router)
    describe(made)
    return made


@functools.cache
def schema() -> dict[str, Any]:
    """Return the OpenAPI schema of the JSON routes."""
    return application().openapi()


@functools.cache
def whole_schema() -> dict[str, Any]:
    """Return the schema of every route, pages and their forms included, which the published schema leaves out."""
    from weighthouse.app import routers

    found = []
    for router in routers.every():
        for route in router.routes:
            if isinstance(route, APIRoute):
                shown = copy.copy(route)
                shown.include_in_schema = True
                found.append(shown)
    return get_openapi(title="Weighthouse", version="1", routes=found)


@functools.cache
def rooms_of_routes() -> dict[tuple[str, str], str]:
    """Return the room of every route by (method, path), pages included."""
    from weighthouse.app import routers

    return {
        (method, route.path): route.endpoint.__module__.split(".")[1]
        for router in routers.every()
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods - {"HEAD"}
    }


def routes() -> list[tuple[str, str]]:
    """Return (method, path) of every route, pages included, sorted by path."""
    return sorted(rooms_of_routes(), key=lambda pair: (pair[1], pair[0]))
