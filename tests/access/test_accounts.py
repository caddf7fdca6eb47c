"""Accounts that change hands: what the old account was given ends, counts for nobody, and does not come back."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import update

from tests.access.support import Lab, refused
from weighthouse.access import api
from weighthouse.access.store.tables import grants
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin
from weighthouse.policy import api as policy

BEN = "    accounts: [{issuer: dev, subject: ben}]\n"
EVE = "    accounts: [{issuer: dev, subject: eve}]\n"
ADA = "    accounts: [{issuer: dev, subject: ada}]\n"


def also(name: str, *more: str) -> str:
    return "    accounts: [" + ", ".join(f"{{issuer: dev, subject: {one}}}" for one in (name, *more)) + "]\n"


def moved(lab: Lab, line: str, name: str) -> None:
    """Policy takes account `name` from its person, who keeps another one, and gives it to Eve."""
    lab.change(line, also(name, f"{name}-new"))
    lab.publish(lab.text.replace(also(name, f"{name}-new"), also(f"{name}-new")).replace(EVE, also("eve", name)))


def ends(lab: Lab) -> list[tuple[str, str]]:
    return [(entry.data["why"], entry.data["by"]) for entry in lab.log("access.GrantEnded")]


def test_the_vote_of_an_account_that_moved_no_longer_carries_a_grant(lab: Lab) -> None:
    lab.grant()
    assert lab.code("ada") == "access.allowed"
    moved(lab, BEN, "ben")
    assert lab.code("ada") == "access.voter_account_moved"


def test_an_account_that_moved_gives_no_second_vote_under_its_new_name(lab: Lab) -> None:
    request = lab.ask()
    lab.vote("ben", request.id)
    lab.change(EVE + "    teams: [training]", EVE + "    teams: [training, weights-stewards]")
    moved(lab, BEN, "ben")
    eve = msgspec.structs.replace(lab.caller("eve"), account=policy.account_ref("dev", "ben"))
    with pytest.raises(WeighthouseError) as error:
        lab.vote("eve", request.id, caller=eve)
    assert refused(error) == "access.account_voted"
    lines = [entry for entry in lab.log("access.Denied") if entry.data["code"] == "access.account_voted"]
    assert len(lines) == 1
    assert lab.vote("chi", request.id).state == "pending"


def test_the_grants_of_an_account_that_moved_end_with_a_line_and_stay_ended(lab: Lab) -> None:
    grant = lab.grant()
    waiting = lab.ask(entitlement="tern-load")
    old = lab.caller("ada")
    moved(lab, ADA, "ada")
    assert ends(lab).count(("account_moved", "system")) == 1
    lapsed = [entry.data for entry in lab.log("access.RequestLapsed")]
    assert lapsed == [{"request_id": waiting.id, "why": "access.account_moved"}]
    assert lab.code(old) == "access.person_inactive"
    with pytest.raises(WeighthouseError) as error, begin(lab.system, old) as unit:
        api.submit(unit, old, entitlement="tern-load", resource="model/tern", duration=3_600_000, reason="x" * 40)
    assert refused(error) == "access.account_moved"
    lab.publish(lab.text.replace(also("eve", "ada"), EVE).replace(also("ada-new"), also("ada-new", "ada")))
    assert lab.code(old) == "access.grant_ended"
    with lab.system.database.engine.begin() as connection:
        connection.execute(update(grants).where(grants.c.id == grant.id).values(state="active", ended=None))
    assert lab.code(old) == "access.grant_ended"


def test_a_grant_of_an_account_that_moved_gives_nothing_even_before_its_end_is_written(lab: Lab) -> None:
    grant = lab.grant()
    lab.change(ADA, also("ada", "ada-new"))
    with begin(lab.system) as unit:  # another server has published, and ended nothing here
        policy.store(unit, lab.text.replace(also("ada", "ada-new"), also("ada-new")), "lab.yaml")
    ada = msgspec.structs.replace(lab.caller("ada"), account=policy.account_ref("dev", "ada-new"))
    assert lab.code(ada) == "access.account_moved"
    with pytest.raises(WeighthouseError) as error, begin(lab.system) as unit:
        api.valid_grant(unit, grant.id)
    assert refused(error) == "access.account_moved"


def test_an_id_that_would_keep_no_account_is_refused_with_what_to_do(lab: Lab) -> None:
    with pytest.raises(WeighthouseError) as error:
        lab.change(ADA, also("somebody-else"))
    assert refused(error) == "policy.accounts_replaced" and "new id" in error.value.remedy


def test_a_new_human_under_an_old_id_inherits_nothing(lab: Lab) -> None:
    lab.grant()
    lab.device("ada")
    before = lab.text
    person = before[before.index("  ada:\n") : before.index("  ben:\n")]
    lab.publish(before.replace(person, "").replace("    manager: ada\n", ""))
    lab.publish(before.replace(ADA, also("another-ada")))
    ada = msgspec.structs.replace(lab.caller("ada"), account=policy.account_ref("dev", "another-ada"))
    assert lab.code(ada) == "access.grant_ended"
    assert [entry.data["principal"] for entry in lab.log("identity.DeviceEnded")] == ["ada"]
