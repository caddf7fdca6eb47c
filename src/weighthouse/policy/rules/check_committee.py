"""What a committee must be before a text may set it up. Guards from a charter that reads well and decides nothing.

Asked of a text that is to be published, at that time; every question about numbers goes to `quorum`, which counts
when a motion is closed, too. The executive holds no voting seat where the charter says so.
"""

from __future__ import annotations

from weighthouse.core.clock import Millis
from weighthouse.policy.model import LAB_RESOURCE, Charter, Entitlement, Lab
from weighthouse.policy.rules import quorum
from weighthouse.policy.rules.fields import nearest
from weighthouse.policy.rules.tree import Place, refuse

Places = dict[tuple[str, str], Place]


def check_committee(lab: Lab, places: Places, now: Millis) -> None:
    """Raise Invalid(`policy.*`) at the first fault of the committee, or of what goes around it."""
    for entitlement in lab.entitlements.values():
        _standing_export(entitlement, places["entitlement", entitlement.id])
    charter = lab.committee
    if charter is None:
        return
    for name in charter.quorums:
        _known(name, places["quorum", name])
    _seats(charter, places)
    found = quorum.seating(charter, lab.people, now)
    _chair(charter, found, places)
    for person in sorted(found.sitting):
        _right(lab, person, places["seat", person])
    _possible(charter, found, places)
    for entitlement in lab.entitlements.values():
        _rules_of_the_rules(lab, found, entitlement, places["entitlement", entitlement.id])


def _standing_export(entitlement: Entitlement, place: Place) -> None:
    """Who may always export needs nobody, for no version, to anywhere, for ever."""
    if entitlement.standing and "weights.export" in entitlement.actions:
        refuse(
            "policy.standing_export",
            place,
            f"entitlement '{entitlement.id}' is standing and gives weights.export.",
            "Take `weights.export` out of it, or replace `standing: true` by `approval: {…}` and "
            "`operation: [version, destination]`.",
        )


def _known(name: str, place: Place) -> None:
    if name not in quorum.QUORUMS:
        refuse(
            "policy.unknown_quorum",
            place,
            f"there is no quorum '{name}': nothing would ever be counted by it.",
            nearest(name, quorum.QUORUMS),
        )


def _seats(charter: Charter, places: Places) -> None:
    for seat in charter.seats:
        if seat.voting and seat.person in charter.barred:
            refuse(
                "policy.barred_seat",
                places["seat", seat.person],
                f"'{seat.person}' is barred from a voting seat.",
                "Seat somebody else, or take the person out of 'barred'.",
            )


def _right(lab: Lab, person: str, place: Place) -> None:
    """A seat whose member may not vote, or only by a grant that others approve and revoke, is an empty seat."""
    thing, teams = lab.resources[LAB_RESOURCE], lab.people[person].teams
    standing = (one for one in lab.entitlements.values() if one.standing and one.reaches(thing))
    if any("committee.vote" in one.actions and one.eligible_teams & teams for one in standing):
        return
    refuse(
        "policy.seat_without_vote",
        place,
        f"'{person}' holds a voting seat, and no standing entitlement gives them committee.vote on '{LAB_RESOURCE}'.",
        "Put them into a team of the standing entitlement that gives it, or give their team one.",
    )


def _chair(charter: Charter, found: quorum.Seating, places: Places) -> None:
    chairs = [seat.person for seat in charter.seats if seat.chair]
    if len(chairs) != 1:
        refuse(
            "policy.chair",
            places["seat", chairs[1]] if chairs else places["committee", ""],
            f"the committee needs exactly one chair and has {len(chairs)}.",
            "Mark one seat `chair: true`.",
        )
    chair = chairs[0]
    if chair not in found.seats:
        why = "has no voting seat"
    elif chair in found.left:
        why = "is not active"
    elif chair in found.over:
        why = "has a term that is over"
    else:
        return
    refuse(
        "policy.chair",
        places["seat", chair],
        f"the chair '{chair}' {why}, and could hold no release alone.",
        "Mark another seat `chair: true`, or mend this one: a director or an expert, active, with `until` to come.",
    )


def _possible(charter: Charter, found: quorum.Seating, places: Places) -> None:
    """Refuse a rule that nobody could ever meet: with those who sit, not with those whose term is over."""
    for rule in charter.quorums.values():
        if rule.approve > rule.present:
            refuse(
                "policy.impossible_quorum",
                places["quorum", rule.id],
                f"quorum '{rule.id}' asks more to approve than are present.",
                "Expected approve <= present <= voting seats, and enough independent seats.",
            )
    stuck = quorum.stuck(found)
    if not stuck:
        return
    cls, sitting = stuck[0], found.sitting
    rule_place = places.get(("quorum", quorum.QUORUM_OF[cls]), places["committee", ""])
    empty = [places["seat", one] for one in sorted(found.over | found.left)]
    told = [f"the term of '{one}' is over" for one in sorted(found.over)]
    told += [f"'{one}' is not active" for one in sorted(found.left)]
    refuse(
        "policy.impossible_quorum",
        empty[0] if empty else rule_place,
        f"nothing of the class {cls} could ever be decided: it takes {quorum.said(found, cls)}, and "
        f"{len(sitting)} can sit, {len(sitting & found.independent)} of them independent"
        f"{'; ' + ', '.join(told) if told else ''}.",
        "Renew `until`, seat more active people, independent ones among them, or lower the quorum.",
    )


def _rules_of_the_rules(lab: Lab, found: quorum.Seating, entitlement: Entitlement, place: Place) -> None:
    """Whoever publishes policy can change what a hold holds, so that must take as many members as lifting one. To
    change who decides takes a motion besides (`deciders`)."""
    if "policy.publish" not in entitlement.actions:
        return
    needed = quorum.fewest(found, "lift_hold")
    slots = [slot for slot in entitlement.requires if {one.id for one in lab.members(slot.team)} <= found.seats]
    if sum(slot.count for slot in slots) < needed:
        refuse(
            "policy.charter_unguarded",
            place,
            f"'{entitlement.id}' gives policy.publish, and with it what a hold holds, to fewer than {needed} "
            "of the committee: a hold could be got round by another text.",
            f"Give it a slot with `count: {needed}` of a team whose members all hold voting seats.",
        )
