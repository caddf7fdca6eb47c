"""Quorum and voting classes as tables and properties: no count that is too small, or of the wrong people, decides."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.access.model import GOVERNING as HELD_FOR_NO_THING
from weighthouse.core.clock import Millis
from weighthouse.governance import api as governance
from weighthouse.policy import api as policy
from weighthouse.policy.api import Seating
from weighthouse.policy.rules import quorum
from weighthouse.policy.rules.quorum import CHOICES, CLASSES
from weighthouse.policy.rules.read import read_lab

LAB = (Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml").read_text("utf-8")


class Ballot(msgspec.Struct, frozen=True, kw_only=True):
    member: str
    choice: str
    at: Millis


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    person: str
    voting: bool
    independent: bool


def Quorum(present: int = 0, approve: int = 0, independent: int = 0) -> policy.QuorumRule:
    return policy.QuorumRule(id="", present=present, approve=approve, independent=independent)


def seat(person: str, *, voting: bool = True, independent: bool = False) -> Seat:
    return Seat(person=person, voting=voting, independent=independent)


def charter(*seats: Seat, chair: str = "gil", **more: Any) -> Seating:
    return Seating(
        seats=frozenset(one.person for one in seats if one.voting),
        independent=frozenset(one.person for one in seats if one.voting and one.independent),
        chair=chair,
        **more,
    )


FIVE = charter(
    seat("gil", independent=True),
    seat("hana", independent=True),
    seat("ivo"),
    seat("jan"),
    seat("kay"),
    seat("olu", voting=False),
)


def ballots(**cast: str) -> list[Ballot]:
    return [Ballot(member=who, choice=choice, at=i) for i, (who, choice) in enumerate(cast.items())]


@pytest.mark.parametrize(
    ("story", "given_so", "fallen", "counting", "void"),
    [
        ("a later answer replaces one that stands again", "for against", "", "against", False),
        ("also where the later one has fallen since", "for against", "against", "against", True),
        ("what fell may be answered again", "for", "for", "", True),
        ("a no that fell counts until then", "against", "against", "against", True),
        ("and no longer once its member has answered", "against for", "against", "for", False),
        ("a recusal that stands comes beside what was said", "against recuse", "", "against recuse", False),
        ("one that fell takes no answer back", "against recuse", "recuse", "against", False),
        ("nor lets an earlier one stand again", "for against recuse", "against recuse", "against", True),
    ],
)
def test_what_fell_stays_fallen(story: str, given_so: str, fallen: str, counting: str, void: bool) -> None:
    cast = [Ballot(member="hana", choice=one, at=i) for i, one in enumerate(given_so.split())]
    found, whose = quorum.heard(cast, lambda one: one.choice not in fallen.split())
    assert (" ".join(one.choice for one in found), whose) == (counting, ("hana",) if void else ()), story


@pytest.mark.parametrize(
    ("story", "cast", "quorate", "carried"),
    [
        ("nobody came", {}, False, False),
        ("two of five are below quorum", {"gil": "for", "hana": "for"}, False, False),
        ("three of five, one independent", {"gil": "for", "ivo": "for", "jan": "for"}, True, True),
        ("three of five, none independent", {"ivo": "for", "jan": "for", "kay": "for"}, False, False),
        ("an observer does not make the quorum", {"gil": "for", "hana": "for", "olu": "for"}, False, False),
        ("a stranger does not make the quorum", {"gil": "for", "hana": "for", "eve": "for"}, False, False),
        ("an abstention is presence, not a vote", {"gil": "for", "hana": "for", "ivo": "abstain"}, True, False),
        ("a tie among five is lost", {"gil": "for", "hana": "for", "ivo": "against", "jan": "against"}, True, False),
        ("all for", {"gil": "for", "hana": "for", "ivo": "for", "jan": "for", "kay": "for"}, True, True),
        (
            "recusal leaves the count: two of three suffice",
            {"jan": "recuse", "kay": "recuse", "gil": "for", "ivo": "for"},
            True,
            True,
        ),
        (
            "recusal of the independents leaves no quorum",
            {"gil": "recuse", "hana": "recuse", "ivo": "for", "jan": "for", "kay": "for"},
            False,
            False,
        ),
        ("everybody recused", dict.fromkeys(["gil", "hana", "ivo", "jan", "kay"], "recuse"), False, False),
    ],
)
def test_lifting_a_hold_needs_a_quorate_majority(
    story: str, cast: dict[str, str], quorate: bool, carried: bool
) -> None:
    count = quorum.tally(FIVE, "lift_hold", ballots(**cast))
    assert (count.quorate, count.carried) == (quorate, carried), story
    assert (quorum.lacks(count) == "") == count.quorate


@pytest.mark.parametrize(
    ("cls", "cast", "criticals", "carried"),
    [
        ("ordinary", {"gil": "for", "hana": "abstain", "ivo": "abstain"}, 0, True),
        ("ordinary", {"gil": "for", "hana": "against", "ivo": "abstain"}, 0, False),
        ("release_clear", {"gil": "for", "hana": "for", "ivo": "against"}, 0, True),
        ("release_clear", {"gil": "for", "hana": "for", "ivo": "for"}, 1, False),
        ("hold", {"gil": "for"}, 0, False),
        ("hold", {"gil": "for", "hana": "for", "ivo": "for"}, 0, True),
        ("charter_change", {"gil": "for", "hana": "for", "ivo": "for"}, 0, False),
        ("charter_change", {"gil": "for", "hana": "for", "ivo": "for", "jan": "for"}, 0, True),
    ],
)
def test_each_class_has_its_rule(cls: Any, cast: dict[str, str], criticals: int, carried: bool) -> None:
    assert quorum.tally(FIVE, cls, ballots(**cast), criticals=criticals).carried == carried


def test_whoever_recused_cannot_vote_later_and_whoever_voted_may_still_recuse() -> None:
    late = [*ballots(gil="recuse"), *ballots(ivo="for", jan="for", gil="for")]
    assert quorum.choices(FIVE, late)["gil"] == "recuse"
    assert quorum.choices(FIVE, [*ballots(gil="for"), *ballots(hana="for", gil="recuse")])["gil"] == "recuse"


def test_a_second_ballot_of_one_member_changes_nothing() -> None:
    twice = [*ballots(gil="against"), *ballots(hana="for", gil="for")]
    assert quorum.choices(FIVE, twice) == {"gil": "against", "hana": "for"}


@pytest.mark.parametrize(
    ("count", "more_than_half", "at_least_two_thirds"),
    [(1, 1, 1), (2, 2, 2), (3, 2, 2), (4, 3, 3), (5, 3, 4), (6, 4, 4), (9, 5, 6)],
)
def test_fractions(count: int, more_than_half: int, at_least_two_thirds: int) -> None:
    assert quorum.majority(count) == more_than_half
    assert quorum.two_thirds(count) == at_least_two_thirds


@pytest.mark.parametrize(
    ("members", "holds"),
    [
        (["gil"], True),
        (["hana"], False),
        (["hana", "ivo"], True),
        (["hana", "hana"], False),
        (["hana", "olu"], False),
        (["olu", "eve"], False),
        ([], False),
    ],
)
def test_two_members_or_the_chair_alone_may_hold(members: list[str], holds: bool) -> None:
    assert quorum.may_hold(FIVE, members) == holds


def test_the_charter_can_only_tighten_the_rule() -> None:
    cast = ballots(gil="for", hana="for", ivo="for")
    for tighter in (Quorum(present=4), Quorum(approve=4), Quorum(independent=3)):
        strict = msgspec.structs.replace(FIVE, quorums={"release": tighter})
        assert not quorum.tally(strict, "lift_hold", cast).carried
        assert quorum.tally(strict, "ordinary", cast).carried
    lax = msgspec.structs.replace(FIVE, quorums={"release": Quorum(present=1, approve=1)})
    assert not quorum.tally(lax, "lift_hold", ballots(gil="for", hana="for")).carried


def test_whom_the_charter_bars_never_counts_even_in_a_voting_seat() -> None:
    text = LAB.replace("barred: [dee]", "barred: [gil]")
    kept = read_lab(text, "lab.yaml", kept=True)
    assert kept.committee is not None
    barring = quorum.seating(kept.committee, kept.people, 0)
    assert barring.seats == {"hana", "ivo"}
    assert not quorum.tally(barring, "lift_hold", ballots(gil="for", hana="for", ivo="abstain")).carried
    assert not quorum.may_hold(barring, ["gil"])


def test_a_chair_without_a_voting_seat_cannot_hold_alone() -> None:
    assert not quorum.may_hold(charter(seat("hana"), seat("ivo"), chair="gil"), ["gil"])


PEOPLE = ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]


@st.composite
def votes(draw: st.DrawFn) -> tuple[Seating, list[Ballot]]:
    seats = [
        seat(person, voting=draw(st.booleans()), independent=draw(st.booleans()))
        for person in PEOPLE[: draw(st.integers(1, 7))]
    ]
    cast = draw(st.lists(st.tuples(st.sampled_from([*PEOPLE, "eve"]), st.sampled_from(CHOICES)), max_size=14))
    made = [Ballot(member=who, choice=choice, at=i) for i, (who, choice) in enumerate(cast)]
    return charter(*seats, chair="p0", min_independent=draw(st.integers(0, 2))), made


@given(votes(), st.sampled_from(CLASSES))
def test_nothing_is_ever_carried_below_quorum(found: tuple[Seating, list[Ballot]], cls: Any) -> None:
    rules, cast = found
    count = quorum.tally(rules, cls, cast)
    if count.carried:
        assert count.quorate
        assert 2 * count.present > count.seats
        assert count.independent_present >= rules.min_independent
        assert count.votes_for > count.votes_against
        assert count.votes_for >= 1


@given(votes(), st.sampled_from(CLASSES), st.randoms(use_true_random=False))
def test_the_order_of_rows_never_changes_the_count(
    found: tuple[Seating, list[Ballot]], cls: Any, random: Any
) -> None:
    rules, cast = found
    shuffled = list(cast)
    random.shuffle(shuffled)
    assert quorum.tally(rules, cls, shuffled) == quorum.tally(rules, cls, cast)


@given(votes(), st.sampled_from(CLASSES))
def test_ballots_of_people_without_a_voting_seat_change_nothing(
    found: tuple[Seating, list[Ballot]], cls: Any
) -> None:
    rules, cast = found
    own = [one for one in cast if one.member in rules.seats]
    assert quorum.tally(rules, cls, own) == quorum.tally(rules, cls, cast)


@given(votes(), st.sampled_from(PEOPLE), st.sampled_from(CLASSES))
def test_one_person_alone_never_decides_even_when_all_others_recuse(
    found: tuple[Seating, list[Ballot]], person: str, cls: Any
) -> None:
    rules, cast = found
    alone = [one for one in cast if one.member == person or one.choice == "recuse"]
    assert not quorum.tally(rules, cls, alone).carried


def by_hand(rules: Seating, cls: str, cast: list[Ballot], criticals: int = 0) -> tuple[bool, bool]:
    """The charter read again, person by person and in fractions: (quorate, carried). Shares nothing with the rule."""
    gone, mute = rules.over | rules.left, rules.silenced
    answers: dict[str, list[str]] = {person: [] for person in rules.seats - gone}
    for one in sorted(cast, key=lambda ballot: (ballot.at, ballot.member)):
        if one.member in answers:
            answers[one.member].append(one.choice)
    stepped = [person for person in answers if "recuse" in answers[person]]
    sized = len(rules.seats) - len(stepped)
    there = [person for person in answers if answers[person] and person not in stepped and person not in mute]
    names = {"release_clear": "release", "lift_hold": "release"}
    asked = rules.quorums if cls == "charter_change" else {0: rules.quorums.get(names.get(cls, cls)) or Quorum()}
    most = [
        max([getattr(one, name) for one in asked.values()] or [0]) for name in ("present", "approve", "independent")
    ]
    quorate = (
        len(there) >= max(2, most[0])
        and Fraction(len(there)) > Fraction(sized, 2)
        and sum(person in rules.independent for person in there) >= max(rules.min_independent, most[2])
    )
    yes = sum(answers[person][0] == "for" for person in there)
    no = sum(answers[person][0] == "against" for person in answers if answers[person] and person not in stepped)
    share = {"lift_hold": yes > Fraction(sized, 2), "charter_change": yes >= Fraction(2 * sized, 3)}
    carried = yes > no and share.get(cls, True) and yes >= max(most[1], 1)
    return quorate, quorate and carried and not (cls == "release_clear" and criticals)


some = st.frozensets(st.sampled_from(PEOPLE), max_size=2)


@st.composite
def committees(draw: st.DrawFn, most: int = 9, silenced: bool = True) -> tuple[Seating, list[Ballot]]:
    """Charters with every kind of seat and demand, and ballots on them, some of strangers and some twice."""
    rules, cast = draw(votes())
    seats = frozenset(sorted(rules.seats)[:most])
    rules = msgspec.structs.replace(
        rules,
        seats=seats,
        independent=rules.independent & seats,
        left=draw(some) & seats,
        silenced=draw(some) & seats if silenced else frozenset(),
        quorums={
            name: Quorum(
                present=draw(st.integers(0, 4)), approve=draw(st.integers(0, 4)), independent=draw(st.integers(0, 2))
            )
            for name in draw(st.sets(st.sampled_from(["release", "hold", "ordinary", "charter_change"])))
        },
    )
    return rules, cast


@given(committees(), st.sampled_from(CLASSES), st.integers(0, 1))
def test_the_count_is_the_one_that_is_made_by_hand(found: tuple[Seating, list[Ballot]], cls: Any, bad: int) -> None:
    rules, cast = found
    count = quorum.tally(rules, cls, cast, criticals=bad)
    assert (count.quorate, count.carried) == by_hand(rules, cls, cast, bad)


@given(committees(most=5, silenced=False), st.sampled_from(CLASSES), st.integers(0, 1))
def test_settled_means_that_no_answer_still_missing_changes_the_outcome(
    found: tuple[Seating, list[Ballot]], cls: Any, bad: int
) -> None:
    rules, cast = found
    quorate, now = by_hand(rules, cls, cast, bad)
    if not quorate:
        return
    missing = quorum.waiting(rules, cls, cast)
    outcomes = {
        by_hand(
            rules,
            cls,
            [
                *cast,
                *(
                    Ballot(member=who, choice=choice, at=99)
                    for who, choice in zip(missing, answer, strict=True)
                    if choice is not None
                ),
            ],
            bad,
        )
        for answer in product((*CHOICES, None), repeat=len(missing))
    }
    assert quorum.settled(rules, cls, cast, criticals=bad) == (outcomes == {(True, now)})


def test_the_first_to_count_cannot_pick_the_moment() -> None:
    early = ballots(gil="for", hana="for", ivo="against")
    assert quorum.tally(FIVE, "ordinary", early).carried
    assert not quorum.settled(FIVE, "ordinary", early)
    assert not quorum.settled(FIVE, "lift_hold", early)
    assert quorum.settled(FIVE, "lift_hold", [*early, *ballots(jan="for")])
    assert quorum.waiting(FIVE, "ordinary", early) == ("jan", "kay")


def test_an_empty_seat_is_said_and_makes_no_quorum_smaller() -> None:
    gone = msgspec.structs.replace(FIVE, left=frozenset({"gil", "hana"}))
    assert gone.sitting == {"ivo", "jan", "kay"}
    assert quorum.vacancies(FIVE) == ()
    assert quorum.vacancies(gone)[:2] == ("the seat of gil is vacant", "the seat of hana is vacant")
    assert "can be decided" in quorum.vacancies(gone)[2]
    for emptied in ("left", "over", "silenced"):
        two = msgspec.structs.replace(FIVE, **{emptied: frozenset({"ivo", "jan", "kay"})})
        assert not quorum.tally(two, "lift_hold", ballots(gil="for", hana="for")).carried, emptied


def test_silencing_who_voted_against_does_not_carry_a_motion_nor_settle_it() -> None:
    nine = charter(*(seat(f"m{i}", independent=i < 4) for i in range(9)), chair="m0")
    cast = ballots(m0="for", m1="for", m2="for", m3="against", m4="against", m5="against", m6="against")
    assert not quorum.tally(nine, "ordinary", cast).carried
    mute = msgspec.structs.replace(nine, silenced=frozenset({"m3", "m4"}))
    assert not quorum.tally(mute, "ordinary", cast).carried
    unheard = msgspec.structs.replace(nine, silenced=frozenset({"m5", "m6", "m7", "m8"}))
    early = ballots(m0="for", m1="for", m2="for", m3="abstain", m4="abstain")
    assert quorum.tally(unheard, "ordinary", early).carried
    assert not quorum.settled(unheard, "ordinary", early)


def test_whose_term_is_over_holds_over_only_to_move_the_charter_and_only_where_nobody_else_can() -> None:
    over = msgspec.structs.replace(FIVE, over=frozenset({"gil", "hana", "ivo"}))
    everybody = ballots(gil="for", hana="for", ivo="for", jan="for", kay="for")
    assert quorum.stuck(over) == ("ordinary", "release_clear", "hold", "lift_hold")
    assert quorum.tally(over, "charter_change", everybody).carried
    assert not quorum.tally(over, "charter_change", everybody[:3]).carried
    enough = msgspec.structs.replace(FIVE, over=frozenset({"ivo"}))
    assert not quorum.tally(enough, "charter_change", ballots(gil="for", hana="for", ivo="for")).carried
    frozen = msgspec.structs.replace(over, silenced=frozenset({"gil", "hana", "ivo"}))
    assert not quorum.tally(frozen, "charter_change", everybody).carried


def test_moving_the_charter_takes_the_highest_quorum_that_it_has() -> None:
    strict = msgspec.structs.replace(FIVE, quorums={"ordinary": Quorum(5, 5, 2), "release": Quorum(3, 3, 1)})
    four = ballots(gil="for", hana="for", ivo="for", jan="for")
    assert quorum.tally(FIVE, "charter_change", four).carried
    assert not quorum.tally(strict, "charter_change", four).carried
    assert quorum.tally(strict, "lift_hold", four).carried


NINE = [f"m{i}" for i in range(9)]


def nine(**more: Any) -> Seating:
    rules = {"release": Quorum(5, 5, 1), "charter_change": Quorum(6, 6, 1)}
    return charter(
        *(seat(who, independent=i in (0, 4, 8)) for i, who in enumerate(NINE)), chair="m0", quorums=rules, **more
    )


@pytest.mark.parametrize("emptied", ["silenced", "left", "over"])
def test_no_combination_of_fewer_than_the_quorum_moves_the_charter_or_lifts_a_hold(emptied: str) -> None:
    """All 512 sets of members that act together, whatever they answer, the rest of the seats emptied or not."""
    for members in range(512):
        acting = [who for bit, who in enumerate(NINE) if members >> bit & 1]
        for cls, least in (("lift_hold", 5), ("charter_change", 6)):
            if len(acting) >= least:
                continue
            others = frozenset(NINE) - frozenset(acting)
            for rest in (frozenset[str](), others):
                found = nine(**{emptied: rest})
                for recusing in range(len(acting) + 1):
                    said = {who: "recuse" if i < recusing else "for" for i, who in enumerate(acting)}
                    assert not quorum.tally(found, cls, ballots(**said)).carried, (acting, cls, recusing)


def test_whoever_is_for_it_the_count_is_the_one_by_hand_and_says_what_is_short() -> None:
    for members in range(512):
        acting = ballots(**{who: "for" for bit, who in enumerate(NINE) if members >> bit & 1})
        for cls in CLASSES:
            count = quorum.tally(nine(), cls, acting)
            assert (count.quorate, count.carried) == by_hand(nine(), cls, acting)
            assert (quorum.short(count) == "") == count.carried


def test_one_rule_names_the_classes_the_answers_and_the_acts_for_all_rooms() -> None:
    assert (governance.CLASSES, governance.CHOICES) == (CLASSES, CHOICES)
    assert HELD_FOR_NO_THING == policy.GOVERNING
