"""Sign-in with a provider that is not ours: a certified one (npm oidc-provider), by settings and nothing else.

The server is the real one, the provider a process of its own, and a person's browser walks between them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.app.serving import Server
from weighthouse.app.initialise import EXAMPLE_LAB
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import begin
from weighthouse.policy import api as policy
from weighthouse_sdk.client import Client, DeviceKey, ProblemError

pytestmark = pytest.mark.foreign_oidc

REDIRECT = "http://127.0.0.1:1/callback"
SUBJECT = "b0c1f6a4-ada"
SECRET = "a secret: with/every+kind% of character&="
LISTENS = {"grant_types": ["authorization_code"], "response_types": ["code"]}


class Person:
    """A person's browser at the provider: it keeps the provider's cookies and fills in its form."""

    def __init__(self, account: str = SUBJECT) -> None:
        self.account = account
        self.factors: list[bool] = []
        self.always = ""
        self._http = httpx.Client(timeout=20)

    def walk(self, url: str) -> dict[str, str]:
        """Go from the authorization request back to the client; return what the provider sends along."""
        demanded = "acr_values" in dict(parse_qsl(urlsplit(url).query))
        home = urlsplit(url).netloc
        answer = self._http.get(url)
        for _ in range(10):
            if answer.is_redirect:
                target = urljoin(str(answer.url), answer.headers["location"])
                if urlsplit(target).netloc != home:
                    self.factors.append(demanded)
                    return dict(parse_qsl(urlsplit(target).query))
                answer = self._http.get(target)
            else:
                assert "<form" in answer.text, answer.text
                demanded |= "a second factor" in answer.text
                mfa = self.always or ("yes" if demanded else "no")
                answer = self._http.post(str(answer.url), data={"account": self.account, "mfa": mfa})
        raise AssertionError("the provider sends the browser round in circles")


Start = Callable[..., str]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.close()


def serve(server: Server, monkeypatch: pytest.MonkeyPatch, issuer: str, **settings: str) -> None:
    """Name the provider in the settings and ada's account in the lab; start the server."""
    wanted = {"issuer": issuer, "subject_claim": "sub", "step_up_value": "2", **settings}
    for name, value in wanted.items():
        monkeypatch.setenv(f"WEIGHTHOUSE_IDENTITY_{name.upper()}", value)
    account = f"accounts: [{{issuer: {issuer!r}, subject: {SUBJECT}}}]"
    lab = EXAMPLE_LAB.read_text().replace("accounts: [{issuer: dev, subject: ada}]", account)
    system = server.system()
    with begin(system, SYSTEM) as unit:
        policy.store(unit, lab, "lab.yaml")
    system.database.close()
    server.start()


def public(**more: str) -> dict[str, object]:
    return {
        "client_id": "weighthouse",
        "application_type": "native",
        "token_endpoint_auth_method": "none",
        "redirect_uris": ["http://127.0.0.1/callback"],
        **LISTENS,
        **more,
    }


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(ProblemError) as problem:
        work()
    return str(problem.value.code)


def next_second() -> None:
    """Wait for the second to pass in which somebody gave their last factor."""
    began = int(time.time())
    while int(time.time()) == began:
        time.sleep(0.05)


def test_the_command_line_signs_in_steps_up_and_is_refused_as_the_provider_says(
    server: Server, certified_provider: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    rsa = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}).as_dict(private=True)
    issuer = certified_provider(clients=[public()], accounts=[SUBJECT, "stranger"], jwks={"keys": [rsa]})
    serve(server, monkeypatch, issuer)
    with Client(server.url, DeviceKey.generate()) as client:
        ada = Person()
        signed_in = client.sign_in(ada.walk, REDIRECT)
        # The first sign-in of a person demands a second factor, which the provider shows as acr.
        assert (signed_in.person, signed_in.level, ada.factors) == ("ada", 2, [False, True])
        assert client.get("me")["principal"] == "ada"

        assert client.sign_in(ada.walk, REDIRECT).level == 1  # the same key, the same place
        next_second()  # a provider tells whole seconds, and each second factor counts once
        assert client.step_up(ada.walk, REDIRECT).level == 2

        ada.always = "no"
        assert code_of(lambda: client.step_up(ada.walk, REDIRECT)) == "identity.token_assurance"
        assert code_of(lambda: client.sign_in(Person("stranger").walk, REDIRECT)) == "identity.not_admitted"
        assert code_of(lambda: client.sign_in(Person("").walk, REDIRECT)) == "identity.provider_refused"


def test_a_confidential_client_signs_in_from_the_console_with_another_algorithm(
    server: Server, certified_provider: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec = ECKey.generate_key("P-256", {"kid": "two", "use": "sig", "alg": "ES256"}).as_dict(private=True)
    confidential = {
        "client_id": "weighthouse: console",
        "client_secret": SECRET,
        "token_endpoint_auth_method": "client_secret_basic",
        "id_token_signed_response_alg": "ES256",
        "redirect_uris": [f"{server.url}/callback"],
        **LISTENS,
    }
    issuer = certified_provider(clients=[confidential], accounts=[SUBJECT], jwks={"keys": [ec]})
    serve(
        server, monkeypatch, issuer, client_id="weighthouse: console", client_secret=SECRET,
        client_authentication="basic", algorithm="ES256",
    )  # fmt: skip
    with httpx.Client(base_url=server.url) as browser:
        answer, ada = browser.get("/login?return_to=/sessions"), Person()
        for _ in range(2):
            cookies = dict(re.findall(r"(__Host-[a-z-]+)=([^;]+)", "\n".join(answer.headers.get_list("set-cookie"))))
            header = "; ".join(f"{name}={value}" for name, value in cookies.items())
            assert answer.status_code == 303, answer.text
            params = ada.walk(unescape(answer.headers["location"]))
            answer = browser.get("/callback", params=params, headers={"cookie": header})
        assert (answer.status_code, answer.headers.get("location")) == (303, "/sessions"), answer.text
        assert "__Host-sid=" in answer.headers["set-cookie"]
        assert ada.factors == [False, True]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"algorithm": "ES256"}, "identity.token_algorithm", id="another algorithm than it signs with"),
        pytest.param({"client_id": "somebody"}, "identity.provider_unavailable", id="a client it does not know"),
        pytest.param({"tenant": "t"}, "identity.token_issuer", id="a tenant that its tokens do not name"),
        pytest.param({"subject_claim": "oid"}, "identity.token_subject", id="a claim that its tokens do not have"),
    ],
)
def test_wrong_settings_let_nobody_in_and_say_why(
    server: Server, certified_provider: Start, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    rsa = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}).as_dict(private=True)
    issuer = certified_provider(clients=[public()], accounts=[SUBJECT], jwks={"keys": [rsa]})
    serve(server, monkeypatch, issuer, **settings)
    with Client(server.url, DeviceKey.generate()) as client:
        person = Person()
        walk = (
            person.walk
            if settings.get("client_id") is None
            else lambda url: {"state": _state(url), "code": "x" * 20, "iss": issuer}
        )
        assert code_of(lambda: client.sign_in(walk, REDIRECT)) == said


def _state(url: str) -> str:
    return dict(parse_qsl(urlsplit(url).query))["state"]
