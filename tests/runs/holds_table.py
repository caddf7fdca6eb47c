"""Which hold stops what, asked at every point that releases: `table` makes tests/house/golden/holds.txt.

A version of Wren was loaded by a run that saved what came of it as Finch, under another name; it was ordered with the
public data set, from which it came as well. Every hold is placed in
turn, and every point is asked for Finch's version, for a run on Finch that has it as its parent, and for the lab's
policy. What is asked leaves nothing: a yes is rolled back. Nothing is held when the next one is placed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.runs.world import WREN, RunsWorld
from tests.weights.world import APPROVERS, LAB
from weighthouse.access import api as access
from weighthouse.access.ports import Refusals
from weighthouse.access.store import holds as rows
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit, begin
from weighthouse.policy import api as policy
from weighthouse.runs import api as runs
from weighthouse.runs import store
from weighthouse.runs.api import executing, lasting
from weighthouse.runs.events import RunSubmitted
from weighthouse.runs.ports import Ground
from weighthouse.weights import api as weights
from weighthouse.weights.api import ending

DATA = "dataset/stdlib"
FINCH, DESTINATION = "model/finch", "x25519:" + "09" + "00" * 31
MODEL = """  model/finch:
    name: Finch
    description: What comes of Wren.
    class: internal
    environment: research
    owner: training
    tags: [language]
    size: 4MiB
"""
ROLES = """  finch-train:
    name: Train Finch
    description: Submit runs on Finch, load and save it.
    actions: [run.submit, weights.load, weights.save]
    resources: [model/finch]
    environment: research
    eligible: [training]
    duration: {default: 8h, longest: 7d, chain: 30d}
    approval: none
  finch-asked:
    name: Load Finch, if somebody agrees
    description: Load Finch.
    actions: [weights.load]
    resources: [model/finch]
    environment: research
    eligible: [training]
    duration: {default: 8h, longest: 7d, chain: 30d}
    approval: {steward: {team: weights-stewards, count: 1}}
  finch-export:
    name: Export one Finch checkpoint
    description: Take one named version of Finch out.
    actions: [weights.export]
    resources: [model/finch]
    environment: research
    eligible: [training]
    operation: [version, destination]
    duration: {default: 8h, longest: 7d}
    approval: {steward: {team: weights-stewards, count: 1}}
  finch-destroy:
    name: Destroy one Finch checkpoint
    description: Destroy one named version of Finch.
    actions: [weights.destroy]
    resources: [model/finch]
    environment: research
    eligible: [training]
    operation: [version]
    duration: {default: 8h, longest: 7d}
    approval: {steward: {team: weights-stewards, count: 1}}
  finch-end:
    name: End Finch
    description: End the key of Finch.
    actions: [weights.destroy_model]
    resources: [model/finch]
    environment: research
    eligible: [training]
    operation: [newest]
    duration: {default: 8h, longest: 7d}
    approval: {steward: {team: weights-stewards, count: 1}}
"""
NEUTRAL = ("description: What comes of Wren.", "description: What came of Wren.")


def lab_text() -> str:
    """The example lab with Finch, which is saved by whoever trains it."""
    text = LAB.read_text("utf-8")
    for above, added in (("  dataset/stdlib:\n", MODEL), ("  wren-train:\n", ROLES)):
        assert above in text
        text = text.replace(above, added + above, 1)
    return text


class _Undone(Exception):
    """Takes back what a point has allowed."""


class HoldsWorld(RunsWorld):
    """Everything that a hold may stop, ready; nothing of it is begun by a runner."""

    def __init__(self, folder: Path, database: Database) -> None:
        super().__init__(database, ManualClock(1_790_000_000_000), folder, folder / "s", lab_text())
        APPROVERS.update(
            {"finch-asked": ("ben",), "finch-export": ("ben",), "finch-destroy": ("ben",), "finch-end": ("ben",)}
        )
        self.grant("ada", "wren-train", WREN)
        self.grant("ada", "finch-train", FINCH)
        self.parent = self.save(self.run("ada", environment="research"), WREN)
        self.trainer = self.run("ada", environment="research")
        self.order_with(self.trainer, DATA)
        self.lease = self.begin_load(self.trainer, self.parent.id)[0].lease
        self.child = self.save(self.trainer, FINCH, seed=2)  # it names no parent
        self.reader = self.run("ada", environment="research")
        self.lease = self.begin_load(self.reader, self.child.id)[0].lease
        self.queued = self.submit("pass", model=FINCH, parent=self.child.id)
        export = {"version": self.child.id, "destination": DESTINATION}
        self.grant("ada", "finch-export", FINCH, operation=export)
        self.grant("ada", "finch-destroy", FINCH, operation={"version": self.child.id})
        self.doomed = self.save(self.trainer, FINCH, seed=3)
        self.order("ada", self.doomed)
        self.after = self.text.replace(*NEUTRAL)
        digest = {"policy": policy.digest_of(self.after)}
        self.grant("dee", "policy-change", "lab", operation=digest, approvers=("chi", "gil", "hana"))
        self.confirm("dee", "policy.publish", "lab", **digest)

        self.asked = ""

    def order_with(self, run: Caller, dataset: str) -> None:
        """Write down what the run was ordered with, as its submission does."""
        said = RunSubmitted(
            run=run.attributes["run"], model=FINCH, owner="ada", grant=None, order_digest="", environment="",
            dataset=dataset, parent=None, risk="low", egress_profile="none", must_end=0,
        )  # fmt: skip
        with begin(self.system) as unit:
            audit.append(unit, said)

    def subjects(self) -> dict[str, str]:
        """What a hold is placed on, by the words of the table."""
        return {
            "lab": "lab",
            "class:internal": "class:internal",
            "class:public, the data's": "class:public",
            "environment:research": "environment:research",
            "model/wren, its parent's model": WREN,
            "version of Wren, its parent": self.parent.id,
            FINCH: FINCH,
            "version of Finch itself": self.child.id,
            "dataset/stdlib": "dataset/stdlib",
            "ada, whose run it is": "ada",
            "model/tern, another": "model/tern",
        }

    def waiting(self) -> str:
        """A request that needs one approval more."""
        with begin(self.system, self.person("ada")) as unit:
            return access.submit(
                unit, self.person("ada"), entitlement="finch-asked", resource=FINCH, duration=3_600_000,
                reason="To look at it.",
            ).id  # fmt: skip

    def over(self) -> None:
        """Take back what was asked for last, so that it can be asked for again."""
        caller = self.person("ada")
        with begin(self.system, caller) as unit:
            mine = [one for one in access.grants_of(unit, caller) if one.request.id == self.asked]
            if mine:
                access.give_back(unit, caller, mine[0].id)
            else:
                access.withdraw(unit, caller, self.asked)


def _unit(act: Callable[[Unit, HoldsWorld], object], who: str) -> Callable[[HoldsWorld], None]:
    def tried(world: HoldsWorld) -> None:
        caller = {"reader": world.reader, "trainer": world.trainer}.get(who) or world.person(who)
        try:
            with begin(world.system, caller) as unit:
                act(unit, world)
                raise _Undone
        except _Undone:
            pass

    return tried


def _going(unit: Unit, world: HoldsWorld) -> None:
    found = store.ticket(unit.conn, world.queued.id)
    assert found is not None
    code = lasting.lost(unit, found[0])
    if code:
        raise WeighthouseError(code, "The run has lost its ground.", "")


def _approve(world: HoldsWorld) -> None:
    request = world.asked
    world.approve("ben", request)
    with begin(world.system, world.person("ada")) as unit:
        state = next(one.state for one in access.my_requests(unit, world.person("ada")) if one.id == request)
    if state != "approved":
        raise WeighthouseError("access.held", state, "")


def _submit(unit: Unit, world: HoldsWorld) -> None:
    runs.submit(
        unit, world.person("ada"), model=FINCH, environment=runs.environments(unit)[0].digest,
        command=("python", "main.py"), code={"main.py": "pass"}, dataset="dataset/stdlib", parent=world.child.id,
        risk="high", egress_profile="none",
    )  # fmt: skip


def _request(unit: Unit, world: HoldsWorld) -> None:
    access.submit(
        unit, world.person("ada"), entitlement="finch-export", resource=FINCH, duration=3_600_000,
        reason="To let it out.", operation={"version": world.child.id, "destination": DESTINATION},
    )  # fmt: skip


def _finish(world: HoldsWorld) -> None:
    with begin(world.system) as unit:
        if access.held(unit, "weights.destroy", FINCH, "ada", world.doomed.id):
            raise WeighthouseError("access.held", "undone at its end", "")


def _whole(unit: Unit, world: HoldsWorld) -> None:
    if ending.stop_of(unit, FINCH, "ada") is not None:
        raise WeighthouseError("access.held", "refused, and undone at its end", "")


def _save(unit: Unit, world: HoldsWorld) -> None:
    weights.begin_save(unit, world.trainer, model=FINCH, parent=None, shards=1)


POINTS: dict[str, Callable[[Any], None]] = {
    "request": _unit(_request, "ada"),
    "approve": _approve,
    "submit": _unit(_submit, "ada"),
    "start": _unit(lambda unit, w: executing.admit(unit, w.queued.id, unit.part(Ground).sandbox()), "ada"),
    "running": _unit(_going, "ada"),
    "load": _unit(lambda unit, w: weights.begin_load(unit, w.reader, w.child.id), "reader"),
    "lease": _unit(lambda unit, w: weights.renew(unit, w.reader, w.lease), "reader"),
    "save": _unit(_save, "trainer"),
    "export": _unit(lambda unit, w: weights.export(unit, w.person("ada"), w.child.id, DESTINATION), "ada"),
    "destroy": _unit(lambda unit, w: weights.destroy(unit, w.person("ada"), w.child.id, "It must go."), "ada"),
    "its end": _finish,
    "model": _unit(_whole, "ada"),
    "publish": _unit(lambda unit, w: access.publish_policy(unit, w.person("dee"), w.after, "lab.yaml"), "dee"),
}
HELD = {"access.held", "runs.held"}


def _lift(world: HoldsWorld, hold: access.Hold) -> None:
    with begin(world.system) as unit:
        rows.lift(unit.conn, hold.id, unit.now, "chi", "the next one")
    world.system.part(Refusals).lift(hold.id)


def kinds(world: HoldsWorld) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    """Every hold of the table: its words, its subject, its actions, its kind."""
    for words, subject in world.subjects().items():
        yield words, subject, (), "security"
    for words, subject, action in (
        ("model/wren", WREN, "weights.export"),
        ("model/wren", WREN, "weights.load"),
        ("model/wren", WREN, "run.submit"),
        ("version of Wren", world.parent.id, "weights.export"),
        (FINCH, FINCH, "weights.export"),
        (FINCH, FINCH, "run.submit"),
        (FINCH, FINCH, "weights.save"),
        (DATA, DATA, "run.submit"),
        (DATA, DATA, "weights.export"),
        ("class:internal", "class:internal", "weights.export"),
        ("lab", "lab", "weights.export"),
        ("ada", "ada", "weights.export"),
    ):
        yield f"{words}: {action}", subject, (action,), "security"
    yield "committee, on model/wren", WREN, ("weights.export",), "governance"


def cells(world: HoldsWorld) -> Iterator[tuple[str, str, str]]:
    """Yield the words of a hold, a point, and the code that it answers; empty if it is open."""
    yield from (("(no hold)", point, code) for point, code in _row(world, None))
    for words, subject, actions, kind in kinds(world):
        place = lambda subject=subject, actions=actions, kind=kind: _place(world, subject, actions, kind)  # noqa: E731
        yield from ((words, point, code) for point, code in _row(world, place))


def _place(world: HoldsWorld, subject: str, actions: tuple[str, ...], kind: str) -> access.Hold:
    who = world.person("chi" if kind == "security" else "gil")
    with begin(world.system, who) as unit:
        return access.place_hold(unit, who, subject, "look into it", actions=actions, kind=kind)  # type: ignore[arg-type]


def _row(world: HoldsWorld, place: Callable[[], access.Hold] | None) -> Iterator[tuple[str, str]]:
    world.asked = world.waiting()
    hold = place() if place is not None else None
    for point, tried in POINTS.items():
        code = ""
        try:
            tried(world)
        except WeighthouseError as error:
            code = error.code
        yield point, code
    if hold is not None:
        _lift(world, hold)
    world.over()


def table() -> str:
    """The table for readers."""
    with tempfile.TemporaryDirectory(prefix="wh-") as folder:
        database = Database(f"sqlite:///{folder}/lab.db")
        database.create_all()
        (Path(folder) / "s").mkdir()
        world = HoldsWorld(Path(folder), database)
        found: dict[str, dict[str, str]] = {}
        for words, point, code in cells(world):
            found.setdefault(words, {})[point] = "held" if code in HELD else code or "-"
        world.close()
        database.close()
    wide = max(map(len, found))
    lines = [
        "Which hold stops what: every kind of hold, asked at every point that releases. `held` is refused, `-` goes on.",
        "A run loaded a version of Wren and saved what came of it as Finch; asked for Finch's version, its whole end,",
        "a run on it that reads dataset/stdlib, and the lab's policy. Made by `python -m tests.house.refresh`.",
        "",
        " ".join(("".ljust(wide), *(point.ljust(7) for point in POINTS))).rstrip(),
    ]
    for words, row in found.items():
        lines.append(" ".join((words.ljust(wide), *(row[point].ljust(7) for point in POINTS))).rstrip())
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table())
