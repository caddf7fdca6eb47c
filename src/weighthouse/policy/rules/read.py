"""From strict text to a whole `Lab`. Guards every room from a configuration that is only partly understood.

Sections are read in the order in which they refer to each other, so that an unknown name is refused where it stands.
"""

from __future__ import annotations

import re
from typing import cast, get_args

from weighthouse.core.clock import DAY, Millis
from weighthouse.policy.model import (
    CONTENT,
    LAB_RESOURCE,
    SHARED,
    Environment,
    Lab,
    Minimum,
    PersonEntry,
    Resource,
    Sandbox,
    SensitivityClass,
    Team,
    VoteKind,
)
from weighthouse.policy.rules.check import Places, check, check_nested
from weighthouse.policy.rules.check_committee import check_committee
from weighthouse.policy.rules.fields import Fields, entries
from weighthouse.policy.rules.read_entitlements import read_entitlements, read_separations
from weighthouse.policy.rules.read_outside import read_committee, read_egress
from weighthouse.policy.rules.tree import Node, Place, read_tree, refuse

SCHEMA = "weighthouse/lab/1"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SECTIONS = (
    "schema", "lab", "environments", "classes", "teams", "people", "resources", "entitlements", "separations",
    "egress", "committee",
)  # fmt: skip


def read_lab(text: str, name: str, *, now: Millis = 0, kept: bool = False) -> Lab:
    """Read `text`, which is called `name` in messages; raises Invalid(`policy.*`) at the first fault.

    With `now`, a term that is over leaves its seat empty. A text that was `kept` was checked when it was published:
    what is asked of a committee since must not close the lab of whoever published it before.
    """
    top = Fields(read_tree(text, name), "the lab", _SECTIONS)
    if top.text("schema") != SCHEMA:
        refuse(
            "policy.schema_version",
            top.at("schema"),
            f"expected `schema: {SCHEMA}`.",
            "Use the version this server reads.",
        )
    about = Fields(top.node("lab", "a mapping with id and name"), "'lab'", ("id", "name"))
    places: Places = {}
    environments = _environments(top, places)
    classes = _classes(top, places)
    teams = _teams(top, places)
    people = _people(top, teams, places)
    resources = _resources(top, classes, environments, teams, places)
    entitlements = read_entitlements(top, teams, environments, resources, places)
    lab = Lab(
        id=about.text("id", longest=64),
        name=about.name("name"),
        environments=environments,
        classes=classes,
        teams=teams,
        people=people,
        resources=resources,
        entitlements=entitlements,
        separations=read_separations(top, entitlements, places),
        egress_profiles=read_egress(top, set(teams) | set(people), places),
        committee=read_committee(top, people, places),
    )
    check(lab, places)
    if not kept:
        check_nested(lab, places)
        check_committee(lab, places, now)
    return lab


def _environments(top: Fields, places: Places) -> dict[str, Environment]:
    found: dict[str, Environment] = {}
    for id_, node, place in top.section("environments"):
        if id_ == SHARED:
            refuse(
                "policy.reserved_name",
                place,
                f"'{SHARED}' means every environment.",
                "Give this environment another id.",
            )
        fields = Fields(node, f"environment '{id_}'", ("name", "description"))
        places["environment", id_] = place
        found[id_] = Environment(id=id_, name=fields.name("name"), description=fields.text("description", ""))
    return found


def _classes(top: Fields, places: Places) -> dict[str, SensitivityClass]:
    found: dict[str, SensitivityClass] = {}
    for id_, node, place in top.section("classes"):
        fields = Fields(
            node,
            f"class '{id_}'",
            (
                "name", "rank", "longest_grant", "assurance", "fresh", "vote_signature", "sandbox", "read_budget",
                "approvals", "images", "outside_runs",
            ),
        )  # fmt: skip
        least = Minimum()
        if fields.has("approvals"):
            inner = Fields(
                fields.node("approvals", "a mapping with people and teams"),
                f"'approvals' of class '{id_}'",
                ("people", "teams"),
            )
            least = Minimum(people=inner.integer("people", 0, 6), teams=inner.integer("teams", 0, 6))
            if least.teams > least.people:
                refuse(
                    "policy.impossible_quorum",
                    inner.place,
                    "more teams than people can never approve.",
                    "Raise 'people'.",
                )
        places["class", id_] = place
        places["outside_runs", id_] = fields.at("outside_runs")
        found[id_] = SensitivityClass(
            id=id_,
            name=fields.name("name", id_),
            rank=fields.integer("rank", 0, 9),
            max_grant=fields.duration("longest_grant", 90 * DAY),
            assurance=fields.integer("assurance", 1, 2),
            fresh=fields.duration("fresh", DAY),
            vote_signature=cast(VoteKind, fields.choice("vote_signature", get_args(VoteKind))),
            sandbox=cast(Sandbox, fields.choice("sandbox", get_args(Sandbox))),
            read_budget_bytes=fields.size("read_budget"),
            approvals=least,
            images=_images(fields),
            outside_runs=fields.names("outside_runs", CONTENT, "action that a class may allow outside of runs"),
        )
    return found


def _images(fields: Fields) -> tuple[str, ...]:
    if not fields.has("images"):
        return ()
    found = fields.texts("images", least=1)
    for one in found:
        if _DIGEST.fullmatch(one) is None:
            refuse(
                "policy.bad_image",
                fields.at("images"),
                f"'{one[:80]}' is not the digest of an environment.",
                "Write sha256: and 64 hex digits, as `weighthouse run environments` prints it.",
            )
    return found


def _teams(top: Fields, places: Places) -> dict[str, Team]:
    section = top.section("teams")
    ids = [id_ for id_, _, _ in section]
    found: dict[str, Team] = {}
    for id_, node, place in section:
        fields = Fields(node, f"team '{id_}'", ("name", "description", "includes"))
        places["team", id_] = place
        found[id_] = Team(
            id=id_,
            name=fields.name("name", id_),
            description=fields.text("description", ""),
            includes=fields.names("includes", ids, "team"),
        )
    for id_ in found:
        _no_cycle(id_, found, places["team", id_])
    return found


def _no_cycle(start: str, teams: dict[str, Team], place: Place) -> None:
    """Refuse a team that reaches itself; walk with an explicit stack, for nesting may be deep."""
    seen: set[str] = set()
    stack = list(teams[start].includes)
    while stack:
        team = stack.pop()
        if team == start:
            refuse(
                "policy.team_cycle",
                place,
                f"team '{start}' includes itself through other teams.",
                "Break the circle.",
            )
        if team not in seen:
            seen.add(team)
            stack.extend(teams[team].includes)


def _closure(direct: tuple[str, ...], parents: dict[str, list[str]]) -> frozenset[str]:
    reached: set[str] = set()
    stack = list(direct)
    while stack:
        team = stack.pop()
        if team not in reached:
            reached.add(team)
            stack.extend(parents.get(team, ()))
    return frozenset(reached)


def _people(top: Fields, teams: dict[str, Team], places: Places) -> dict[str, PersonEntry]:
    parents: dict[str, list[str]] = {}
    for team in teams.values():
        for inner in team.includes:
            parents.setdefault(inner, []).append(team.id)
    section = top.section("people")
    ids = [id_ for id_, _, _ in section]
    found: dict[str, PersonEntry] = {}
    for id_, node, place in section:
        if "/" in id_ or id_ == LAB_RESOURCE or id_ in teams:
            refuse(
                "policy.bad_name",
                place,
                f"person '{id_}' could be taken for a resource or a team.",
                "Choose another id.",
            )
        fields = Fields(node, f"person '{id_}'", ("name", "accounts", "teams", "manager", "active"))
        places["person", id_] = place
        accounts = tuple(_account(item, id_) for item in fields.items("accounts", least=1))
        fields.distinct("accounts", [str(account) for account in accounts])
        found[id_] = PersonEntry(
            id=id_,
            name=fields.name("name"),
            accounts=accounts,
            teams=_closure(fields.names("teams", teams, "team"), parents),
            manager=fields.reference("manager", ids, "person", ""),
            active=fields.flag("active", True),
        )
    for id_ in found:
        _no_circle_of_managers(id_, found, places["person", id_])
    return found


def _no_circle_of_managers(start: str, people: dict[str, PersonEntry], place: Place) -> None:
    """Refuse somebody who answers to themselves; a circle further up is refused at its own people."""
    seen: set[str] = set()
    above = people[start].manager
    while above and above not in seen:
        if above == start:
            refuse("policy.manager_circle", place, f"person '{start}' would manage themselves.", "Break the circle.")
        seen.add(above)
        above = people[above].manager


def _account(node: Node, person: str) -> tuple[str, str]:
    fields = Fields(node, f"an account of '{person}'", ("issuer", "subject"))
    return fields.text("issuer", longest=300), fields.text("subject", longest=300)


def _resources(
    top: Fields,
    classes: dict[str, SensitivityClass],
    environments: dict[str, Environment],
    teams: dict[str, Team],
    places: Places,
) -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    known = ("name", "description", "class", "environment", "owner", "tags", "size")
    for id_, node, place in entries(top.node("resources"), "'resources'"):
        kind, slash, _ = id_.partition("/")
        if not slash and id_ != LAB_RESOURCE:
            refuse(
                "policy.bad_name",
                place,
                f"resource '{id_}' should be written kind/name.",
                f"Write model/{id_}, for example.",
            )
        fields = Fields(node, f"resource '{id_}'", known)
        if not fields.has("class"):
            refuse(
                "policy.unclassified_resource",
                place,
                f"resource '{id_}' has no sensitivity class.",
                "Add `class: …`; every resource carries one.",
            )
        places["resource", id_] = place
        found[id_] = Resource(
            id=id_,
            name=fields.name("name", id_),
            kind=kind,
            description=fields.text("description", "", longest=1000),
            cls=fields.reference("class", classes, "class"),
            environment=fields.reference("environment", {*environments, SHARED}, "environment"),
            owner_team=fields.reference("owner", teams, "team"),
            tags=fields.texts("tags", longest=40),
            size_bytes=fields.size("size", 0),
        )
    return found
