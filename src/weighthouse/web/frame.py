"""The frame around every page: templates, navigation, banner, form token. Guards pages from forgetting any of them.

Templates escape everything (autoescape is on for every name) and may not name an absent value (StrictUndefined),
so a missing fact is an error in a test and never an empty, reassuring page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from weighthouse.access import api as access
from weighthouse.core.caller import Caller
from weighthouse.core.clock import Millis
from weighthouse.core.signing import Signers
from weighthouse.core.work import System, Unit
from weighthouse.identity import api as identity
from weighthouse.web import guard, words
from weighthouse.web.model import NAVIGATION, Region
from weighthouse.web.static_files import Assets

_ROOT = Path(__file__).resolve().parent.parent

_FILTERS = (
    "browser", "clock", "day", "does", "duration", "exact", "moment", "named", "opening", "people", "plain",
    "relative", "said", "sentence", "short", "size", "stamp",
)  # fmt: skip

BANNERS = {
    "demo": (
        "Demo keys: protects nothing.",
        "Every key here is thrown away at the end, and the identity provider is part of the demo.",
    ),
    "development": (
        "Development mode.",
        "Own keys, but the embedded identity provider: anybody on this machine may sign in as anybody.",
    ),
}


DOUBT = "The log is in doubt: nothing is released."


class Who(msgspec.Struct, frozen=True):
    """Who the page is for, as the frame shows it."""

    principal: str
    name: str
    teams: tuple[str, ...]


class Shell(msgspec.Struct, frozen=True):
    """What the layout needs besides the page's own values."""

    nonce: str
    csrf: Markup
    who: Who | None
    regions: tuple[Region, ...]
    path: str
    method: str
    origin: str
    banner: tuple[str, str] | None
    waiting: int
    now: Millis
    request_id: str


def environment(assets: Assets, rooms: Path = _ROOT) -> Environment:
    """Return the template environment over every room's `templates` folder."""
    folders = sorted(str(path) for path in rooms.glob("*/templates") if path.is_dir())
    env = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.globals["asset"] = assets.__getitem__
    for name in _FILTERS:
        env.filters[name] = getattr(words, name)
    return env


class Frame:
    """Renders templates inside the shell."""

    def __init__(self, system: System, env: Environment) -> None:
        self._system = system
        self._env = env

    def render(self, request: Request, template: str, status: int, context: Mapping[str, object]) -> Response:
        """Render `template` for whoever the door let in on this request, or for a visitor."""
        state = request.scope.setdefault("state", {})
        shell = self._shell(request, state.get("unit"), state.get("caller"))
        html = self._env.get_template(template).render({**context, "shell": shell, "now": shell.now})
        return HTMLResponse(html, status)

    def _shell(self, request: Request, unit: Unit | None, caller: Caller | None) -> Shell:
        state = request.scope["state"]
        who = state.get("who")
        session = request.cookies.get(identity.SESSION_COOKIE, "")
        return Shell(
            nonce=state.get("nonce", ""),
            csrf=_field(self._system, session),
            who=who,
            regions=tuple(_visible(state.get("allowed", frozenset()))) if who else (),
            path=request.url.path,
            method=request.method,
            origin=request.app.state.origin,
            banner=_doubt(unit) or BANNERS.get(self._system.settings.text("mode")),
            waiting=state.get("waiting", 0),
            now=unit.now if unit is not None else self._system.clock.now(),
            request_id=state.get("request_id", ""),
        )


def _doubt(unit: Unit | None) -> tuple[str, str] | None:
    """What stands above every page while the log is in doubt."""
    doubts = access.log_doubts(unit) if unit is not None else []
    if not doubts:
        return None
    return DOUBT, f"{doubts[0]} Two people of security look at it and lift the hold."


def _field(system: System, session: str) -> Markup:
    if not session:
        return Markup("")
    value = guard.token(system.part(Signers), session)
    return Markup('<input type="hidden" name="{}" value="{}">').format(guard.FIELD, value)


def _visible(allowed: frozenset[str]) -> Iterable[Region]:
    for region in NAVIGATION:
        places = tuple(place for place in region.places if not place.needs or allowed & set(place.needs))
        if places:
            yield Region(region.label, places)
