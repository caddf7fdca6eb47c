"""Egress profiles and the committee's charter. Guards the allow-list from entries without owner, reason or end."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Literal, cast

from weighthouse.core.clock import DAY
from weighthouse.policy.model import Charter, EgressEntry, EgressProfile, PersonEntry, QuorumRule, SeatEntry
from weighthouse.policy.rules.check import Places
from weighthouse.policy.rules.fields import Fields, entries
from weighthouse.policy.rules.tree import Node, refuse

_HOST = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
SeatKind = Literal["director", "expert", "adviser", "observer"]


def read_egress(top: Fields, owners: Collection[str], places: Places) -> dict[str, EgressProfile]:
    """Read the section `egress`: profiles by id."""
    found: dict[str, EgressProfile] = {}
    for id_, node, place in top.section("egress", required=False):
        fields = Fields(node, f"egress profile '{id_}'", ("name", "budget", "entries"))
        places["egress", id_] = place
        listed = tuple(_entry(item, id_, owners) for item in fields.items("entries"))
        targets = [(entry.host, entry.port) for entry in listed]
        if len(set(targets)) != len(targets):
            refuse(
                "policy.duplicate_name", place, f"egress profile '{id_}' lists one host and port twice.", "Keep one."
            )
        found[id_] = EgressProfile(
            id=id_, name=fields.name("name", id_), entries=listed, total_budget_bytes=fields.size("budget")
        )
    return found


def _entry(node: Node, profile: str, owners: Collection[str]) -> EgressEntry:
    what = f"an entry of egress profile '{profile}'"
    fields = Fields(node, what, ("host", "port", "owner", "reason", "expires", "kind", "address", "budget"))
    host = fields.text("host", longest=253)
    if _HOST.fullmatch(host) is None:
        refuse(
            "policy.bad_host",
            fields.at("host"),
            f"{what}: '{host}' is not a host name.",
            "No wildcard, scheme or path.",
        )
    address = fields.text("address", "", longest=45) or None
    if address is not None:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            refuse(
                "policy.bad_host",
                fields.at("address"),
                f"{what}: '{address}' is not an IP address.",
                "Write one address.",
            )
    kind = fields.choice("kind", ("internet", "private-link"), "internet")
    return EgressEntry(
        host=host,
        port=fields.integer("port", 1, 65535, 443),
        owner=fields.reference("owner", owners, "team or person"),
        reason=fields.text("reason"),
        expires=fields.date("expires"),
        kind="internet" if kind == "internet" else "private-link",
        address=address,
        budget_bytes=fields.size("budget"),
    )


def read_committee(top: Fields, people: dict[str, PersonEntry], places: Places) -> Charter | None:
    """Read the section `committee`, if the lab has one."""
    if not top.has("committee"):
        return None
    known = ("id", "name", "version", "seats", "quorums", "barred", "min_independent", "answer_within")
    fields = Fields(top.node("committee"), "'committee'", known)
    places["committee", ""] = top.at("committee")
    listed, named = (list(entries(fields.node(one), f"'{one}'")) for one in ("seats", "quorums"))
    seats = tuple(_seat(id_, node, people) for id_, node, _ in listed)
    rules = {id_: _quorum(id_, node) for id_, node, _ in named}
    places.update({("seat", id_): place for id_, _, place in listed})
    places.update({("quorum", id_): place for id_, _, place in named})
    return Charter(
        id=fields.text("id", "committee"),
        name=fields.name("name"),
        version=fields.integer("version", 1, 10_000),
        seats=seats,
        quorums=rules,
        barred=fields.names("barred", people, "person"),
        min_independent=fields.integer("min_independent", 0, 50, 1),
        answer_within=fields.duration("answer_within", 30 * DAY, 3 * DAY),
    )


def _seat(person: str, node: Node, people: Collection[str]) -> SeatEntry:
    fields = Fields(node, f"the seat of '{person}'", ("kind", "independent", "chair", "until"))
    if person not in people:
        refuse(
            "policy.unknown_reference",
            fields.place,
            f"'seats': there is no person '{person}'.",
            "Declare the person first.",
        )
    kind = fields.choice("kind", ("director", "expert", "adviser", "observer"))
    return SeatEntry(
        person=person,
        kind=cast(SeatKind, kind),
        independent=fields.flag("independent"),
        chair=fields.flag("chair", False),
        until=fields.date("until") if fields.has("until") else None,
    )


def _quorum(id_: str, node: Node) -> QuorumRule:
    fields = Fields(node, f"quorum '{id_}'", ("present", "approve", "independent"))
    return QuorumRule(
        id=id_,
        present=fields.integer("present", 1, 50),
        approve=fields.integer("approve", 1, 50),
        independent=fields.integer("independent", 0, 50),
    )
