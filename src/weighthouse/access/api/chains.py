"""How long without a break. Guards against requests, roles and renewals that add up to for ever.

Asked when somebody requests, and again when the access would begin: a request may have waited since, while others
began. Every role on the resource counts, so that two of them cannot take turns; only one that is pinned to a single
operation counts by itself, unless it gives an action of the other. What was held is read from the memory outside the
database and from sealed grants, never from the columns of a row.
"""

from __future__ import annotations

from weighthouse.access.api.facts import index_of
from weighthouse.access.api.sealing import open_grant
from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.events import GrantEnded
from weighthouse.access.model import Request
from weighthouse.access.ports import Refusals
from weighthouse.access.rules import duration as durations
from weighthouse.access.rules.card import span
from weighthouse.access.rules.deciding import Terms
from weighthouse.access.store import grants as rows
from weighthouse.audit import api as audit
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Denied, Invalid
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

_TEXT = "Without a break of {gap}, this access to '{resource}' would last longer than {chain}, all roles together."
_ENDED = audit.Lines(GrantEnded.KIND)
_REMEDY = "Ask for less, or let what is held there end and stay ended for {gap}."


def check_asked(unit: Unit, bundle: policy.Bundle, request: Request, terms: Terms) -> None:
    """Raise Invalid `access.renewal_cap` if the access asked for would be too long even if it began now."""
    if _too_long(unit, bundle, request, terms):
        line = _line(bundle, request, "request.submit")
        raise Invalid("access.renewal_cap", *_words(request, terms), record=[line])


def check_begins(unit: Unit, bundle: policy.Bundle, request: Request, terms: Terms) -> None:
    """Raise Denied `access.renewal_cap` if the access that would begin now would be too long."""
    if _too_long(unit, bundle, request, terms):
        line = _line(bundle, request, "request.activate")
        raise Denied("access.renewal_cap", *_words(request, terms), record=[line])


def _line(bundle: policy.Bundle, request: Request, action: str) -> DeniedEvent:
    return DeniedEvent(
        principal=request.person,
        kind="person",
        action=action,
        resource=request.resource,
        code="access.renewal_cap",
        rule="chain",
        grant="",
        policy_digest=bundle.digest,
        context={"entitlement": request.entitlement},
    )


def _words(request: Request, terms: Terms) -> tuple[str, str]:
    gap = span(durations.GAP)
    return _TEXT.format(gap=gap, resource=request.resource, chain=span(terms.chain)), _REMEDY.format(gap=gap)


def _too_long(unit: Unit, bundle: policy.Bundle, request: Request, terms: Terms) -> bool:
    lasts = min(request.duration, terms.cap)
    began = durations.chain_start(_held(unit, bundle, request, terms), unit.now)
    return unit.now + lasts - began > terms.chain


def _held(unit: Unit, bundle: policy.Bundle, request: Request, terms: Terms) -> list[tuple[Millis, Millis]]:
    """(start, end that came true) of what the person was given on this resource and that counts beside this."""
    since = unit.now - terms.chain - durations.GAP
    index = index_of(bundle)
    remembered = unit.part(Refusals).held_apart(request.person)
    found = [
        (one.start, one.end)
        for one in remembered
        if one.resource == request.resource
        and one.end >= since
        and _beside(request, terms, index.terms(one.entitlement, one.resource))
    ]
    known = {str(one.grant) for one in remembered if one.resource}
    for id_ in rows.ids_since(unit.conn, request.person, request.resource, since):
        row = rows.find(unit.conn, id_) if id_ not in known else None
        sealed = open_grant(unit, row) if row is not None else None
        if sealed is not None and _beside(request, terms, index.terms(sealed.grant.entitlement, request.resource)):
            found.append((sealed.grant.not_before, _end(unit, id_, sealed.grant.end)))
    return found


def _beside(request: Request, terms: Terms, other: Terms | None) -> bool:
    """Whether a role counts beside the one asked for. One that policy no longer knows counts."""
    if other is None or not (terms.operation or other.operation):
        return True
    return bool(other.actions & terms.actions) or not other.actions


def _end(unit: Unit, grant: str, sealed: Millis) -> Millis:
    """When a grant of an older release was over: its end, or sooner if the log says so."""
    if not unit.part(Refusals).closed(grant):
        return sealed
    lines = _ENDED.of(unit, grant, limit=1)
    return min(sealed, lines[0].at) if lines else sealed
