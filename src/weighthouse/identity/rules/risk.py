"""The risk check at session creation. Guards the way in from people who have a password but are not its owner.

Pure: facts in, verdict out, every reason named. What is unknown, and every detector that failed, asks for a second
factor; it never counts as fine. A second factor settles a demand to step up, never a denial. What a stranger can
bring about, with no more than names and the same address, never denies: it could be aimed at everybody behind that
address. Thresholds follow published detections (ten people failing, 500 km at 800 km/h), lowered for small labs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from weighthouse.core.clock import DAY, HOUR, Millis
from weighthouse.identity.model import DORMANT, Place

SPRAY_PEOPLE = 5
TRAVEL_KM = 500
TRAVEL_KM_PER_HOUR = 800
LAB_IS_KNOWN = 50

Outcome = Literal["allow", "step_up", "deny"]


class Success(msgspec.Struct, frozen=True, kw_only=True):
    """One earlier sign-in that led to a session; only these are learnt from."""

    at: Millis
    device: str
    network: str
    country: str = ""
    spot: tuple[int, int, int] | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The sign-in to be judged. `place` is None when the address facts failed; `device` is empty when unknown."""

    at: Millis
    device: str
    place: Place | None
    level: int


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What happens around this attempt: names failing from the same address, which anybody can bring about, and what
    the lab has seen before, which only sign-ins that led to a session make."""

    failing_people: int
    lab_sign_ins: int
    country_seen: bool


class Reason(msgspec.Struct, frozen=True):
    """One finding: a stable code, words for the person, and what it asks for."""

    code: str
    text: str
    asks: Outcome


class Verdict(msgspec.Struct, frozen=True):
    """The outcome and everything found, worst first."""

    outcome: Outcome
    reasons: tuple[Reason, ...]

    def codes(self) -> tuple[str, ...]:
        return tuple(reason.code for reason in self.reasons)


_WEIGHT: dict[Outcome, int] = {"allow": 0, "step_up": 1, "deny": 2}


def judge(attempt: Attempt, history: Sequence[Success] | None, around: Around | None) -> Verdict:
    """Judge one attempt. `history` or `around` is None when it could not be read, which asks for a second factor."""
    found: list[Reason] = []
    if history is None or around is None or attempt.place is None:
        found.append(Reason("detector_failed", "A risk check could not be made.", "step_up"))
    if history is not None:
        found += _from_history(attempt, history)
    if around is not None:
        known = bool(attempt.device) and any(past.device == attempt.device for past in history or ())
        found += _from_around(attempt, around, known)
    if attempt.place is not None and not attempt.place.known:
        found.append(Reason("place_unknown", "Nothing is known about this network address.", "step_up"))
    found.sort(key=lambda reason: -_WEIGHT[reason.asks])
    outcome: Outcome = found[0].asks if found else "allow"
    if outcome == "step_up" and attempt.level >= 2:
        outcome = "allow"
    return Verdict(outcome, tuple(found))


def _from_history(attempt: Attempt, history: Sequence[Success]) -> list[Reason]:
    if not history:
        return [Reason("first_sign_in", "This person has not signed in here before.", "step_up")]
    found: list[Reason] = []
    known_device = bool(attempt.device) and any(past.device == attempt.device for past in history)
    if not known_device:
        found.append(Reason("new_device", "This person has not used this device before.", "step_up"))
    last = max(history, key=lambda past: past.at)
    if attempt.at - last.at > DORMANT:
        found.append(Reason("dormant", "This person has not signed in for 90 days.", "step_up"))
    place = attempt.place
    if place is None:
        return found
    if all(past.network != place.network for past in history):
        found.append(Reason("new_network", "This person has not signed in from this network before.", "step_up"))
    if place.country and all(past.country != place.country for past in history):
        found.append(Reason("new_country", "This person has not signed in from this country before.", "step_up"))
    if _impossible(last, attempt.at, place):
        asks: Outcome = "step_up" if known_device else "deny"
        found.append(Reason("impossible_travel", "Nobody travels that far since the last sign-in.", asks))
    return found


def _from_around(attempt: Attempt, around: Around, known_device: bool) -> list[Reason]:
    found: list[Reason] = []
    if around.failing_people >= SPRAY_PEOPLE:
        # Whoever has guessed a password has no second factor; the colleague on a new laptop has. Invented names are
        # enough for this, so that a denial would lock an office out for as long as anybody likes.
        text = "Many names have failed to sign in from this address within the hour."
        found.append(Reason("spray", text, "step_up"))
    country = attempt.place.country if attempt.place else ""
    if country and not around.country_seen and around.lab_sign_ins >= LAB_IS_KNOWN:
        asks: Outcome = "step_up" if known_device else "deny"
        found.append(Reason("new_country_for_lab", "Nobody of this lab has signed in from this country.", asks))
    return found


def _impossible(last: Success, at: Millis, place: Place) -> bool:
    if last.spot is None or place.spot is None or not 0 <= at - last.at <= DAY:
        return False
    km = distance_km(last.spot, place.spot) - last.spot[2] - place.spot[2]
    return km >= TRAVEL_KM and km * HOUR >= TRAVEL_KM_PER_HOUR * max(at - last.at, 1)


def distance_km(one: tuple[int, int, int], two: tuple[int, int, int]) -> int:
    """Return the great-circle distance in whole km between two spots given in thousandths of a degree."""
    a, b = (math.radians(spot[0] / 1000) for spot in (one, two))
    across = math.radians((two[1] - one[1]) / 1000)
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(across / 2) ** 2
    return round(2 * 6371 * math.asin(min(1.0, math.sqrt(half))))
