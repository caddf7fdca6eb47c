"""THE count. Guards every decision of the committee from a second, weaker way to make it.

Whoever touches seats, quorums, holds or the charter asks here: the check of a text, the motions of governance, and
access, which lifts a hold or takes a text. Pure: seats, what keeps some of them empty, ballots; carried, or short of
what. A quorum is taken from the seats that the charter names: a member who is frozen, held, gone or whose term is
over leaves a seat empty and never a smaller quorum. No published charter of a real safety committee states its rule,
so it is configuration; the defaults are a majority of the voting seats and one independent member present.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from weighthouse.core.clock import Millis
from weighthouse.policy.model import Charter, PersonEntry, QuorumRule

MotionClass = Literal["ordinary", "release_clear", "hold", "lift_hold", "charter_change"]
Choice = Literal["for", "against", "abstain", "recuse"]

CLASSES: tuple[MotionClass, ...] = ("ordinary", "release_clear", "hold", "lift_hold", "charter_change")
CHOICES: tuple[Choice, ...] = ("for", "against", "abstain", "recuse")
QUORUM_OF: dict[MotionClass, str] = {
    "ordinary": "ordinary",
    "release_clear": "release",
    "hold": "hold",
    "lift_hold": "release",
    "charter_change": "charter_change",
}
"""The name under which a charter may tighten the quorum of a class; it has no other names."""
QUORUMS: tuple[str, ...] = tuple(sorted(set(QUORUM_OF.values())))

LEAST_PRESENT = 2
"""No single person decides, even when everybody else has recused or the charter has one seat."""

RULES: dict[MotionClass, str] = {
    "ordinary": "more votes for than against, with a quorum",
    "release_clear": "more votes for than against, with a quorum, and no unresolved critical finding",
    "hold": "more votes for than against, with a quorum: it ratifies a hold",
    "lift_hold": "more than half of the seats that may vote, with a quorum",
    "charter_change": "two thirds of the seats that may vote, with the highest quorum of the charter; then the board",
}
_FREE = QuorumRule(id="", present=0, approve=0, independent=0)


class Answer(Protocol):
    """One member's answer, wherever it was kept; who counts it has verified its signature."""

    @property
    def member(self) -> str: ...
    @property
    def choice(self) -> str: ...
    @property
    def at(self) -> Millis: ...


A = TypeVar("A", bound=Answer)


class Seating(msgspec.Struct, frozen=True, kw_only=True):
    """The voting seats of a charter at one moment. What keeps a seat empty takes a ballot out, never the seat."""

    seats: frozenset[str]
    """Everybody in a voting seat whom the charter does not bar: what a quorum is taken from."""
    independent: frozenset[str]
    chair: str
    min_independent: int = 1
    quorums: dict[str, QuorumRule] = {}
    over: frozenset[str] = frozenset()
    """Whose term has ended."""
    left: frozenset[str] = frozenset()
    """Who is no active person of the lab any more."""
    silenced: frozenset[str] = frozenset()
    """Who is frozen or held. A "no" of theirs stands, so that nobody takes it back by freezing them."""

    @property
    def sitting(self) -> frozenset[str]:
        """The people who may act now."""
        return self.seats - self.over - self.left - self.silenced

    @property
    def empty(self) -> tuple[str, ...]:
        """Whose seat stands empty now."""
        return tuple(sorted(self.seats - self.sitting))

    def able(self, cls: MotionClass) -> frozenset[str]:
        """The people whose ballots count on a class. Where those who sit are too few to change the charter, members
        whose term is over hold over for that alone, or nobody could ever seat their successors."""
        sitting = self.sitting
        if cls == "charter_change" and self.over and not _enough(self, cls, sitting):
            return sitting | (self.over - self.left - self.silenced)
        return sitting


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The live count: who counts, who is there, what the rule needs, in words."""

    seats: int
    """How many may vote now, recused ones left out; what is needed is taken from the empty seats, too."""
    present: int
    needed: int
    votes_needed: int
    independent_present: int
    independent_needed: int
    votes_for: int
    votes_against: int
    abstained: int
    recused: tuple[str, ...]
    quorate: bool
    carried: bool
    rule: str


def seating(
    charter: Charter, people: Mapping[str, PersonEntry], now: Millis, silenced: Collection[str] = ()
) -> Seating:
    """Return the seating of a charter; with `now` 0 no term is over."""
    voting = {one.person: one for one in charter.seats if one.voting and one.person not in charter.barred}
    return Seating(
        seats=frozenset(voting),
        independent=frozenset(person for person, one in voting.items() if one.independent),
        chair=next((one.person for one in charter.seats if one.chair), ""),
        min_independent=charter.min_independent,
        quorums=charter.quorums,
        over=frozenset(person for person, one in voting.items() if now and not one.sits(now)),
        left=frozenset(person for person in voting if person not in people or not people[person].active),
        silenced=frozenset(silenced) & frozenset(voting),
    )


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


def demanded(found: Seating, cls: MotionClass) -> QuorumRule:
    """What the charter asks for a class beyond the rules here. A change of the charter takes the highest of all that
    it asks for anything: whoever moves it decides, from then on, on all the rest."""
    if cls != "charter_change":
        return found.quorums.get(QUORUM_OF[cls], _FREE)
    rules = (_FREE, *found.quorums.values())
    return QuorumRule(
        id=cls,
        present=max(one.present for one in rules),
        approve=max(one.approve for one in rules),
        independent=max(one.independent for one in rules),
    )


def heard(answers: Sequence[A], stands: Callable[[A], bool]) -> tuple[tuple[A, ...], tuple[str, ...]]:
    """Split answers, in the order in which they were given, into those that count and the members whose answer fell,
    who may answer again.

    What fell stays fallen: a member answers twice only because the first answer had fallen, so the later one replaces
    it for good, whatever stands again since. A "no" that fell counts until its member has answered again: else
    whoever may end a session, or set a key aside, would take it back just before a motion is closed.
    """
    latest = {one.member: index for index, one in enumerate(answers) if one.choice != "recuse"}
    standing, fallen = list[A](), list[A]()
    for index, one in enumerate(answers):
        replaced = one.choice != "recuse" and index < latest[one.member]
        (fallen if replaced or not stands(one) else standing).append(one)
    spoken = {one.member for one in standing}
    doubted = [one for one in fallen if one.choice == "against" and one.member not in spoken]
    return (*standing, *doubted), tuple(sorted({one.member for one in fallen} - spoken))


def choices(found: Seating, answers: Iterable[Answer]) -> dict[str, str]:
    """Return each seat's one choice: the first by time; of a member's answers that count (`heard`) there is one.

    A recusal is final in both directions: whoever has recused cannot vote on it later, and whoever has voted may
    still recuse, which takes the vote back.
    """
    made: dict[str, str] = {}
    for one in sorted(answers, key=lambda one: (one.at, one.member)):
        if one.member in found.seats and (one.choice == "recuse" or one.member not in made):
            made[one.member] = one.choice
    return made


def tally(found: Seating, cls: MotionClass, answers: Iterable[Answer], *, criticals: int = 0) -> Tally:
    """Count `answers`, which must be verified, under the rule of the class. `criticals` are unresolved findings.

    A quorum is a majority of the voting seats that have not recused, all present by a ballot (an abstention is
    presence), never fewer than two people, with the charter's number of independent members among them. What the
    charter demands for the class can only make this stricter.
    """
    able = found.able(cls)
    counted = {who: choice for who, choice in choices(found, answers).items() if who in able | found.silenced}
    recused = frozenset(who for who, choice in counted.items() if choice == "recuse")
    seats = found.seats - recused  # the empty ones among them
    present = (frozenset(counted) & able) - recused
    independent = present & found.independent
    votes_for = sum(counted[who] == "for" for who in present)
    votes_against = sum(choice == "against" for choice in counted.values())
    rule = demanded(found, cls)
    needed = max(majority(len(seats)), LEAST_PRESENT, rule.present)
    independent_needed = max(found.min_independent, rule.independent)
    votes_needed = max(least_votes(cls, len(seats)), rule.approve)
    quorate = len(present) >= needed and len(independent) >= independent_needed
    passed = votes_for > votes_against and votes_for >= votes_needed and (cls != "release_clear" or criticals == 0)
    return Tally(
        seats=len(able - recused),
        present=len(present),
        needed=needed,
        votes_needed=votes_needed,
        independent_present=len(independent),
        independent_needed=independent_needed,
        votes_for=votes_for,
        votes_against=votes_against,
        abstained=sum(counted[who] == "abstain" for who in present),
        recused=tuple(sorted(recused)),
        quorate=quorate,
        carried=passed and quorate,
        rule=RULES[cls],
    )


def settled(found: Seating, cls: MotionClass, answers: Iterable[Answer], *, criticals: int = 0) -> bool:
    """Return whether no answer of those who have not answered could change the outcome that stands now.

    Guards a decision from whoever would close it at the first moment that suits them: the one who counts decides
    nothing. Of those missing, `recuse` could shrink what is needed and the others vote for, or all vote against.
    """
    cast = tuple(answers)
    now = tally(found, cls, cast, criticals=criticals)
    missing = len(waiting(found, cls, cast))
    if now.carried:
        return now.votes_for > now.votes_against + missing
    if cls == "release_clear" and criticals:
        return True
    rule, seats = demanded(found, cls), len(found.seats) - len(now.recused)
    return not any(
        now.votes_for + yes > now.votes_against
        and now.votes_for + yes >= max(least_votes(cls, seats - (missing - yes)), rule.approve)
        for yes in range(missing + 1)
    )


def waiting(found: Seating, cls: MotionClass, answers: Iterable[Answer]) -> tuple[str, ...]:
    """Return the members who could still be heard. Of who is silenced that is everybody whose "no" does not stand
    already: they may be let speak again in time, and nobody closes a motion early by silencing them."""
    able, made = found.able(cls), choices(found, answers)
    heard = {who for who, choice in made.items() if who in able or choice in ("against", "recuse")}
    return tuple(sorted((able | (found.silenced - found.left - found.over)) - heard))


class _Yes(msgspec.Struct, frozen=True):
    """What somebody would say who is for it."""

    member: str
    choice: str = "for"
    at: Millis = 0


def _enough(found: Seating, cls: MotionClass, people: Iterable[str]) -> bool:
    """Whether these people, all for it and all able, carry a motion of this class."""
    free = msgspec.structs.replace(found, over=frozenset(), left=frozenset(), silenced=frozenset())
    return tally(free, cls, map(_Yes, people)).carried


def stuck(found: Seating) -> tuple[MotionClass, ...]:
    """Return the classes that nobody could carry now, though all who are able were for it."""
    return tuple(cls for cls in CLASSES if not _enough(found, cls, found.able(cls)))


def fewest(found: Seating, cls: MotionClass) -> int:
    """Return how many members must at least be for a motion of this class before it is carried."""
    count = tally(found, cls, ())
    return max(count.needed, count.votes_needed)


def vacancies(found: Seating) -> tuple[str, ...]:
    """Return in words what the committee lacks to decide anything; empty when it is whole."""
    missing = [f"the seat of {person} is vacant" for person in found.empty]
    for cls in stuck(found):
        all_for = tally(found, cls, map(_Yes, found.able(cls)))
        missing.append(f"nothing of the class {cls} can be decided: it lacks {lacks(all_for) or 'votes'}")
    return tuple(missing)


def may_hold(found: Seating, members: Iterable[str]) -> bool:
    """Return whether these members together may hold a release: any two voting members, or the chair alone."""
    calling = frozenset(members) & found.sitting
    return len(calling) >= 2 or found.chair in calling


def lacks(count: Tally) -> str:
    """Say in words what a quorum still lacks; empty when it is quorate."""
    missing = []
    if count.seats < LEAST_PRESENT:
        return "too many voting members have recused, so nobody can decide"
    if count.needed > count.seats:
        missing.append(f"{count.needed} members present, where only {count.seats} can sit")
    elif count.present < count.needed:
        missing.append(f"{count.needed - count.present} more of the {count.seats} voting members")
    if count.independent_present < count.independent_needed:
        missing.append(f"{count.independent_needed - count.independent_present} more independent member")
    return " and ".join(missing)


def short(count: Tally) -> str:
    """Say in words why a motion is not carried; empty when it is."""
    if count.carried:
        return ""
    if not count.quorate:
        return f"it lacks {lacks(count)}"
    return f"it has {count.votes_for} of {count.votes_needed} votes for it and {count.votes_against} against"


def said(found: Seating, cls: MotionClass) -> str:
    """Say in words what a class takes, as those who sign a change of it read it."""
    count = tally(found, cls, ())
    return (
        f"{count.needed} of {len(found.seats)} seats present, {count.votes_needed} of them for it, "
        f"{count.independent_needed} of them independent"
    )
