"""Which entitlement would do, narrowest first. Guards people from asking for too much; it cannot give anything.

Deterministic: the same lab and question give the same order. Narrow is what does little harm, before it is what gives
few things: each (action, resource) pair beyond what was asked for weighs by what it lets somebody do, and one that
lets plaintext out outweighs any number of others. Excess counts the pairs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from weighthouse.access.model import Found, Slot, Suggestion
from weighthouse.core.clock import Millis

# What an action lets somebody do, the worst first. Whatever is not listed only reads, or only closes.
DANGER: tuple[frozenset[str], ...] = (
    frozenset({"egress.connect", "weights.export"}),  # plaintext leaves
    frozenset({"policy.publish"}),  # the rules change by which keys are released
    frozenset({"weights.destroy", "weights.destroy_model"}),  # nothing brings it back
    frozenset({"weights.save"}),
    frozenset({"run.submit", "redteam.run"}),
)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An entitlement as the advisor sees it: the resources it reaches, resolved."""

    id: str
    name: str
    description: str
    actions: frozenset[str]
    reached: frozenset[str]
    slots: tuple[Slot, ...]
    max: Millis
    default: Millis
    broad: bool
    operation: tuple[str, ...]


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    """A resource as search sees it."""

    id: str
    name: str
    kind: str
    description: str
    cls: str
    environment: str
    tags: tuple[str, ...]


def advise(candidates: Iterable[Candidate], resource: str, action: str | None) -> list[Suggestion]:
    """Rank the candidates that open `resource` (for `action`, if given) by the harm they could do, least first."""
    found = []
    for candidate in candidates:
        if resource not in candidate.reached or (action is not None and action not in candidate.actions):
            continue
        excess = len(candidate.actions) * len(candidate.reached) - 1
        found.append(_suggestion(candidate, excess, action, resource))
    return sorted(found, key=narrowness)


def narrowness(one: Suggestion) -> tuple[object, ...]:
    """What suggestions are ranked by, narrowest first."""
    return (one.broad, one.danger, one.excess, len(one.slots), one.max, one.entitlement)


def _danger(candidate: Candidate, action: str | None) -> tuple[int, ...]:
    """How many (action, resource) pairs beyond the asked one it gives, of each kind, the worst first."""
    reached = len(candidate.reached)
    counts = [len(candidate.actions & kind) * reached for kind in DANGER]
    for place, kind in enumerate(DANGER):
        counts[place] -= action in kind
    return tuple(counts)


def _suggestion(candidate: Candidate, excess: int, action: str | None, resource: str) -> Suggestion:
    others = len(candidate.reached) - 1
    extra = sorted(candidate.actions - ({action} if action else set()))
    parts = [f"gives {', '.join(sorted(candidate.actions))} on {resource}"]
    if action is not None and extra:
        parts.append(f"{', '.join(extra)} beyond what you named")
    if others:
        parts.append(f"and reaches {others} other resource{'s' if others > 1 else ''}")
    if candidate.actions & DANGER[0] and action not in DANGER[0]:
        parts.append("it lets plaintext out")
    if candidate.broad:
        parts.append("broad: needs a longer justification")
    return Suggestion(
        entitlement=candidate.id,
        name=candidate.name,
        excess=excess,
        danger=_danger(candidate, action),
        why="; ".join(parts) + ".",
        slots=candidate.slots,
        max=candidate.max,
        default=candidate.default,
        broad=candidate.broad,
        operation=candidate.operation,
    )


_WORD = re.compile(r"[a-z0-9]+")


def search(things: Iterable[Thing], text: str, limit: int | None) -> list[Found]:
    """Find the things that match every word of `text`, best first; an empty text finds all, by id."""
    words = _WORD.findall(text.casefold())[:8]
    scored: list[tuple[int, Thing]] = []
    for thing in things:
        score = _score(thing, words, text.strip().casefold())
        if score is not None:
            scored.append((score, thing))
    scored.sort(key=lambda pair: (-pair[0], pair[1].id))
    return [
        Found(
            resource=thing.id,
            name=thing.name,
            kind=thing.kind,
            description=thing.description,
            cls=thing.cls,
            environment=thing.environment,
            tags=thing.tags,
            score=score,
        )
        for score, thing in scored[:limit]
    ]


def _score(thing: Thing, words: Sequence[str], whole: str) -> int | None:
    total = 1000 if whole and whole in (thing.id, thing.name.casefold()) else 0
    fields = (
        (40, _WORD.findall(thing.id)),
        (30, _WORD.findall(thing.name.casefold())),
        (20, [word for tag in thing.tags for word in _WORD.findall(tag.casefold())]),
        (5, _WORD.findall(thing.description.casefold())),
    )
    for word in words:
        best = 0
        for weight, found in fields:
            if word in found:
                best = max(best, weight)
            elif any(other.startswith(word) for other in found):
                best = max(best, weight // 2)
        if not best:
            return None
        total += best
    return total
