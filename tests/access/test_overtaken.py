"""Requests that policy has outgrown end with the change, are told to both sides, and never revive."""

from __future__ import annotations

import pytest

from tests.access.support import Lab, refused
from weighthouse.access import api
from weighthouse.core.errors import Conflict
from weighthouse.core.work import read

ROLE = "    actions: [run.submit, weights.load, weights.save]\n    resources: [model/tern]"
ADA = "subject: ada}]\n    teams: [training]"
LOST = {
    "access.policy_narrowed": (ROLE, ROLE.replace("run.submit, weights.load, weights.save", "run.stop")),
    "access.not_eligible": (ADA, ADA.replace("training", "red-team")),
}


def plain(lab: Lab) -> None:
    """Nothing else gives what the role gives: to put it back beside a way that members approve takes a motion."""
    lab.change("actions: [run.submit, run.stop, weights.load, weights.save]", "actions: [run.stop]")


@pytest.mark.parametrize("why", LOST)
def test_an_outgrown_request_ends_with_the_change_and_never_revives(lab: Lab, why: str) -> None:
    plain(lab)
    text = lab.text
    request, other = lab.ask("ada"), lab.ask("eve", "tern-load")
    lab.vote("ben", request.id)
    lab.change(*LOST[why])
    lines = lab.log("access.RequestOvertaken")
    assert [(one.data["request_id"], one.data["principal"], one.data["why"]) for one in lines] == [
        (request.id, "ada", why)
    ]
    assert lines[0].data["asked"] == ["security", "weights-stewards"], "both sides are named"
    with read(lab.system) as unit:
        mine = api.my_requests(unit, lab.caller("ada"))[0]
        assert (mine.state, mine.settled_why) == ("invalidated", why)
        assert [one.id for one in api.told(unit, lab.caller("chi"))] == [request.id]
        assert [one.request.id for one in api.inbox(unit, lab.caller("chi"))] == [other.id], "the others wait on"
        assert api.told(unit, lab.caller("ada")) == api.told(unit, lab.caller("dee")) == []
    lab.publish(text)
    with pytest.raises(Conflict) as error:
        lab.vote("chi", request.id)
    assert refused(error) == "access.request_closed"
    assert lab.code("ada") == "access.no_grant"


def test_a_request_hidden_from_the_change_does_not_revive_when_its_row_comes_back(lab: Lab) -> None:
    plain(lab)
    text, request = lab.text, lab.ask("ada")
    lab.vote("ben", request.id)
    lab.sql("UPDATE access_request SET state = 'lapsed' WHERE id = :id", id=request.id)
    lab.change(*LOST["access.policy_narrowed"])
    lab.publish(text)
    lab.sql("UPDATE access_request SET state = 'pending' WHERE id = :id", id=request.id)
    with pytest.raises(Conflict) as error:
        lab.vote("chi", request.id)
    assert refused(error) == "access.policy_moved"
    assert [one.data["code"] for one in lab.log("access.Denied")] == ["access.policy_moved"]
    assert lab.code("ada") == "access.no_grant"


@pytest.mark.parametrize("column", ["kind", "subject"])
def test_a_publication_renamed_in_the_log_still_overtakes_what_was_asked_before_it(lab: Lab, column: str) -> None:
    plain(lab)
    text, request = lab.text, lab.ask("ada")
    lab.vote("ben", request.id)
    lab.sql("UPDATE access_request SET state = 'lapsed' WHERE id = :id", id=request.id)
    lab.change(*LOST["access.policy_narrowed"])
    lab.publish(text)
    lab.sql("UPDATE access_request SET state = 'pending' WHERE id = :id", id=request.id)
    lab.sql(f"UPDATE log_entry SET {column} = 'x' WHERE kind = 'access.PolicyPublished'")
    with pytest.raises(Conflict) as error:
        lab.vote("chi", request.id)
    assert refused(error) == "access.policy_moved"
    assert lab.code("ada") == "access.no_grant"
