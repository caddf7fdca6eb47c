"""A whole control plane behind its real door, on the example lab, with the embedded identity provider: for page tests.

People sign in as people do: through the provider's form, with password and authenticator code.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from fastapi import APIRouter, FastAPI

from weighthouse.access import api as access
from weighthouse.app import declared, provider, routers, wiring
from weighthouse.app.home import Home, database_url
from weighthouse.app.initialise import EXAMPLE_LAB
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import Clock, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.settings import Settings
from weighthouse.core.work import Recorder, Revocation, System, begin, read
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.dev_idp.people import STEP, totp_code
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.adapters.places import TablePlaces
from weighthouse.identity.ports import Places, Site
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.runs.ports import Ground
from weighthouse.web import api as web
from weighthouse.weights.adapters.embedded import FolderStore
from weighthouse.weights.ports import ObjectStore

AGENT = "Mozilla/5.0 (page test)"
CHEAP = 1024  # the passphrase of a test needs no stretching


class World:
    """One control plane as `app` wires it; `browser(person)` is a signed-in browser without JavaScript."""

    def __init__(
        self,
        clock: Clock,
        state: Path,
        *,
        port: int = 8040,
        extra: Sequence[APIRouter] = (),
        mode: str = "development",
        settings: Mapping[str, object] | None = None,
    ) -> None:
        flags = {"state": state, "mode": mode, "server.port": port, "keys.scrypt_cost": CHEAP, **(settings or {})}
        resolved = Settings(declared.settings(), flags=flags)
        self._steps: dict[str, int] = {}
        self.origin, self.clock, self.state = f"http://127.0.0.1:{port}", clock, state
        home = Home(state)
        home.make()
        keys = SealedKeys.create(home.keys_file, "a passphrase of page tests", cost=CHEAP)
        mounted = routers.every()  # imports every room's tables as well
        database = Database(database_url(resolved, home))
        database.create_all()
        self.system = System(resolved, clock, database)
        wiring.bind_keys(self.system, keys)
        wiring.bind_memories(self.system, home)
        self.system.bind(Recorder, audit.append)
        self.system.bind(Revocation, identity.check_under_way)
        self.system.bind(Site, Site(self.origin))
        self.system.bind(Places, TablePlaces(None))
        self.system.bind(ObjectStore, FolderStore(home.objects))
        self.system.bind(Ground, wiring.machine(resolved, home))
        audit.begin(self.system)
        audit.start(self.system)
        with begin(self.system, SYSTEM) as unit:
            text = EXAMPLE_LAB.read_text("utf-8")
            self.lab = access.publish_policy(unit, None, text, "lab.yaml").lab
        own = provider.bind(self.system)
        assert own is not None
        self.app: FastAPI = web.build(
            self.system,
            (*mounted, *extra),
            origin=self.origin,
            mounts={"/dev-idp": own.application},
            larger_bodies=routers.LARGER_BODIES,
        )

    def visitor(self, **headers: str) -> httpx.Client:
        """A browser that nobody has signed in with."""
        return httpx.Client(
            transport=InProcess(self.app, peer="127.0.0.1"),
            base_url=self.origin.replace("http:", "https:"),  # so that the client keeps Secure cookies
            headers={"Accept": "text/html", "User-Agent": AGENT, "Host": self.origin.split("//")[1], **headers},
        )

    def account(self, person: str) -> str:
        """The account that a person of the lab has at the development provider."""
        return next(subject for issuer, subject in self.lab.people[person].accounts if issuer == "dev")

    def password(self, person: str) -> str:
        """What the person types at the development provider."""
        return provider.dev_secret(self.system, self.account(person)).password

    def code(self, person: str) -> str:
        """Six digits of the person's authenticator that were not used yet; the provider takes each once."""
        step = self._steps[person] = max(self.clock.now() // STEP, self._steps.get(person, 0) + 1)
        return totp_code(provider.dev_secret(self.system, self.account(person)).totp, step)

    def browser(self, person: str, return_to: str = "/sessions") -> httpx.Client:
        """A browser in which `person` has signed in with a second factor."""
        if isinstance(self.clock, ManualClock):
            self.clock.advance(STEP)  # the provider takes each code once
        client = self.visitor()
        step = client.get("/login", params={"return_to": return_to})
        for _ in range(4):  # the risk check may send a first-time browser for the second factor
            if "/callback" in step.headers.get("location", ""):
                step = client.get(inside(step))
            elif "/dev-idp/" in step.headers.get("location", ""):
                step = self._answer(client, inside(step), person)
        assert step.headers["location"] == return_to, step.text
        return client

    def _answer(self, client: httpx.Client, path: str, person: str) -> httpx.Response:
        form = client.get(path)
        answer = {
            "handle": field(form.text, "handle"),
            "account": self.account(person),
            "password": self.password(person),
            "code": self.code(person),
        }
        return client.post(action(form.text), data=answer, headers={"Origin": self.origin})

    def send(
        self, client: httpx.Client, page: str, path: str, data: dict[str, Any], **headers: str
    ) -> httpx.Response:
        """Send a form that `page` shows, with its token, as a browser without JavaScript does.

        Where the server asks for a second factor for this very act, give it, come back, and send the form again.
        """

        def post() -> httpx.Response:
            token = field(client.get(page).text, "csrf")  # another one after a step-up, which renews the session
            return client.post(path, data={"csrf": token, **data}, headers={"Origin": self.origin, **headers})

        return self.confirmed(client, post)

    def confirmed(self, client: httpx.Client, send: Callable[[], httpx.Response]) -> httpx.Response:
        """Send a form; if an act waits for its second factor, walk the page that names it and the provider's."""
        answer = send()
        place = answer.headers.get("location", "")
        if answer.headers.get("content-type", "") == "application/problem+json" and "acts" in answer.json():
            place = "/confirm?" + urlencode({"acts": answer.json()["acts"]})
        if not place.startswith("/confirm?"):
            return answer
        self.confirm(client, place)
        return send()

    def confirm(self, client: httpx.Client, place: str) -> str:
        """Give the second factor that `/confirm` leads to, as whoever is signed in; return the page's words."""
        person = str(client.get("/api/v1/me", headers={"Accept": "application/json"}).json()["principal"])
        shown = client.get(place)
        link = re.search(r'href="([^"]*/authorize\?[^"]*)"', shown.text)
        assert link, shown.text
        step = self._answer(client, "/" + html.unescape(link.group(1)).split("//", 1)[-1].split("/", 1)[1], person)
        step = client.get(inside(step))
        assert step.status_code == 303, step.text
        return shown.text

    def facts(self, kind: str) -> list[dict[str, Any]]:
        """The data of every log entry of one kind."""
        with read(self.system) as unit:
            return [entry.data for entry in audit.entries(unit, kind=kind, limit=1000)]


def inside(response: httpx.Response) -> str:
    """The path and query a redirect leads to, on our own origin."""
    return "/" + response.headers["location"].split("//", 1)[-1].split("/", 1)[1]


def field(page: str, name: str) -> str:
    """The value of the first hidden field of that name."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, f"no field {name} in:\n{page[:2000]}"
    return html.unescape(found.group(1))


def action(page: str) -> str:
    """Where the first form of a page leads."""
    found = re.search(r'<form method="post" action="([^"]*)"', page)
    assert found
    return html.unescape(found.group(1))
