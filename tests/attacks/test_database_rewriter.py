"""Show 4, continued: rows hidden and put back, old statements replayed, keys swapped, columns moved, answers edited.

The attacker is the same database administrator; here they mix what was once valid. `-s` prints the table of attempts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.access.support import Key, Lab
from tests.attacks.writing import code_of, insert, print_attempts, row_of, tried, use, valid
from weighthouse.access import api
from weighthouse.access.model import grant_of
from weighthouse.access.ports import Refusals
from weighthouse.core.answers import once
from weighthouse.core.canonical import encode
from weighthouse.core.clock import DAY, HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database, metadata
from weighthouse.core.errors import Denied
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity

PINNED = {"version": "ver_1", "destination": "vault-b"}
EXPORT = {"entitlement": "tern-export", "duration": HOUR, "operation": PINNED}


@pytest.fixture
def lab(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(any_database, clock, tmp_path)


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    yield
    print_attempts()


def denied(lab: Lab, code: str) -> int:
    """How many lines in the log say this refusal; where the log is written behind, what was recorded."""
    if lab.system.database.dialect != "sqlite":
        return 1
    return sum(entry.data["code"] == code for entry in lab.log("access.Denied"))


def exporting(lab: Lab) -> api.Grant:
    """A grant to export, as eve would get it with three approvals."""
    request = lab.ask("eve", **EXPORT)
    for person in ("ben", "chi", "gil"):
        lab.vote(person, request.id)
    return next(one for one in lab.grants("eve") if one.request.id == request.id)


def test_access_case_24_a_grant_is_hidden_while_what_is_kept_apart_from_it_is_asked(lab: Lab) -> None:
    hidden = row_of(lab, "access_grant", lab.grant("eve").id)
    lab.sql("DELETE FROM access_grant WHERE id = :id", id=hidden["id"])
    tried(
        lab, "hide the grant to train, ask to export", code_of(lambda: lab.ask("eve", **EXPORT)), "access.separation"
    )
    assert denied(lab, "access.separation") == 1
    lab.bind_memories()
    tried(lab, "  … and restart the server", code_of(lambda: lab.ask("eve", **EXPORT)), "access.separation")
    lab.sql("UPDATE access_request SET person = 'ada', state = 'approved'")
    tried(lab, "  … and give its request away", code_of(lambda: lab.ask("eve", **EXPORT)), "access.separation")


def test_two_grants_that_policy_keeps_apart_do_not_work_together_wherever_they_come_from(lab: Lab) -> None:
    section = lab.text[lab.text.index("separations:") : lab.text.index("egress:")]
    lab.change(section, "")
    train = lab.grant("eve")
    lab.clock.advance(MINUTE)
    export = exporting(lab)
    with begin(lab.system, lab.caller("eve")) as unit:
        assert api.require(unit, lab.caller("eve"), "weights.export", "model/tern", **PINNED).allowed
    lab.change("egress:\n", section + "egress:\n")
    assert lab.code("eve", "weights.export", **PINNED) == "access.separation"
    assert lab.code("eve", "run.submit") == "access.allowed", "the older of the two stays"
    tried(lab, "(use the younger of two grants kept apart)", valid(lab, export.id), "access.separation")
    with begin(lab.system, lab.caller("eve")) as unit:
        api.give_back(unit, lab.caller("eve"), train.id)
    assert lab.code("eve", "weights.export", **PINNED) == "access.allowed"
    lab.sql("UPDATE access_grant SET state = 'active', ended = NULL WHERE id = :id", id=train.id)
    assert lab.code("eve", "run.submit") == "access.grant_ended"


def rolled_back(lab: Lab, request: api.Request) -> dict[str, Any]:
    """The row of a grant whose transaction failed at its very end, as a dead tuple or a journal page still holds it."""
    lab.device("chi")
    card = lab.card("chi", request.id)
    signature = lab.signed("chi", card, "approve")
    kept: dict[str, Any] = {}

    def crash() -> None:
        found = unit.conn.execute(text("SELECT * FROM access_grant WHERE request = :id"), {"id": request.id})
        kept.update(dict(found.mappings().one()))
        raise RuntimeError("power is gone")

    with pytest.raises(RuntimeError), begin(lab.system, lab.caller("chi")) as unit:
        api.vote(unit, lab.caller("chi"), request.id, "approve", digest=card.digest, signature=signature)
        unit.before_commit(crash)
    assert lab.grants("eve") == []
    return kept


def test_a_sealed_grant_is_dug_out_of_a_transaction_that_was_rolled_back(lab: Lab) -> None:
    request = lab.ask("eve")
    lab.vote("ben", request.id)
    ghost = rolled_back(lab, request)
    lab.vote("chi", request.id, "deny")
    insert(lab, "access_grant", ghost)
    tried(lab, "dig out a rolled-back grant after the request was denied", use(lab), "access.grant_ended")
    lab.bind_memories()
    tried(lab, "  … and restart the server", valid(lab, ghost["id"]), "access.grant_ended")


def test_the_ghost_of_a_grant_does_not_outlive_it(lab: Lab) -> None:
    request = lab.ask("eve")
    lab.vote("ben", request.id)
    ghost = rolled_back(lab, request)
    lab.clock.advance(1)
    lab.vote("chi", request.id)
    real = lab.grants("eve")[0]
    assert real.id == ghost["id"] == grant_of(request.id), "one request, one name"
    with begin(lab.system, lab.caller("chi")) as unit:
        api.revoke(unit, lab.caller("chi"), real.id, "stolen laptop")
    lab.sql("DELETE FROM access_grant")
    insert(lab, "access_grant", ghost)
    tried(lab, "put a rolled-back twin in the place of a revoked grant", use(lab), "access.grant_ended")


def test_a_grant_is_hidden_or_spoilt_while_security_revokes_it(lab: Lab) -> None:
    def revoked(id_: str) -> str:
        def call() -> object:
            with begin(lab.system, lab.caller("chi")) as unit:
                return api.revoke(unit, lab.caller("chi"), id_, "stolen laptop")

        return code_of(call)

    hidden = row_of(lab, "access_grant", lab.grant("eve").id)
    lab.sql("DELETE FROM access_grant")
    assert revoked(hidden["id"]) == "access.no_such_grant"
    insert(lab, "access_grant", hidden)
    tried(lab, "hide a grant while it is revoked, put it back", use(lab), "access.grant_ended")
    spoilt = row_of(lab, "access_grant", lab.grant("eve").id)
    lab.sql("UPDATE access_grant SET seal = :s WHERE id = :id", s=b"\x00" * 64, id=spoilt["id"])
    assert revoked(spoilt["id"]) == "access.grant_seal"
    lab.sql("UPDATE access_grant SET seal = :s WHERE id = :id", s=spoilt["seal"], id=spoilt["id"])
    tried(lab, "spoil its seal while it is revoked, mend it", valid(lab, spoilt["id"]), "access.grant_ended")
    third = row_of(lab, "access_grant", lab.grant("eve").id)
    lab.sql("UPDATE access_grant SET person = 'dee', resource = 'lab' WHERE id = :id", id=third["id"])
    assert revoked(third["id"]) == "access.allowed"
    if lab.system.database.dialect == "sqlite":
        line = lab.log("access.GrantEnded")[-1].data
        assert (line["principal"], line["resource"]) == ("eve", "model/tern"), "the log says what was sealed"


def test_columns_are_moved_so_that_the_timer_writes_false_ends(lab: Lab) -> None:
    grant, request = lab.grant("ada"), lab.ask("eve")
    lab.sql("UPDATE access_grant SET end_at = 1, person = 'dee'")
    lab.sql("UPDATE access_request SET lapses = 1 WHERE id = :id", id=request.id)
    other = {**row_of(lab, "access_request", request.id), "id": "req_" + "0" * 26, "seal": b"\x01"}
    insert(lab, "access_request", other)
    before = len(lab.log("access.")) if lab.system.database.dialect == "sqlite" else 0
    with begin(lab.system) as unit:
        api.tidy(unit)
    if lab.system.database.dialect == "sqlite":
        made = lab.log("access.")[before:]
        assert [entry.kind for entry in made] == ["access.Denied"] * 3, "no false end in the log"
        codes = {entry.data["code"] for entry in made}
        assert codes == {"access.grant_row_differs", "access.request_row_differs", "access.request_seal"}
    assert not lab.system.part(Refusals).closed(grant.id)
    card = lab.card("ben", request.id)
    tried(lab, "(vote on a request whose time was moved)", "" if card.can_vote else "closed", "")
    with begin(lab.system) as unit:
        assert api.tidy(unit) == 0


def test_a_holds_row_is_garbled_and_its_log_entries_go_with_it(lab: Lab) -> None:
    lab.grant("eve")
    with begin(lab.system, lab.caller("chi")) as unit:
        api.place_hold(unit, lab.caller("chi"), "model/tern", "odd reads")
    lab.sql("UPDATE access_hold SET actions = 'nonsense', kind = 'nonsense'")
    tried(lab, "garble the row of a hold", use(lab), "access.held")
    insert(lab, "access_hold", {**dict(lab.sql("SELECT * FROM access_hold")[0]), "id": "hld_x", "actions": "{"})
    tried(lab, "  … and insert another garbled one", use(lab), "access.held")
    lab.sql("DELETE FROM access_hold")
    for name in [name for name in metadata.tables if name.startswith("audit_")]:
        lab.sql(f"DELETE FROM {name}")
    tried(lab, "delete a hold and the whole log with it", code_of(lambda: explained(lab)), "access.held")
    after = code_of(lambda: lab.require("eve"))
    assert after != "access.allowed"


def explained(lab: Lab) -> None:
    decision = lab.explain("eve")
    if not decision.allowed:
        raise Denied(decision.reasons[0].code, "", "")


def test_old_votes_are_replayed_on_a_new_request(lab: Lab) -> None:
    first = lab.ask("eve")
    lab.vote("ben", first.id)
    lab.vote("chi", first.id)
    lab.clock.advance(3 * HOUR)
    second = lab.ask("eve")
    old = [dict(row) for row in lab.sql("SELECT * FROM access_vote ORDER BY voter")]
    for row in old:
        insert(lab, "access_vote", {**row, "request": second.id})
    assert problems(lab, second) == {"ben": "access.vote_row_differs", "chi": "access.vote_row_differs"}
    lab.sql("DELETE FROM access_vote WHERE request = :id", id=second.id)
    for row in old:
        body = {**json.loads(row["body"]), "request": second.id, "request_digest": second.digest}
        insert(lab, "access_vote", {**row, "request": second.id, "body": json.dumps(body)})
    found = problems(lab, second)
    tried(lab, "replay two old votes under a new request's id and digest", found["ben"], "access.vote_signature")
    assert found["chi"] == "access.vote_signature"
    tried(lab, "  … and use what this gave", use(lab), "access.grant_expired")


def problems(lab: Lab, request: api.Request) -> dict[str, str]:
    """Who is said not to count, and why, on the card that an approver sees."""
    lines = [line for line in lab.card("ben", request.id).unusual if "does not count" in line]
    return {line.split(" ")[6]: line[line.index("(") + 1 : -2] for line in lines}


def test_a_real_no_is_edited_into_a_yes(lab: Lab) -> None:
    request = lab.ask("eve")
    lab.vote("ben", request.id, "deny")
    row = dict(lab.sql("SELECT * FROM access_vote")[0])
    for change in ({}, {"kind": "attested"}, {"at": 1}, {"voter": "chi"}):
        body = {**json.loads(row["body"]), "verdict": "approve", **change}
        lab.sql("UPDATE access_vote SET body = :b", b=json.dumps(body))
        lab.sql("UPDATE access_request SET state = 'pending', settled = NULL")
        tried(lab, "edit a no into a yes", code_of(lambda: lab.vote("chi", request.id)), "access.request_closed")
    tried(lab, "  … and use it", use(lab), "access.no_grant")


def test_a_key_is_swapped_under_an_approvers_device(lab: Lab) -> None:
    request = lab.ask("eve")
    device = lab.device("ben")
    mine = Key()
    row = dict(lab.sql("SELECT * FROM identity_device WHERE id = :id", id=device)[0])
    body = {**json.loads(row["body"]), "jwk": mine.jwk}
    lab.sql("UPDATE identity_device SET body = :b WHERE id = :id", b=json.dumps(body), id=device)
    card = lab.card("ben", request.id)
    statement = {**card.statement, "verdict": "approve", "device": device}
    signature = api.VoteSignature(
        kind="device", device=device, at=statement["at"], value=mine.sign(encode(statement))
    )

    def cast() -> object:
        with begin(lab.system, lab.caller("ben")) as unit:
            return api.vote(unit, lab.caller("ben"), request.id, "approve", digest=card.digest, signature=signature)

    tried(lab, "swap the public key of an approver's device", code_of(cast), "identity.device_not_certified")
    lab.sql("UPDATE identity_device SET body = :b WHERE id = :id", b=row["body"], id=device)
    assert lab.vote("ben", request.id).state == "pending"


def test_a_withdrawn_and_a_lapsed_request_are_opened_again(lab: Lab) -> None:
    request = lab.ask("eve")
    lab.vote("ben", request.id)
    with begin(lab.system, lab.caller("eve")) as unit:
        api.withdraw(unit, lab.caller("eve"), request.id)
    lab.sql("UPDATE access_request SET state = 'pending', settled = NULL")
    tried(
        lab, "open a withdrawn request again", code_of(lambda: lab.vote("chi", request.id)), "access.request_closed"
    )
    late = lab.ask("eve")
    lab.vote("ben", late.id)
    lab.clock.advance(2 * DAY)
    with begin(lab.system) as unit:
        api.tidy(unit)
    lab.sql("UPDATE access_request SET state = 'pending', settled = NULL, lapses = :t", t=lab.clock.now() + DAY)
    tried(lab, "open a lapsed request again", code_of(lambda: lab.vote("chi", late.id)), "access.request_lapsed")


def test_a_kept_answer_is_edited(lab: Lab) -> None:
    caller = lab.caller("eve")

    def ask() -> object:
        with begin(lab.system, caller) as unit:
            return once(unit, "key-of-eve-1", "submit", lambda: {"state": "pending"}, keeps=dict)

    assert ask() == ask() == {"state": "pending"}
    answer = str(lab.sql("SELECT answer FROM core_answer")[0]["answer"])
    lab.sql("UPDATE core_answer SET answer = :a", a=answer.replace("pending", "approved"))
    tried(lab, "edit the answer kept for a repeated request", code_of(ask), "core.answer_seal")
    lab.sql("UPDATE core_answer SET answer = :a", a='{"state":"approved"}')
    tried(lab, "  … or put one there that nobody sealed", code_of(ask), "core.answer_seal")
    lab.sql("UPDATE core_answer SET answer = :a, principal = 'ada'", a=answer)
    caller = lab.caller("ada")
    tried(lab, "give one person's kept answer to another", code_of(ask), "core.answer_seal")


def test_who_published_a_policy_and_when_is_edited(lab: Lab) -> None:
    for column, value in (("published_by", "dee"), ("at", 1)):
        before = lab.sql("SELECT * FROM policy_bundle")[0][column]
        lab.sql(f"UPDATE policy_bundle SET {column} = :v", v=value)
        tried(lab, f"edit a policy's {column}", code_of(lambda: lab.require("eve")), "policy.bundle_seal")
        lab.sql(f"UPDATE policy_bundle SET {column} = :v", v=before)


def test_the_high_water_time_is_lowered_and_the_server_restarted(lab: Lab) -> None:
    lab.grant("eve", duration=HOUR)
    lab.clock.advance(HOUR)
    lab.sql("DELETE FROM core_high_water")
    lab.sql("UPDATE core_lease SET expires = 0, fencing = 0")
    lab.system._time = None
    tried(lab, "delete the high-water time and restart", use(lab), "access.grant_expired")


def test_the_whole_database_is_put_back_to_yesterday(lab: Lab) -> None:
    grant = lab.grant("eve", duration=8 * HOUR)
    tables = list(reversed(metadata.sorted_tables))
    yesterday = {table.name: [dict(row) for row in lab.sql(f'SELECT * FROM "{table.name}"')] for table in tables}
    lab.clock.advance(MINUTE)
    with begin(lab.system, lab.caller("chi")) as unit:
        api.revoke(unit, lab.caller("chi"), grant.id, "stolen laptop")
        identity.freeze(unit, PrincipalId("ada"), "odd reads", lab.caller("chi"))
        hold = api.place_hold(unit, lab.caller("chi"), "model/wren", "odd reads")
    for table in tables:
        lab.sql(f'DELETE FROM "{table.name}"')
    for table in reversed(tables):
        for row in yesterday[table.name]:
            insert(lab, table.name, row)
    for restart in (False, True):
        if restart:
            lab.bind_memories()
        tried(lab, "restore the whole database of yesterday", code_of(lambda: explained(lab)), "access.grant_ended")
        assert lab.code("ada") == "access.person_inactive"
        with read(lab.system) as unit:
            assert [one.id for one in api.holds(unit, "model/wren")] == [hold.id]


def test_no_table_says_who_sits_in_which_team_or_how_sensitive_a_resource_is() -> None:
    """Teams, people's accounts, classes, resources and entitlements have no row to edit: they are in the signed text."""
    words = ("team", "member", "role", "class", "entitlement", "resource", "approver", "environment")
    assert [name for name in metadata.tables if any(word in name for word in words)] == []
