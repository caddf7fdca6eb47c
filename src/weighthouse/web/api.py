"""The public face: `build` puts every router behind the door, and `credential` tells identity's pages who knocks.

Guards against a route that was mounted without its guards: there is no other way to make the application.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import ASGIApp

from weighthouse.core.errors import WeighthouseError
from weighthouse.core.signing import Signers
from weighthouse.core.work import System
from weighthouse.identity import api as identity
from weighthouse.web import guard, problems
from weighthouse.web.body import BodyLimit
from weighthouse.web.door import ConsoleDoor
from weighthouse.web.dress import dress
from weighthouse.web.frame import Frame, environment
from weighthouse.web.guard import BROKER
from weighthouse.web.headers import SecurityHeaders
from weighthouse.web.heads import Heads
from weighthouse.web.model import settings
from weighthouse.web.reading import OneReading, known_parameters
from weighthouse.web.schema import describe
from weighthouse.web.static_files import Assets

__all__ = ["BROKER", "build", "settings"]

_STATIC = Path(__file__).resolve().parent / "static"


def build(
    system: System,
    routers: Sequence[APIRouter],
    *,
    origin: str,
    mounts: Mapping[str, ASGIApp] | None = None,
    hosts: Sequence[str] = (),
    larger_bodies: Mapping[str, int] | None = None,
) -> FastAPI:
    """Return the application: `routers` behind the door, plus the console's own pages and static files.

    `origin` is the public origin (`https://weighthouse.lab`); requests that name another host are refused, except for
    `hosts` (the broker's name). `mounts` maps path prefixes to foreign parties served here (the development
    identity provider): their forms carry their own secrets, so the cross-site guard leaves them alone.
    `larger_bodies` maps path prefixes to a body limit of their own, in bytes.
    """
    assets = Assets(_STATIC)
    frame = Frame(system, environment(assets))
    app = FastAPI(
        title="Weighthouse",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        redirect_slashes=False,
    )
    app.state.door = ConsoleDoor(system, frame, origin, dress)
    app.state.origin = origin
    _answer_errors(app)
    describe(app)
    for router in routers:
        app.include_router(router, dependencies=[Depends(known_parameters)])
    app.add_route("/static/{rest:path}", assets.serve, methods=["GET"], include_in_schema=False)
    outside = dict(mounts or {})
    for prefix, part in outside.items():
        app.mount(prefix, part)
    _stack(app, system, origin, frozenset(hosts), tuple(outside), larger_bodies or {})
    return app


def _stack(
    app: FastAPI,
    system: System,
    origin: str,
    hosts: frozenset[str],
    outside: tuple[str, ...],
    larger: Mapping[str, int],
) -> None:
    # The last one added is the outermost: headers reach every answer, those of the guards included.
    targets = tuple(system.settings.text("web.form_targets").split())
    signers = system.part(Signers)
    app.add_middleware(guard.Guard, signers=signers, origin=origin, hosts=hosts, outside=outside)
    app.add_middleware(OneReading, outside=outside)
    limit, seconds = system.settings.integer("web.body_limit"), system.settings.integer("web.body_seconds")
    app.add_middleware(BodyLimit, limit=limit, larger=larger, seconds=seconds)
    app.add_middleware(problems.Catch, state=system.settings.path("state"))
    app.add_middleware(Heads)
    app.add_middleware(
        SecurityHeaders,
        form_targets=targets,
        secure=origin.startswith("https://"),
        proof_nonce=partial(identity.fresh_nonce, system),
    )


def _answer_errors(app: FastAPI) -> None:
    def recognise(request: Request) -> None:
        if problems.wants_page(request.scope):
            app.state.door.recognise(request)

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, WeighthouseError)
        return problems.answer(request, error)

    def misshapen(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        recognise(request)
        return problems.answer(request, problems.invalid_body(error))

    def by_router(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        recognise(request)
        refusal = problems.answer(request, problems.from_status(error.status_code))
        if error.status_code == 405:  # RFC 9110, 15.5.6: a refused method names those that are not
            refusal.headers["Allow"] = ", ".join(_methods(app, request))
        return refusal

    app.add_exception_handler(WeighthouseError, refused)
    app.add_exception_handler(RequestValidationError, misshapen)
    app.add_exception_handler(HTTPException, by_router)


def _methods(app: FastAPI, request: Request) -> list[str]:
    """Return every method of the address: several routes may share one, each with a method of its own."""
    asked = {"type": "http", "path": request.scope["path"], "root_path": ""}
    return [
        method
        for method in ("GET", "POST")
        if any(route.matches({**asked, "method": method})[0] is Match.FULL for route in app.routes)
    ]
