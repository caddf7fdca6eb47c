"""Devices sign votes, runs have identities of their own: neither is made by writing a row."""

from __future__ import annotations

import json

import pytest

from tests.identity.support import Lab
from weighthouse.core.clock import HOUR, MINUTE, SECOND
from weighthouse.core.errors import Conflict, Invalid, NotFound, Unauthenticated, WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.api.workloads import renew_workload
from weighthouse_sdk.client import Client, DeviceKey, ProblemError
from weighthouse_sdk.client.key import b64url

STATEMENT = {"request": "req_1", "verdict": "approve", "digest": "sha256:00"}


def enrolled(lab: Lab, who: str) -> tuple[Client, str]:
    client = lab.sign_in(who)
    return client, str(client.enrol(f"{who}'s laptop")["id"])


def verify(lab: Lab, device: str, person: str, data: bytes, signature: bytes) -> str:
    """The code of the refusal, or nothing."""
    try:
        with begin(lab.system) as unit:
            api.verify_device_signature(unit, device, person, data, signature)
    except WeighthouseError as error:
        return error.code
    return ""


def test_a_device_is_enrolled_and_its_votes_count(lab: Lab) -> None:
    client, device = enrolled(lab, "ben")
    assert client.get("me")["device"] == device
    signature = client.key.sign(b"vote")
    assert verify(lab, device, "ben", b"vote", signature) == ""
    assert [entry.subject for entry in lab.log("DeviceEnrolled")] == [device]


def test_the_signature_of_a_vote_is_over_the_canonical_statement(lab: Lab) -> None:
    import base64

    from weighthouse.core.canonical import encode

    client, device = enrolled(lab, "ben")
    said = {**STATEMENT, "audience": api.audience(lab.system)}
    signature = base64.urlsafe_b64decode(client.sign_vote(said) + "==")
    assert verify(lab, device, "ben", encode(said), signature) == ""


@pytest.mark.parametrize("case", ["other text", "other person", "other key", "short", "empty", "zeroes", "DER"])
def test_a_signature_that_is_not_this_persons_over_this_text_counts_for_nothing(lab: Lab, case: str) -> None:
    client, device = enrolled(lab, "ben")
    good = client.key.sign(b"vote")
    data = b"other" if case == "other text" else b"vote"
    signature = {
        "other key": DeviceKey.generate().sign(b"vote"),
        "short": good[:63],
        "empty": b"",
        "zeroes": b"\x00" * 64,
        "DER": b"\x30\x44" + good,
    }.get(case, good)
    assert (
        verify(lab, device, "chi" if case == "other person" else "ben", data, signature) == "identity.bad_signature"
    )


@pytest.mark.parametrize(("level", "age"), [(1, 0), (2, 0), (2, 10 * MINUTE + 1), (0, 0)])
def test_enrolling_needs_a_second_factor_of_its_own_however_fresh_another_is(lab: Lab, level: int, age: int) -> None:
    caller = lab.person("ben", level=level)
    lab.clock.advance(age)
    rows = lab.rows()
    with pytest.raises(Unauthenticated) as refusal, begin(lab.system) as unit:
        api.enrol_device(unit, caller, DeviceKey.generate().jwk, "x")
    assert refusal.value.code == "identity.act_unconfirmed" and lab.rows() == rows


def test_a_key_is_enrolled_once_and_only_by_who_holds_it(lab: Lab) -> None:
    client, _ = enrolled(lab, "ben")
    thief = lab.sign_in("eve")
    with pytest.raises(ProblemError) as refusal:
        thief.post("devices", {"jwk": client.key.jwk, "name": "mine", "proof": b64url(thief.key.sign(b"eve"))})
    assert refusal.value.code == "identity.bad_key"
    with pytest.raises(Conflict) as taken, begin(lab.system) as unit:
        api.enrol_device(unit, lab.person("eve"), client.key.jwk, "mine")
    assert taken.value.code == "identity.device_taken"
    good = client.key.jwk
    for bad in ({**good, "d": "x"}, {**good, "crv": "P-384"}, {**good, "x": good["y"]}, {**good, "x": "AA"}, {}):
        with pytest.raises(Invalid) as wrong, begin(lab.system) as unit:
            api.enrol_device(unit, lab.person("eve"), bad, "bad")
        assert wrong.value.code == "identity.bad_key"


def test_a_device_row_made_by_hand_signs_nothing(lab: Lab) -> None:
    _, device = enrolled(lab, "ben")
    key = DeviceKey.generate()
    row = lab.sql("SELECT body, certificate FROM identity_device")[0]
    forged = {**json.loads(row[0]), "id": new_id("dev"), "jwk": key.jwk, "thumbprint": key.thumbprint}
    lab.sql(
        "INSERT INTO identity_device (id, person, thumbprint, body, certificate) VALUES (:i, 'ben', :t, :b, :c)",
        i=forged["id"], t=key.thumbprint, b=json.dumps(forged), c=row[1],
    )  # fmt: skip
    lines = len(lab.log())
    assert verify(lab, forged["id"], "ben", b"vote", key.sign(b"vote")) == "identity.device_not_certified"
    swapped = {**json.loads(row[0]), "jwk": key.jwk}
    lab.sql("UPDATE identity_device SET body = :b WHERE id = :i", b=json.dumps(swapped), i=device)
    assert verify(lab, device, "ben", b"vote", key.sign(b"vote")) == "identity.device_not_certified"
    assert [entry.kind for entry in lab.log()[lines:]] == ["identity.RecordRefused"] * 2


def test_an_ended_device_signs_nothing_even_if_its_row_is_put_back(lab: Lab) -> None:
    client, device = enrolled(lab, "ben")
    client.post(f"devices/{device}/end", {"reason": "sold it"})
    lab.sql("UPDATE identity_device SET ended = NULL")
    assert verify(lab, device, "ben", b"vote", client.key.sign(b"vote")) == "identity.device_unknown"
    with pytest.raises(ProblemError) as ended:  # its own session went with it
        client.get("devices")
    assert ended.value.code == "identity.session_ended"
    assert lab.sign_in("ben").get("devices")["items"] == []
    other = lab.sign_in("ada")
    with pytest.raises(ProblemError) as refusal:
        other.post(f"devices/{device}/end", {"reason": "not mine"})
    assert refusal.value.code == "identity.device_unknown"


def issue(lab: Lab, run: str = "run_1", lasts: int = HOUR) -> str:
    with begin(lab.system) as unit:
        return api.issue_workload(
            unit, run=run, attributes={"image_digest": "sha256:1", "sandbox": "gvisor"}, expires=unit.now + lasts
        )


def knock(lab: Lab, token: str, run: str = "run_1") -> str:
    try:
        with read(lab.system) as unit:
            caller = api.authenticate(unit, api.Credential(kind="workload", value=token, proof=run))
    except WeighthouseError as error:
        return error.code
    assert caller.kind == "workload" and caller.attributes["run"] == run and caller.session is None
    return ""


def test_a_runs_token_works_through_its_own_socket_only(lab: Lab) -> None:
    token = issue(lab)
    issue(lab, "run_2")
    lines = len(lab.log())
    assert knock(lab, token) == ""
    assert knock(lab, token, "run_2") == knock(lab, token, "") == "identity.workload_elsewhere"
    assert [entry.kind for entry in lab.log()[lines:]] == ["identity.CredentialRefused"] * 2
    assert [entry.data["presented_by"] for entry in lab.log()[lines:]] == ["run_2", ""]  # the thief beside the victim
    with pytest.raises(Conflict):
        issue(lab)


def test_a_runs_token_lives_ten_minutes_unless_used_or_renewed_and_never_past_its_end(lab: Lab) -> None:
    token = issue(lab)
    lab.clock.advance(10 * MINUTE - SECOND)
    assert knock(lab, token) == ""  # used: lives on
    lab.clock.advance(9 * MINUTE)
    with begin(lab.system) as unit:
        assert renew_workload(unit, "run_1") == unit.now + 10 * MINUTE
    lab.clock.advance(10 * MINUTE)
    assert knock(lab, token) == "identity.workload_ended"
    with pytest.raises(Unauthenticated), begin(lab.system) as unit:
        renew_workload(unit, "run_1")
    short = issue(lab, "run_2", 5 * MINUTE)
    lab.clock.advance(4 * MINUTE)
    assert knock(lab, short, "run_2") == ""
    lab.clock.advance(MINUTE)
    assert knock(lab, short, "run_2") == "identity.workload_ended"


def test_a_runs_identity_ends_with_the_run_and_does_not_come_back(lab: Lab) -> None:
    token = issue(lab)
    kept = {name: lab.sql(f"SELECT * FROM identity_{name}") for name in ("workload", "principal")}
    with read(lab.system) as unit:
        assert api.is_active(unit, "run:run_1") and not api.is_active(unit, "run:run_2")
    with begin(lab.system) as unit:
        api.end_workload(unit, "run_1")
        api.end_workload(unit, "run_1")
    assert knock(lab, token) == "identity.workload_ended"
    assert [entry.kind for entry in lab.log()] == ["identity.WorkloadStarted", "identity.WorkloadEnded"]
    for name, rows in kept.items():
        lab.sql(f"DELETE FROM identity_{name}")
        for row in rows:
            marks = ", ".join(":" + key for key in row._mapping)
            lab.sql(f"INSERT INTO identity_{name} ({', '.join(row._mapping)}) VALUES ({marks})", **row._mapping)
    assert knock(lab, token) == "identity.record_refused"
    with pytest.raises(NotFound), begin(lab.system) as unit:
        api.end_workload(unit, "run_9")


def test_a_runs_attributes_cannot_be_edited(lab: Lab) -> None:
    token = issue(lab)
    lab.sql("UPDATE identity_workload SET body = replace(body, 'sha256:1', 'sha256:2')")
    lines = len(lab.log())
    assert knock(lab, token) == "identity.record_refused"
    assert [entry.kind for entry in lab.log()[lines:]] == ["identity.RecordRefused"]
