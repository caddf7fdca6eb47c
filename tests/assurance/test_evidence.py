"""Evidence over a real log: computed, kept in the log, read back, stale after its time, and never typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.weights.world import LAB, World
from weighthouse.access import api as access
from weighthouse.access.events import GrantStarted, PolicyPublished
from weighthouse.assurance import api
from weighthouse.assurance.api.versions import version_of
from weighthouse.assurance.checks import standing_access
from weighthouse.assurance.events import AttackRun
from weighthouse.assurance.model import SHEETS, Check
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied
from weighthouse.core.work import begin
from weighthouse.identity.events import SessionStarted
from weighthouse.policy import api as policy


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path) -> World:
    return World(database, clock, tmp_path)


def compute(world: World) -> dict[str, Check]:
    with begin(world.system) as unit:
        return {one.id: one for one in api.compute(unit)}


def shown(world: World, who: str = "fay") -> dict[str, Check]:
    caller = world.person(who)
    with begin(world.system, caller) as unit:
        return {one.id: one for one in api.evidence(unit, caller)}


def session(world: World, level: int = 2, reasons: tuple[str, ...] = ("first_sign_in",)) -> None:
    with begin(world.system) as unit:
        audit.append(
            unit,
            SessionStarted(
                session="ses_1", principal="ada", binding="dpop", level=level, method="otp", reasons=reasons,
                origin="x", ends=0, address="", user_agent="",
            ),
        )  # fmt: skip


def attacks(world: World, status: str = "BLOCKED") -> None:
    with begin(world.system) as unit:
        for one in api.catalogue():
            audit.append(
                unit,
                AttackRun(
                    scenario=one.id, title=one.title, techniques=one.techniques, expected=one.expected.status,
                    status=one.expected.status if status == "BLOCKED" else status, room="", rule="", reason="",
                    evidence=None, on=one.on, **msgspec.structs.asdict(version_of(unit)),
                ),
            )  # fmt: skip


def test_before_anything_was_computed_nothing_is_green(world: World) -> None:
    assert {one.result for one in shown(world).values()} == {"not-tested"}


def test_with_nothing_to_look_at_only_the_log_itself_is_tested(world: World) -> None:
    found = compute(world)
    assert {name: one.result for name, one in found.items()} == {
        "E-01": "not-tested",
        "E-02": "not-tested",
        "E-07": "not-tested",
        "E-17": "satisfied",
        "E-19": "not-tested",
    }


def test_a_lab_at_work_satisfies_all_five(world: World) -> None:
    session(world)
    world.grant("ada", "tern-load")
    attacks(world)
    compute(world)
    found = shown(world)
    assert {one.result for one in found.values()} == {"satisfied"}, found
    assert found["E-01"].population == 1
    assert len(found["E-01"].samples) == 2
    assert "auditing" in found["E-02"].detail


def test_findings_are_entries_of_the_log_with_period_version_and_digests(world: World) -> None:
    world.grant("ada", "tern-load")
    compute(world)
    lines = {one["check"]: one for one in world.facts("assurance.EvidenceComputed")}
    assert set(lines) == {sheet.id for sheet in SHEETS}
    line = lines["E-01"]
    assert line["period_to"] - line["period_from"] == 90 * DAY
    assert line["query_version"] == 2
    assert all(one.startswith("sha256:") for one in line["samples"])
    assert audit.verify(world.system).ok


def test_a_grant_that_nobody_approved_is_named(world: World) -> None:
    world.grant("ada", "tern-load")
    with begin(world.system) as unit:
        index = audit.head(unit).size
        audit.append(
            unit,
            GrantStarted(
                grant="grt_x", request_id="req_x", request_digest="sha256:x", policy_digest="", principal="eve",
                entitlement="tern-load", resource="model/tern", actions=("weights.load",), environment="frontier",
                not_before=unit.now, end=unit.now + 9 * HOUR, approvers=("ben", "chi"),
            ),
        )  # fmt: skip
    found = compute(world)
    assert (found["E-01"].result, found["E-01"].failing) == ("not-satisfied", (index,))
    assert (found["E-02"].result, found["E-02"].failing) == ("not-satisfied", (index,))


def test_a_session_without_the_factor_that_was_asked_for_and_a_missed_attack_are_named(world: World) -> None:
    session(world, level=1)
    attacks(world, "MISSED")
    found = compute(world)
    assert found["E-07"].result == "not-satisfied"
    assert found["E-19"].result == "not-satisfied"
    assert "self-approval" in found["E-19"].detail


def test_an_edited_log_is_named_and_leaves_what_rests_on_it_untested(world: World) -> None:
    session(world)
    world.grant("ada", "tern-load")
    with world.system.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE log_entry SET leaf = x'7b7d' WHERE kind = 'access.GrantStarted'")
    found = compute(world)
    assert found["E-17"].result == "not-satisfied"
    assert {one.result for name, one in found.items() if name != "E-17"} == {"not-tested"}
    assert found["E-01"].detail == "The log does not verify, so nothing rests on it."


def test_a_failure_cannot_be_hidden_from_a_query_by_editing_the_columns_that_find_it(world: World) -> None:
    session(world)
    session(world, level=1)
    assert compute(world)["E-07"].result == "not-satisfied"
    with world.system.database.engine.begin() as connection:
        failing = "SELECT max(idx) FROM log_entry WHERE kind = 'identity.SessionStarted'"
        connection.exec_driver_sql(f"UPDATE log_entry SET kind = 'x' WHERE idx = ({failing})")
    found = compute(world)
    assert (found["E-17"].result, found["E-07"].result) == ("not-satisfied", "not-tested")


def test_attacks_of_last_week_do_not_make_todays_evidence(world: World) -> None:
    attacks(world)
    assert compute(world)["E-19"].result == "satisfied"
    world.clock.advance(3 * DAY)
    found = compute(world)["E-19"]
    assert (found.result, "not run lately (self-approval, " in found.detail) == ("not-tested", True)


def test_a_missed_attack_does_not_lapse_with_the_period(world: World) -> None:
    attacks(world, "MISSED")
    world.clock.advance(200 * DAY)
    attacks(world, "NOT RUN")
    assert compute(world)["E-19"].result == "not-satisfied"


def republish(world: World) -> None:
    with begin(world.system) as unit:
        policy.store(unit, LAB.read_text("utf-8") + "# another text\n", "lab.yaml")


def another_policy(world: World, _patch: pytest.MonkeyPatch) -> None:
    republish(world)


def another_program(_world: World, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.assurance.api.versions.PROGRAM", "sha256:other")


def another_catalogue(_world: World, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.assurance.api.versions.CATALOGUE", "sha256:other")


@pytest.mark.parametrize("change", [another_policy, another_program, another_catalogue])
def test_what_was_found_on_another_version_is_green_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch, change: Callable[[World, pytest.MonkeyPatch], None]
) -> None:
    session(world)
    world.grant("ada", "tern-load")
    attacks(world)
    compute(world)
    assert {one.result for one in shown(world).values()} == {"satisfied"}
    change(world, monkeypatch)
    found = shown(world)
    assert {one.result for one in found.values()} == {"not-tested"}
    assert "another program, catalogue or policy" in found["E-02"].detail
    again = compute(world)["E-19"]
    assert (again.result, " not run " in again.detail and "(self-approval, " in again.detail) == ("not-tested", True)
    attacks(world)
    assert compute(world)["E-19"].result == "satisfied"


def test_approvers_are_judged_by_the_teams_of_the_day_they_voted(world: World) -> None:
    world.grant("ada", "tern-load")
    moved = LAB.read_text("utf-8").replace("teams: [weights-stewards]", "teams: [audit]")
    moved = moved.replace("teams: [red-team]", "teams: [red-team, weights-stewards]")
    with begin(world.system) as unit:
        policy.store(unit, moved, "lab.yaml")
    assert compute(world)["E-01"].result == "satisfied"


def test_standing_access_that_came_and_went_is_found_by_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text like this is refused today; a policy of an older release said it, so here its word is taken for it."""
    real = standing_access.facts_of

    def facts_of(lab: policy.Lab) -> standing_access.Standing:
        privileged = ("leaving",) if "leaving" in lab.entitlements else ()
        return msgspec.structs.replace(real(lab), privileged=privileged)

    monkeypatch.setattr(standing_access, "facts_of", facts_of)
    world.grant("ada", "tern-load")
    text = LAB.read_text("utf-8")
    way_out = """  leaving:
    name: Take Wren out
    description: Export it at any time.
    actions: [catalogue.read]
    resources: [model/wren]
    environment: research
    eligible: [training]
    standing: true
"""
    standing = text.replace("  policy-change:\n", way_out + "  policy-change:\n", 1)
    for wanted in (standing, text):
        with begin(world.system) as unit:
            before = policy.current(unit).digest
            digest = policy.store(unit, wanted, "lab.yaml").digest
            index = audit.head(unit).size
            audit.append(
                unit,
                PolicyPublished(digest=digest, version=2, previous=before, by="x", grant="", changes=(), motion=""),
            )
        world.clock.advance(HOUR)
    found = compute(world)["E-02"]
    assert (found.result, found.failing) == ("not-satisfied", (index - 1,))
    assert "Stood within the period and stands no more: leaving" in found.detail
    world.clock.advance(91 * DAY)
    assert compute(world)["E-02"].result == "not-tested"


def test_a_grant_of_the_first_day_keeps_the_votes_of_the_day_before(world: World) -> None:
    ada = world.person("ada")
    with begin(world.system, ada) as unit:
        request = access.submit(
            unit, ada, entitlement="tern-load", resource="model/tern", duration=HOUR, reason="A test of the period."
        )
    world.approve("ben", request.id)
    world.clock.advance(2 * HOUR)
    world.approve("chi", request.id)
    with begin(world.system) as unit:
        found = {one.id: one for one in api.compute(unit, period=HOUR)}
    assert (found["E-01"].result, found["E-01"].population) == ("satisfied", 1)


def test_a_finding_grows_stale_and_a_failure_does_not_heal(world: World) -> None:
    session(world)
    world.grant("ada", "tern-load")
    attacks(world, "MISSED")
    compute(world)
    world.clock.advance(3 * DAY)
    found = shown(world)
    assert {found[name].result for name in ("E-01", "E-02", "E-07", "E-17")} == {"not-tested"}
    assert found["E-01"].detail.startswith("Stale")
    assert found["E-19"].result == "not-satisfied"


def test_what_lies_before_the_period_does_not_count(world: World) -> None:
    session(world)
    world.grant("ada", "tern-load")
    world.clock.advance(91 * DAY)
    found = compute(world)
    assert (found["E-01"].result, found["E-07"].result) == ("not-tested", "not-tested")


@pytest.mark.parametrize("who", ["eve", "ada", "chi"])
def test_evidence_is_for_those_who_may_read_it(world: World, who: str) -> None:
    with pytest.raises(Denied):
        shown(world, who)
    caller = world.person(who)
    with pytest.raises(Denied), begin(world.system, caller) as unit:
        api.compute(unit, caller)
