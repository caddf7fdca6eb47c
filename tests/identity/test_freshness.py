"""When a proof was made is judged by the server's nonce: minted ahead, presented again, after a restart, or by a
client whose clock is wrong. The honest client pays one more request, once."""

from __future__ import annotations

import httpx
import pytest

from tests.identity import forge
from tests.identity.support import ORIGIN, Lab
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import Client

ME = ORIGIN + "/api/v1/me"
LATER = 20 * MINUTE


def present(lab: Lab, token: str, proof: str, *, peer: str = "203.0.113.66") -> httpx.Response:
    headers = {"authorization": f"DPoP {token}", "dpop": proof, "accept": "application/json"}
    return lab.browser(peer=peer).http.get(ME, headers=headers)


def mint(lab: Lab, client: Client, *, at: int = 0, nonce: str | None = None) -> str:
    """A proof by the client's key, made for the time `at` from now on, with the nonce of now if none is said."""
    nonce = api.fresh_nonce(lab.system) if nonce is None else nonce
    return forge.proof(client.key, "GET", ME, lab.clock.now() + at, client.token, nonce=nonce)


def restart(lab: Lab) -> None:
    lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))


def counted(client: Client) -> list[int]:
    """Count every request that the client sends from now on, by its status."""
    seen: list[int] = []
    client._http.event_hooks["response"].append(lambda answer: seen.append(answer.status_code))
    return seen


@pytest.mark.parametrize("nonce", [None, ""], ids=["the nonce of now", "no nonce"])
def test_identity_case_27_a_proof_minted_ahead_does_not_count_when_its_time_comes(
    lab: Lab, nonce: str | None
) -> None:
    client = lab.sign_in("ada")
    ahead = [mint(lab, client, at=LATER + number * MINUTE, nonce=nonce) for number in range(2)]
    lab.clock.advance(LATER)
    lines = len(lab.log())
    answer = present(lab, client.token, ahead[0])
    assert (answer.status_code, answer.json()["code"]) == (401, "identity.proof_nonce")
    assert 'error="use_dpop_nonce"' in answer.headers["www-authenticate"]
    assert answer.headers["dpop-nonce"] == api.fresh_nonce(lab.system)
    assert len(lab.log()) == lines  # an honest client may have waited just as long, and answers at once
    lab.clock.advance(MINUTE)
    assert present(lab, client.token, ahead[1]).json()["code"] == "identity.proof_nonce"
    (line,) = lab.log()[lines:]  # this one does not answer: it has proofs, and no key
    assert (line.kind, line.data["code"]) == ("identity.CredentialRefused", "identity.proof_nonce")
    assert client.get("me")["principal"] == "ada"


def test_identity_case_27_a_proof_is_not_accepted_again_after_a_restart(lab: Lab) -> None:
    client = lab.sign_in("ada")
    proof = mint(lab, client)
    assert present(lab, client.token, proof).status_code == 200
    restart(lab)
    lines = len(lab.log())
    assert present(lab, client.token, proof).json()["code"] == "identity.proof_nonce"
    assert present(lab, client.token, proof).json()["code"] == "identity.proof_replayed"
    assert [line.data["code"] for line in lab.log()[lines:]] == ["identity.proof_replayed"]


def test_a_clock_that_is_set_back_revives_no_proof(lab: Lab) -> None:
    client = lab.sign_in("ada")
    proof = mint(lab, client)
    assert present(lab, client.token, proof).status_code == 200
    now = lab.clock.now()
    lab.clock.advance(20 * MINUTE)
    lab.clock.set(now)
    assert present(lab, client.token, proof).json()["code"] in ("identity.proof_replayed", "identity.proof_nonce")


@pytest.mark.parametrize(
    "nonce", ["x", "0.AAAAAAAAAAAAAAAAAAAAAAAA", "ffffffffffffff.AAAAAAAAAAAAAAAAAAAAAAAA", "x" * 5_000, "١.A"]
)
def test_a_nonce_that_is_not_ours_is_none(lab: Lab, nonce: str) -> None:
    client = lab.sign_in("ada")
    assert present(lab, client.token, mint(lab, client, nonce=nonce)).json()["code"] == "identity.proof_nonce"


def test_a_client_needs_one_more_request_at_the_beginning_and_none_after_it(lab: Lab) -> None:
    client = lab.sign_in("ada")
    seen = counted(client)
    for _ in range(5):
        client.get("me")
        lab.clock.advance(4 * MINUTE)
    assert seen == [200] * 5
    restart(lab)
    client.get("me")
    client.get("me")
    assert seen[5:] == [401, 200, 200]


def test_a_client_with_a_wrong_clock_works(lab: Lab) -> None:
    client = lab.client()
    client.key.now = lambda: 12_345.0
    signed = lab.client(key=client.key)
    signed.key.now = lambda: 12_345.0
    lab.sign_in("ada", signed)
    assert signed.get("me")["principal"] == "ada"


def test_a_token_request_without_a_fresh_nonce_uses_nothing_up(lab: Lab) -> None:
    client = lab.client()
    start = client.post("login", {"redirect_uri": "http://127.0.0.1:1/callback", "device_jwk": client.key.jwk})
    params = dict(httpx.URL(lab.browser().to_callback(start["url"], "ada")).params)
    client.nonce, seen = "", counted(client)
    lab.clock.advance(SECOND)
    answer = client.post("token", {"transaction": start["transaction"], "params": params})
    assert (seen, answer["status"]) == ([401, 200], "step_up")
