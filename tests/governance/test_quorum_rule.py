"""Quorum and voting classes as tables and properties: no count that is too small, or of the wrong people, decides."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.governance.model import CHOICES, CLASSES, Ballot, Charter, Quorum, Seat
from weighthouse.governance.rules import quorum


def seat(person: str, *, voting: bool = True, independent: bool = False) -> Seat:
    return Seat(person=person, kind="director", voting=voting, independent=independent)


def charter(*seats: Seat, chair: str = "gil", **more: Any) -> Charter:
    return Charter(version=1, seats=seats, chair=chair, **more)


FIVE = charter(
    seat("gil", independent=True),
    seat("hana", independent=True),
    seat("ivo"),
    seat("jan"),
    seat("kay"),
    seat("olu", voting=False),
)


def ballots(**cast: str) -> list[Ballot]:
    return [
        Ballot(motion="m", member=who, choice=choice, at=i, device="d", signature="")  # type: ignore[arg-type]
        for i, (who, choice) in enumerate(cast.items())
    ]


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
    barring = msgspec.structs.replace(FIVE, barred=("gil",))
    assert not quorum.tally(barring, "lift_hold", ballots(gil="for", hana="for", ivo="abstain")).quorate
    assert not quorum.may_hold(barring, ["gil"])


def test_a_chair_without_a_voting_seat_cannot_hold_alone() -> None:
    assert not quorum.may_hold(charter(seat("hana"), seat("ivo"), chair="gil"), ["gil"])


PEOPLE = ["p0", "p1", "p2", "p3", "p4", "p5", "p6"]


@st.composite
def votes(draw: st.DrawFn) -> tuple[Charter, list[Ballot]]:
    seats = [
        seat(person, voting=draw(st.booleans()), independent=draw(st.booleans()))
        for person in PEOPLE[: draw(st.integers(1, 7))]
    ]
    cast = draw(st.lists(st.tuples(st.sampled_from([*PEOPLE, "eve"]), st.sampled_from(CHOICES)), max_size=14))
    made = [
        Ballot(motion="m", member=who, choice=choice, at=i, device="d", signature="")
        for i, (who, choice) in enumerate(cast)
    ]
    return charter(*seats, chair="p0", min_independent=draw(st.integers(0, 2))), made


@given(votes(), st.sampled_from(CLASSES))
def test_nothing_is_ever_carried_below_quorum(found: tuple[Charter, list[Ballot]], cls: Any) -> None:
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
    found: tuple[Charter, list[Ballot]], cls: Any, random: Any
) -> None:
    rules, cast = found
    shuffled = list(cast)
    random.shuffle(shuffled)
    assert quorum.tally(rules, cls, shuffled) == quorum.tally(rules, cls, cast)


@given(votes(), st.sampled_from(CLASSES))
def test_ballots_of_people_without_a_voting_seat_change_nothing(
    found: tuple[Charter, list[Ballot]], cls: Any
) -> None:
    rules, cast = found
    own = [one for one in cast if one.member in rules.voting]
    assert quorum.tally(rules, cls, own) == quorum.tally(rules, cls, cast)


@given(votes(), st.sampled_from(PEOPLE), st.sampled_from(CLASSES))
def test_one_person_alone_never_decides_even_when_all_others_recuse(
    found: tuple[Charter, list[Ballot]], person: str, cls: Any
) -> None:
    rules, cast = found
    alone = [one for one in cast if one.member == person or one.choice == "recuse"]
    assert not quorum.tally(rules, cls, alone).carried


def by_hand(rules: Charter, cls: str, cast: list[Ballot], criticals: int = 0) -> tuple[bool, bool]:
    """The charter read again, person by person and in fractions: (quorate, carried). Shares nothing with the rule."""
    sitting = {
        s.person: s.independent for s in rules.seats if s.voting and s.person not in (*rules.barred, *rules.vacant)
    }
    answers: dict[str, list[str]] = {person: [] for person in sitting}
    for one in sorted(cast, key=lambda ballot: (ballot.at, ballot.member)):
        if one.member in sitting:
            answers[one.member].append(one.choice)
    able = [person for person in sitting if "recuse" not in answers[person]]
    there = [person for person in able if answers[person]]
    demanded = rules.quorums.get({"release_clear": "release", "lift_hold": "release"}.get(cls, cls)) or Quorum()
    quorate = (
        len(there) >= 2
        and Fraction(len(there)) > Fraction(len(able), 2)
        and len(there) >= demanded.present
        and sum(sitting[person] for person in there) >= max(rules.min_independent, demanded.independent)
    )
    yes = sum(answers[person][0] == "for" for person in there)
    no = sum(answers[person][0] == "against" for person in there)
    share = {"lift_hold": yes > Fraction(len(able), 2), "charter_change": yes >= Fraction(2 * len(able), 3)}
    carried = yes > no and share.get(cls, True) and yes >= max(demanded.approve, 1)
    return quorate, quorate and carried and not (cls == "release_clear" and criticals)


@st.composite
def committees(draw: st.DrawFn, most: int = 7) -> tuple[Charter, list[Ballot]]:
    """Charters with every kind of seat and demand, and ballots on them, some of strangers and some twice."""
    rules, cast = draw(votes())
    rules = msgspec.structs.replace(
        rules,
        seats=rules.seats[:most],
        barred=tuple(draw(st.sets(st.sampled_from(PEOPLE), max_size=2))),
        vacant=tuple(draw(st.sets(st.sampled_from(PEOPLE), max_size=2))),
        quorums={
            name: Quorum(
                present=draw(st.integers(0, 4)), approve=draw(st.integers(0, 4)), independent=draw(st.integers(0, 2))
            )
            for name in draw(st.sets(st.sampled_from(["release", "hold", "ordinary", "charter_change"])))
        },
    )
    return rules, cast


@given(committees(), st.sampled_from(CLASSES), st.integers(0, 1))
def test_the_count_is_the_one_that_is_made_by_hand(found: tuple[Charter, list[Ballot]], cls: Any, bad: int) -> None:
    rules, cast = found
    count = quorum.tally(rules, cls, cast, criticals=bad)
    assert (count.quorate, count.carried) == by_hand(rules, cls, cast, bad)


@given(committees(most=5), st.sampled_from(CLASSES), st.integers(0, 1))
def test_settled_means_that_no_answer_still_missing_changes_the_outcome(
    found: tuple[Charter, list[Ballot]], cls: Any, bad: int
) -> None:
    rules, cast = found
    quorate, now = by_hand(rules, cls, cast, bad)
    if not quorate:
        return
    missing = quorum.waiting(rules, cast)
    outcomes = {
        by_hand(
            rules,
            cls,
            [
                *cast,
                *(
                    Ballot(motion="m", member=who, choice=choice, at=99, device="d", signature="")
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
    assert quorum.waiting(FIVE, early) == ("jan", "kay")


def test_an_empty_seat_is_said_and_counts_nowhere() -> None:
    left = msgspec.structs.replace(FIVE, vacant=("gil", "hana"))
    assert left.voting == {"ivo", "jan", "kay"}
    assert quorum.vacancies(FIVE) == ()
    assert quorum.vacancies(left)[:2] == ("the seat of gil is vacant", "the seat of hana is vacant")
    assert "nothing can be decided" in quorum.vacancies(left)[2]
    assert left.statement() == FIVE.statement()
