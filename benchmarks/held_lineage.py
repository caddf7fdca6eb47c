"""What following a lineage costs a decision: a version a hundred generations deep beside one made from nothing.

Both are asked under the same hundred holds, placed on other models, versions and classes, none of which stops either;
each decision opens a unit of its own, as a request would. A first look at a lineage reads the log, and its cost is
printed beside it. Target: the deep one costs <= 1.3x the other.

    python -m benchmarks.held_lineage [--depth 100] [--decisions 2000]
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import insert

from benchmarks.decision import at, caller, lab_text, make_grant, make_system
from benchmarks.report import report
from weighthouse.access import api as access
from weighthouse.access.store.tables import grants as grant_table
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.ids import new_id
from weighthouse.core.signing import MemorySigners, Signers
from weighthouse.core.work import System, begin, read
from weighthouse.weights.events import CheckpointSealed

PERSON, MODEL, HOLDS, PASSES = 41, 0, 100, 10
ACTIONS = ("run.submit", "weights.export", "weights.load")


def sealed(system: System, model: str, parent: str) -> str:
    """Let the log tell of one version, made from `parent` by a run of its own."""
    version = new_id("ver")
    line = CheckpointSealed(
        version=version, model=model, save=new_id("sav"), counter=1, parent=parent, digest="sha256:" + "0" * 64,
        bytes=1, run=new_id("run"), person=f"p{PERSON}",
    )  # fmt: skip
    with begin(system) as unit:
        audit.append(unit, line)
    return version


def chain(system: System, depth: int) -> str:
    """The newest of `depth` versions, each made from the one before, in four models by turns."""
    version = ""
    for generation in range(depth, 0, -1):
        version = sealed(system, f"model/m{MODEL + generation % 4}", version)
    return sealed(system, f"model/m{MODEL}", version)


def ready(system: System) -> None:
    """A grant to export, and the holds that stand meanwhile on other things."""
    text = lab_text().replace("[weights.load, run.submit]", f"[{', '.join(ACTIONS)}]")
    with begin(system) as unit:
        digest = access.publish_policy(unit, None, text, "bench.yaml").digest
    signers = system.part(Signers)
    assert isinstance(signers, MemorySigners)
    with begin(system) as unit:
        row = make_grant(signers, digest, system.clock.now() - 1_000, PERSON, MODEL, ACTIONS)
        unit.conn.execute(insert(grant_table), [row])
    for number in range(HOLDS):
        with begin(system, SYSTEM) as unit:
            access.place_hold(unit, SYSTEM, f"model/m{100 + number}", "Something else is looked into.")


def decide(system: System, version: str) -> None:
    """One decision in a unit of its own."""
    with read(system) as unit:
        who = caller(system, PERSON)
        assert access.explain(unit, who, "weights.export", f"model/m{MODEL}", version=version).allowed


def p50(system: System, version: str, decisions: int) -> float:
    """The median of one pass, in milliseconds."""
    took = []
    for _ in range(decisions):
        start = time.perf_counter_ns()
        decide(system, version)
        took.append((time.perf_counter_ns() - start) / 1e6)
    return at(sorted(took), 0.5)


def main() -> int:
    """Fill, measure by turns, compare; return 0 only if the target is met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--decisions", type=int, default=2_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        system = make_system(Path(name))
        ready(system)
        first, deep = sealed(system, f"model/m{MODEL}", ""), chain(system, options.depth)
        decide(system, first)
        start = time.perf_counter_ns()
        decide(system, deep)
        look = (time.perf_counter_ns() - start) / 1e6
        gc.collect()
        each = options.decisions // PASSES
        pairs = [(p50(system, first, each), p50(system, deep, each)) for _ in range(PASSES)]
    without, with_ = min(one for one, _ in pairs), min(two for _, two in pairs)
    print(
        f"decision p50 {without:.3f} ms from nothing, {with_:.3f} ms at depth {options.depth}; "
        f"first look {look:.1f} ms"
    )
    facts = {"depth": options.depth, "standing": HOLDS, "p50_ms": round(with_, 4), "first_look_ms": round(look, 2)}
    return 0 if report("decision with a lineage, against one without", with_ / without, "<=", 1.3, **facts) else 1


if __name__ == "__main__":
    sys.exit(main())
