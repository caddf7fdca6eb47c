"""A policy text that rests on what a thief gave (ATT&CK T1484): people are told which, and how the former comes back.

It stays in force, since a text that closed something would otherwise be undone by whoever is found out in the session
of one who approved it. So this is the one place where somebody hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighthouse.detect.model import PUBLISHED, Incident

KINDS = frozenset({"access.PublicationFell"})
_FELL = {
    "access.VoteCast": "an approval",
    "access.RequestSubmitted": "the request",
    "governance.BallotCast": "an answer in the committee",
    "access.PolicyPublished": "the publication itself",
}


def conclude(index: int, data: Mapping[str, Any]) -> Incident:
    """Return the incident that such a fact tells of."""
    version, person, former = int(data["version"]), str(data.get("person", "")), str(data.get("previous", ""))
    now = (
        "It stays in force until people decide otherwise"
        if data.get("in_force")
        else "A later version is in force, which may still say what this one changed"
    )
    text = (
        f"Version {version} of the policy ({data.get('digest')}), published by {data.get('published_by')}: "
        f"{_FELL.get(str(data.get('fell')), 'something')} in the name of {person} was given in a session that was "
        f"somebody else's. {now}: read what it changed, and if it is wrong, put the former text back, "
        f"which takes two people at least: `weighthouse policy text {former} > former.yaml`, a request that names "
        "this digest, its approvals, `weighthouse policy publish former.yaml`."
    )
    return Incident(
        rule=PUBLISHED,
        key=f"{PUBLISHED}:{version}",
        severity="high",
        principal=person,
        session=str(data.get("session", "")),
        evidence=(index,),
        text=text,
    )
