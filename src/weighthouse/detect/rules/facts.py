"""From log entries to signals. Guards the rules from the shapes of other rooms' events: only this file knows them.

Networks and accounts are the keyed marks that the identity room publishes, so no clear address is ever held here. An
entry that lacks what a rule needs is no signal; it is never guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighthouse.core.clock import Millis
from weighthouse.detect.model import Asked, Attempt, Read

DENIED = "identity.SignInDenied"
SIGN_IN_KINDS = frozenset({"identity.SessionStarted", "identity.SignInFailed", DENIED})
STRANGE = frozenset({"new_device", "first_sign_in"})  # what the risk check says of a device nobody knows
READ_KINDS = frozenset({"weights.LoadStarted", "weights.WeightsExported"})
HIGH, SPENT = "egress.OutputHigh", "egress.OutputSpent"
OUTPUT_KINDS = frozenset({HIGH, SPENT, "egress.StepRefused"})
MOVED_KINDS = frozenset({"identity.SessionMoved"})
ENROLLED_KINDS = frozenset({"identity.DeviceEnrolled"})
ELSEWHERE_KINDS = frozenset({"identity.SessionUsedElsewhere"})


def text(data: Mapping[str, Any], name: str) -> str:
    """Return a field as text, empty when it is absent or of another type."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def whole(data: Mapping[str, Any], name: str) -> int:
    """Return a field as a whole number, 0 when it is absent, negative or of another type."""
    value = data.get(name)
    return max(value, 0) if isinstance(value, int) and not isinstance(value, bool) else 0


def attempt(index: int, at: Millis, kind: str, data: Mapping[str, Any]) -> Attempt | None:
    """Return the sign-in attempt that an entry tells of, or None when it names no place or no account."""
    network = text(data, "origin")
    if not network:
        return None
    if kind == "identity.SessionStarted" and text(data, "session"):
        return Attempt(
            index=index,
            at=at,
            network=network,
            account=text(data, "principal"),
            succeeded=True,
            session=text(data, "session"),
            principal=text(data, "principal"),
            level=whole(data, "level"),
            strange=bool(STRANGE & reasons(data)),
        )
    if kind == "identity.SignInFailed" and text(data, "account_mark"):
        return Attempt(
            index=index,
            at=at,
            network=network,
            account=text(data, "account_mark"),
            succeeded=False,
            principal=text(data, "principal"),
        )
    return None


def turned_away(kind: str, data: Mapping[str, Any]) -> bool:
    """Whether somebody for whom the provider had vouched was turned away in the middle of a spray."""
    return kind == DENIED and "spray" in reasons(data) and bool(text(data, "principal"))


def asked(index: int, at: Millis, data: Mapping[str, Any]) -> Asked | None:
    """Return what a demand for a second factor tells of that was made amid a spray: the first one was right."""
    network, principal = text(data, "origin"), text(data, "principal")
    if "spray" not in reasons(data) or not network or not principal:
        return None
    return Asked(index=index, at=at, network=network, principal=principal)


def reasons(data: Mapping[str, Any]) -> frozenset[str]:
    """Return what the risk check said of a sign-in."""
    value = data.get("reasons")
    return frozenset(one for one in value if isinstance(one, str)) if isinstance(value, list | tuple) else frozenset()


def read(index: int, at: Millis, kind: str, data: Mapping[str, Any]) -> Read | None:
    """Return the read of weights that an entry tells of: data keys that left, for a run or for an export."""
    if kind not in READ_KINDS or not text(data, "person"):
        return None
    return Read(index=index, at=at, person=text(data, "person"), loads=1, bytes=whole(data, "bytes"))
