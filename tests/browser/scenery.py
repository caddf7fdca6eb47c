"""A lab on a busy afternoon, for the pictures: people, grants, a pending request, runs, versions, alerts, a held release.

Requests, votes, saves and holds go through the product itself; runs and attack results are put on record as the
runner and the attack runner would put them, since neither a sandbox nor the catalogue is what the pictures are about.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec
import numpy
from playwright.sync_api import Page

from tests.browser.conftest import Visits
from tests.web.world import World
from tests.weights.world import StandIn
from weighthouse.assurance import api as assurance
from weighthouse.assurance.api.versions import version_of
from weighthouse.assurance.events import AttackRun
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM, Assurance, Caller
from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.core.ids import PrincipalId, new_id
from weighthouse.core.work import begin, read
from weighthouse.detect import api as detect
from weighthouse.detect.model import BULK, ELSEWHERE, Incident
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy
from weighthouse.runs import store as run_rows
from weighthouse.runs.api.sealing import digest_of, seal
from weighthouse.runs.model import Facts, Line, Order, Point, Ticket
from weighthouse.weights import api as weights
from weighthouse_sdk import checkpoint

REASON = "Fine-tune Tern on the standard library corpus for the December evaluation (ticket TRN-412)."


class Scene(NamedTuple):
    """Who has signed in where, and pages that only exist now."""

    pages: dict[str, Page]
    more: dict[str, dict[str, str]]


def play(visits: Visits) -> Scene:
    """Let the afternoon happen; return its pages."""
    world = visits.world
    pages = {person: visits.sign_in(visits.context(), person) for person in ("ada", "ben", "chi", "gil", "hana")}
    approved = ask(pages["ada"], "tern-train", REASON)
    for person in ("ben", "chi"):
        decide(visits, pages[person], person, approved)
    pending = ask(pages["ada"], "weights-admin", REASON + " The narrower roles do not let me stop a run that hangs.")
    decide(visits, pages["ben"], "ben", pending)
    ask(pages["ada"], "wren-train", "Try a smaller learning rate on Wren.", "model/wren")
    held = hold(visits, pages["gil"], pages["hana"])
    version = save(world, parent=save(world, parent=None))
    runs = [run(world, state, minutes) for state, minutes in (("failed", 90), ("succeeded", 40), ("running", 9))]
    alarms(world)
    attacks(world)
    more = {
        "ada": {
            "my-request": pending,
            "run": f"/runs/{runs[-1]}",
            "run-ended": f"/runs/{runs[1]}",
            "output": f"/runs/{runs[1]}/output",
            "version": f"/weights/{version}",
        },
        "ben": {"voted": pending},
        "chi": {"card": pending},
        "gil": {
            "committee-member-card": pending,
            "hold": held,
            "hold-preview": "/committee/holds/new?model=model/tern&reason=The+drill+of+November+found+a+slow+drip.",
        },
    }
    return Scene(pages, more)


def ask(page: Page, entitlement: str, reason: str, resource: str = "model/tern") -> str:
    page.goto(f"/request?resource={resource}&entitlement={entitlement}")
    page.get_by_label("Why you need it").fill(reason)
    page.get_by_role("button", name="Review").click()
    page.get_by_role("button", name="Submit the request").click()
    page.get_by_text("Submitted.").wait_for()
    return "/" + page.url.split("?")[0].split("/", 3)[3]


def decide(visits: Visits, page: Page, person: str, card: str) -> None:
    page.goto(card)
    visits.decide(page, person, "Approve")
    page.get_by_text("Your vote counts.").wait_for()


def hold(visits: Visits, chair: Page, member: Page) -> str:
    """Hold the release of Tern and propose to lift it; return the page of the hold."""
    chair.goto("/committee")
    chair.get_by_label("Release of").select_option("model/tern")
    chair.get_by_label("Reason").fill("The exfiltration drill of 20 November found a slow drip.")
    chair.get_by_role("button", name="See what it would stop").click()
    chair.get_by_role("button", name="Call the hold").click()
    name = chair.locator("code[title^='hld_']").first.get_attribute("title")
    chair.get_by_label("Class").select_option("lift_hold")
    chair.get_by_label("Subject").fill(name or "")
    chair.get_by_label("Text").fill("Lift the hold on Tern after the retest of November.")
    chair.get_by_role("button", name="Open the motion").click()
    member.goto("/committee")
    visits.decide(member, "hana", "For")
    member.get_by_text("Your ballot counts.").wait_for()
    return f"/committee/holds/{name}"


def person(world: World, name: str) -> Caller:
    assured = Assurance(2, world.clock.now(), "otp")
    return Caller(
        principal=PrincipalId(name), kind="person", account=policy.account_ref("dev", name), assurance=assured
    )


def save(world: World, parent: str | None) -> str:
    """A run of Ada's saves a checkpoint of Wren with the SDK."""
    name, keys = new_id("run"), StandIn()
    facts = {
        "person": "ada",
        "account": policy.account_ref("dev", "ada"),
        "environment": "research",
        "sandbox": "gvisor",
    }
    with begin(world.system) as unit:
        token = identity.issue_workload(unit, run=name, attributes=facts, expires=unit.now + HOUR)
    weights.lenders(world.system).keep(name, keys)
    with read(world.system) as unit:
        given = identity.Credential(kind="workload", value=token, proof=name, method="POST", url="", address="")
        caller = identity.authenticate(unit, given)
    with begin(world.system, caller) as unit:
        if parent is not None:
            weights.begin_load(unit, caller, parent)
        ticket = weights.begin_save(unit, caller, model="model/wren", parent=parent, shards=1)
    tensors = {"embed": numpy.ones((300, 64), dtype="float32")}
    parsed = checkpoint.parse_save(msgspec.to_builtins(ticket))
    folder = world.state / "objects" / ticket.prefix
    plan = checkpoint.plan_shards(tensors, 1 << 30)
    envelope = checkpoint.save(tensors, parsed, keys.opener, keys.private, folder, plan=plan)
    weights.take(world.system, caller, ticket.save, envelope)
    with begin(world.system, caller) as unit:
        return weights.commit(unit, caller, ticket.save, envelope).id


def run(world: World, state: str, minutes: int) -> str:
    """A run as the runner would have left it."""
    order = Order(
        model="model/tern", environment="sha256:" + "9f" * 32, command=("python", "train.py", "--steps", "400"),
        code={"train.py": "…", "data.py": "…"}, dataset="dataset/stdlib", parent=None, risk="high",
        egress_profile="mirror", wall_clock=HOUR,
    )  # fmt: skip
    facts = Facts(
        runtime="gVisor runsc", tier="gvisor", digest="sha256:" + "3c" * 32, kernel="Linux", kernel_version="4.4.0",
        uid=65534, specification="sha256:" + "5d" * 32, confinement="no network, one socket, 64 processes",
    )  # fmt: skip
    name = new_id("run")
    with begin(world.system) as unit:
        began = unit.now - minutes * MINUTE
        ticket = Ticket(
            run=name, owner="ada", session="", grant=None, order=order, submitted=began, must_end=began + HOUR,
            tier="gvisor",
        )  # fmt: skip
        run_rows.add(unit.conn, ticket, digest_of(order), seal(unit, ticket))
        done = {"failed": 120, "succeeded": 1000, "running": 437}[state]
        lines = [Line("out", f"step {step}  loss {3 - step / 180:.4f}  12.4 ktok/s") for step in range(0, 176, 5)]
        run_rows.add_lines(unit.conn, name, unit.now, lines)
        for step in range(1, 60 if state == "running" else 120):
            loss = round(1e6 * (1.9 + 2.6 * 0.97**step + 0.08 * math.sin(step * 1.7)))
            run_rows.add_point(unit.conn, name, Point(0, unit.now, step * 8, loss), 512)
        ended = None if state == "running" else began + 20 * MINUTE
        run_rows.change(
            unit.conn, name, expect=("queued",), state=state, started=began + MINUTE, ended=ended, progress=done,
            loss_micro=None if state == "failed" else 2_314_500, note="step 175 of 400", sent_bytes=18_233,
            facts=msgspec.json.encode(facts).decode(), exit_status={"failed": 1, "succeeded": 0}.get(state),
            reason="runs.exit_status" if state == "failed" else "",
        )  # fmt: skip
    return name


def alarms(world: World) -> None:
    stolen = Incident(
        rule=ELSEWHERE, key="a", severity="high", principal="eve", session=new_id("ses"), evidence=(4, 5),
        text="A session of eve was presented from another network without the key it is bound to.",
    )  # fmt: skip
    bulk = Incident(
        rule=BULK, key="b", severity="medium", principal="ada", session="", evidence=(6, 7, 8),
        text="ada opened 14 checkpoints within an hour; the work at hand needs 5.",
    )  # fmt: skip
    with begin(world.system, SYSTEM) as unit:
        detect.record(unit, bulk, (), ())
        detect.record(unit, stolen, ("session ended", "person frozen"), ())
    with begin(world.system, person(world, "chi")) as unit:
        older = detect.alerts(unit, person(world, "chi"))[-1]
        detect.acknowledge(unit, person(world, "chi"), older.id, "Spoke with Ada: a retry loop, fixed.")


def attacks(world: World) -> None:
    """Results of a night's run, one of them a miss, and every check computed."""
    results = {"BLOCKED": "refused with the code that was promised", "MISSED": "nothing refused within the budget"}
    with begin(world.system, SYSTEM) as unit:
        for number, scenario in enumerate(assurance.catalogue()[:6]):
            status = "MISSED" if number == 4 else "BLOCKED"
            audit.append(
                unit,
                AttackRun(
                    scenario=scenario.id, title=scenario.title, techniques=(), status=status, expected="BLOCKED",
                    room="access", rule="access.self_approval" if status == "BLOCKED" else "", reason=results[status],
                    evidence=number + 3, on="copy", **msgspec.structs.asdict(version_of(unit)),
                ),
            )  # fmt: skip
        assurance.compute(unit, SYSTEM)
