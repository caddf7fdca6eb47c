"""The committee does not fall silent by the act of those whom it guards against: a hold, a freeze, one by one."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.governance.nine import MEMBERS, Nine
from weighthouse.access import api as access
from weighthouse.access.api.mandate import recount
from weighthouse.access.ports import Refusals
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, Denied, WeighthouseError
from weighthouse.core.ids import HoldId, new_id
from weighthouse.core.work import begin, read
from weighthouse.detect import api as detect
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

CODES = ("access.committee_silenced", "access.committee_not_held")


@pytest.fixture
def nine(database: Database, clock: ManualClock, tmp_path: Path) -> Nine:
    return Nine(database, clock, tmp_path)


@pytest.fixture
def any_nine(any_database: Database, clock: ManualClock, tmp_path: Path) -> Nine:
    """The same test on both databases."""
    return Nine(any_database, clock, tmp_path)


def hold(nine: Nine, subject: str, *actions: str, who: str = "chi") -> access.Hold:
    caller = nine.person(who)
    with begin(nine.system, caller) as unit:
        return access.place_hold(unit, caller, subject, "signs of a stolen session", actions=actions)


def refused(nine: Nine, act: Any) -> str:
    before = [one for one in nine.facts("access.Denied") if one["code"] in CODES]
    with pytest.raises(Denied) as refusal:
        act()
    after = [one for one in nine.facts("access.Denied") if one["code"] in CODES]
    assert [one["code"] for one in after[len(before) :]] == [refusal.value.code]
    return refusal.value.code


def silent(nine: Nine) -> frozenset[str]:
    with read(nine.system) as unit:
        return access.seating(unit).silenced


@pytest.mark.parametrize("act", ["committee.vote", "committee.hold"])
@pytest.mark.parametrize("subject", ["lab", "model/tern"])
def test_acts_of_the_committee_are_held_for_no_thing_and_not_for_the_lab(nine: Nine, subject: str, act: str) -> None:
    assert refused(nine, lambda: hold(nine, subject, "weights.export", act)) == "access.committee_not_held"
    planted = access.Hold(
        id=HoldId(new_id("hld")), subject=subject, kind="security", reason="of an earlier release", actions=(act,),
        placed_by="chi", at=nine.clock.now(),
    )  # fmt: skip
    nine.system.part(Refusals).place(planted)
    held = str(nine.hold("gil").hold)
    motion = nine.open(held).motion.id
    nine.answer(motion, "for", *MEMBERS[:5])
    assert nine.close(motion).outcome == "carried"


@pytest.mark.parametrize("ways", [("freeze",), ("hold",), ("vote",), ("freeze", "hold", "vote")])
def test_members_are_stopped_one_by_one_only_while_the_rest_can_decide(nine: Nine, ways: tuple[str, ...]) -> None:
    """Six of nine move the charter, so three may be stopped, by whatever way and whoever does it."""
    acts = {
        "freeze": nine.freeze,
        "hold": lambda who: hold(nine, who),
        "vote": lambda who: hold(nine, who, "weights.load", "committee.vote"),
    }
    for i, who in enumerate(MEMBERS[3:6]):
        acts[ways[i % len(ways)]](who)
    assert silent(nine) == set(MEMBERS[3:6])
    for way in acts:
        assert refused(nine, lambda way=way: acts[way]("hana")) == "access.committee_silenced"
    assert silent(nine) == set(MEMBERS[3:6])
    hold(nine, "hana", "weights.export")
    nine.freeze("eve")


def test_what_the_system_finds_about_one_member_too_many_stops_all_but_the_acts_of_the_committee(nine: Nine) -> None:
    for who in MEMBERS[3:7]:
        with begin(nine.system) as unit:
            placed = access.place_hold(unit, SYSTEM, who, "bulk reads: read more than the work needs")
    assert silent(nine) == set(MEMBERS[3:6])
    assert "weights.load" in placed.actions and not policy.GOVERNING & set(placed.actions)


def test_a_thaw_that_leaves_every_key_aside_is_no_way_round(nine: Nine) -> None:
    """Freeze one, thaw them, freeze the next: each would be left without a key, and nobody could vote."""
    for who in MEMBERS[3:6]:
        nine.device(who)
        nine.freeze(who)
        with begin(nine.system) as unit:
            identity.thaw(unit, who, "It was a mistake.", "operator")
    assert silent(nine) == set(MEMBERS[3:6])
    assert refused(nine, lambda: nine.freeze("hana")) == "access.committee_silenced"


def test_a_frozen_voter_leaves_the_motion_whole_and_takes_back_no_vote_against(nine: Nine) -> None:
    held = str(nine.hold("gil").hold)
    motion = nine.open(held, cls="ordinary").motion.id
    nine.answer(motion, "for", "gil", "hana", "ivo")
    nine.answer(motion, "against", "m4", "m5", "m6", "m7")
    for who in ("m4", "m5", "m6"):
        nine.freeze(who)
    view = nine.motion(motion)
    assert (view.fault, view.tally.votes_against, view.tally.carried) == ("", 4, False)
    nine.answer(motion, "abstain", "m8")
    nine.clock.advance(3 * DAY)
    assert nine.close(motion).outcome == "lost"


def test_two_at_one_moment_do_not_each_stop_the_last_member(any_nine: Nine) -> None:
    """Judged under the lock of the charter, and by what this server remembers of a stop that is not committed yet."""
    for who in MEMBERS[3:5]:
        any_nine.freeze(who)
    said: list[str] = []

    def stop() -> None:
        try:
            any_nine.freeze("ivo")
        except WeighthouseError as refusal:
            said.append(refusal.code)
        else:
            said.append("frozen")

    chi, second = any_nine.person("chi"), threading.Thread(target=stop)
    with begin(any_nine.system, chi) as unit:
        detect.freeze(unit, chi, "hana", "Their laptop was reported stolen.")
        second.start()
        second.join(2)
        assert said in ([], ["access.committee_silenced"])  # on PostgreSQL it waits but a moment for the lock
    second.join()
    assert said == ["access.committee_silenced"]
    assert silent(any_nine) == {*MEMBERS[3:5], "hana"}


@pytest.mark.parametrize("seed", (1, 2))
def test_page_interface_and_access_give_one_verdict_and_it_is_the_one_that_binds(any_nine: Nine, seed: int) -> None:
    """Random members answer at random, some are stopped after: all count alike, and fewer than five lift nothing."""
    chance = random.Random(seed)
    nine = any_nine
    held = str(nine.hold("gil").hold)
    motion = nine.open(held).motion.id
    weights = (8, 1, 1, 1) if seed % 2 else (2, 1, 1, 1)
    said = {
        who: chance.choices(("for", "against", "abstain", "recuse"), weights)[0]
        for who in MEMBERS
        if chance.random() < 0.9
    }
    for who, choice in said.items():
        nine.cast(who, motion, choice)
    for who in chance.sample(MEMBERS[1:], 2):
        nine.freeze(who)
    nine.settle()
    nine.clock.advance(3 * DAY)
    view = nine.motion(motion)
    with read(nine.system) as unit:
        ballots = [
            access.AuthorityBallot(
                voter=one["member"], device=one["device"], at=one["signed_at"], signature=one["signature"],
                choice=one["choice"], audience=one["audience"],
            )
            for one in nine.facts("governance.BallotCast")
        ]  # fmt: skip
        counted = recount(unit, "lift_hold", view.digest, ballots)
    assert counted == view.tally
    closer = next(who for who in MEMBERS if said.get(who) != "recuse" and who not in silent(nine))
    try:
        carried = nine.close(motion, closer).outcome == "carried"
    except Conflict as refusal:
        assert (refusal.code, view.tally.quorate) == ("governance.no_quorum", False)
        carried = False
    assert carried == view.tally.carried == (not nine.status().held)
    if sum(choice == "for" for choice in said.values()) < 5:
        assert not carried


@pytest.mark.parametrize("members", [0b000001111, 0b100010101])
def test_four_members_together_lift_no_hold_whatever_else_they_try(nine: Nine, members: int) -> None:
    acting = [who for bit, who in enumerate(MEMBERS) if members >> bit & 1]
    held = str(nine.hold("gil").hold)
    motion = nine.open(held, acting[0]).motion.id
    nine.answer(motion, "for", *acting)
    for who in set(MEMBERS[1:]) - set(acting):
        try:
            nine.freeze(who)
        except Denied as refusal:
            assert refusal.code == "access.committee_silenced"
    nine.clock.advance(20 * DAY)
    with pytest.raises(Conflict) as refusal:
        nine.close(motion, acting[0])
    assert refusal.value.code == "governance.no_quorum"
    for who in (*acting, "chi", "dee"):
        caller = nine.person(who)
        with pytest.raises(Denied) as no, begin(nine.system, caller) as unit:
            access.lift_hold(unit, caller, held, "We say so.")
        assert no.value.code in ("access.hold_needs_committee", "access.no_standing", "access.person_inactive")
    assert nine.status().held
