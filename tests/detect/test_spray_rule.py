"""Rule R8 as a pure function: it fires on a spray that succeeded, and on nothing that merely looks like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.detect.model import Asked, Attempt
from weighthouse.detect.rules import spray

T = 10 * HOUR


def fail(index: int, account: str, at: int = T, network: str = "n") -> Attempt:
    return Attempt(index=index, at=at, network=network, account=account, succeeded=False)


def success(index: int, at: int = T, session: str = "ses_1", *, level: int = 2, strange: bool = False) -> Attempt:
    return Attempt(
        index=index,
        at=at,
        network="n",
        account="eve",
        succeeded=True,
        session=session,
        principal="eve",
        level=level,
        strange=strange,
    )


def entered(index: int, person: str, at: int = T) -> Attempt:
    return Attempt(
        index=index, at=at, network="n", account=person, succeeded=True, session=f"ses_{person}", principal=person
    )


def mistyped(index: int, person: str, at: int = T - MINUTE) -> Attempt:
    return Attempt(index=index, at=at, network="n", account=f"mark of {person}", succeeded=False, principal=person)


def entered_next(index: int, person: str, at: int) -> Attempt:
    return entered(index + 1, person, at + 1)


def fails(count: int, at: int = T - MINUTE) -> list[Attempt]:
    return [fail(i, f"user{i}", at + i) for i in range(count)]


def test_a_spray_that_succeeded_fires_once_with_its_evidence() -> None:
    (incident,) = spray.find([*fails(5), success(9)], 5, HOUR)
    assert incident.session == "ses_1"
    assert incident.principal == "eve"
    assert incident.evidence == (0, 1, 2, 3, 4, 9)
    assert incident.text == (
        "5 names failed to sign in from one network within 60 minutes; then this sign-in succeeded from it, with a "
        "second factor, on a device that its person had used before."
    )


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("strange", [True, False])
def test_a_guess_that_came_right_is_high_and_what_shows_more_is_medium(own: bool, level: int, strange: bool) -> None:
    """High ends the session: one factor, a device nobody knows, and that very account was tried before. A stranger can
    fail under any name, so that each of the three is needed, and their first two the risk check lets nobody have."""
    tried = [*fails(5), *([mistyped(7, "eve")] if own else [])]
    (incident,) = spray.find([*tried, success(9, level=level, strange=strange)], 5, HOUR)
    assert incident.severity == ("high" if own and level == 1 and strange else "medium")
    assert ("this person's among them" in incident.text) is own


def asked(index: int, at: int = T, person: str = "eve", network: str = "n") -> Asked:
    return Asked(index=index, at=at, network=network, principal=person)


@pytest.mark.parametrize(
    ("story", "demands", "began", "told"),
    [
        ("nobody answers", [asked(1)], [], [(1,)]),
        ("the owner answers", [asked(1)], [success(2, T + MINUTE)], []),
        ("with one factor, which answers nothing", [asked(1)], [success(2, T, level=1)], [(1,)]),
        ("too late to be the answer", [asked(1)], [success(2, T + 11 * MINUTE)], [(1,)]),
        ("before it was asked", [asked(5)], [success(2)], [(5,)]),
        ("a thief asks, and the owner too, who signs in", [asked(1), asked(2, T + 1)], [success(3, T + 2)], [(1,)]),
        ("from another network", [asked(1, network="m")], [success(2)], [(1,)]),
        ("of somebody else", [asked(1, person="ada")], [success(2)], [(1,)]),
        ("a thief tries again and again", [asked(1), asked(2), asked(3)], [], [(1, 2, 3)]),
        ("two people", [asked(1), asked(2, person="ada")], [], [(1,), (2,)]),
    ],
)
def test_a_right_password_without_its_second_factor_is_told_of_once(
    story: str, demands: list[Asked], began: list[Attempt], told: list[tuple[int, ...]]
) -> None:
    found = spray.unanswered(demands, began, T + 12 * MINUTE)
    assert [one.evidence for one in found] == told, story
    assert all("change" not in one.text and one.session == "" for one in found)
    assert spray.unanswered(demands, [], T + 5 * MINUTE) == ()  # there is time yet


@pytest.mark.parametrize(
    ("story", "attempts"),
    [
        ("four accounts are too few", [*fails(4), success(9)]),
        ("no success followed", fails(30)),
        ("one person forgot a password thirty times", [*(fail(i, "ada", T - i) for i in range(30)), success(99)]),
        ("the failures are older than the window", [*fails(8, T - 2 * HOUR), success(9)]),
        ("the failures came after the success", [*fails(8, T + MINUTE), success(9)]),
        ("the same four events, imported three times", [*fails(4), *fails(4), *fails(4), success(9)]),
        ("nothing at all", []),
        (
            "six colleagues mistyped, and each then got in",
            [one(i, f"p{i // 2}", T - MINUTE + i) for i in range(0, 12, 2) for one in (mistyped, entered_next)],
        ),
        ("one person failed with five accounts of theirs", [*(mistyped(i, "ada") for i in range(5)), success(9)]),
    ],
)
def test_benign_look_alikes_do_not_fire(story: str, attempts: list[Attempt]) -> None:
    assert spray.find(attempts, 5, HOUR) == (), story


def test_the_edges_of_the_window_belong_to_it() -> None:
    edge = [fail(i, f"user{i}", T - HOUR) for i in range(4)] + [fail(5, "user5", T)]
    assert len(spray.find([*edge, success(9)], 5, HOUR)) == 1
    outside = [fail(i, f"user{i}", T - HOUR - 1) for i in range(4)] + [fail(5, "user5", T)]
    assert spray.find([*outside, success(9)], 5, HOUR) == ()


def test_whoever_got_in_by_the_spray_does_not_make_room_for_the_next() -> None:
    sprayed = [mistyped(i, f"p{i}") for i in range(5)]
    found = spray.find([*sprayed, entered(10, "p0"), entered(11, "p1", T + 1), entered(12, "p2", T + 2)], 5, HOUR)
    assert [one.session for one in found] == ["ses_p0", "ses_p1", "ses_p2"]


def test_a_failure_after_ones_own_success_counts_again() -> None:
    before = [mistyped(i, f"p{i}", T - 9 * MINUTE) for i in range(4)] + [entered(5, "p0", T - 8 * MINUTE)]
    assert spray.find([*before, mistyped(6, "p9"), success(9)], 5, HOUR) == ()
    assert len(spray.find([*before, mistyped(6, "p9"), mistyped(7, "p0"), success(9)], 5, HOUR)) == 1


@given(st.permutations([*fails(6), success(9), success(10, T + 1, "ses_2")]))
def test_order_of_arrival_changes_nothing(attempts: list[Attempt]) -> None:
    found = spray.find(attempts, 5, HOUR)
    assert [one.key for one in found] == ["spray-then-success:ses_1", "spray-then-success:ses_2"]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(T - 2 * HOUR, T + HOUR)), max_size=40))
def test_it_fires_exactly_when_enough_distinct_accounts_failed_in_the_hour_before(
    tries: list[tuple[int, int]],
) -> None:
    attempts = [fail(i, f"user{user}", at) for i, (user, at) in enumerate(tries)]
    distinct = {user for user, at in tries if T - HOUR <= at <= T}
    assert bool(spray.find([*attempts, success(99)], 5, HOUR)) == (len(distinct) >= 5)


@pytest.mark.parametrize(("configured", "people", "needed"), [(0, 10, 5), (0, 50, 5), (0, 51, 10), (7, 9000, 7)])
def test_small_labs_have_a_lower_threshold(configured: int, people: int, needed: int) -> None:
    assert spray.accounts_needed(configured, people) == needed
