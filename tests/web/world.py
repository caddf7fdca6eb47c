"""A whole control plane behind its real door, on the example lab, with the embedded identity provider: for page tests.

People sign in as people do: through the provider's form, with password and authenticator code.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI

from tests.audit.support import bind_log
from weighthouse.core.clock import DAY, Clock
from weighthouse.core.database import Database
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.core.signing import MemorySigners, Signers
from weighthouse.core.work import System, begin, read
from weighthouse.egress.model import settings as egress_settings
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.dev_idp.people import STEP, DevPerson, secret_of, totp_code
from weighthouse.identity.adapters.dev_idp.server import DevIdp
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.adapters.oidc import OidcProvider
from weighthouse.identity.adapters.places import TablePlaces
from weighthouse.identity.model import IssuerProfile
from weighthouse.identity.model import settings as identity_settings
from weighthouse.identity.ports import Memory, Places, Provider, Site
from weighthouse.identity.routes import browser
from weighthouse.identity.routes import pages as identity_pages
from weighthouse.policy import api as policy
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory
from weighthouse.web import api as web

LAB = Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml"
SEED = b"\x09" * 32
AGENT = "Mozilla/5.0 (page test)"


class World:
    """One control plane; `browser(person)` is a signed-in browser without JavaScript."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        state: Path,
        *,
        origin: str = "http://127.0.0.1:8040",
        routers: tuple[APIRouter, ...] = (),
        mode: str = "development",
    ) -> None:
        declared = (*DECLARED, *identity_settings, *egress_settings, *web.settings)
        settings = Settings(declared, flags={"state": state, "mode": mode})
        self.origin, self.clock = origin, clock
        self.system = System(settings, clock, database)
        self.system.bind(Signers, MemorySigners(b"\x07" * 32))  # type: ignore[type-abstract]
        self.system.bind(PolicyMemory, FilePolicyMemory(state / "policy.memory"))  # type: ignore[type-abstract]
        bind_log(self.system, state)
        with begin(self.system) as unit:
            self.lab = policy.store(unit, LAB.read_text("utf-8"), "lab.yaml").lab
        self.idp = self._identity(state)
        self.app: FastAPI = web.build(
            self.system,
            (identity_pages.router, browser.router, *routers),
            origin=origin,
            mounts={"/dev-idp": self.idp.application},
        )

    def _identity(self, state: Path) -> DevIdp:
        def people() -> dict[str, DevPerson]:
            return {
                subject: DevPerson(subject, entry.name)
                for entry in self.lab.people.values()
                for issuer, subject in entry.accounts
                if issuer == "dev"
            }

        def record(result: identity.SignInResult) -> None:
            with begin(self.system) as unit:
                identity.record_sign_in(unit, result)

        idp = DevIdp(
            mode="development",
            address="127.0.0.1",
            origin=self.origin,
            clock=self.clock,
            people=people,
            secret=lambda subject: secret_of(SEED, subject),
            record=record,
        )
        wanted = IssuerProfile(issuer=idp.issuer, account_issuer="dev", client_id="weighthouse")
        inside = _Mounted(idp.application)
        provider = OidcProvider(httpx.Client(transport=InProcess(inside)), wanted, clock=self.clock)
        self.system.bind(Provider, provider)  # type: ignore[type-abstract]
        self.system.bind(Site, Site(self.origin))
        self.system.bind(Places, TablePlaces())  # type: ignore[type-abstract]
        self.system.bind(Memory, FileMemory(state / "identity.memory", now=self.clock.now()))  # type: ignore[type-abstract]
        return idp

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

    def code(self, person: str) -> str:
        """The six digits on the person's authenticator now."""
        return totp_code(secret_of(SEED, self.account(person)).totp, self.clock.now() // STEP)

    def browser(self, person: str, return_to: str = "/sessions") -> httpx.Client:
        """A browser in which `person` has signed in with a second factor."""
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
            "password": secret_of(SEED, self.account(person)).password,
            "code": self.code(person),
        }
        return client.post(action(form.text), data=answer, headers={"Origin": self.origin})

    def send(
        self, client: httpx.Client, page: str, path: str, data: dict[str, Any], **headers: str
    ) -> httpx.Response:
        """Send a form that `page` shows, with its token, as a browser without JavaScript does."""
        token = field(client.get(page).text, "csrf")
        return client.post(path, data={"csrf": token, **data}, headers={"Origin": self.origin, **headers})

    def facts(self, kind: str) -> list[dict[str, Any]]:
        """The data of every log entry of one kind."""
        from weighthouse.audit import api as audit

        with read(self.system) as unit:
            return [entry.data for entry in audit.entries(unit, kind=kind, limit=1000)]


class _Mounted:
    """The provider where the server mounts it, for the control plane's own calls to it."""

    def __init__(self, application: Any) -> None:
        from starlette.applications import Starlette
        from starlette.routing import Mount

        self._application = Starlette(routes=[Mount("/dev-idp", application)])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._application(scope, receive, send)


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


YEAR = 365 * DAY
