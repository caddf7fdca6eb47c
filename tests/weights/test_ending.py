"""Attacks: the key of a whole model is destroyed by one person, under a hold, while it is used, or by an edited row.

An order takes a grant that names the newest version, which two others approved; it is final after a time, and all of
it is asked about again then. What is left after the end is in test_ending_kept.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from sqlalchemy import text
from tests.weights.test_destroying import code_of, finished, hold
from tests.weights.world import TERN, WREN, World

from weighthouse.access import api as access
from weighthouse.core.clock import HOUR, MINUTE, SECOND
from weighthouse.core.errors import Invalid
from weighthouse.core.work import read
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy
from weighthouse.weights import api as weights
from weighthouse.weights.api import ending, ends, sealing
from weighthouse.weights.model import ModelOrder

GRACE = 10 * MINUTE
ORDERED, UNDONE, OVER = "weights.ModelDestructionOrdered", "weights.ModelDestructionUndone", "keys.KekDestroyed"


@pytest.fixture
def version(any_world: World) -> weights.Version:
    return saved(any_world)


def saved(world: World) -> weights.Version:
    world.grant("ada", "tern-train")
    return world.save(world.run("ada"))


def end(world: World, person: str, model: str = TERN) -> weights.ModelDestruction:
    caller = world.person(person)
    with world.unit(caller) as unit:
        return weights.destroy_model(unit, caller, model, "It must go.")


def keep(world: World, person: str, model: str = TERN) -> None:
    caller = world.person(person)
    world.confirm(person, "model.undestroy", model)
    with world.unit(caller) as unit:
        weights.undestroy_model(unit, caller, model, "It must stay.")


def ended(world: World) -> tuple[int, list[str]]:
    """How many models went when the timer came, and the lines that it left."""
    size = world.size()
    return weights.finish_models(world.system), world.since(size)


def refused(world: World, act: Callable[[], object]) -> tuple[str, list[str]]:
    """The code of a refusal, and the lines that it left."""
    size = world.size()
    return code_of(act), world.since(size)


def grant(world: World, newest: weights.Version, person: str = "ada") -> None:
    world.grant(person, newest.model.removeprefix("model/") + "-end", newest.model, operation={"newest": newest.id})


def test_whoever_trains_or_destroys_one_version_ends_no_model(world: World) -> None:
    version = saved(world)
    assert refused(world, lambda: end(world, "ada")) == ("access.no_grant", ["access.Denied"])
    world.grant("ada", "tern-destroy", operation={"version": version.id})
    assert refused(world, lambda: end(world, "ada")) == ("access.no_grant", ["access.Denied"])
    run = world.run("ada")
    with pytest.raises(Exception, match="Only a person"), world.unit(run) as unit:
        weights.destroy_model(unit, run, TERN, "A run may not.")
    ada = world.person("ada")
    with world.unit(ada) as unit:
        request = access.submit(
            unit, ada, entitlement="tern-end", resource=TERN, duration=HOUR, reason="Nobody will miss it.",
            operation={"newest": version.id},
        )  # fmt: skip
    world.approve("ben", request.id)
    assert code_of(lambda: end(world, "ada")) == "access.no_grant", "one approval is not enough"


def test_an_approval_is_for_what_its_approvers_saw_one_asker_and_one_order(
    any_world: World, version: weights.Version
) -> None:
    world = any_world
    grant(world, version)
    for other in ("ben", "chi"):
        assert code_of(lambda other=other: end(world, other)).startswith("access.")
    newer = world.save(world.run("ada"), parent=None, seed=2)
    assert refused(world, lambda: end(world, "ada")) == ("access.operation_differs", ["access.Denied"])
    grant(world, newer)
    size = world.size()
    order = end(world, "ada")
    assert world.since(size) == ["access.Allowed", ORDERED] or world.since(size) == [ORDERED]
    assert (order.state, order.person, sorted(order.approvers)) == ("being_destroyed", "ada", ["ben", "chi"])
    world.settle()
    assert code_of(lambda: end(world, "ada")) == "weights.model_being_destroyed", "a repeat is no second order"
    keep(world, "ben")
    world.settle()
    assert code_of(lambda: end(world, "ada")) == "weights.order_used"
    assert [line["by"] for line in world.facts(UNDONE)] == ["ben"]


def test_an_expired_grant_orders_nothing(world: World) -> None:
    version = saved(world)
    grant(world, version)
    world.clock.advance(HOUR)
    assert code_of(lambda: end(world, "ada")).startswith("access.grant_")
    assert world.facts(ORDERED) == []


def test_nothing_is_done_with_it_meanwhile_and_an_undone_order_loses_nothing(
    any_world: World, version: weights.Version
) -> None:
    world, ada, run = any_world, any_world.person("ada"), any_world.run("ada")
    ticket, _ = world.begin_load(run, version.id)
    world.clock.advance(6 * MINUTE)
    world.settle()
    order = world.end("ada", version)
    with world.unit(ada) as unit:
        assert weights.version(unit, ada, version.id).state == "committed"

    def renewed() -> object:
        with world.unit(run) as unit:
            return weights.renew(unit, run, ticket.lease)

    def described() -> object:
        with world.unit(ada) as unit:
            return weights.describe(unit, ada, version.id)

    fresh = world.run("ada")
    for act in (lambda: world.begin_load(fresh, version.id), described, lambda: world.begin_save(fresh)):
        assert code_of(act) == "weights.model_being_destroyed"
    assert code_of(renewed) == "weights.lease_ended"
    world.settle()
    with world.unit(ada) as unit:
        assert weights.model_destruction(unit, TERN) == order
        assert next(one for one in weights.models(unit, ada) if one.id == TERN).destruction == order
    with world.unit() as unit:
        weights.rewrap(unit, version.id)
    world.clock.advance(GRACE - SECOND)
    assert ended(world) == (0, [])
    for person in ("gil", "eve"):
        assert code_of(lambda person=person: keep(world, person)).startswith("access.")
    keep(world, "chi")
    assert code_of(lambda: keep(world, "chi")).startswith(("access.", "weights.not_being"))
    world.clock.advance(2 * SECOND)
    assert ended(world) == (0, [])
    assert set(world.load(world.run("ada"), version.id)) == {"embed", "head", "step"}
    world.save(world.run("ada"), seed=3)


def test_it_is_refused_while_somebody_reads_and_names_what_is_in_the_way(world: World) -> None:
    version = saved(world)
    world.begin_load(world.run("ada"), version.id)
    grant(world, version)
    size = world.size()
    assert code_of(lambda: end(world, "ada")) == "weights.model_in_use"
    assert world.since(size) == []
    world.clock.advance(6 * MINUTE)  # the lease is over
    end(world, "ada")


def test_a_save_whose_run_is_over_hinders_nothing(world: World) -> None:
    version = saved(world)
    run = world.run("ada")
    world.begin_save(run)
    grant(world, version)
    assert code_of(lambda: end(world, "ada")) == "weights.model_in_use"
    with world.unit() as unit:
        identity.end_workload(unit, run.attributes["run"])
    end(world, "ada")


@pytest.mark.parametrize("subject", [TERN, "lab", "version", "class:frontier", "environment:frontier"])
def test_any_hold_refuses_it_when_asked_ordered_and_final(world: World, subject: str) -> None:
    first = saved(world)
    newest = world.save(world.run("ada"), seed=2)
    subject = first.id if subject == "version" else subject
    world.end("ada", newest)
    chi = world.person("chi")
    with world.unit(chi) as unit:
        access.place_hold(unit, chi, subject, "An incident.", actions=("weights.export",))
    world.clock.advance(GRACE)
    assert ended(world) == (0, [UNDONE])
    (line,) = world.facts(UNDONE)
    assert (line["code"], line["by"], line["hold"] != "") == ("access.held", "system", True)
    asked = code_of_grant(world, newest)
    assert asked == "access.held" or subject == first.id, "it is an older version that is held"
    if asked != "access.held":
        assert refused(world, lambda: end(world, "ada")) == ("access.held", ["access.Denied"])
    assert ended(world) == (0, [])
    world.begin_load(world.run("ada"), newest.id)


def code_of_grant(world: World, newest: weights.Version) -> str:
    try:
        grant(world, newest)
    except Exception as error:
        return str(getattr(error, "code", error))
    return ""


def test_a_hold_on_what_an_older_version_was_made_from_refuses_it_too(world: World) -> None:
    """Nothing of what is held is in the newest version, which the request names."""
    world.grant("ada", "wren-train", WREN)
    parent = world.save(world.run("ada", "research"), WREN)
    reader = world.run("ada", "research")
    world.begin_load(reader, parent.id)
    child = world.save(reader, WREN, seed=2)
    newest = world.save(world.run("ada", "research"), WREN, seed=3)
    world.clock.advance(6 * MINUTE)
    grant(world, newest)
    hold(world, parent.id)
    assert child.model == WREN
    assert refused(world, lambda: end(world, "ada", WREN)) == ("access.held", ["access.Denied"])


def _revoked(world: World) -> str:
    chi, given = world.person("chi"), world.facts(ORDERED)[-1]["grant"]
    with world.unit(chi) as unit:
        access.revoke(unit, chi, given, "It was not meant.")
    return "access.grant_ended"


def _frozen(name: str, code: str) -> Callable[[World], str]:
    def act(world: World) -> str:
        with world.unit() as unit:
            identity.freeze(unit, name, "It was somebody else.", by="system")
        return code

    return act


def _row(change: Callable[[World, ModelOrder], ModelOrder | None], code: str) -> Callable[[World], str]:
    """Write another row, with the old seal: whoever has the database has no key for another one."""

    def act(world: World) -> str:
        with world.unit() as unit:
            order = sealing.open_order(unit, TERN)
            assert order is not None
            other = change(world, order)
            if other is None:
                unit.conn.execute(text("DELETE FROM weights_model_order"))
            else:
                unit.conn.execute(
                    text("UPDATE weights_model_order SET body = :body"), {"body": msgspec.json.encode(other).decode()}
                )
        return code

    return act


def _of_another(world: World, order: ModelOrder) -> ModelOrder:
    """The approval of something else that she was given."""
    with read(world.system, world.person("ada")) as unit:
        (given,) = (one for one in access.grants_of(unit, world.person("ada")) if one.id != order.grant)
    return msgspec.structs.replace(order, grant=given.id)


MEANWHILE = {
    "revoked": (_revoked, []),
    "orderer frozen": (_frozen("ada", "identity.session_ended"), []),
    "approver frozen": (_frozen("ben", "access.person_inactive"), []),
    "earlier end": (
        _row(lambda _, one: msgspec.structs.replace(one, final=one.final - 1), "weights.row_seal"),
        ["weights.TamperFound"],
    ),
    "other model": (
        _row(lambda _, one: msgspec.structs.replace(one, model=WREN), "weights.row_seal"),
        ["weights.TamperFound"],
    ),
    "another's approval": (_row(_of_another, "weights.row_seal"), ["weights.TamperFound"]),
    "row deleted": (_row(lambda *_: None, "weights.rolled_back"), []),
}


@pytest.mark.parametrize("how", MEANWHILE)
def test_what_stands_against_it_at_the_end_undoes_it_with_one_line(
    any_world: World, version: weights.Version, how: str
) -> None:
    world, (meanwhile, more) = any_world, MEANWHILE[how]
    world.end("ada", version)
    world.settle()
    code = meanwhile(world)
    world.clock.advance(GRACE)
    size = world.size()
    assert [weights.finish_models(world.system) for _ in range(2)] == [0, 0], "its line may still be on its way"
    assert world.since(size) == [*more, UNDONE]
    assert world.facts(UNDONE)[-1]["code"] == code
    assert ended(world) == (0, []) and world.facts(OVER) == []
    with read(world.system) as unit:
        assert unit.conn.execute(text("SELECT count(*) FROM weights_key")).scalar()


def test_an_edited_row_ends_nothing_earlier_and_opens_nothing(world: World) -> None:
    version = saved(world)
    order = world.end("ada", version)
    with world.unit() as unit:
        unit.conn.execute(text("DELETE FROM weights_model_order"))
    assert code_of(lambda: world.begin_load(world.run("ada"), version.id)) == "weights.model_being_destroyed"
    world.clock.advance(GRACE - SECOND)
    assert ended(world) == (0, []) and order.final > world.clock.now()


def test_the_row_of_an_undone_order_put_back_stops_nothing_and_ends_nothing(world: World) -> None:
    version = saved(world)
    world.end("ada", version)
    with world.unit() as unit:
        row = unit.conn.execute(text("SELECT model, body, seal FROM weights_model_order")).one()._asdict()
    keep(world, "ada")
    with world.unit() as unit:
        unit.conn.execute(text("INSERT INTO weights_model_order VALUES (:model, :body, :seal)"), row)
    world.begin_load(world.run("ada"), version.id)
    world.clock.advance(GRACE)
    assert ended(world) == (0, [])
    again = world.end("ada", version)
    with world.unit() as unit:
        unit.conn.execute(text("UPDATE weights_model_order SET body = :body, seal = :seal"), row)
    world.clock.advance(GRACE)
    assert ended(world) == (0, [UNDONE]) and again.order != world.facts(ORDERED)[0]["order"]
    assert world.facts(UNDONE)[-1]["code"] == "weights.rolled_back"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    operation: [newest]\n", ""),
        ("    operation: [newest]\n", "    operation: [version]\n"),
        ("    actions: [weights.destroy_model]\n", "    actions: [weights.destroy_model, weights.destroy]\n"),
        (
            "    approval:\n      steward: {team: weights-stewards, count: 1}\n      security: {team: security, count: 1}\n"
            "  tern-end",
            "    approval: none\n  tern-end",
        ),
    ],
)
def test_no_text_lets_anybody_end_a_model_alone_or_something_else(world: World, old: str, new: str) -> None:
    start = world.text.index("  wren-end:")
    edited = world.text[:start] + world.text[start:].replace(old, new, 1)
    assert edited != world.text
    with pytest.raises(Invalid) as caught:
        policy.parse(edited, "lab.yaml")
    assert caught.value.code == "policy.lone_destroyer"


def test_a_version_that_is_ordered_to_go_goes_first_and_none_is_ordered_meanwhile(world: World) -> None:
    first = saved(world)
    newest = world.save(world.run("ada"), seed=2)
    world.order("ada", first)
    world.clock.advance(MINUTE)
    world.grant("ada", "tern-destroy", operation={"version": newest.id})
    world.end("ada", newest)
    caller = world.person("ada")
    with pytest.raises(Exception, match="being destroyed"), world.unit(caller) as unit:
        weights.destroy(unit, caller, newest.id, "That one, too.")
    world.clock.advance(GRACE - MINUTE)
    assert finished(world) == (1, ["weights.CheckpointDestroyed"])
    world.clock.advance(MINUTE)
    assert ended(world) == (1, [OVER])


def test_a_save_that_won_the_race_with_the_order_is_not_committed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, run = saved(world), world.run("ada")
    draft = world.begin_save(run)
    with monkeypatch.context() as race:
        race.setattr(ending, "_check_unused", lambda *_: None)
        world.end("ada", version)
    assert code_of(lambda: world.commit(run, draft, draft.write({}))) == "weights.model_being_destroyed"


def test_a_version_that_won_the_race_with_the_order_undoes_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its approvers never saw it."""
    version = saved(world)
    world.end("ada", version)
    with monkeypatch.context() as race:
        race.setattr(ends, "check_model", lambda *_: None)
        world.save(world.run("ada"), seed=2)
    world.clock.advance(GRACE)
    assert ended(world) == (0, [UNDONE])
    assert world.facts(UNDONE)[-1]["code"] == "weights.newer_version"


def test_a_model_that_a_policy_text_has_dropped_is_kept_by_its_people_and_by_nobody_else(world: World) -> None:
    world.grant("ada", "wren-train", WREN)
    version = world.save(world.run("ada", "research"), WREN)
    world.end("ada", version)
    text_ = re.sub(r"  wren-[a-z]+:\n(    .*\n)+", "", world.text)
    text_ = re.sub(r"  model/wren:\n(    .*\n)+", "", text_)
    digest = {"policy": policy.digest_of(text_)}
    world.grant("dee", "policy-change", "lab", operation=digest, approvers=("chi", "gil", "hana"))
    world.confirm("dee", "policy.publish", "lab", **digest)
    with world.unit(world.person("dee")) as unit:
        access.publish_policy(unit, world.person("dee"), text_, "lab.yaml")
    assert code_of(lambda: keep(world, "eve", WREN)) == "weights.no_model"
    keep(world, "ben", WREN)
    assert [line["by"] for line in world.facts(UNDONE)] == ["ben"]
