"""E-02: no standing access to weights, and no grant longer than its class allows.

Guards against the quiet return of permanent privilege. Standing entitlements that only answer incidents, read
evidence or vote are listed in the detail, not judged: that is a choice, and it is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from weighthouse.assurance.checks.facts import Fact, samples
from weighthouse.assurance.model import Finding
from weighthouse.core.clock import HOUR, Millis
from weighthouse.policy import api as policy

KINDS = ("access.GrantStarted",)
PUBLISHED = "access.PolicyPublished"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Of the lab: standing entitlements that release something, other standing ones, the class of each resource and
    the longest grant of each class."""

    privileged: tuple[str, ...]
    other: tuple[str, ...]
    class_of: Mapping[str, str]
    longest: Mapping[str, Millis]


def facts_of(lab: policy.Lab) -> Standing:
    """Return what the check needs of the lab: privileged is what moves weights, changes the rules, or is broad."""
    standing = {name: one for name, one in lab.entitlements.items() if one.standing}
    privileged = {name for name, one in standing.items() if one.broad or one.actions & policy.RELEASING}
    return Standing(
        privileged=tuple(sorted(privileged)),
        other=tuple(sorted(standing.keys() - privileged)),
        class_of={name: one.cls for name, one in lab.resources.items()},
        longest={name: one.max_grant for name, one in lab.classes.items()},
    )


def _length(grant: Fact) -> Millis | None:
    begin, end = grant.data.get("not_before"), grant.data.get("end")
    return end - begin if isinstance(begin, int) and isinstance(end, int) else None


def compute(
    facts: Sequence[Fact], known: Standing, then: Mapping[str, Standing], published: Sequence[Fact] = ()
) -> Finding:
    """Compute the check over the grants started in the period and every policy that was in force in it.

    `then` maps the digest of a policy to what it said: a grant is as long as its class allowed on the day it began.
    `published` are the publications of the period; what stood when it began, the first of them has replaced.
    """
    grants = [one for one in facts if one.kind in KINDS]
    longest, failing = _lengths(grants, then)
    came, stood, lost = _stood(published, then)
    if not known.class_of:
        return Finding(result="not-tested", detail="The lab has no resource.", population=0)
    words = [f"longest grant in class {cls}: {_hours(length)}" for cls, length in sorted(longest.items())]
    words.append(f"standing and not judged: {', '.join(known.other) or 'none'}")
    if gone := sorted(stood - frozenset(known.privileged)):
        words.insert(0, f"stood within the period and stands no more: {', '.join(gone)}")
    if lost:
        words.insert(0, f"{lost} policies of the period cannot be read any more")
    if known.privileged:
        words.insert(0, f"standing privileged entitlements: {', '.join(known.privileged)}")
    if failing:
        words.insert(0, f"{len(failing)} grants are longer than their class allows")
    bad = bool(failing or known.privileged or stood or lost)
    if not bad and not grants:
        return Finding(
            result="not-tested",
            detail="No grant began in the period, so no length was tested; " + "; ".join(words) + ".",
            population=0,
        )
    broken = tuple(sorted((*failing, *came)))
    return Finding(
        result="not-satisfied" if bad else "satisfied",
        detail="; ".join(words).capitalize() + ".",
        population=len(grants),
        failing=broken,
        samples=samples([*grants, *published], broken),
    )


def _lengths(grants: Sequence[Fact], then: Mapping[str, Standing]) -> tuple[dict[str, Millis], list[int]]:
    """Return the longest grant of each class, and those that are longer than their class allowed that day."""
    longest: dict[str, Millis] = {}
    failing = []
    for grant in grants:
        that_day = then.get(str(grant.data.get("policy_digest")))
        cls = that_day.class_of.get(str(grant.data.get("resource")), "unknown") if that_day else "unknown"
        length = _length(grant)
        if length is None or that_day is None or length > that_day.longest.get(cls, 0):
            failing.append(grant.index)
        longest[cls] = max(longest.get(cls, 0), length or 0)
    return longest, failing


def _stood(published: Sequence[Fact], then: Mapping[str, Standing]) -> tuple[list[int], set[str], int]:
    """Return the publications that made standing privilege, what stood in any policy of the period, and how many of
    these policies nobody can read."""
    came = []
    stood: set[str] = set()
    lost = set()
    for one in sorted(published, key=lambda fact: fact.index):
        for name in ("previous", "digest"):
            digest = str(one.data.get(name) or "")
            said = then.get(digest)
            if digest and said is None:
                lost.add(digest)
            elif said is not None and said.privileged:
                stood |= set(said.privileged)
                came += [one.index] if name == "digest" else []
    return came, stood, len(lost)


def _hours(length: Millis) -> str:
    return f"{length // HOUR} h {length % HOUR // (HOUR // 60)} min"
