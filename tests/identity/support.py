"""A lab with people, the development provider and the real application, and browsers to walk through it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import httpx
from sqlalchemy import text

from tests.audit.support import bind_log
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.ids import PrincipalId
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.core.signing import MemorySigners, Signers
from weighthouse.core.work import System, begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.dev_idp.people import STEP, DevPerson, DevSecret, secret_of, totp_code
from weighthouse.identity.adapters.dev_idp.server import TENANT, DevIdp
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.adapters.oidc import OidcProvider
from weighthouse.identity.adapters.places import TablePlaces
from weighthouse.identity.model import IssuerProfile
from weighthouse.identity.model import settings as own_settings
from weighthouse.identity.ports import Memory, Places, Provider, Site
from weighthouse.identity.routes import api as api_routes
from weighthouse.identity.routes import browser as browser_routes
from weighthouse.policy import api as policy
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory
from weighthouse.web import api as web
from weighthouse.web.door import ConsoleDoor
from weighthouse.web.guard import FIELD, token
from weighthouse_sdk.client import Client, DeviceKey

ORIGIN = "http://127.0.0.1:8040"
LAB = Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml"
SEED = b"\x11" * 32
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"


class Lab:
    """One server with everything bound; `sql` does what a database administrator can do."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path, **flags: object) -> None:
        self.folder = folder
        self._steps: dict[str, int] = {}
        self._grown: dict[str, DeviceKey] = {}
        self._devices: dict[str, str] = {}
        self.clock = clock
        values = {"state": folder, "mode": "development", "server.origin": ORIGIN, **flags}
        self.system = bind_log(
            System(
                Settings((*DECLARED, *audit.settings, *own_settings, *web.settings), flags=values), clock, database
            ),
            folder,
        )
        bind = self.system.bind
        bind(Signers, MemorySigners(b"\x07" * 32))
        bind(PolicyMemory, FilePolicyMemory(folder / "policy.memory"))
        bind(Refusals, FileRefusals(folder / "refusals"))
        bind(Memory, FileMemory(folder / "identity.memory", now=clock.now()))
        bind(Places, TablePlaces())
        bind(Site, Site(ORIGIN))
        self.publish(LAB.read_text())
        self.idp = DevIdp(
            mode="development",
            address="127.0.0.1",
            origin=ORIGIN,
            clock=clock,
            people=self._people,
            secret=self.secret,
            record=self._record,
            pushed=False,  # so that tests see, and edit, what others would have pass through the browser
        )
        routers = [api_routes.router, browser_routes.router]
        self.app = web.build(self.system, routers, origin=ORIGIN, mounts={"/dev-idp": self.idp.application})
        # What the frame shows about a person belongs to rooms above this one, which these tests leave out.
        self.app.state.door = ConsoleDoor(self.system, self.app.state.door._frame, ORIGIN, lambda *_: None)
        self.wanted = IssuerProfile(
            issuer=self.idp.issuer, account_issuer="dev", client_id="weighthouse", tenant=TENANT
        )
        self.provider = self.use_provider(InProcess(self.app), self.wanted)

    def use_provider(self, transport: httpx.BaseTransport, wanted: IssuerProfile) -> OidcProvider:
        self.provider = OidcProvider(httpx.Client(transport=transport), wanted, clock=self.clock)
        self.system.bind(Provider, self.provider)
        return self.provider

    def publish(self, lab: str) -> None:
        with begin(self.system) as unit:
            policy.store(unit, lab, "lab.yaml")

    def _people(self) -> Mapping[str, DevPerson]:
        with read(self.system) as unit:
            people = policy.current(unit).lab.people.values()
            return {
                subject: DevPerson(subject, person.name)
                for person in people
                for issuer, subject in person.accounts
                if issuer == "dev"
            }

    def secret(self, subject: str) -> DevSecret:
        return secret_of(SEED, subject)

    def code(self, subject: str) -> str:
        """A code of the authenticator that was not used yet; the provider takes each once."""
        step = self._steps[subject] = max(self.clock.now() // STEP, self._steps.get(subject, 0) + 1)
        return totp_code(self.secret(subject).totp, step)

    def _record(self, result: api.SignInResult) -> None:
        with begin(self.system) as unit:
            api.record_sign_in(unit, result)

    def log(self, kind: str = "") -> list[audit.Entry]:
        """Entries of this room, oldest first."""
        with read(self.system) as unit:
            found = audit.entries(unit, limit=1000)
        return [entry for entry in found if entry.kind.startswith(f"identity.{kind}")]

    def told(self, kind: str, field: str) -> list[Any]:
        """A field of the entries of one kind, oldest first, revealed as an auditor sees it."""
        with read(self.system) as unit:
            return [audit.reveal(unit, entry)[field] for entry in self.log(kind)]

    def sql(self, statement: str, **values: Any) -> list[Any]:
        with self.system.database.engine.begin() as connection:
            # Without values the statement goes as it is, since a colon in JSON would read as a parameter.
            done = connection.execute(text(statement), values) if values else connection.exec_driver_sql(statement)
            return list(done) if done.returns_rows else []

    def rows(self) -> dict[str, int]:
        """How many rows each table of this room has, to show that a refusal changed nothing."""
        names = ("session", "principal", "device", "workload", "result")
        return {name: self.sql(f"SELECT count(*) FROM identity_{name}")[0][0] for name in names}

    def person(self, who: str, *, level: int = 2) -> Caller:
        """A caller as `authenticate` would make it, for acts below the door."""
        return Caller(
            principal=PrincipalId(who),
            kind="person",
            account=policy.account_ref("dev", who),
            assurance=Assurance(level, self.clock.now(), "test"),
            binding="dpop",
        )

    def confirm(self, caller: Caller, act: str, subject: str, **parameters: str) -> None:
        """The caller gives a second factor for exactly this act, as a step-up at the provider records it."""
        with begin(self.system, caller) as unit:
            wanted = api.Act(type=act, subject=subject, parameters=parameters)
            api.factor_given(unit, caller, [wanted], method="test", at=unit.now)

    def opened(self, who: str, act: str, subject: str) -> api.KeySignature:
        """A second factor and the signature of a key of theirs that counts, both for opening exactly this."""
        caller = self.person(who)
        if who not in self._grown:
            key = self._grown[who] = DeviceKey.generate()
            self.confirm(caller, "device.enrol", key.thumbprint)
            with begin(self.system, caller) as unit:
                self._devices[who] = api.enrol_device(unit, caller, key.jwk, "desk").id
        self.clock.advance(1)
        self.confirm(caller, act, subject)
        return self.signed(who, act, subject)

    def signed(self, who: str, act: str, subject: str) -> api.KeySignature:
        """The signature alone."""
        device, at = self._devices[who], self.clock.now()
        said = api.opening(act, subject, audience=api.audience(self.system), person=who, device=device, at=at)
        return api.KeySignature(device=device, at=at, value=self._grown[who].sign(said))

    def client(self, *, peer: str = "127.0.0.1", key: DeviceKey | None = None, agent: str = AGENT) -> Client:
        """A command line on one machine, with a key of its own and this lab's clock."""
        key = key or DeviceKey.generate()
        key.now = lambda: self.clock.now() / 1000
        client = Client(ORIGIN, key, transport=InProcess(self.app, peer=peer))
        client._http.headers["user-agent"] = agent
        return client

    def sign_in(self, who: str, client: Client | None = None, *, step_up: bool = False) -> Client:
        """Sign somebody in at their command line, walking the provider's real pages."""
        client = client or self.client()
        secret = self.secret(who)
        self.clock.advance(STEP)
        client.sign_in_headless(who, secret.password, secret.totp, step_up=step_up, code=lambda: self.code(who))
        return client

    def browser(self, *, peer: str = "127.0.0.1", agent: str = AGENT) -> Browser:
        return Browser(self, peer, agent)


class Browser:
    """Keeps cookies and follows redirects as a browser does; `cookies` may be read and tampered with."""

    def __init__(self, lab: Lab, peer: str, agent: str) -> None:
        self.lab = lab
        self.cookies: dict[str, str] = {}
        self.http = httpx.Client(
            transport=InProcess(lab.app, peer=peer), headers={"user-agent": agent.encode("latin-1")}
        )

    def send(self, method: str, path: str, form: Mapping[str, str] | None = None, **headers: str) -> httpx.Response:
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if method == "POST":
            headers.setdefault("origin", ORIGIN)
        answer = self.http.request(method, urljoin(ORIGIN, path), data=form, headers=headers)
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                if name.startswith("__Host-"):
                    assert morsel["secure"] and morsel["httponly"] and morsel["path"] == "/" and not morsel["domain"]
                self.cookies[name] = morsel.value
                if morsel["max-age"] == "0":
                    del self.cookies[name]
        return answer

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.send("GET", path, **headers)

    def to_callback(self, start: str, who: str, *, password: str = "", code: str = "") -> str:
        """Go from a redirect to the provider through its page; return the callback's address, not yet visited."""
        page = self.get(start)
        handle, action = (
            re.search(r'name="handle" value="([^"]+)"', page.text),
            re.search(r'action="([^"]+)"', page.text),
        )
        assert handle and action, page.text
        form = {
            "handle": unescape(handle[1]),
            "account": who,
            "password": password or self.lab.secret(who).password,
            "code": code,
        }
        answer = self.send("POST", unescape(action[1]), form)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def sign_in(self, who: str, *, return_to: str = "/inbox") -> httpx.Response:
        """Sign in through every page, giving the second factor when it is asked for; return the last answer."""
        answer = self.get("/login?" + urlencode({"return_to": return_to}))
        for code in ("", "asked"):
            self.lab.clock.advance(STEP)
            given = self.lab.code(who) if code else ""
            answer = self.get(self.to_callback(answer.headers["location"], who, code=given))
            if not answer.headers.get("location", "").startswith(self.lab.idp.issuer[:-5]):
                return answer
        raise AssertionError("asked for a second factor twice")

    def sign_out(self) -> httpx.Response:
        """Send the form of the menu, with the token that every page of the session's carries."""
        session = self.cookies.get(api.SESSION_COOKIE)
        form = {FIELD: token(self.lab.system.part(Signers), session)} if session else {}
        return self.send("POST", "/logout", form)

    def me(self, **headers: str) -> httpx.Response:
        return self.get("/api/v1/me", accept="application/json", **headers)


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))
