"""Show 4: with write access to the database only, no usable grant can be made and no stop undone.

The attacker is a database administrator: every row of every table is theirs to write, on a running server and across
a restart. Keys, and the small memories beside the database, are not. `-s` prints the table of attempts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.access.support import Key, Lab
from tests.attacks.writing import code_of, insert, print_attempts, row_of, tried, use, valid
from weighthouse.access import api
from weighthouse.core.canonical import encode, sha256_hex
from weighthouse.core.clock import DAY, HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin


@pytest.fixture
def lab(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(any_database, clock, tmp_path)


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    print_attempts()


def test_a_grant_row_is_inserted_with_a_statement_of_the_attackers_own(lab: Lab) -> None:
    real = row_of(lab, "access_grant", lab.grant().id)
    statement = json.loads(real["statement"])
    statement["grant"] = new_id("grt")
    statement["request"].update(person="eve", id=new_id("req"))
    forged = {
        **real, "id": statement["grant"], "request": statement["request"]["id"], "person": "eve",
        "statement": encode(statement).decode(),
    }  # fmt: skip
    insert(lab, "access_grant", forged)
    tried(lab, "insert a grant with a self-made statement and an old seal", use(lab), "access.grant_seal")
    tried(lab, "  … and hand its id to a releasing point", valid(lab, forged["id"]), "access.grant_seal")
    lab.sql("UPDATE access_grant SET seal = :seal WHERE id = :id", seal=b"\x00" * 64, id=forged["id"])
    tried(lab, "insert a grant with a made-up seal", use(lab), "access.grant_seal")


def test_anothers_grant_is_copied_and_given_to_the_attacker(lab: Lab) -> None:
    real = row_of(lab, "access_grant", lab.grant().id)
    copy = {**real, "id": new_id("grt"), "request": new_id("req"), "person": "eve"}
    insert(lab, "access_grant", copy)
    tried(lab, "copy another's grant, change the principal's column", use(lab), "access.grant_row_differs")
    lab.sql("UPDATE access_grant SET person = 'eve' WHERE id = :id", id=real["id"])
    tried(lab, "change the principal of a real grant in place", use(lab), "access.grant_row_differs")


def test_the_end_and_the_resource_of_a_grant_are_moved(lab: Lab) -> None:
    real = row_of(lab, "access_grant", lab.grant("eve").id)
    lab.sql("UPDATE access_grant SET end_at = :end WHERE id = :id", end=real["end_at"] + DAY, id=real["id"])
    tried(lab, "extend the end of one's own grant", use(lab), "access.grant_row_differs")
    lab.clock.advance(3 * HOUR)
    tried(lab, "  … and use it after its sealed end", use(lab), "access.grant_row_differs")
    statement = json.loads(real["statement"])
    statement["end"] += DAY
    lab.sql("UPDATE access_grant SET statement = :s WHERE id = :id", s=encode(statement).decode(), id=real["id"])
    tried(lab, "extend the end in the statement as well", use(lab), "access.grant_seal")
    lab.sql("UPDATE access_grant SET statement = :s, resource = 'model/wren', end_at = :end WHERE id = :id", s=real["statement"], end=real["end_at"], id=real["id"])  # fmt: skip
    tried(lab, "point one's grant at another model", use(lab, resource="model/wren"), "access.grant_row_differs")


def test_a_denied_request_is_flipped(lab: Lab) -> None:
    request = lab.ask("eve")
    lab.vote("ben", request.id, "deny")
    lab.sql("UPDATE access_request SET state = 'approved' WHERE id = :id", id=request.id)
    tried(lab, "flip a denied request to approved", use(lab), "access.no_grant")
    lab.sql("UPDATE access_request SET state = 'pending', settled = NULL WHERE id = :id", id=request.id)
    tried(
        lab, "flip a denied request to pending", code_of(lambda: lab.vote("chi", request.id)), "access.request_closed"
    )
    lab.sql("DELETE FROM access_vote WHERE request = :id", id=request.id)
    lab.bind_memories()
    tried(
        lab,
        "  … delete the no, restart the server",
        code_of(lambda: lab.vote("chi", request.id)),
        "access.request_closed",
    )
    tried(lab, "  … and use it", use(lab), "access.no_grant")


def test_a_request_is_edited_or_made_up(lab: Lab) -> None:
    request = lab.ask("eve", "wren-train", "model/wren")
    pending = lab.ask("ada")
    row = row_of(lab, "access_request", pending.id)
    content = json.loads(row["content"])
    content["person"] = "eve"
    edited = encode(content).decode()
    lab.sql("UPDATE access_request SET content = :c, person = 'eve' WHERE id = :id", c=edited, id=pending.id)
    tried(
        lab,
        "change who asked in an open request",
        code_of(lambda: lab.card("ben", pending.id)),
        "access.no_such_request",
    )
    right = {"c": edited, "d": "sha256:" + sha256_hex(edited.encode()), "id": pending.id}
    lab.sql("UPDATE access_request SET content = :c, digest = :d WHERE id = :id", **right)
    tried(lab, "  … and correct its digest", code_of(lambda: lab.card("ben", pending.id)), "access.no_such_request")
    id_ = new_id("req")
    content = edited.replace(pending.id, id_)
    fake = {**row, "id": id_, "person": "eve", "content": content, "digest": "sha256:" + sha256_hex(content.encode())}
    insert(lab, "access_request", fake)
    tried(lab, "insert an open request", code_of(lambda: lab.card("ben", id_)), "access.no_such_request")
    assert request.state == "approved"


def forged_vote(lab: Lab, request: api.Request, voter: str, **changed: Any) -> dict[str, Any]:
    body = {
        "request": request.id, "request_digest": request.digest, "policy_digest": request.policy_digest,
        "verdict": "approve", "voter": voter, "kind": "device", "device": lab.device(voter), "at": lab.clock.now(),
        "signature": "A" * 86, "comment": "", **changed,
    }  # fmt: skip
    return {"request": request.id, "voter": voter, "body": json.dumps(body), "cast_at": lab.clock.now()}


def test_votes_are_inserted(lab: Lab) -> None:
    request = lab.ask("eve")
    lab.vote("ben", request.id)
    insert(lab, "access_vote", forged_vote(lab, request, "chi"))
    card = lab.card("ben", request.id)
    note = next(line for line in card.unusual if "chi" in line)
    tried(lab, "insert a vote in another's name", note[note.index("(") + 1 : -2], "access.vote_signature")
    assert card.missing == ("security (1 of security)",)
    lab.sql("DELETE FROM access_vote WHERE voter = 'chi'")
    key = Key()
    device = new_id("dev")
    body = {"id": device, "person": "chi", "name": "x", "jwk": key.jwk, "thumbprint": "x", "at": 1}
    insert(lab, "identity_device", device_row(lab, device, body))
    statement = {**card.statement, "voter": "chi", "device": device}
    insert(lab, "access_vote", forged_vote(lab, request, "chi", device=device, at=statement["at"], signature=key.sign(encode(statement))))  # fmt: skip
    note = next(line for line in lab.card("ben", request.id).unusual if "chi" in line)
    tried(
        lab,
        "insert a device row and a vote that it really signed",
        note[note.index("(") + 1 : -2],
        "identity.device_not_certified",
    )
    lab.sql("DELETE FROM access_vote WHERE voter = 'chi'")
    insert(lab, "access_vote", forged_vote(lab, request, "chi", kind="attested", device=""))
    note = next(line for line in lab.card("ben", request.id).unusual if "chi" in line)
    tried(lab, "insert a vote attested by nobody", note[note.index("(") + 1 : -2], "access.vote_signature")
    ben = dict(lab.sql("SELECT * FROM access_vote WHERE voter = 'ben'")[0])
    lab.sql("DELETE FROM access_vote WHERE voter = 'chi'")
    insert(lab, "access_vote", {**ben, "voter": "chi"})
    note = next(line for line in lab.card("ben", request.id).unusual if "access.vote_row" in line)
    tried(lab, "copy ben's vote into a row of chi", note[note.index("(") + 1 : -2], "access.vote_row_differs")
    tried(lab, "  … and use what all this gave", use(lab), "access.no_grant")


def device_row(lab: Lab, device: str, body: dict[str, Any]) -> dict[str, Any]:
    real = dict(lab.sql("SELECT * FROM identity_device")[0])
    mine = {**real, "body": json.dumps(body), "certificate": b"\x01" * 64}
    for name in ("id", "device"):
        if name in mine:
            mine[name] = device
    return {**mine, "person": "chi", "thumbprint": f"t-{device}"}


def test_the_policy_is_swapped_or_turned_back(lab: Lab) -> None:
    mine = lab.text.replace("accounts: [{issuer: dev, subject: eve}]\n    teams: [training]", "accounts: [{issuer: dev, subject: eve}]\n    teams: [training, weights-stewards, security]")  # fmt: skip
    assert mine != lab.text
    request = lab.ask("ada")
    lab.sql("UPDATE policy_bundle SET text = :t", t=mine)
    forget_policy()
    tried(
        lab,
        "add oneself to teams in the policy's text",
        code_of(lambda: lab.vote("eve", request.id)),
        "policy.bundle_seal",
    )
    from weighthouse.policy import api as policy

    lab.sql("UPDATE policy_bundle SET digest = :d", d=policy.digest_of(mine))
    tried(lab, "  … and correct its digest", use(lab), "policy.bundle_seal")
    lab.sql("UPDATE policy_bundle SET text = :t, digest = :d", t=lab.text, d=policy.digest_of(lab.text))
    assert use(lab) == "access.no_grant", "put back as it was, it serves again"
    bundle = dict(lab.sql("SELECT * FROM policy_bundle")[0])
    insert(lab, "policy_bundle", {**bundle, "version": 2, "text": mine, "digest": policy.digest_of(mine)})
    lab.sql("UPDATE policy_pointer SET version = 2")
    tried(lab, "insert a policy of one's own as the next version", use(lab), "policy.bundle_seal")


def test_the_policy_pointer_is_rolled_back(lab: Lab) -> None:
    ada = "subject: ada}]\n    teams: [training]"
    lab.grant("ada")
    lab.change(ada, ada.replace("[training]", "[red-team]"))
    assert use(lab, "ada") == "access.not_eligible"
    lab.sql("UPDATE policy_pointer SET version = 1")
    tried(lab, "point back to an older, signed policy", use(lab, "ada"), "policy.rolled_back")
    lab.bind_memories()
    tried(lab, "  … and restart the server", use(lab, "ada"), "policy.rolled_back")
    lab.sql("DELETE FROM policy_pointer")
    tried(lab, "delete the pointer to start a lab anew", code_of(lambda: start_anew(lab)), "policy.rolled_back")


def start_anew(lab: Lab) -> object:
    with begin(lab.system) as unit:
        return api.publish_policy(unit, None, lab.text, "lab.yaml")


def test_an_ended_grant_is_put_back(lab: Lab) -> None:
    grant = lab.grant("eve")
    before = row_of(lab, "access_grant", grant.id)
    with begin(lab.system, lab.caller("chi")) as unit:
        api.revoke(unit, lab.caller("chi"), grant.id, "stolen laptop")
    restore = {"s": before["state"], "r": before["row"], "id": grant.id}
    lab.sql(
        "UPDATE access_grant SET state = :s, ended = NULL, ended_why = '', \"row\" = :r WHERE id = :id", **restore
    )
    tried(lab, "restore the old row of a revoked grant", use(lab), "access.grant_ended")
    lab.bind_memories()
    tried(lab, "  … and restart the server", valid(lab, grant.id), "access.grant_ended")
    lab.sql("DELETE FROM access_grant WHERE id = :id", id=grant.id)
    lab.sql("UPDATE access_request SET state = 'pending', settled = NULL WHERE id = :id", id=grant.request.id)
    lab.sql("DELETE FROM access_vote WHERE voter = 'chi' AND request = :id", id=grant.request.id)
    again = code_of(lambda: lab.vote("chi", grant.request.id))
    tried(lab, "make a used request pending again for one more vote", again, "access.request_closed")


def test_a_hold_is_deleted_or_marked_as_lifted(lab: Lab) -> None:
    lab.grant("eve")
    with begin(lab.system, lab.caller("gil")) as unit:
        hold = api.place_hold(unit, lab.caller("gil"), "model/tern", "not evaluated", kind="governance")
    lab.sql("UPDATE access_hold SET lifted = 1 WHERE id = :id", id=hold.id)
    tried(lab, "mark a hold as lifted", use(lab), "access.held")
    lab.sql("DELETE FROM access_hold")
    tried(lab, "delete a hold", use(lab), "access.held")
    lab.bind_memories()
    tried(lab, "  … and restart the server", use(lab), "access.held")
    lift = code_of(lambda: lift_as(lab, "dee", hold.id))
    tried(lab, "turn a hold of the committee into one of security, lift it", lift, "access.hold_needs_committee")


def lift_as(lab: Lab, person: str, hold: str) -> object:
    row = {"id": hold, "subject": "model/tern", "kind": "security", "reason": "x", "actions": "[]", "placed_by": "dee",
           "at": 1, "lifted": None, "lifted_by": "", "lifted_why": ""}  # fmt: skip
    insert(lab, "access_hold", row)
    with begin(lab.system, lab.caller(person)) as unit:
        return api.lift_hold(unit, lab.caller(person), hold, "no reason")


def test_a_frozen_person_is_thawed_by_the_database(lab: Lab) -> None:
    from weighthouse.core.ids import PrincipalId
    from weighthouse.identity import api as identity

    lab.grant("eve")
    before = lab.sql("SELECT * FROM identity_principal WHERE principal = 'eve'")
    with begin(lab.system, lab.caller("chi")) as unit:
        identity.freeze(unit, PrincipalId("eve"), "caught", lab.caller("chi"))
    tried(lab, "(a frozen person uses a grant)", use(lab), "access.person_inactive")
    lab.sql("DELETE FROM identity_principal WHERE principal = 'eve'")
    for row in before:
        insert(lab, "identity_principal", dict(row))
    tried(lab, "restore the state of a frozen person", use(lab), "access.person_inactive")


def forget_policy() -> None:
    """What a restart does: nothing verified is in memory any more."""
    from weighthouse.policy import api as policy

    policy._verified.clear()
