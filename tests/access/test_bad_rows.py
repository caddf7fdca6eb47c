"""Attack: write one bad row, so that everybody's question ends in an error, or so that a no is found no more.

A row that cannot be read, sealed or signed counts for nothing and takes no other with it; one that is gone although
the log tells of it is a refusal.
"""

from __future__ import annotations

import pytest

from tests.access.support import Lab, refused
from tests.access.test_overtaken import LOST, plain
from weighthouse.access import api
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import begin, read

BAD_VOTES = {
    "no text": "CAST(x'ff' AS TEXT)",
    "no vote": "'x'",
    "nothing that could be signed": "json_set(body, '$.at', 9000000000000000000)",
    "signed by nobody": "json_set(body, '$.signature', '?')",
}


@pytest.mark.parametrize("bad", BAD_VOTES)
def test_a_bad_vote_is_no_vote_and_keeps_nobody_from_voting(lab: Lab, bad: str) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    lab.sql(f"UPDATE access_vote SET body = {BAD_VOTES[bad]}")
    assert lab.vote("chi", request.id).state == "pending"
    assert lab.vote("ben", request.id).state == "approved", "who lost a vote so gives it again"
    assert lab.code("ada") == "access.allowed"


@pytest.mark.parametrize("seal", ["x'00'", "seal"])
def test_rows_in_somebodys_name_keep_them_from_asking_for_nothing(lab: Lab, seal: str) -> None:
    lab.ask("eve", "tern-load")
    for number in range(20):
        lab.sql(
            "INSERT INTO access_request SELECT :id, digest, person, entitlement, resource, content, "
            f"{seal}, state, created, lapses, settled, settled_why, row FROM access_request LIMIT 1",
            id=f"req_{number}",
        )
    with read(lab.system) as unit:
        assert len(api.my_requests(unit, lab.caller("eve"))) >= 1
    assert lab.ask("eve", "wren-train", "model/wren").state == "approved"


def test_a_call_for_a_hold_that_could_not_be_sealed_stops_no_decision(lab: Lab) -> None:
    lab.sql(
        "INSERT INTO governance_call (model, member, at, reason, seal) "
        "VALUES ('model/tern', 'gil', 9000000000000000000, 'x', x'00')"
    )
    with begin(lab.system) as unit:
        assert not api.called(unit, "model/tern")
    assert lab.code("eve", "weights.export") == "access.no_grant"


def test_a_policy_that_nobody_signed_hides_none_that_was_signed(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    lab.change("name: Ada (researcher)", "name: Ada M")
    lab.sql(
        "INSERT INTO policy_bundle SELECT version + 100, digest, name, text, at, published_by, x'00' "
        "FROM policy_bundle"
    )
    assert lab.vote("chi", request.id).state == "approved"


def test_a_policy_that_somebody_deleted_does_not_hide_what_it_took_away(lab: Lab) -> None:
    plain(lab)
    text, request = lab.text, lab.ask("ada")
    lab.vote("ben", request.id)
    lab.sql("UPDATE access_request SET state = 'lapsed' WHERE id = :id", id=request.id)
    lab.change(*LOST["access.policy_narrowed"])
    lab.publish(text)
    lab.sql("UPDATE access_request SET state = 'pending' WHERE id = :id", id=request.id)
    gone = "DELETE FROM policy_bundle WHERE version = (SELECT max(version) - 1 FROM policy_bundle)"
    lab.sql(gone)
    with pytest.raises(Unavailable) as error:
        lab.vote("chi", request.id)
    assert refused(error) == "policy.bundle_seal"
    assert lab.code("ada") == "access.no_grant"
