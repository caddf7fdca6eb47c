"""Facts for decisions, from signed policy and sealed state. Guards rules from believing a row.

People and teams come from the signed lab, whether somebody is frozen and which devices count from identity's sealed
state. What is derived from one lab is kept by its digest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from weighthouse.access.events import Denied as DeniedEvent
from weighthouse.access.model import Slot
from weighthouse.access.rules.advisor import Candidate
from weighthouse.access.rules.deciding import Member, Terms
from weighthouse.core.caller import Caller
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import Denied, Unauthenticated
from weighthouse.core.work import System, Unit
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.api.states import state_of
from weighthouse.policy import api as policy


class LabIndex:
    """What one lab implies, computed when first asked for."""

    def __init__(self, lab: policy.Lab) -> None:
        self._lab = lab
        self._standing: dict[str, list[policy.Entitlement]] = {}
        for entitlement in lab.entitlements.values():
            if entitlement.standing:
                for action in entitlement.actions:
                    self._standing.setdefault(action, []).append(entitlement)
        self._candidates: list[Candidate] | None = None
        self._teams: dict[tuple[str, str], frozenset[str]] = {}
        self._terms: dict[tuple[str, str], Terms | None] = {}
        self._knowers: dict[str, frozenset[str]] = {}
        self._answering: dict[str, frozenset[str]] = {}
        self._apart: dict[str, list[tuple[str, frozenset[str], str]]] = {}
        for separation in lab.separations:
            for entitlement_id in separation.entitlements:
                self._apart.setdefault(entitlement_id, []).append(
                    (separation.name, separation.entitlements, separation.why)
                )

    def standing_teams(self, action: str, resource: policy.Resource) -> frozenset[str]:
        """The teams whose members may always do `action` on `resource`."""
        key = (action, resource.id)
        found = self._teams.get(key)
        if found is None:
            found = frozenset(
                team
                for entitlement in self._standing.get(action, ())
                if entitlement.reaches(resource)
                for team in entitlement.eligible_teams
            )
            self._teams[key] = found
        return found

    def terms(self, entitlement: str, resource: str) -> Terms | None:
        """What the lab says about an entitlement on a resource; None if either is gone."""
        key = (entitlement, resource)
        if key not in self._terms:
            if len(self._terms) > 50_000:
                self._terms.clear()
            self._terms[key] = terms_of(self._lab, entitlement, resource)
        return self._terms[key]

    def apart(self, entitlement: str) -> list[tuple[str, frozenset[str], str]]:
        """The separations that name an entitlement: (name, entitlements, why)."""
        return self._apart.get(entitlement, [])

    def answering(self, resource: policy.Resource) -> frozenset[str]:
        """The teams that answer for a resource or guard it: owners, approvers, and who may revoke or read the log."""
        found = self._answering.get(resource.id)
        if found is None:
            lab = self._lab.resources[policy.LAB_RESOURCE]
            found = self.standing_teams("audit.read", lab) | self.standing_teams("grant.revoke", resource)
            found |= {resource.owner_team} | {
                slot.team for one in self._lab.entitlements.values() if one.reaches(resource) for slot in one.requires
            }
            self._answering[resource.id] = found
        return found

    def knowers(self, resource: policy.Resource) -> frozenset[str]:
        """The teams that may know of a resource: who answers for it, who may ask for it, who may see or do anything
        there. To everybody else it does not exist."""
        found = self._knowers.get(resource.id)
        if found is None:
            found = self.answering(resource)
            for one in self._lab.entitlements.values():
                if one.reaches(resource):
                    found |= one.eligible_teams
            self._knowers[resource.id] = found
        return found

    def candidates(self) -> list[Candidate]:
        """Every entitlement that can be asked for, with the resources it reaches."""
        if self._candidates is None:
            self._candidates = [
                Candidate(
                    id=entitlement.id,
                    name=entitlement.name,
                    description=entitlement.description,
                    actions=entitlement.actions,
                    reached=frozenset(r.id for r in self._lab.resources.values() if entitlement.reaches(r)),
                    slots=slots_of(entitlement),
                    max=entitlement.max_duration,
                    default=entitlement.default_duration,
                    broad=entitlement.broad,
                    operation=entitlement.operation,
                )
                for entitlement in self._lab.entitlements.values()
                if not entitlement.standing
            ]
        return self._candidates


_indexes: OrderedDict[str, LabIndex] = OrderedDict()
_lock = threading.Lock()


_Recent = dict[tuple[str, str], tuple[int, Millis, Member | None]]
_recent: WeakKeyDictionary[System, _Recent] = WeakKeyDictionary()
RECENT: Millis = SECOND


def index_of(bundle: policy.Bundle) -> LabIndex:
    """The index of a bundle's lab, kept by its digest."""
    with _lock:
        found = _indexes.get(bundle.digest)
        if found is None:
            found = _indexes[bundle.digest] = LabIndex(bundle.lab)
            while len(_indexes) > 4:
                _indexes.popitem(last=False)
        return found


def slots_of(entitlement: policy.Entitlement) -> tuple[Slot, ...]:
    """The slots of an entitlement in this room's words."""
    return tuple(Slot(slot.name, slot.team, slot.count) for slot in entitlement.requires)


def terms_of(lab: policy.Lab, entitlement_id: str, resource_id: str) -> Terms | None:
    """What `lab` says about an entitlement on a resource; None if either is gone."""
    entitlement = lab.entitlements.get(entitlement_id)
    resource = lab.resources.get(resource_id)
    if entitlement is None or resource is None:
        return None
    cls = lab.classes[resource.cls]
    return Terms(
        slots=slots_of(entitlement),
        actions=entitlement.actions,
        cap=min(entitlement.max_duration, cls.max_grant),
        chain=entitlement.longest_chain,
        pending=entitlement.pending_window,
        vote_signature=cls.vote_signature,
        fresh=cls.fresh,
        cls=cls.id,
        environment=resource.environment,
        reaches=entitlement.reaches(resource),
        eligible_teams=entitlement.eligible_teams,
        operation=entitlement.operation,
        standing=entitlement.standing,
        broad=entitlement.broad,
    )


def member(unit: Unit, bundle: policy.Bundle, person: str) -> Member | None:
    """A person now: teams, whether they count, whose devices count; None if the lab does not know them.

    A state that was edited or put back counts as not active.
    """
    key = ("access.member", bundle.digest, person)
    if key in unit.memo:
        kept: Member | None = unit.memo[key]
        return kept
    entry = bundle.lab.people.get(person)
    found = None
    if entry is not None:
        try:
            state = state_of(unit, person)
            found = Member(
                entry.teams if entry.active else frozenset(),
                entry.active and state.frozen_at is None,
                frozenset(state.devices),
                policy.accounts_of(bundle.lab, person),
                state.adopted,
            )
        except Unauthenticated:
            found = Member(frozenset(), False)
    unit.memo[key] = found
    return found


def recent(unit: Unit, bundle: policy.Bundle, people: Iterable[str]) -> dict[str, Member]:
    """The members among `people`, in a unit that only reads perhaps as they were a second ago.

    For those who voted on a grant, not for who uses it. What this machine has changed since is seen at once, because
    identity's memory then names a later version; what another server has changed is seen within a second.
    """
    if not unit.read_only:
        return directory(unit, bundle, people)
    now = unit.system.clock.monotonic()
    known = _recent.setdefault(unit.system, {})
    found = {}
    for person in people:
        version = memory(unit.system).version(person)
        key = (bundle.digest, person)
        kept = known.get(key)
        if kept is None or kept[0] != version or now - kept[1] > RECENT:
            one = member(unit, bundle, person)
            if len(known) > 10_000:
                known.clear()
            kept = known[key] = (version, now, one)
        if kept[2] is not None:
            found[person] = kept[2]
    return found


def directory(unit: Unit, bundle: policy.Bundle, people: Iterable[str]) -> dict[str, Member]:
    """The members among `people`."""
    found = {}
    for person in people:
        one = member(unit, bundle, person)
        if one is not None:
            found[person] = one
    return found


def _moved(bundle: policy.Bundle, caller: Caller) -> DeniedEvent:
    return DeniedEvent(
        principal=caller.principal,
        kind=caller.kind,
        action="person.act",
        resource=policy.LAB_RESOURCE,
        code="access.account_moved",
        rule="access",
        grant="",
        policy_digest=bundle.digest,
        context={},
    )


def person_of(unit: Unit, bundle: policy.Bundle, caller: Caller) -> str:
    """The person who calls; raises Denied for workloads, the system and people who do not count now."""
    if caller.kind != "person":
        raise Denied(
            "access.not_a_person",
            "Only a person asks for access, votes or withdraws; a workload or a bot never does.",
            "Sign in as yourself.",
        )
    one = member(unit, bundle, caller.principal)
    if one is None or not one.active:
        raise Denied(
            "access.person_inactive",
            "You are not an active member of this lab now.",
            "Ask security why.",
        )
    if not caller.account or caller.account not in one.accounts:
        raise Denied(
            "access.account_moved",
            "The account that you signed in with is no longer yours in this lab.",
            "Sign in again with an account that the lab names as yours.",
            record=[_moved(bundle, caller)],
        )
    return caller.principal
