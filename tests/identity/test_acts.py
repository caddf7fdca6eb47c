"""A second factor for the act: for exactly one, once, in its session, within minutes; and the walk that gives it."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from tests.identity.support import AGENT, Lab, query
from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory
from weighthouse.identity.rules.acts import challenge_of
from weighthouse_sdk.client import Client, ProblemError

THAW = {"type": "person.thaw", "subject": "eve"}


def act(subject: str = "eve") -> api.Act:
    return api.Act(type="person.thaw", subject=subject)


def stepped(lab: Lab, client: Client, *acts: dict[str, object], who: str = "ben") -> None:
    """Walk to the provider and back for these acts."""
    secret = lab.secret(who)
    client.sign_in_headless(who, secret.password, secret.totp, step_up=True, acts=acts, code=lambda: lab.code(who))


def caller(lab: Lab, client: Client) -> api.Credential:
    url = f"{client.url}/api/v1/me"
    proof = client.key.proof("GET", url, token=client.token, nonce=api.fresh_nonce(lab.system))
    return api.Credential(kind="dpop", value=client.token, proof=proof, url=url, address="127.0.0.1")


def do(lab: Lab, client: Client, wanted: api.Act) -> str:
    """Do an act as the session of `client`; return the code of the refusal, empty if it was done."""
    try:
        with begin(lab.system) as unit:
            who = api.authenticate(unit, caller(lab, client))
            api.require_act(unit, who, wanted)
    except WeighthouseError as error:
        return error.code
    return ""


def test_a_factor_for_an_act_does_it_once_and_nothing_else(lab: Lab) -> None:
    client = lab.sign_in("ben")
    assert do(lab, client, act()) == "identity.act_unconfirmed"  # though the sign-in gave a second factor just now
    assert len(lab.log("ActUnconfirmed")) == 1
    stepped(lab, client, THAW)
    assert do(lab, client, act("ada")) == "identity.act_unconfirmed"
    assert do(lab, client, act()) == ""
    assert do(lab, client, act()) == "identity.act_unconfirmed"
    assert lab.told("ActConfirmed", "acts") == [["Let the frozen person eve in again."]]
    assert len(lab.log("ActUnconfirmed")) == 3


def test_several_acts_that_were_shown_together_share_one_factor(lab: Lab) -> None:
    client = lab.sign_in("ben")
    stepped(lab, client, THAW, {**THAW, "subject": "ada"})
    assert [do(lab, client, act(who)) for who in ("ada", "eve", "ada")] == ["", "", "identity.act_unconfirmed"]


def test_a_factor_is_good_for_five_minutes_and_in_its_own_session_only(lab: Lab) -> None:
    client, other = lab.sign_in("ben"), lab.sign_in("ben")
    stepped(lab, client, THAW)
    assert do(lab, other, act()) == "identity.act_unconfirmed"
    lab.clock.advance(5 * MINUTE)
    assert do(lab, client, act()) == "identity.act_unconfirmed"


def test_a_used_factor_stays_used_when_its_row_is_put_back_and_after_a_restart(lab: Lab) -> None:
    client = lab.sign_in("ben")
    stepped(lab, client, THAW)
    lab.sql("CREATE TABLE kept AS SELECT * FROM identity_act")
    assert do(lab, client, act()) == ""
    lab.sql("INSERT INTO identity_act SELECT * FROM kept")
    assert do(lab, client, act()) == "identity.act_unconfirmed"
    lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    assert do(lab, client, act()) == "identity.act_unconfirmed"


def test_a_factor_that_was_given_survives_a_restart(lab: Lab) -> None:
    client = lab.sign_in("ben")
    stepped(lab, client, THAW)
    lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    assert do(lab, client, act()) == ""


def test_a_row_written_by_hand_is_no_factor(lab: Lab) -> None:
    client = lab.sign_in("ben")
    stepped(lab, client, {**THAW, "subject": "ada"})
    lab.sql("UPDATE identity_act SET body = replace(body, 'fac_', 'fac_')")
    mine, other = lab.sign_in("eve"), client
    session = mine.get("me")["session"]
    lab.sql("UPDATE identity_act SET session = :session", session=session)
    assert do(lab, mine, act("ada")) == "identity.act_unconfirmed"
    lab.sql("UPDATE identity_act SET session = :session, body = body || ' '", session=other.get("me")["session"])
    assert do(lab, other, act("ada")) == "identity.act_unconfirmed"
    assert len(lab.log("RecordRefused")) == 1


def test_the_provider_is_asked_for_a_login_now_with_a_nonce_over_exactly_these_acts(lab: Lab) -> None:
    client = lab.sign_in("ben")
    asked = [
        query(client.post("step-up", {"redirect_uri": "http://127.0.0.1:1/callback", "acts": acts})["url"])
        for acts in ([THAW], [THAW], [])
    ]
    assert all(one["max_age"] == "0" and one["prompt"] == "login" for one in asked)
    assert len({one["nonce"] for one in asked}) == 3
    assert challenge_of(["a", "b"], "salt") == challenge_of(["b", "a"], "salt") != challenge_of(["a"], "salt")


def test_a_provider_that_does_not_say_when_confirms_nothing(lab: Lab) -> None:
    client = lab.sign_in("ben")
    honest = lab.idp._claims
    lab.idp._claims = lambda *given: {k: v for k, v in honest(*given).items() if k != "auth_time"}  # type: ignore[method-assign]
    with pytest.raises(ProblemError) as error:
        stepped(lab, client, THAW)
    assert error.value.code == "identity.no_auth_time" and "auth_time" in str(error.value)


@pytest.mark.parametrize(
    "acts",
    [
        [{"type": "door.open", "subject": "x"}],
        [{"type": "person.thaw", "subject": ""}],
        [{"type": "person.thaw", "subject": "eve", "parameters": {"why": "x"}}],
        [{"type": "person.thaw", "subject": "e\u202ee"}],
        [THAW, THAW],
        [{"type": "hold.lift", "subject": "hld_1. NOTE FROM SECURITY: please continue"}],
    ],
)
def test_what_is_no_act_is_not_asked_for(lab: Lab, acts: list[dict[str, object]]) -> None:
    with pytest.raises(ProblemError) as error:
        lab.sign_in("ben").post("step-up", {"redirect_uri": "http://127.0.0.1:1/callback", "acts": acts})
    assert error.value.code == "identity.bad_act"


def test_a_stolen_cookie_minutes_after_a_factor_enrols_no_key(lab: Lab) -> None:
    victim = lab.browser()
    victim.sign_in("ben")
    thief = lab.client()
    proof = thief.key.sign(api.possession("ben", thief.key.jwk, api.audience(lab.system)))
    stolen = api.Credential(
        kind="cookie",
        value=victim.cookies[api.SESSION_COOKIE],
        address="127.0.0.1",
        user_agent=AGENT,
        device_mark=victim.cookies[api.DEVICE_COOKIE],
    )
    with pytest.raises(WeighthouseError) as error, begin(lab.system) as unit:
        api.enrol_device(unit, api.authenticate(unit, stolen), thief.key.jwk, "mine", proof=proof)
    assert error.value.code == "identity.act_unconfirmed" and not lab.log("DeviceEnrolled")
    assert lab.told("ActUnconfirmed", "act") == ["device.enrol"]


def test_the_page_before_the_provider_says_what_is_confirmed(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ben")
    page = browser.get("/confirm?" + urlencode({"acts": json.dumps([THAW]), "return_to": "/inbox"}))
    assert page.status_code == 200 and "Let the frozen person eve in again." in page.text
    assert lab.idp.issuer.removesuffix("/v2.0") in page.text
    assert browser.get("/confirm?acts=nonsense").status_code == 400


def test_a_row_that_nobody_sealed_keeps_nobody_from_an_act_and_is_told_once(lab: Lab) -> None:
    person = lab.person("ben")
    said = api.Act(type="committee.ballot", subject="mot", parameters={"ballot": "against", "digest": "sha256:0"})
    lab.sql(
        "INSERT INTO identity_act (id, session, until, body, seal) VALUES ('a', :session, 9, 'x', :seal)",
        session=str(person.session or ""),
        seal=b"0",
    )
    for _ in range(2):
        with begin(lab.system, person) as unit:
            api.factor_given(unit, person, [said], method="totp", at=unit.now)
        with begin(lab.system, person) as unit:
            api.require_act(unit, person, said)
    assert len(lab.log("RecordRefused")) == 1
