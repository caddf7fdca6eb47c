"""A grant that is hidden, or broken, while policy drops the account that it was given to is over when it comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.support import Lab
from tests.access.test_accounts import ADA, also, ends
from weighthouse.access import api
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, NotFound
from weighthouse.core.work import begin

HIDES = {
    "hidden": "DELETE FROM access_grant",
    "broken": "UPDATE access_grant SET seal = substr(seal, 2)",
    "of another": "UPDATE access_grant SET person = 'eve'",
    "with the statement of another": "UPDATE access_grant SET (statement, seal) = (SELECT statement, seal FROM access_grant"
    " WHERE person = 'dee' LIMIT 1)",
    "over": "UPDATE access_grant SET state = 'ended', ended = 1",
}


@pytest.fixture
def lab(database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(database, clock, tmp_path)


def gone_and_back(lab: Lab, hide: str = "") -> None:
    """Ada's account is dropped, and given to her again, while somebody hides her grants."""
    lab.change(ADA, also("ada", "ada-new"))
    before = lab.text
    dropped = before.replace(also("ada", "ada-new"), also("ada-new"))
    lab.sql("CREATE TABLE aside AS SELECT * FROM access_grant WHERE person = 'ada'")
    if hide:
        lab.sql(f"{HIDES[hide]} WHERE person = 'ada'")
    lab.publish(dropped)
    lab.sql("DELETE FROM access_grant WHERE id IN (SELECT id FROM aside)")
    lab.sql("INSERT INTO access_grant SELECT * FROM aside")
    lab.publish(before + "\n")


@pytest.mark.parametrize("hide", HIDES)
def test_a_grant_that_was_hidden_while_its_account_was_dropped_does_not_come_back(lab: Lab, hide: str) -> None:
    grant = lab.grant(duration=8 * HOUR)
    assert lab.code("ada") == "access.allowed"
    gone_and_back(lab, hide)
    assert lab.code("ada") == "access.grant_ended"
    told = [one for one in lab.log("access.GrantEnded") if one.data["grant"] == grant.id]
    assert [(one.data["principal"], one.data["why"], one.data["by"]) for one in told] == [
        ("ada", "account_moved", "system")
    ]


@pytest.mark.parametrize("how", ["given back", "revoked by its id, while it is hidden"])
def test_a_grant_that_was_over_before_is_not_told_of_once_more(lab: Lab, how: str) -> None:
    grant = lab.grant(duration=8 * HOUR)
    if how == "given back":
        with begin(lab.system, lab.caller("ada")) as unit:
            api.give_back(unit, lab.caller("ada"), grant.id)
    else:
        lab.sql("CREATE TABLE kept AS SELECT * FROM access_grant WHERE person = 'ada'")
        lab.sql("DELETE FROM access_grant WHERE person = 'ada'")
        with pytest.raises(NotFound), begin(lab.system, lab.caller("chi")) as unit:
            api.revoke(unit, lab.caller("chi"), grant.id, "It was not meant.")
        lab.sql("INSERT INTO access_grant SELECT * FROM kept")
    gone_and_back(lab, "hidden")
    told = [one.data["why"] for one in lab.log("access.GrantEnded") if one.data["grant"] == grant.id]
    assert told == ["surrendered" if how == "given back" else "revoked"]


def test_whose_account_stays_keeps_their_grant(lab: Lab) -> None:
    lab.grant(duration=8 * HOUR)
    lab.change(ADA, also("ada", "ada-new"))
    lab.publish(lab.text.replace(also("ada", "ada-new"), also("ada")))
    assert lab.code("ada") == "access.allowed" and ("account_moved", "system") not in ends(lab)


@pytest.mark.parametrize("drops", [False, True])
def test_a_request_that_was_hidden_meanwhile_gives_nothing_when_it_comes_back(lab: Lab, drops: bool) -> None:
    """It is judged by every policy that was in force since it was asked; one that knows the account changes nothing."""
    lab.change(ADA, also("ada", "ada-new"))
    request, before = lab.ask(), lab.text
    lab.sql("CREATE TABLE asked AS SELECT * FROM access_request WHERE id = :id", id=request.id)
    lab.sql("DELETE FROM access_request WHERE id = :id", id=request.id)
    lab.publish(before.replace(also("ada", "ada-new"), also("ada-new" if drops else "ada")))
    lab.sql("INSERT INTO access_request SELECT * FROM asked")
    lab.publish(before + "\n")
    if drops:
        with pytest.raises(Conflict) as refusal:
            lab.vote("ben", request.id)
        assert refusal.value.code == "access.policy_moved"
    else:
        assert lab.vote("ben", request.id).state == "pending"
