"""What was stopped and must be seen all the same: the doors held, and somebody tried them.

Nothing is ended or locked by these rules: an attacker who knows a name could aim that at its owner. Each is one
incident a person (or session, or network) and day, so that nobody fills the list by trying again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from weighthouse.core.clock import DAY, MINUTE, Millis
from weighthouse.detect.model import FROZEN, NOT_ME, STOPPED, Incident, Limits, Severity

KINDS = frozenset(
    {
        "identity.SignInDenied",
        "identity.CredentialRefused",
        "identity.StepUpDemanded",
        "access.Denied",
        "identity.Disowned",
        "identity.OpeningRefused",
        "identity.KeyNotConfirmed",
        "identity.PersonFrozen",
    }
)
FATIGUE_PROMPTS, FATIGUE_WINDOW = 4, 30 * MINUTE
REFUSALS, REFUSAL_WINDOW = 30, 10 * MINUTE
NEAR = frozenset({"new_country", "new_country_for_lab", "impossible_travel"})
_DENIED: dict[str, tuple[Severity, str]] = {
    "impossible_travel": ("high", "A right password or key came from where its owner cannot be; it was turned away."),
    "new_country_for_lab": ("medium", "A sign-in from a country that nobody here signs in from was turned away."),
    "frozen": ("medium", "Somebody who is frozen has signed in at the provider and was turned away."),
}
_CREDENTIAL: dict[str, tuple[Severity, str]] = {
    "identity.proof_replayed": (
        "high",
        "A proof of this session was presented a second time: it was seen on its way.",
    ),
    "identity.proof_nonce": (
        "medium",
        "Old proofs of this session are presented, and no new one: made ahead, perhaps.",
    ),
    "identity.secret_replaced": (
        "medium",
        "A token that a step-up had replaced was presented: somebody has a copy of an older one.",
    ),
    "identity.session_ended": ("low", "An ended session is presented still: by its client, or by who copied it."),
    "identity.account_moved": ("medium", "A session was used whose account is its person's no more."),
}


_COMMITTEE: dict[str, tuple[Severity, str]] = {
    "access.committee_silenced": (
        "high",
        "Somebody would have stopped so many members that nothing could be decided.",
    ),
    "access.committee_not_held": ("high", "Somebody would have held the acts of the committee."),
    "access.hold_would_slip": ("high", "Somebody would have taken something away from a hold by a policy text."),
    "access.charter_needs_motion": ("high", "Somebody would have changed who decides without a carried motion."),
}


def conclude(index: int, at: Millis, kind: str, data: Mapping[str, Any]) -> Incident | None:
    """Return the incident that one fact tells of by itself, None where it tells of none."""
    person = str(data.get("principal", ""))
    if kind == "identity.SignInDenied":
        for reason in data.get("reasons", ()):
            if reason in _DENIED:
                severity, text = _DENIED[reason]
                return _incident(f"{reason}:{person}:{at // DAY}", severity, person, "", (index,), text)
    if kind == "identity.Disowned":
        session = str(data.get("session", ""))
        text = "Their sessions have ended and their keys are set aside. Speak with them, and look at what was done."
        told = _incident("", "high", person, session, (index,), text)
        return msgspec.structs.replace(told, rule=NOT_ME, key=f"{NOT_ME}:{index}")
    if kind in ("identity.OpeningRefused", "identity.KeyNotConfirmed"):
        who = str(data.get("by") or person)
        return _unopened(index, at, who, str(data.get("code")))
    if kind == "access.Denied" and data.get("code") in _COMMITTEE:
        severity, text = _COMMITTEE[str(data["code"])]
        return _incident(f"{data['code']}:{person}:{at // DAY}", severity, person, "", (index,), text)
    if kind == "identity.PersonFrozen" and data.get("by") != "system":
        return _frozen(index, person, str(data.get("by", "")))
    if kind == "identity.CredentialRefused" and data.get("code") in _CREDENTIAL:
        severity, text = _CREDENTIAL[str(data["code"])]
        session = str(data.get("subject_id", ""))
        return _incident(f"{data['code']}:{session}:{at // DAY}", severity, person, session, (index,), text)
    return None


def _unopened(index: int, at: Millis, who: str, code: str) -> Incident:
    """Somebody had a session and a second factor, and no key: on the pages by mistake, or with a wrong one."""
    severity: Severity = "medium" if code == "identity.opening_unsigned" else "high"
    text = (
        "Somebody with a session and a second factor of this person would have opened what was closed, or confirmed "
        "a key, without a key of theirs that counts. Ask them: it may be whoever runs the identity provider."
    )
    return _incident(f"opening:{who}:{severity}:{at // DAY}", severity, who, "", (index,), text)


def _frozen(index: int, person: str, by: str) -> Incident:
    text = f"{by} froze this person. Ask both: it takes no key, so whoever runs the identity provider can do it."
    told = _incident("", "high", person, "", (index,), text)
    return msgspec.structs.replace(told, rule=FROZEN, key=f"{FROZEN}:{index}")


def fatigue(person: str, at: Millis, prompts: Iterable[tuple[int, Millis]]) -> Incident | None:
    """Return the incident of many demands for a second factor in a short time; `prompts` are (index, time) pairs."""
    found = tuple(sorted(index for index, when in prompts if at - FATIGUE_WINDOW < when <= at))
    if len(found) < FATIGUE_PROMPTS:
        return None
    text = (
        f"A second factor was asked for {len(found)} times within {FATIGUE_WINDOW // MINUTE} minutes, each after a "
        "right first one. Ask whether it was they: if not, somebody knows their password, and hopes for a tired yes."
    )
    return _incident(f"fatigue:{person}:{at // DAY}", "medium", person, "", found[-64:], text)


def refusals(person: str, at: Millis, denied: Iterable[tuple[int, Millis]]) -> Incident | None:
    """Return the incident of a burst of refusals of one principal; `denied` are (index, time) pairs."""
    found = tuple(sorted(index for index, when in denied if at - REFUSAL_WINDOW < when <= at))
    if not person or len(found) < REFUSALS:
        return None
    text = f"{len(found)} refusals within {REFUSAL_WINDOW // MINUTE} minutes: somebody tries what they may not."
    return _incident(f"refusals:{person}:{at // DAY}", "medium", person, "", found[-64:], text)


def sprayed(network: str, at: Millis, failing: Mapping[str, int], now: Limits) -> Incident | None:
    """Return the incident of many accounts failing from one network, none got in; by who fails, their index."""
    if len(failing) < 2 * now.spray_accounts:
        return None
    within = f"within {now.spray_window // MINUTE} minutes"
    text = f"{len(failing)} names failed to sign in from one network {within}; none of them has got in from it."
    return _incident(f"sprayed:{network}:{at // DAY}", "medium", "", "", tuple(sorted(failing.values()))[-64:], text)


def _incident(
    key: str, severity: Severity, person: str, session: str, evidence: tuple[int, ...], text: str
) -> Incident:
    return Incident(
        rule=STOPPED,
        key=f"{STOPPED}:{key}",
        severity=severity,
        principal=person,
        session=session,
        evidence=evidence,
        text=text,
    )
