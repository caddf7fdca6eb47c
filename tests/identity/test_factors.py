"""A second factor is for the attempt that asked, and counts once: what a provider remembers is anybody's who holds its
session (thief findings 1 and 2)."""

from __future__ import annotations

import pytest

from tests.identity import forge
from tests.identity.support import Lab
from tests.identity.test_acts import THAW, act, do, stepped
from tests.identity.test_tokens import claims_of
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import ProblemError
from weighthouse_sdk.client.headless import REDIRECT, walker


def silent(lab: Lab, factor_at: int) -> forge.Misbehaving:
    """A provider that answers with the factor of an earlier moment, as one does whose request lost `prompt=login`."""
    provider = forge.Misbehaving(InProcess(lab.app))
    lab.use_provider(provider, lab.wanted)
    provider.twist = claims_of(lab, acrs=["c1", "c2"], auth_time=factor_at // 1000)
    return provider


def test_a_factor_given_before_the_step_up_began_confirms_no_act(lab: Lab) -> None:
    client = lab.sign_in("ben")
    honest = lab.clock.now()
    lab.clock.advance(30 * SECOND)  # less than any leeway for clocks
    silent(lab, honest + 20 * SECOND)
    with pytest.raises(ProblemError) as error:
        stepped(lab, client, THAW)
    assert error.value.code == "identity.token_assurance" and not lab.log("ActConfirmed")
    assert lab.told("SignInFailed", "reason") == ["identity.token_assurance"]


@pytest.mark.parametrize("restarted", [False, True])
def test_one_factor_given_after_a_thief_began_is_spent_by_its_owner(lab: Lab, restarted: bool) -> None:
    thief, owner = lab.sign_in("ben"), lab.sign_in("ben")
    begun = thief.post("step-up", {"redirect_uri": REDIRECT, "acts": [THAW]})
    lab.clock.advance(2 * SECOND)
    stepped(lab, owner, {**THAW, "subject": "ada"})
    honest = lab.clock.now()
    lab.clock.advance(3 * SECOND)
    if restarted:
        lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    silent(lab, honest)
    secret = lab.secret("ben")
    walk = walker(thief._http, "ben", secret.password, secret.totp, lambda: lab.code("ben"))
    with pytest.raises(ProblemError) as error:
        thief._finish(begun, walk)
    assert error.value.code == "identity.factor_spent"
    assert lab.told("SignInFailed", "reason") == ["identity.factor_spent"]
    assert thief.get("me")["principal"] == "ben", "a session goes on whose raising was refused"
    assert do(lab, owner, act("ada")) == "" and len(lab.log("ActConfirmed")) == 1


def test_one_factor_opens_one_session_and_the_second_is_asked_for_its_own(lab: Lab) -> None:
    """The thief's attempt began before the owner's factor, and answers with that factor on a machine never seen."""
    lab.sign_in("ben")
    lab.clock.advance(MINUTE)
    thief = lab.browser()
    begun = thief.get("/login").headers["location"]
    lab.clock.advance(SECOND)
    lab.sign_in("ben")
    honest, lines = lab.clock.now(), len(lab.log("StepUpDemanded"))
    silent(lab, honest)
    answer = thief.get(thief.to_callback(begun, "ben", code=lab.code("ben")))
    assert "acr_values=c2" in answer.headers["location"] and "__Host-sid" not in thief.cookies
    assert len(lab.log("StepUpDemanded")) == lines + 1


def test_clocks_that_differ_do_not_keep_an_honest_factor_out(lab: Lab) -> None:
    client = lab.sign_in("ben")
    lab.clock.advance(MINUTE)
    behind = lab.clock.now() // 1000 - 40
    provider = silent(lab, 0)
    provider.twist = claims_of(lab, acrs=["c1", "c2"], auth_time=behind, iat=behind, nbf=behind)
    stepped(lab, client, THAW)
    assert do(lab, client, act()) == ""


@pytest.mark.parametrize("pushed", [True, False])
def test_a_factor_given_to_another_application_settles_no_demand_of_a_plain_sign_in(lab: Lab, pushed: bool) -> None:
    """Nothing of the request was edited: it asked for no factor, so it gets none, whatever the provider remembers."""
    lab.sign_in("ben")
    lab.clock.advance(MINUTE)
    lab.idp.pushed = pushed
    provider = silent(lab, 0)
    thief = lab.browser()
    begun = thief.get("/login").headers["location"]
    lab.clock.advance(40 * SECOND)
    provider.twist = claims_of(lab, acrs=["c1", "c2"], auth_time=lab.clock.now() // 1000)  # Ben has opened his mail
    lab.clock.advance(5 * SECOND)
    lines = len(lab.log("StepUpDemanded"))
    answer = thief.get(thief.to_callback(begun, "ben"))
    assert answer.status_code == 303 and answer.headers["location"].startswith(lab.idp.issuer[:-5])
    assert "__Host-sid" not in thief.cookies and len(lab.log("StepUpDemanded")) == lines + 1


def test_a_plain_sign_in_of_a_known_key_is_level_one_and_spends_the_factor_that_it_shows(lab: Lab) -> None:
    client = lab.sign_in("ben")
    step = client.post("step-up", {"redirect_uri": REDIRECT, "acts": [THAW]})
    again = lab.client(key=client.key)
    provider = silent(lab, 0)
    begun = again.post("login", {"redirect_uri": REDIRECT, "device_jwk": again.key.jwk})
    lab.clock.advance(5 * SECOND)
    provider.twist = claims_of(lab, acrs=["c1", "c2"], auth_time=lab.clock.now() // 1000)
    secret = lab.secret("ben")
    walk = walker(again._http, "ben", secret.password, "", code="")
    again._finish(begun, walk)
    assert again.get("me")["assurance"]["level"] == 1
    with pytest.raises(ProblemError) as error:
        client._finish(step, walker(client._http, "ben", secret.password, secret.totp, lambda: lab.code("ben")))
    assert error.value.code == "identity.factor_spent" and not lab.log("ActConfirmed")
