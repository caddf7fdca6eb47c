"""Quorum and the voting classes. Guards a decision from a count that is too small or of the wrong people.

A ballot counts only if its member holds a voting seat of the charter, and each member counts once. Who recuses leaves
the count on both sides. Sources: the charter of the lab; the defaults are a majority of the voting seats and at least
one independent member present. No published charter of a real safety committee states its rule, so it is
configuration.
"""

from __future__ import annotations

from collections.abc import Iterable

from weighthouse.governance.model import QUORUM_OF, Ballot, Charter, Choice, MotionClass, Quorum, Tally

LEAST_PRESENT = 2
"""No single person decides, even when everybody else has recused or the charter has one seat."""

RULES: dict[MotionClass, str] = {
    "ordinary": "more votes for than against, with a quorum",
    "release_clear": "more votes for than against, with a quorum, and no unresolved critical finding",
    "hold": "more votes for than against, with a quorum: it ratifies a hold",
    "lift_hold": "more than half of the seats that may vote, with a quorum",
    "charter_change": "two thirds of the seats that may vote, with a quorum; then the board",
}


def majority(count: int) -> int:
    """Return the smallest number that is more than half of `count`."""
    return count // 2 + 1


def two_thirds(count: int) -> int:
    """Return the smallest number that is at least two thirds of `count`."""
    return -(-2 * count // 3)


def least_votes(cls: MotionClass, seats: int) -> int:
    """Return how many votes for a motion of this class needs, whatever the votes against."""
    if cls == "lift_hold":
        return majority(seats)
    return max(two_thirds(seats), 1) if cls == "charter_change" else 1


def choices(charter: Charter, ballots: Iterable[Ballot]) -> dict[str, Choice]:
    """Return each voting member's one choice: the first by time; a later ballot of the same member is ignored.

    A recusal is final in both directions: whoever has recused cannot vote on it later, and whoever has voted may
    still recuse, which takes the vote back.
    """
    found: dict[str, Choice] = {}
    for ballot in sorted(ballots, key=lambda one: (one.at, one.member)):
        if ballot.member not in charter.voting:
            continue
        if ballot.choice == "recuse" or ballot.member not in found:
            found[ballot.member] = ballot.choice
    return found


def tally(charter: Charter, cls: MotionClass, ballots: Iterable[Ballot], *, criticals: int = 0) -> Tally:
    """Count `ballots`, which must be verified, under the rule of the class. `criticals` are unresolved findings.

    A quorum is a majority of the voting seats that have not recused, all present by a ballot (an abstention is
    presence), never fewer than two people, with the charter's number of independent members among them. What the
    charter demands for the class can only make this stricter.
    """
    counted = choices(charter, ballots)
    recused = frozenset(member for member, choice in counted.items() if choice == "recuse")
    seats = charter.voting - recused
    present = frozenset(counted) - recused
    independent = present & charter.independent
    votes_for = sum(counted[member] == "for" for member in present)
    votes_against = sum(counted[member] == "against" for member in present)
    rule = charter.quorums.get(QUORUM_OF.get(cls, cls), Quorum())
    needed = max(majority(len(seats)), LEAST_PRESENT, rule.present)
    independent_needed = max(charter.min_independent, rule.independent)
    votes_needed = max(least_votes(cls, len(seats)), rule.approve)
    quorate = len(present) >= needed and len(independent) >= independent_needed
    passed = votes_for > votes_against and votes_for >= votes_needed and (cls != "release_clear" or criticals == 0)
    return Tally(
        seats=len(seats),
        present=len(present),
        needed=needed,
        votes_needed=votes_needed,
        independent_present=len(independent),
        independent_needed=independent_needed,
        votes_for=votes_for,
        votes_against=votes_against,
        abstained=len(present) - votes_for - votes_against,
        recused=tuple(sorted(recused)),
        quorate=quorate,
        carried=passed and quorate,
        rule=RULES[cls],
    )


def settled(charter: Charter, cls: MotionClass, ballots: Iterable[Ballot], *, criticals: int = 0) -> bool:
    """Return whether no answer of those who have not answered could change the outcome that stands now.

    Guards a decision from whoever would close it at the first moment that suits them: the one who counts decides
    nothing. Of those missing, `recuse` could shrink what is needed and the others vote for, or all vote against.
    """
    cast = tuple(ballots)
    now = tally(charter, cls, cast, criticals=criticals)
    missing = len(charter.voting - frozenset(choices(charter, cast)))
    if now.carried:
        return now.votes_for > now.votes_against + missing
    if cls == "release_clear" and criticals:
        return True
    rule = charter.quorums.get(QUORUM_OF.get(cls, cls), Quorum())
    return not any(
        now.votes_for + yes > now.votes_against
        and now.votes_for + yes >= max(least_votes(cls, now.seats - (missing - yes)), rule.approve)
        for yes in range(missing + 1)
    )


def waiting(charter: Charter, ballots: Iterable[Ballot]) -> tuple[str, ...]:
    """Return the members who have not answered."""
    return tuple(sorted(charter.voting - frozenset(choices(charter, ballots))))


def vacancies(charter: Charter) -> tuple[str, ...]:
    """Return in words what the committee lacks to decide anything; empty when it is whole."""
    missing = [f"the seat of {person} is vacant" for person in charter.vacant]
    if len(charter.voting) < LEAST_PRESENT:
        missing.append("fewer than two people may vote, so nothing can be decided")
    if len(charter.independent) < charter.min_independent:
        missing.append(
            f"{len(charter.independent)} of the {charter.min_independent} independent members that a quorum needs "
            "are seated, so nothing can be decided"
        )
    return tuple(missing)


def may_hold(charter: Charter, members: Iterable[str]) -> bool:
    """Return whether these members together may hold a release: any two voting members, or the chair alone."""
    calling = frozenset(members) & charter.voting
    return len(calling) >= 2 or charter.chair in calling


def lacks(count: Tally) -> str:
    """Say in words what a quorum still lacks; empty when it is quorate."""
    missing = []
    if count.seats < LEAST_PRESENT:
        return "too many voting members have recused, so nobody can decide"
    if count.present < count.needed:
        missing.append(f"{count.needed - count.present} more of the {count.seats} voting members")
    if count.independent_present < count.independent_needed:
        missing.append(f"{count.independent_needed - count.independent_present} more independent member")
    return " and ".join(missing)
