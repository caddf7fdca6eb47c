"""Password spray, then success (rule R8 of the sign-in detections; ATT&CK T1110.003).

Guards accounts from somebody who tries one common password on many of them and gets into one. Promises: a single
person who forgot a password, however often they fail, never fires it; a success fires once, whenever its failures
become known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weighthouse.core.clock import DAY, MINUTE, Millis
from weighthouse.detect.model import SPRAY, Attempt, Incident

SMALL_LAB = 50
SMALL_LAB_ACCOUNTS = 5
LARGE_LAB_ACCOUNTS = 10
EVIDENCE_LIMIT = 64


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
    return Incident(
        rule=SPRAY,
        key=f"{SPRAY}:{success.session}",
        severity="high",
        principal=success.principal,
        session=success.session,
        evidence=(*newest, success.index),
        text=f"{len(failing)} accounts failed to sign in from one network within "
        f"{window // MINUTE} minutes before this sign-in succeeded from it.",
    )


def guessed(index: int, at: Millis, principal: str, network: str) -> Incident:
    """Return the incident for a right password that the risk check turned away in the middle of a spray.

    Nothing got in, but somebody knows this person's password. One incident a person, network and day.
    """
    return Incident(
        rule=SPRAY,
        key=f"{SPRAY}:guessed:{principal}:{network}:{at // DAY}",
        severity="high",
        principal=principal,
        session="",
        evidence=(index,),
        text="While passwords were being tried from this network, this person's was right; the sign-in was denied.",
    )
