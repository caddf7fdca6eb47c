"""The words of the approval card. Guards an approver from deciding on what they did not see.

Each line comes from the request that the digest covers, or from policy; the requester's own words stand in quotation
marks on a line of their own and can never look like ours.
"""

from __future__ import annotations

import msgspec

from weighthouse.access.model import PUBLISH, Request, Slot, Suggestion
from weighthouse.access.rules.reasons import vote_lost
from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND, Millis
from weighthouse.core.visible import mixes_alphabets


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What the card needs to know beside the request."""

    person_name: str
    entitlement_name: str
    resource_name: str
    cap: Millis
    broad: bool
    top_rank: bool
    first_time: bool
    refused_before: int
    policy_changed: bool
    reports_to: str = ""
    line_voted: tuple[str, ...] = ()


def span(value: Millis) -> str:
    """Say a duration in words: 2 h 30 min."""
    parts = []
    for unit, size in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if value >= size:
            parts.append(f"{value // size} {unit}")
            value %= size
    return " ".join(parts) or f"{value // SECOND} s"


def seats(slots: tuple[Slot, ...]) -> str:
    """Say which seats: steward (1 of weights-stewards) and security (1 of security)."""
    return " and ".join(f"{slot.name} ({slot.count} of {slot.team})" for slot in slots) or "nobody"


def lines(request: Request, setting: Setting) -> tuple[str, ...]:
    """What is asked, in plain words."""
    said = [
        f"{setting.person_name} ({request.person}) asks for “{setting.entitlement_name}” ({request.entitlement}) on "
        f"{setting.resource_name} ({request.resource}).",
        f"It allows: {', '.join(request.actions)}.",
        f"For {span(request.duration)} from the moment it is approved; then it ends by itself.",
        f"The resource is of class {request.cls}, in environment {request.environment}.",
        f"Their reason: “{request.reason}”",
    ]
    if setting.reports_to:
        said.append(f"{setting.person_name} reports to {setting.reports_to}.")
    if request.operation:
        facts = ", ".join(f"{key} = {value}" for key, value in sorted(request.operation.items()))
        said.append(f"Only for this one operation: {facts}.")
    if PUBLISH in request.actions:
        said.append(
            f"What it changes is counted from policy {request.policy_digest}; once another is in force it lapses."
        )
    said.append(f"It needs: {seats(request.slots)}, all different people, none of them {request.person}.")
    return tuple(said)


def unusual(
    request: Request, setting: Setting, narrower: tuple[Suggestion, ...], dropped: tuple[tuple[str, str], ...]
) -> tuple[str, ...]:
    """What an approver should look at twice."""
    said = []
    if setting.first_time:
        said.append("This person has never had this entitlement.")
    if setting.refused_before:
        said.append(f"This person was refused {setting.refused_before} time(s) here in the last 30 days.")
    if request.duration >= setting.cap:
        said.append("This is the longest time that policy allows.")
    if setting.broad:
        said.append("This entitlement is broad.")
    if narrower:
        said.append(
            f"A narrower entitlement opens the same resource: {narrower[0].name} ({narrower[0].entitlement})."
        )
    if setting.top_rank:
        said.append("The resource is of the most sensitive class of this lab.")
    if setting.policy_changed:
        said.append("Policy has changed since this was asked; both the old and the new requirement must be met.")
    said += [f"One who has voted stands in their line: {one}." for one in setting.line_voted]
    if mixes_alphabets(request.reason):
        said.append("The reason mixes alphabets within one word, as look-alike texts do.")
    said += [vote_lost(voter, code) for voter, code in dropped]
    return tuple(said)
