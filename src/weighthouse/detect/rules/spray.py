"""Password spray, then success (rule R8 of the sign-in detections; ATT&CK T1110.003).

Guards accounts from somebody who tries one common password on many of them and gets into one. Promises: a single
person who forgot a password, however often they fail, never fires it; a success fires once, whenever its failures
become known. And guards people from this rule: names can be invented, and be anybody's, so nothing that a stranger
brings about from behind their address ends a session that came with a second factor or from a device of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weighthouse.core.clock import DAY, MINUTE, Millis
from weighthouse.detect.model import SPRAY, Asked, Attempt, Incident

SMALL_LAB = 50
SMALL_LAB_ACCOUNTS = 5
LARGE_LAB_ACCOUNTS = 10
EVIDENCE_LIMIT = 64
ANSWER_WITHIN: Millis = 10 * MINUTE
"""For so long an attempt that asks for a second factor can be finished."""


def accounts_needed(configured: int, people: int) -> int:
    """Return how many distinct failing accounts make a spray; 0 in the settings means: by the size of the lab."""
    if configured > 0:
        return configured
    return SMALL_LAB_ACCOUNTS if people <= SMALL_LAB else LARGE_LAB_ACCOUNTS


def find(attempts: Iterable[Attempt], accounts: int, window: Millis) -> tuple[Incident, ...]:
    """Return one incident for each success that at least `accounts` distinct failing accounts precede.

    `attempts` are of one network, in any order and with repeats. A failure counts when it happened within `window`
    before the success, at the very millisecond included. Counting is over distinct people (or accounts, of nobody
    known), so that an event imported twice, or one person failing thirty times, adds nothing. Whoever mistyped and
    then got in themselves is no victim any more, unless their own success was an incident.
    """
    attempts = sorted(attempts, key=lambda one: (one.at, one.index))
    found: dict[int, Incident] = {}
    for success in (one for one in attempts if one.succeeded):
        failing: dict[str, int] = {}
        for one in attempts:
            if not one.succeeded and success.at - window <= one.at <= success.at:
                failing[_who(one)] = one.index
            elif one.succeeded and _earlier(one, success) and one.index not in found:
                failing.pop(_who(one), None)
        if len(failing) >= accounts:
            found[success.index] = _incident(success, failing, window)
    return tuple(found.values())


def _who(attempt: Attempt) -> str:
    return attempt.principal or attempt.account


def _earlier(one: Attempt, success: Attempt) -> bool:
    return (one.at, one.index) < (success.at, success.index) and _who(one) != _who(success)


def _incident(success: Attempt, failing: Mapping[str, int], window: Millis) -> Incident:
    newest = sorted(failing.values())[-(EVIDENCE_LIMIT - 1) :]
    own = ", this person's among them" if _who(success) in failing else ""
    factor, used = "a second" if success.level > 1 else "one", "not used" if success.strange else "used"
    return Incident(
        rule=SPRAY,
        key=f"{SPRAY}:{success.session}",
        severity="high" if _is_guess(success, failing) else "medium",
        principal=success.principal,
        session=success.session,
        evidence=(*newest, success.index),
        text=f"{len(failing)} names failed to sign in from one network within {window // MINUTE} minutes{own}; then "
        f"this sign-in succeeded from it, with {factor} factor, on a device that its person had {used} before.",
    )


def _is_guess(success: Attempt, failing: Mapping[str, int]) -> bool:
    """Whether a success is a guess that came right, and its session ends.

    This very account was tried wrongly before, and it came in with one factor alone on a device nobody knows. The
    risk check lets no such sign-in through, its owner's as little, so nobody's work can be ended by aiming at this.
    """
    return success.level < 2 and success.strange and _who(success) in failing


def turned_away(index: int, at: Millis, principal: str, network: str) -> Incident:
    """Return the incident for a right first factor that the risk check denied in the middle of a spray, for what else
    it found. One incident a person, network and day.
    """
    return _nobody_got_in(f"denied:{principal}:{network}:{at // DAY}", principal, (index,), "the sign-in was denied")


def unanswered(demands: Iterable[Asked], attempts: Iterable[Attempt], now: Millis) -> tuple[Incident, ...]:
    """Return an incident for each person, network and day in which somebody had the first factor right amid a spray
    and did not give the second.

    Each session answers one demand before it, the newest: its owner's answers none of the thief's.
    """
    left: dict[tuple[str, str], list[Asked]] = {}
    facts: list[Asked | Attempt] = [*demands, *(one for one in attempts if one.succeeded and one.level > 1)]
    for one in sorted(facts, key=lambda one: one.index):
        mine = left.setdefault((one.principal, one.network), [])
        if isinstance(one, Asked):
            mine.append(one)
        elif mine and one.at - mine[-1].at <= ANSWER_WITHIN:
            mine.pop()
    late = [one for mine in left.values() for one in mine if now - one.at > ANSWER_WITHIN]
    found: dict[str, list[Asked]] = {}
    for one in late:
        found.setdefault(f"guessed:{one.principal}:{one.network}:{one.at // DAY}", []).append(one)
    what = f"the second that was asked for was not given within {ANSWER_WITHIN // MINUTE} minutes"
    return tuple(
        _nobody_got_in(key, mine[0].principal, tuple(one.index for one in mine)[-EVIDENCE_LIMIT:], what)
        for key, mine in found.items()
    )


def _nobody_got_in(key: str, principal: str, evidence: tuple[int, ...], what: str) -> Incident:
    return Incident(
        rule=SPRAY,
        key=f"{SPRAY}:{key}",
        severity="high",
        principal=principal,
        session="",
        evidence=evidence,
        text="While names failed to sign in from this network, the first factor of this person (their password) was "
        f"right from it; {what}. Nobody got in by it. Ask whether it was they: if not, somebody knows that password.",
    )
