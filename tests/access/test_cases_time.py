"""Time, ends and bypasses: adversarial cases 37 to 57 of the peers."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.access.support import Lab, refused
from weighthouse.access import api
from weighthouse.access.ports import Refusals
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, MINUTE
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound, Unavailable, WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity


def test_access_case_37_after_the_end_no_vote_changes_anything(lab: Lab) -> None:
    denied = lab.ask("ada")
    lab.vote("ben", denied.id, "deny")
    with pytest.raises(Conflict) as error:
        lab.vote("chi", denied.id)
    assert refused(error) == "access.request_closed"
    approved = lab.ask("eve")
    lab.change("    teams: [red-team]", "    teams: [red-team, security]")
    lab.vote("ben", approved.id)
    lab.vote("chi", approved.id)
    with pytest.raises(Conflict) as error:
        lab.vote("kim", approved.id, "deny")
    assert refused(error) == "access.request_closed"


def test_access_case_41_a_crash_between_approval_and_grant_leaves_neither(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    card, signature = lab.card("chi", request.id), None
    lab.device("chi")
    signature = lab.signed("chi", card, "approve")
    before = len(lab.log(""))

    def crash() -> None:
        raise RuntimeError("power is gone")

    with pytest.raises(RuntimeError), begin(lab.system, lab.caller("chi")) as unit:
        api.vote(unit, lab.caller("chi"), request.id, "approve", digest=card.digest, signature=signature)
        unit.before_commit(crash)
    assert lab.code("ada") == "access.no_grant" and len(lab.log("")) == before
    assert lab.vote("chi", request.id).state == "approved"


@pytest.mark.parametrize("duration", [0, -1, MINUTE - 1, 8 * HOUR + 1, 10**15, True, "2h", 2.5])
def test_access_case_44_an_absurd_duration_is_refused(lab: Lab, duration: object) -> None:
    with pytest.raises(Invalid) as error:
        lab.ask("ada", duration=duration)
    assert refused(error) == "access.duration_out_of_range"


def test_access_case_45_the_shortest_cap_wins(lab: Lab) -> None:
    frontier = "    longest_grant: 8h\n    assurance: 2"
    with pytest.raises(Invalid) as error:
        lab.change(frontier, frontier.replace("8h", "1h"))
    assert refused(error) == "policy.absurd_duration", (
        "an entitlement longer than its class is refused when published"
    )


def test_access_case_46_an_earlier_end_does_not_tear_down_a_later_grant(lab: Lab) -> None:
    first = lab.grant(duration=HOUR)
    lab.clock.advance(30 * MINUTE)
    second = lab.ask("ada", duration=2 * HOUR)
    lab.vote("ben", second.id)
    lab.vote("chi", second.id)
    lab.clock.advance(30 * MINUTE)
    with begin(lab.system) as unit:
        assert api.tidy(unit) == 1
    decision = lab.explain("ada")
    assert decision.allowed and decision.grant != first.id
    with begin(lab.system) as unit, pytest.raises(Denied) as error:
        api.valid_grant(unit, first.id)
    assert refused(error) == "access.grant_ended"


def test_access_case_47_renewals_do_not_add_up_to_more_than_the_cap(lab: Lab) -> None:
    for _ in range(6):
        lab.grant(duration=8 * HOUR)
        lab.clock.advance(8 * HOUR)
    with pytest.raises(Invalid) as error:
        lab.ask("ada", duration=8 * HOUR)
    assert refused(error) == "access.renewal_cap"
    lab.clock.advance(16 * MINUTE)
    lab.ask("ada", duration=8 * HOUR)


def test_access_case_48_a_grant_ends_with_the_eligibility(lab: Lab) -> None:
    lab.grant()
    ada = "subject: ada}]\n    teams: [training]"
    lab.change(ada, ada.replace("training", "red-team"))
    assert lab.code("ada") == "access.not_eligible"


def test_access_case_51_a_revocation_whose_commit_fails_ends_the_grant_all_the_same(lab: Lab) -> None:
    grant = lab.grant()

    def crash() -> None:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError), begin(lab.system, lab.caller("chi")) as unit:
        api.revoke(unit, lab.caller("chi"), grant.id, "stolen laptop")
        unit.before_commit(crash)
    assert lab.code("ada") == "access.grant_ended"


def test_access_case_52_a_clock_that_steps_back_revives_nothing(lab: Lab) -> None:
    grant = lab.grant(duration=HOUR)
    lab.clock.advance(HOUR)
    assert lab.code("ada") == "access.grant_expired"
    lab.clock.set(grant.not_before + MINUTE)
    assert lab.code("ada") == "access.grant_expired"


def test_access_case_52_no_grant_is_made_by_a_clock_that_leapt(lab: Lab) -> None:
    request = lab.ask("ada", duration=HOUR)
    lab.vote("ben", request.id)
    lab.device("chi")
    lab.clock.set(lab.clock.now() + HOUR)
    with pytest.raises(Unavailable) as error:
        lab.vote("chi", request.id)
    assert refused(error) == "access.clock_suspect"


def test_the_end_needs_nobody_tidy_only_marks(lab: Lab) -> None:
    grant = lab.grant(duration=HOUR)
    lab.clock.advance(HOUR - 1)
    assert lab.code("ada") == "access.allowed"
    lab.clock.advance(1)
    assert lab.code("ada") == "access.grant_expired"
    assert lab.log("access.GrantEnded") == []
    with begin(lab.system) as unit:
        assert api.tidy(unit) == 1
        assert api.tidy(unit) == 0
    assert [entry.data["grant"] for entry in lab.log("access.GrantEnded")] == [grant.id]
    assert lab.code("ada") == "access.grant_expired"


def test_a_request_lapses_when_nobody_decides(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    lab.clock.advance(DAY)
    with pytest.raises(Conflict) as error:
        lab.vote("chi", request.id)
    assert refused(error) == "access.request_lapsed"
    with begin(lab.system) as unit:
        assert api.tidy(unit) == 1
    with read(lab.system) as unit:
        assert api.my_requests(unit, lab.caller("ada"))[0].state == "lapsed"


def test_access_cases_53_54_55_no_call_lets_the_requester_approve_edit_or_erase(lab: Lab) -> None:
    request = lab.ask("ada")
    with begin(lab.system) as unit:
        withdrawn = api.withdraw(unit, lab.caller("ada"), request.id)
    assert withdrawn.state == "withdrawn"
    with begin(lab.system) as unit, pytest.raises(Conflict) as error:
        api.withdraw(unit, lab.caller("ada"), request.id)
    assert refused(error) == "access.request_closed"
    with read(lab.system) as unit:
        assert [one.id for one in api.my_requests(unit, lab.caller("ada"))] == [request.id], "the record stays"


def test_access_case_57_a_workload_asks_for_nothing(lab: Lab) -> None:
    run = lab.workload("run_9", "ada")
    with begin(lab.system, run) as unit, pytest.raises(Denied) as error:
        api.submit(
            unit, run, entitlement="wren-train", resource="model/wren", duration=HOUR, reason="I am a helpful agent."
        )
    assert refused(error) == "access.not_a_person"


def test_a_stale_second_factor_stops_a_use_and_a_fresh_one_opens_it(lab: Lab) -> None:
    lab.grant()
    assert lab.code(lab.caller("ada", age=2 * HOUR)) == "access.assurance_stale"
    assert lab.code(lab.caller("ada", level=1)) == "access.assurance_stale"
    assert lab.code(lab.caller("ada", age=59 * MINUTE)) == "access.allowed"


def test_holds_of_the_committee_are_lifted_by_ballots_alone(lab: Lab) -> None:
    with begin(lab.system, lab.caller("gil")) as unit:
        hold = api.place_hold(unit, lab.caller("gil"), "model/tern", "not evaluated", kind="governance")
    for person in ("gil", "chi", "dee"):
        with pytest.raises(Denied) as error, begin(lab.system, lab.caller(person)) as unit:
            api.lift_hold(unit, lab.caller(person), hold.id, "we want to ship")
        assert refused(error) == "access.hold_needs_committee"
    motion = {"act": "lift", "hold": hold.id, "text": "evaluated"}
    for voters, expected in (
        (("gil",), "access.authority_refused"),
        (("gil", "gil"), "access.authority_refused"),
        (("gil", "ben"), "access.authority_refused"),
        (("gil", "hana"), ""),
    ):
        authority = api.Authority(motion=motion, ballots=tuple(ballot(lab, one, motion) for one in voters))
        try:
            with begin(lab.system, lab.caller("dee")) as unit:
                api.lift_hold(unit, lab.caller("dee"), hold.id, "decided", authority=authority)
            code = ""
        except WeighthouseError as refusal:
            code = refusal.code
        assert code == expected
    with read(lab.system) as unit:
        assert api.holds(unit) == []
    assert lab.system.part(Refusals).lifted(hold.id)


def ballot(lab: Lab, person: str, motion: dict[str, str]) -> api.AuthorityBallot:
    from weighthouse.core.canonical import digest, encode

    device = lab.device(person)
    at = lab.clock.now()
    here = identity.audience(lab.system)
    signed = {
        "type": "weighthouse/ballot/2", "audience": here, "motion_digest": digest(motion), "ballot": "for",
        "voter": person, "device": device, "at": at,
    }  # fmt: skip
    signature = lab.keys[person].sign(encode(signed))
    return api.AuthorityBallot(voter=person, device=device, at=at, signature=signature, audience=here)


def test_nobody_lifts_a_hold_on_themselves_or_without_a_fresh_factor(lab: Lab) -> None:
    with begin(lab.system) as unit:
        hold = api.place_hold(unit, SYSTEM, "chi", "signs of a stolen session")
    assert lab.code("chi", "session.end", "lab") == "access.held"
    with pytest.raises(Denied) as error, begin(lab.system) as unit:
        api.lift_hold(unit, lab.caller("chi"), hold.id, "it was me")
    assert refused(error) == "access.hold_on_oneself"
    with pytest.raises(Denied), begin(lab.system) as unit:
        api.lift_hold(unit, lab.caller("dee"), hold.id, "on request of chi")


def test_lifting_a_hold_again_gets_the_same_answer_and_leaves_no_second_line(lab: Lab) -> None:
    """The first answer was lost on the way; nobody else is told that there was such a hold."""
    with begin(lab.system) as unit:
        placed = api.place_hold(unit, SYSTEM, "model/tern", "odd reads")

    def lift(person: str) -> api.Hold:
        signed = lab.opened(person, "hold.lift", placed.id)
        with begin(lab.system, lab.caller(person)) as unit:
            return api.lift_hold(unit, lab.caller(person), placed.id, "it was a mistake", signed=signed)

    first = lift("chi")
    lab.clock.advance(HOUR)
    assert lift("chi") == first and first.lifted is not None
    assert len(lab.log("access.HoldLifted")) == 1
    with pytest.raises(NotFound) as error:
        lift("dee")
    assert refused(error) == "access.no_such_hold"
    with lab.system.database.engine.begin() as connection:
        connection.execute(text("UPDATE access_hold SET lifted_by = 'eve'"))
    with pytest.raises(NotFound):
        lift("chi")


def test_a_row_that_says_lifted_is_no_answer_to_who_would_lift_it(lab: Lab) -> None:
    with begin(lab.system) as unit:
        placed = api.place_hold(unit, SYSTEM, "model/tern", "odd reads")
    with lab.system.database.engine.begin() as connection:
        connection.execute(text("UPDATE access_hold SET lifted = 1, lifted_by = 'chi'"))
    signed = lab.opened("chi", "hold.lift", placed.id)
    with begin(lab.system, lab.caller("chi")) as unit:
        assert api.lift_hold(unit, lab.caller("chi"), placed.id, "explained", signed=signed).lifted != 1
    assert len(lab.log("access.HoldLifted")) == 1
