"""R2: everything that an order names is asked about when it is submitted, and again when it starts and while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.runs.world import WREN, RunsWorld
from tests.weights.world import LAB, StandIn
from weighthouse.access import api as access
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, NotFound
from weighthouse.core.ids import new_id
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy
from weighthouse.runs import store
from weighthouse.runs.api import lasting
from weighthouse.runs.model import Order
from weighthouse.runs.rules.references import ACTIONS, PLAIN, references
from weighthouse.weights import api as weights


@pytest.fixture
def still(database: Database, clock: ManualClock, tmp_path: Path, short: Path) -> Iterator[RunsWorld]:
    """A world whose runner has not begun: what is submitted waits."""
    made = RunsWorld(database, clock, tmp_path, short)
    yield made
    made.close()


def test_every_field_of_an_order_is_plain_or_asked_about() -> None:
    assert PLAIN | set(ACTIONS) == set(Order.__struct_fields__) and not PLAIN & set(ACTIONS)
    wider = msgspec.defstruct("Wider", [("secret", str)], bases=(Order,), frozen=True, kw_only=True)
    order = wider(
        model=WREN, environment="sha256:0", command=(), code={}, dataset="dataset/stdlib", parent=None, risk="low",
        egress_profile="none", wall_clock=1, secret="sec_1",
    )  # fmt: skip
    assert {each.field for each in references(order)} == {"model", "dataset", "environment", "egress_profile"}


@pytest.mark.parametrize("granted", [(), ("tern-load",), ("tern-train",)])
def test_a_run_on_one_model_cannot_name_a_version_of_another_that_it_may_not_load(
    still: RunsWorld, granted: tuple[str, ...]
) -> None:
    """Whether or not the person may load Tern: a run on Wren is in another environment, and works under Wren's grant."""
    still.grant("ada", "tern-train")
    version = still.save(still.run("ada"))
    still.grant("eve", "wren-train", WREN)
    for entitlement in granted:
        still.grant("eve", entitlement)
    before = still.size()
    with pytest.raises(Denied) as refusal:
        still.submit("print(1)", person="eve", parent=version.id)
    assert "parent" in refusal.value.message and "weights.load" in refusal.value.message
    assert still.since(before) == ["runs.ReferenceRefused"]
    (line,) = still.facts("runs.ReferenceRefused")
    assert (line["owner"], line["field"], line["reference"]) == ("eve", "parent", version.id)


def test_a_version_that_is_not_there_is_not_named_either(still: RunsWorld) -> None:
    still.grant("ada", "wren-train", WREN)
    before = still.size()
    with pytest.raises(NotFound) as refusal:
        still.submit("print(1)", parent=new_id("ver"))
    assert refusal.value.code == "weights.no_version" and still.since(before) == ["runs.ReferenceRefused"]


def _hold(resource: str) -> Callable[[RunsWorld, str], None]:
    def act(world: RunsWorld, _: str) -> None:
        with world.unit(world.person("chi")) as unit:
            access.place_hold(unit, world.person("chi"), resource, "look into it")

    return act


def _revoke(world: RunsWorld, grant: str) -> None:
    with world.unit(world.person("chi")) as unit:
        access.revoke(unit, world.person("chi"), grant, "no longer")


def _text(old: str, new: str) -> Callable[[RunsWorld, str], None]:
    def act(world: RunsWorld, _: str) -> None:
        text = LAB.read_text("utf-8")
        assert old in text
        with world.unit() as unit:
            policy.store(unit, text.replace(old, new, 1), "lab.yaml", "dee")

    return act


_DATA = "class: public\n    environment: shared"
_PUBLIC = "sandbox: any\n    read_budget: 1TiB"
MOMENTS = {
    "the grant is revoked": (_revoke, "access.grant_ended"),
    "a hold on the model": (_hold(WREN), "access.held"),
    "a hold on the data set": (_hold("dataset/stdlib"), "runs.held"),
    "the environment is closed": (
        _text("sandbox: any\n    read_budget: 100GiB", f"sandbox: any\n    images: [sha256:{'0' * 64}]\n    read_budget: 100GiB"),
        "runs.environment_refused",
    ),
    "the data's class asks for gVisor": (
        _text(_PUBLIC, _PUBLIC.replace("any", "gvisor")), "runs.dataset_refused"
    ),
    "the data's class lists images": (
        _text(_PUBLIC, f"images: [sha256:{'0' * 64}]\n    {_PUBLIC}"), "runs.dataset_refused"
    ),
    "the data goes elsewhere": (_text(_DATA, _DATA.replace("shared", "frontier")), "runs.dataset_refused"),
}  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_has_ended_between_submit_and_start_is_refused_at_the_start(still: RunsWorld, moment: str) -> None:
    grant = still.grant("ada", "wren-train", WREN)
    assert grant is not None
    version = still.save(still.run("ada", environment="research"), model=WREN)
    run = still.submit("print('RAN')", parent=version.id)
    change, code = MOMENTS[moment]
    change(still, grant.id)
    before = still.size()
    still.start()
    ended = still.until_ended(run, "ada")
    assert ended.state == "failed" and "RAN" not in still.output(run), (ended, still.output(run))
    assert ended.reason == code, still.output(run)
    assert [kind for kind in still.since(before) if kind.startswith("runs.")] == ["runs.RunFailed"]
    assert still.facts("runs.RunStarted") == []


@pytest.mark.parametrize(
    ("moment", "code"),
    [("a hold on the data set", "runs.held"), ("the environment is closed", "runs.environment_refused")],
)
def test_what_ends_while_a_run_goes_on_ends_the_run(world: RunsWorld, moment: str, code: str) -> None:
    grant = world.grant("ada", "wren-train", WREN)
    assert grant is not None
    version = world.save(world.run("ada", environment="research"), model=WREN)
    run = world.submit("import time; print('going', flush=True); time.sleep(600)", parent=version.id)
    world.until_said(run, "going")
    MOMENTS[moment][0](world, grant.id)
    ended = world.until_ended(run, "ada")  # nobody follows the log: the runner asks by itself
    assert (ended.state, ended.reason) == ("stopped", code), ended


def test_a_run_that_has_loaded_what_is_held_since_goes_on_no_more_though_it_never_named_it(still: RunsWorld) -> None:
    """It has the keys: a hold on the version, or on what that was made from, ends it as one on its parent would."""
    still.grant("ada", "wren-train", WREN)
    first = still.save(still.run("ada", environment="research"), WREN)
    trainer = still.run("ada", environment="research")
    still.load(trainer, first.id)
    child = still.save(trainer, WREN, seed=2)
    run = still.submit("pass")
    facts = {
        "person": "ada",
        "account": policy.account_ref("dev", "ada"),
        "environment": "research",
        "sandbox": "gvisor",
    }
    with still.unit() as unit:
        token = identity.issue_workload(unit, run=run.id, attributes=facts, expires=unit.now + HOUR)
        credential = identity.Credential(
            kind="workload", value=token, proof=run.id, method="POST", url="", address="127.0.0.1"
        )
    with still.unit() as unit:
        caller = identity.authenticate(unit, credential)
    weights.lenders(still.system).keep(run.id, StandIn())
    still.load(caller, child.id)
    with still.unit() as unit:
        found = store.ticket(unit.conn, run.id)
        assert found is not None and lasting.lost(unit, found[0]) == ""
    _hold(first.id)(still, "")
    with still.unit() as unit:
        assert lasting.lost(unit, found[0]) == "runs.held"
