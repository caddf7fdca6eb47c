"""A text that was approved while another policy was in force undoes nothing that was decided since."""

from __future__ import annotations

import threading

import msgspec
import pytest
from sqlalchemy import text as sql

from tests.access.support import Lab, refused
from tests.access.test_rules import PEOPLE, REQUEST, TERMS, cast
from weighthouse.access import api
from weighthouse.access.rules.deciding import problem_of
from weighthouse.audit import api as audit
from weighthouse.core.clock import HOUR
from weighthouse.core.errors import Conflict, Denied, WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.policy import api as policy

HARMLESS = ("that training code asks for.", "which training code asks for.")
WITHOUT_EVE = ("    name: Eve (contractor)\n", "    name: Eve (contractor)\n    active: false\n")


def ask(lab: Lab, text: str) -> api.Request:
    operation = {"policy": policy.digest_of(text)}
    return lab.ask("dee", "policy-change", "lab", duration=HOUR, operation=operation)


def active(lab: Lab, person: str) -> bool:
    with read(lab.system) as unit:
        return policy.current(unit).lab.people[person].active


def test_a_text_approved_earlier_does_not_undo_a_later_restriction(lab: Lab) -> None:
    banked = lab.text.replace(*HARMLESS)
    assert banked != lab.text
    request = ask(lab, banked)
    for person in ("chi", "gil", "hana"):
        lab.vote(person, request.id)
    dee = lab.caller("dee")
    assert lab.code("dee", "policy.publish", "lab", policy=policy.digest_of(banked)) == "access.allowed"
    lab.change(*WITHOUT_EVE)
    lab.confirm(dee, "policy.publish", "lab", policy=policy.digest_of(banked))
    with pytest.raises(Denied) as error, begin(lab.system, dee) as unit:
        api.publish_policy(unit, dee, banked, "lab.yaml")
    assert refused(error) == "access.base_moved" and "policy check" in error.value.remedy
    assert [(one.data["action"], one.data["code"]) for one in lab.log("access.Denied")] == [
        ("policy.publish", "access.base_moved")
    ]
    assert not active(lab, "eve")
    lab.publish(lab.text.replace(*HARMLESS))
    assert not active(lab, "eve"), "asked anew it changes what it was seen to change"


def test_an_open_request_to_publish_ends_when_another_policy_comes(lab: Lab) -> None:
    request = ask(lab, lab.text.replace(*HARMLESS))
    lab.vote("chi", request.id)
    assert any(request.policy_digest in line for line in lab.card("gil", request.id).lines), "the base is shown"
    lab.change(*WITHOUT_EVE)
    lines = lab.log("access.RequestOvertaken")
    assert [(one.data["request_id"], one.data["why"]) for one in lines] == [(request.id, "access.base_moved")]
    with pytest.raises(Conflict) as error:
        lab.vote("gil", request.id)
    assert refused(error) == "access.request_closed"


def test_a_request_to_publish_hidden_meanwhile_is_not_approved_when_it_comes_back(lab: Lab) -> None:
    request = ask(lab, lab.text.replace(*HARMLESS))
    lab.sql("UPDATE access_request SET state = 'lapsed' WHERE id = :id", id=request.id)
    lab.change(*WITHOUT_EVE)
    lab.sql("UPDATE access_request SET state = 'pending' WHERE id = :id", id=request.id)
    with pytest.raises(Conflict) as error:
        lab.vote("chi", request.id)
    assert refused(error) == "access.policy_moved"
    assert [one.data["context"] for one in lab.log("access.Denied")] == [{"why": "access.base_moved"}]


def test_a_vote_signed_under_another_policy_counts_for_no_publishing() -> None:
    vote, member = cast("ben", policy_digest="sha256:later"), PEOPLE["ben"]
    publish = msgspec.structs.replace(REQUEST, actions=("policy.publish",))
    assert problem_of(publish, vote, member, TERMS) == "access.base_moved"
    assert problem_of(publish, cast("ben"), member, TERMS) == ""
    assert problem_of(REQUEST, vote, member, TERMS) == "", "other requests may meet both policies"


def test_two_texts_approved_over_one_base_and_published_at_one_moment_are_one_policy(any_lab: Lab) -> None:
    lab = any_lab
    texts = (lab.text.replace(*WITHOUT_EVE), lab.text.replace(*HARMLESS))
    for one in texts:
        request = ask(lab, one)
        for person in ("chi", "gil", "hana"):
            lab.vote(person, request.id)
        lab.confirm(lab.caller("dee"), "policy.publish", "lab", policy=policy.digest_of(one))
    dee, codes = lab.caller("dee"), list[str]()

    def second() -> None:
        try:
            with begin(lab.system, dee) as unit:
                api.publish_policy(unit, dee, texts[1], "lab.yaml")
        except WeighthouseError as error:
            codes.append(error.code)

    thread = threading.Thread(target=second)
    with begin(lab.system, dee) as unit:
        api.publish_policy(unit, dee, texts[0], "lab.yaml")
        thread.start()
        while lab.system.database.dialect == "postgresql" and not waits(lab):
            pass
    thread.join()
    assert codes == ["access.base_moved"]
    assert not active(lab, "eve"), "what was restricted stays so"
    while audit.sequence(lab.system):
        pass
    assert [one.data["version"] for one in lab.log("access.PolicyPublished")] == [1, 2]


def waits(lab: Lab) -> bool:
    """Whether some transaction of this database has come to a lock that another holds."""
    with lab.system.database.engine.begin() as connection:
        found = connection.execute(
            sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                "AND wait_event_type = 'Lock'")
        )  # fmt: skip
        return bool(found.scalar_one())
