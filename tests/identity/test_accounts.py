"""The account behind a session, a device and a run: it ends with the account, and older rows get one once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.identity.support import Lab
from weighthouse.core.canonical import encode
from weighthouse.core.clock import HOUR
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.api import sealing
from weighthouse.identity.store import principals
from weighthouse.policy import api as policy
from weighthouse_sdk.client import ProblemError

BEN = "accounts: [{issuer: dev, subject: ben}]"
TWO = "accounts: [{issuer: dev, subject: ben}, {issuer: dev, subject: ben2}]"
MOVED = BEN.replace("subject: ben", "subject: ben2")
EVE = "accounts: [{issuer: dev, subject: eve}]"
EVE_TOO = "accounts: [{issuer: dev, subject: eve}, {issuer: dev, subject: ben}]"


def text(lab: Lab) -> str:
    with read(lab.system) as unit:
        return policy.current_text(unit)


def change(lab: Lab, *passages: tuple[str, str]) -> None:
    new = text(lab)
    for old, now in passages:
        assert new.count(old) == 1
        new = new.replace(old, now)
    lab.publish(new)


def refusal(client: Any, path: str = "me") -> str:
    with pytest.raises(ProblemError) as error:
        client.get(path)
    return str(error.value.code)


def test_the_old_session_of_an_account_that_moved_is_nobody_for_good(lab: Lab) -> None:
    client = lab.sign_in("ben")
    before = text(lab)
    change(lab, (BEN, MOVED), (EVE, EVE_TOO))
    assert refusal(client) == "identity.account_moved"
    assert lab.told("CredentialRefused", "code") == ["identity.account_moved"]
    lab.publish(before + "\n")  # the account comes back, the session does not
    assert refusal(client) == "identity.session_ended"
    assert lab.sign_in("ben").get("me")["principal"] == "ben"


def test_the_device_of_an_account_that_moved_signs_nothing(lab: Lab) -> None:
    client = lab.sign_in("ben")
    device = client.enrol("laptop")["id"]
    signature = client.key.sign(b"vote")
    change(lab, (BEN, TWO))
    with read(lab.system) as unit:
        api.verify_device_signature(unit, device, "ben", b"vote", signature)
    change(lab, (TWO, MOVED))
    with read(lab.system) as unit:
        assert api.devices_of(unit, "ben") == []
    with pytest.raises(WeighthouseError) as error, read(lab.system) as unit:
        api.verify_device_signature(unit, device, "ben", b"vote", signature)
    assert error.value.code == "identity.device_unknown"


def test_a_second_factor_of_another_account_of_the_same_person_raises_nothing(lab: Lab) -> None:
    change(lab, (BEN, TWO))
    client = lab.sign_in("ben")
    with pytest.raises(ProblemError) as error:
        secret = lab.secret("ben2")
        client.sign_in_headless("ben2", secret.password, secret.totp, step_up=True, code=lab.code("ben2"))
    assert error.value.code == "identity.not_admitted"
    assert lab.told("SignInDenied", "reasons")[-1] == ["second factor by another account"]


def test_what_one_account_made_familiar_says_nothing_about_another(lab: Lab) -> None:
    lab.sign_in("ben")
    change(lab, (BEN, TWO))
    lab.sign_in("ben2")
    assert lab.told("StepUpDemanded", "reasons")[-1] == ["first_sign_in"]


def test_a_run_of_an_account_that_moved_is_nobody(lab: Lab) -> None:
    attributes = {"person": "ben", "account": policy.account_ref("dev", "ben")}
    with begin(lab.system) as unit:
        token = api.issue_workload(unit, run="run_1", attributes=attributes, expires=unit.now + HOUR)
    given = api.Credential(kind="workload", value=token, proof="run_1")
    with read(lab.system) as unit:
        assert api.authenticate(unit, given).attributes["person"] == "ben"
    change(lab, (BEN, MOVED), (EVE, EVE_TOO))
    with pytest.raises(WeighthouseError) as error, read(lab.system) as unit:
        api.authenticate(unit, given)
    assert error.value.code == "identity.account_moved"


def as_before(lab: Lab, who: str) -> None:
    """Rewrite a person's state and sessions as the version before accounts wrote and sealed them."""
    with begin(lab.system) as unit:
        body, _ = principals.read_state(unit.conn, who) or ("", b"")
        state = {key: value for key, value in msgspec.json.decode(body).items() if key not in ("v", "adopted")}
        old = encode(state).decode()
        principals.write_state(unit.conn, who, state["version"], old, sealing._code(unit, "principal", old))
    for id_, body in lab.sql(f"SELECT id, body FROM identity_session WHERE person = '{who}'"):
        session = {key: value for key, value in msgspec.json.decode(body).items() if key != "account"}
        old = encode(session).decode()
        with begin(lab.system) as unit:
            code = sealing._code(unit, "session", old)
        lab.sql("UPDATE identity_session SET body = :body, seal = :seal WHERE id = :id", body=old, seal=code, id=id_)


def test_at_the_upgrade_the_one_account_of_a_person_is_adopted_once(lab: Lab) -> None:
    client = lab.sign_in("ben")
    as_before(lab, "ben")
    assert refusal(client) == "identity.account_moved"  # nothing is believed before it was decided
    client = lab.sign_in("ben")
    as_before(lab, "ben")
    assert api.adopt_accounts(lab.system) == 1
    assert client.get("me")["principal"] == "ben"
    assert api.adopt_accounts(lab.system) == 0
    assert lab.told("AccountAdopted", "account") == [policy.account_ref("dev", "ben")]
    change(lab, (BEN, MOVED), (EVE, EVE_TOO))
    assert api.adopt_accounts(lab.system) == 0
    assert refusal(client) == "identity.account_moved"


def test_at_the_upgrade_several_accounts_end_what_nobody_can_attribute(lab: Lab) -> None:
    change(lab, (BEN, TWO))
    client = lab.sign_in("ben")
    client.enrol("laptop")
    as_before(lab, "ben")
    assert api.adopt_accounts(lab.system) == 1
    assert refusal(client) == "identity.session_ended"
    assert lab.told("AccountAdopted", "candidates") == [2] and lab.told("AccountAdopted", "account") == [""]
