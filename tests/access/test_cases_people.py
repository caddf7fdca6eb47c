"""Who counts as a person: adversarial cases 1 to 16 of the peers, each tried and stopped."""

from __future__ import annotations

import pytest

from tests.access.support import REASON, Lab, refused
from weighthouse.access import api
from weighthouse.core.caller import SYSTEM
from weighthouse.core.canonical import encode
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound, Unauthenticated
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity

ADA = "    accounts: [{issuer: dev, subject: ada}]\n    teams: [training]\n    manager: ben"
BEN = "    teams: [weights-stewards]"


def steward_ada(lab: Lab) -> None:
    """Ada also sits in the team of stewards, with an account of another provider besides."""
    both = ADA.replace("[training]", "[training, weights-stewards]").replace(
        "subject: ada}", "subject: ada}, {issuer: other, subject: ada.l@lab.example}"
    )
    lab.change(ADA, both)


def denials(lab: Lab) -> list[str]:
    return [str(entry.data["code"]) for entry in lab.log("access.Denied")]


def test_access_case_1_nobody_approves_their_own_request(lab: Lab) -> None:
    steward_ada(lab)
    request = lab.ask("ada")
    with pytest.raises(Denied) as error:
        lab.vote("ada", request.id)
    assert refused(error) == "access.self_approval"
    with pytest.raises(Denied) as error:
        lab.attest("ada", request.id)
    assert refused(error) == "access.self_approval"
    assert denials(lab) == ["access.self_approval"] * 2
    assert lab.card("ada", request.id).can_vote is False
    with read(lab.system) as unit:
        assert api.inbox(unit, lab.caller("ada")) == []


def test_access_case_2_a_second_account_is_the_same_person(lab: Lab) -> None:
    steward_ada(lab)
    request = lab.ask("ada")
    with read(lab.system) as unit:
        other = identity.person_for(unit, "other", "ada.l@lab.example")
    assert other is not None and other.id == "ada"
    caller = lab.caller(other.id)
    with pytest.raises(Denied) as error:
        lab.vote("ada", request.id, caller=caller)
    assert refused(error) == "access.self_approval"


def test_access_case_2_one_account_in_other_case_is_not_a_second_person(lab: Lab) -> None:
    with begin(lab.system) as unit, pytest.raises(Invalid) as error:
        text = lab.text.replace("subject: eve}", "subject: ADA}")
        api.publish_policy(unit, lab.caller("dee"), text, "lab.yaml")
    assert refused(error) == "policy.account_shared"


def test_access_case_3_a_workload_and_the_system_never_vote(lab: Lab) -> None:
    request = lab.ask("ada")
    run = lab.workload("run_7", "ben")
    for caller in (run, SYSTEM):
        with pytest.raises(Denied) as error, begin(lab.system, caller) as unit:
            signature = api.VoteSignature(kind="attested", at=lab.clock.now())
            api.vote(unit, caller, request.id, "approve", digest=request.digest, signature=signature)
        assert refused(error) == "access.not_a_person"
    assert denials(lab) == ["access.not_a_person"] * 2


def test_access_case_5_a_second_vote_of_one_person_is_refused(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    with pytest.raises(Conflict) as error:
        lab.vote("ben", request.id, "deny")
    assert refused(error) == "access.already_voted"


def test_access_case_6_one_person_cannot_fill_two_slots(lab: Lab) -> None:
    lab.change(BEN, "    teams: [weights-stewards, security]")
    request = lab.ask("ada")
    assert lab.vote("ben", request.id).state == "pending"
    assert lab.code("ada") == "access.no_grant"
    assert lab.card("chi", request.id).missing == ("security (1 of security)",)
    assert lab.vote("chi", request.id).state == "approved"


def test_access_case_7_slots_are_matched_and_not_filled_greedily(lab: Lab) -> None:
    # Chi sits in both teams and votes first; ben, a steward only, must then be matched to the steward's slot.
    lab.change("    teams: [security]", "    teams: [security, weights-stewards]")
    request = lab.ask("ada")
    assert lab.vote("chi", request.id).state == "pending"
    assert lab.vote("ben", request.id).state == "approved"


def test_access_case_8_a_voter_who_loses_the_role_before_the_last_vote_does_not_count(lab: Lab) -> None:
    lab.change(
        BEN, BEN + "\n  bea:\n    name: Bea (second steward)\n    accounts: [{issuer: dev, subject: bea}]\n" + BEN
    )
    request = lab.ask("ada")
    lab.vote("bea", request.id)
    lab.change("subject: bea}]\n    teams: [weights-stewards]", "subject: bea}]\n    teams: [training]")
    assert lab.vote("chi", request.id).state == "pending"
    assert lab.code("ada") == "access.no_grant"
    assert "access.not_an_approver" in " ".join(lab.card("ben", request.id).unusual)
    assert lab.vote("ben", request.id).state == "approved"


def test_access_case_8_a_voter_who_loses_the_role_later_suspends_the_grant(lab: Lab) -> None:
    lab.change(
        BEN, BEN + "\n  bea:\n    name: Bea (second steward)\n    accounts: [{issuer: dev, subject: bea}]\n" + BEN
    )
    request = lab.ask("ada")
    lab.vote("bea", request.id)
    lab.vote("chi", request.id)
    assert lab.code("ada") == "access.allowed"
    lab.change("subject: bea}]\n    teams: [weights-stewards]", "subject: bea}]\n    teams: [training]")
    assert lab.code("ada") == "access.not_an_approver"


def test_access_case_9_a_frozen_voter_does_not_count_and_suspends_the_grant(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    with begin(lab.system, lab.caller("chi")) as unit:
        identity.freeze(unit, PrincipalId("ben"), "laptop stolen", lab.caller("chi"))
    assert lab.vote("chi", request.id).state == "pending"
    lab.thaw("ben")
    lab.clock.advance(1_001)
    lab.grant("eve")
    assert lab.code("eve") == "access.allowed"
    with begin(lab.system, lab.caller("chi")) as unit:
        identity.freeze(unit, PrincipalId("ben"), "stolen for good", lab.caller("chi"))
    assert lab.code("eve") == "access.vote_void"


def test_access_case_9_a_vote_by_a_device_that_was_ended_does_not_count(lab: Lab) -> None:
    grant = lab.grant()
    with begin(lab.system, lab.caller("ben")) as unit:
        identity.end_device(unit, lab.caller("ben"), lab.devices["ben"], "lost")
    assert lab.code("ada") == "access.voter_device_ended"
    with begin(lab.system) as unit, pytest.raises(Denied) as error:
        api.valid_grant(unit, grant.id)
    assert refused(error) == "access.voter_device_ended"


def test_access_case_11_membership_through_a_team_counts_and_an_inactive_member_does_not(lab: Lab) -> None:
    lab.change(
        "  security: {name: Security}",
        "  security: {name: Security, includes: [responders]}\n  responders: {name: R}",
    )
    lab.change("    teams: [red-team]", "    teams: [red-team, responders]")
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    assert lab.vote("kim", request.id).state == "approved"
    lab.change("    teams: [red-team, responders]", "    teams: [red-team, responders]\n    active: false")
    assert lab.code("ada") == "access.voter_inactive"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("  kim:\n", "  security:\n", "policy.bad_name"),  # case 15: a person named like a team
        ("  kim:\n", "  lab:\n", "policy.bad_name"),
        ("  red-team: {name: Red team}", "  red-team: {name: Red team, includes: [red-team]}", "policy.team_cycle"),
        ("    teams: [red-team]", "    teams: [other-lab/red-team]", "policy.unknown_reference"),  # case 13
    ],
)
def test_access_cases_13_15_16_names_that_could_be_two_things_are_refused(
    lab: Lab, old: str, new: str, code: str
) -> None:
    with begin(lab.system) as unit, pytest.raises(Invalid) as error:
        api.publish_policy(unit, lab.caller("dee"), lab.text.replace(old, new), "lab.yaml")
    assert refused(error) == code
    assert "lab.yaml:" in error.value.message


def test_access_case_14_a_team_whose_name_begins_like_another_is_another(lab: Lab) -> None:
    lab.change("  red-team: {name: Red team}", "  red-team: {name: Red team}\n  security-interns: {name: Interns}")
    lab.change("    teams: [red-team]", "    teams: [red-team, security-interns]")
    request = lab.ask("ada")
    with pytest.raises(NotFound):
        lab.vote("kim", request.id)


def test_a_vote_needs_a_second_factor_for_this_verdict_on_this_request(lab: Lab) -> None:
    request, other = lab.ask("ada"), lab.ask("eve")
    ben, card = lab.caller("ben"), lab.card("ben", request.id)
    borrowed = lab.signed("ben", lab.card("ben", other.id), "approve")
    assert borrowed.value
    lab.confirm(ben, "request.vote", request.id, verdict="deny", digest=card.digest)
    statement = {**card.statement, "verdict": "approve", "device": lab.device("ben")}
    signature = api.VoteSignature(
        kind="device", device=lab.device("ben"), at=statement["at"], value=lab.keys["ben"].sign(encode(statement))
    )
    with pytest.raises(Unauthenticated) as error, begin(lab.system, ben) as unit:
        api.vote(unit, ben, request.id, "approve", digest=card.digest, signature=signature)
    assert refused(error) == "identity.act_unconfirmed" and len(lab.log("identity.ActUnconfirmed")) == 1
    lab.confirm(ben, "request.vote", request.id, verdict="approve", digest=card.digest)
    with begin(lab.system, ben) as unit:
        assert api.vote(unit, ben, request.id, "approve", digest=card.digest, signature=signature).state == "pending"


def test_what_one_may_not_know_of_does_not_exist(lab: Lab) -> None:
    request = lab.ask("ada")
    for person in ("eve", "dee", "kim"):
        with read(lab.system) as unit, pytest.raises(NotFound) as error:
            api.card(unit, lab.caller(person), request.id)
        assert refused(error) == "access.no_such_request"
    with read(lab.system) as unit:
        assert api.card(unit, lab.caller("fay"), request.id).can_vote is False
    with begin(lab.system) as unit, pytest.raises(NotFound):
        api.withdraw(unit, lab.caller("eve"), request.id)
    grant = lab.grant("eve", reason=REASON)
    with begin(lab.system) as unit, pytest.raises(NotFound):
        api.give_back(unit, lab.caller("ada"), grant.id)
