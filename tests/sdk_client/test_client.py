"""A person's client: the key stays here, the token is worthless elsewhere, a refusal keeps its code."""

from __future__ import annotations

import base64
import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.identity.support import Lab
from weighthouse.core.canonical import encode
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.dev_idp.people import STEP
from weighthouse.identity.rules.proof import check_proof
from weighthouse.identity.rules.signature import verify_es256
from weighthouse_sdk.client import Client, DeviceKey, ProblemError
from weighthouse_sdk.client.http import canonical, segment
from weighthouse_sdk.client.loopback import Listener
from weighthouse_sdk.errors import SdkError


@pytest.fixture
def lab(database: Database, clock: ManualClock, tmp_path: Path) -> Iterator[Lab]:
    yield Lab(database, clock, tmp_path)


def test_the_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "home" / "device.pem"
    key = DeviceKey.load_or_make(path)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert DeviceKey.load_or_make(path).thumbprint == key.thumbprint
    assert "d" not in key.jwk and key.thumbprint in repr(key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_counts_as_stolen(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "device.pem"
    DeviceKey.load_or_make(path)
    path.chmod(mode)
    with pytest.raises(SdkError) as refusal:
        DeviceKey.load_or_make(path)
    assert refusal.value.code == "client.key_exposed"


def test_a_file_that_is_no_key_is_named_and_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "device.pem"
    path.write_text("hello")
    path.chmod(0o600)
    with pytest.raises(SdkError) as refusal:
        DeviceKey.load_or_make(path)
    assert refusal.value.code == "client.key_unreadable"
    link = tmp_path / "link.pem"
    link.symlink_to(path)
    with pytest.raises(OSError, match=r"link\.pem"):
        DeviceKey.load_or_make(link)


def test_the_servers_verifier_takes_the_clients_proof() -> None:
    key, url = DeviceKey.generate(), "http://127.0.0.1:8040/api/v1/me"
    key.now = lambda: 1000.0
    proof = check_proof(key.proof("GET", url + "?x=1#y", token="t"), method="GET", url=url, token="t")
    assert proof.key == key.thumbprint
    assert verify_es256(key.jwk, key.sign(b"x"), b"x") and not verify_es256(key.jwk, key.sign(b"x"), b"y")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(codec="utf-8")),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_what_is_signed_here_is_what_the_server_reads(value: object) -> None:
    assert canonical(value) == encode(value)


def test_floats_are_not_signed() -> None:
    with pytest.raises(SdkError):
        canonical({"a": 1.5})
    assert segment("model/tern?x") == "model%2Ftern%3Fx"


@pytest.mark.parametrize("url", ["http://weighthouse.lab", "ftp://127.0.0.1", "http://127.0.0.1.evil.example"])
def test_a_token_is_not_sent_in_the_clear(url: str) -> None:
    with pytest.raises(SdkError) as refusal:
        Client(url, DeviceKey.generate())
    assert refusal.value.code == "client.no_tls"


def test_a_refusal_keeps_the_servers_code_message_and_remedy(lab: Lab) -> None:
    with pytest.raises(ProblemError) as refusal:
        lab.client().get("me")
    error = refusal.value
    assert (error.code, error.status) == ("identity.no_credential", 401) and error.message and error.remedy


def test_a_refusal_keeps_what_else_the_problem_says() -> None:
    problem = {
        "type": "urn:x",
        "title": "No",
        "status": 409,
        "detail": "Not yet.",
        "code": "access.quorum_missing",
        "remedy": "Ask security.",
        "request": "rqs_1",
        "missing": "security: 1 of security",
        "shortfall": 1,
    }
    answer = httpx.Response(409, json=problem)
    client = Client("http://127.0.0.1:1", DeviceKey.generate(), transport=httpx.MockTransport(lambda request: answer))
    with pytest.raises(ProblemError) as refusal:
        client.get("me")
    assert refusal.value.details == {"missing": "security: 1 of security", "shortfall": 1}
    assert ProblemError("a.b", "No.", "Wait.", 409).details == {}


@pytest.mark.parametrize(
    "answer", [httpx.Response(502, text="<html>"), httpx.Response(200, text="x"), httpx.Response(302)]
)
def test_an_answer_that_is_no_answer_is_an_error(answer: httpx.Response) -> None:
    client = Client("http://127.0.0.1:1", DeviceKey.generate(), transport=httpx.MockTransport(lambda request: answer))
    with pytest.raises(ProblemError) as refusal:
        client.get("me")
    assert refusal.value.code == f"http.{answer.status_code}"


def test_a_server_that_is_away_is_named() -> None:
    with pytest.raises(SdkError) as refusal:
        Client("http://127.0.0.1:1", DeviceKey.generate(), timeout_s=1).get("me")
    assert refusal.value.code == "client.unreachable"


def test_signing_in_through_the_systems_browser(lab: Lab) -> None:
    """The person's browser walks the provider's pages and comes back to a real listener on loopback."""
    client, visits = lab.client(), []

    def open_browser(url: str) -> None:
        lab.clock.advance(STEP)
        code = lab.code("ada") if "acr_values" in url else ""
        target = lab.browser().to_callback(url, "ada", code=code)
        visits.append(target)
        threading.Thread(target=lambda: urllib.request.urlopen(target).read(), daemon=True).start()

    session = client.sign_in_browser(open_browser)
    assert (session.person, session.level, len(visits)) == ("ada", 2, 2)
    assert client.get("me")["principal"] == "ada"
    old = client.token
    assert client.sign_in_browser(open_browser, step_up=True).session == session.session and client.token != old
    client.sign_out()
    assert client.token == ""


def test_the_listener_takes_its_own_answer_only() -> None:
    with Listener(lambda url: None) as listener, httpx.Client() as http:
        base = listener.redirect_uri.rsplit("/", 1)[0]
        assert http.get(base + "/other?code=x").status_code == 404
        assert http.get(listener.redirect_uri).status_code == 404
        assert http.get(listener.redirect_uri + "?code=a&code=b").status_code == 404
        assert (
            http.get(base.replace("127.0.0.1", "127.0.0.1") + "/callback?" + urlencode({"code": "x"})).status_code
            == 200
        )
        assert listener._server.answers == [{"code": "x"}]
        assert listener._server.server_address[0] == "127.0.0.1"


def test_a_wrong_password_is_said_so(lab: Lab) -> None:
    with pytest.raises(SdkError) as refusal:
        lab.client().sign_in_headless("ada", "wrong", lab.secret("ada").totp, code="000000")
    assert refusal.value.code == "client.headless_refused" and "not right" in refusal.value.message


def test_idempotency_keys_make_a_repeated_change_one_change(lab: Lab) -> None:
    client = lab.sign_in("ben")
    statement = identity.possession("ben", client.key.jwk, client.audience())
    proof = base64.urlsafe_b64encode(client.key.sign(statement)).rstrip(b"=").decode()
    body = {"jwk": client.key.jwk, "name": "laptop", "proof": proof}
    answers = [client.post("devices", body, idempotency_key="key-00000001") for _ in range(2)]
    assert answers[0] == answers[1] and len(lab.log("DeviceEnrolled")) == 1
    assert json.dumps(answers[0])
