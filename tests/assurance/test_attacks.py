"""Every scenario that needs no sandbox is really run here: BLOCKED or DETECTED with all guards, MISSED without one.

The weakening replaces one guard in place, as a bad change would; the scenario must then say MISSED, so that no
scenario is green whatever happens.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.assurance.ground import LabGround
from tests.attacks.removed_guards import REMOVALS
from weighthouse.assurance import api
from weighthouse.assurance.api import attacks
from weighthouse.assurance.model import Outcome
from weighthouse.assurance.scenarios import thief
from weighthouse.audit import api as audit
from weighthouse.core.errors import Denied, NotFound, WeighthouseError
from weighthouse.core.work import Unit, begin, read
from weighthouse.detect import jobs
from weighthouse.identity.model import Workload
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.policy import api as policy

Weaken = Callable[[pytest.MonkeyPatch], None]
IN_A_RUN = {"unknown-host", "address-literal", "domain-fronting", "slow-drip"}
ON_THE_STAGE = {
    # What needs a whole state folder; tests/attacks plays every theft on the demo's stage, with and without its guard.
    "planted-trigger",
    "planted-settings",
    "emptied-database",
    "restored-memory",
    "restored-yesterday",
    "forgetful-twin",
    "renamed-hold",
    "lost-line",
    # What needs somebody who has really signed in.
    "aimed-spray",
    "stolen-voice",
    "hidden-vote",
    "disowned-key",
    "repeated-confirmation",
    "chained-keys",
    "silenced-alert",
    # What needs a run that is executed or submitted.
    "emptied-stop",
    "silenced-follower",
    "foreign-parent",
    "swapped-parent",
    "rewritten-shard",
    "impersonated-run",
    "embedded-address",
    "leaky-names",
    "frozen-guard",
    "stopped-clock",
    "deaf-guard",
    "log-flood",
    "endless-body",
    "disk-flood",
    "leftover-plaintext",
    "output-drain",
    "saved-lower",
    "cheaper-payer",
    "counted-commits",
    "spelt-names",
    "keys-outside",
    "keys-in-run",
    "rolled-back-keys",
    "twice-at-the-stroke",
    "young-export",
    "replayed-export",
    "lone-destroyer",
    "destroyed-under-hold",
    "ended-under-hold",
    "child-of-held",
    "queued-before-hold",
}
HERE = [one.id for one in api.catalogue() if one.id not in IN_A_RUN | ON_THE_STAGE]


def play(ground: LabGround, scenario: str) -> Outcome:
    (outcome,) = api.run(ground.system, [scenario], ground)
    return outcome


@pytest.mark.parametrize("scenario", HERE)
def test_the_theft_is_stopped_and_the_log_says_so_once(ground: LabGround, scenario: str) -> None:
    outcome = play(ground, scenario)
    assert outcome.status == outcome.expected, outcome.reason
    assert outcome.held
    with read(ground.system) as unit:
        (line,) = audit.entries(unit, kind="assurance.AttackRun", subject=scenario)
    assert (line.data["status"], line.data["rule"]) == (outcome.status, outcome.rule)
    assert audit.verify(ground.system).ok


def allow_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policy, "decide", lambda _question: policy.Verdict(allowed=True, policies=("standing",), errors=()))


def no_self_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.access.api.votes._may", lambda *_: None)


def no_signature_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.access.api.votes.vote_problem", lambda *_: "")


def no_certificate_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.identity.api.devices.verify_ed25519", lambda *_: True)


def any_account(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.access.rules.deciding.Member.has", lambda _member, _account: True)


def any_factor_enrols(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.identity.api.devices.require_act", lambda *_: None)


def no_key_is_young(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.identity.api.devices.check_grown", lambda *_: None)
    patch.setattr("weighthouse.identity.api.devices.check_counted_then", lambda *_: None)


def any_factor_votes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.access.api.votes.identity.require_act", lambda *_: None)


def no_passphrase(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SealedKeys, "open", lambda *_: None)


def no_key_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.identity.api.authentication._check_token", lambda *_: None)


def no_detection(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.detect.jobs.FOLLOWERS", ())


def no_response(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        jobs, "FOLLOWERS", tuple(msgspec.structs.replace(one, handle=lambda *_: None) for one in jobs.FOLLOWERS)
    )


def no_socket_check(patch: pytest.MonkeyPatch) -> None:
    workloads = sys.modules["weighthouse.identity.api.workloads"]
    real = workloads.authenticate_workload

    def lax(unit: Any, credential: Any) -> Any:
        row = workloads.store.workload_by_secret(unit.conn, workloads.digest_of(credential.value))
        assert row is not None
        run = workloads.unseal(unit, "workload", row[0], row[1], Workload).run
        return real(unit, msgspec.structs.replace(credential, proof=run))

    patch.setattr("weighthouse.identity.api.authentication.authenticate_workload", lax)


def no_row_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.access.api.verifying.agrees", lambda _row, _grant: True)


def no_seal_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.access.api.sealing.verify_ed25519", lambda *_: True)


def no_committee(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sys.modules["weighthouse.access.api.holds"], "_authorised", lambda *_: "")


def no_memory_of_holds(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.access.adapters.embedded.FileRefusals.holds", lambda _self: ())


def blind_verification(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(audit, "verify", lambda _system: audit.Report(True, 1, ()))


def no_order_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("weighthouse.runs.rules.orders.check", lambda *_: None)


def silent_refusals(patch: pytest.MonkeyPatch) -> None:
    def quiet(error: WeighthouseError, code: str, message: str, remedy: str, **_: Any) -> None:
        Exception.__init__(error, message)
        error.code, error.message, error.remedy, error.record, error.details = code, message, remedy, (), {}

    patch.setattr(Denied, "__init__", quiet)


WEAKNESSES: list[tuple[str, Weaken]] = [
    ("self-approval", no_self_check),
    ("self-approval", silent_refusals),
    ("replayed-vote", no_signature_check),
    ("replayed-vote", silent_refusals),
    ("planted-device", no_certificate_check),
    ("planted-device", silent_refusals),
    ("moved-account", silent_refusals),
    ("reused-id", any_account),
    ("stolen-cookie-enrols", any_factor_enrols),
    ("borrowed-factor", any_factor_votes),
    ("young-key", no_key_is_young),
    ("copied-state", no_passphrase),
    ("one-approval", allow_all),
    ("one-approval", silent_refusals),
    ("expired-grant", allow_all),
    ("stolen-token", no_key_check),
    ("stolen-token", no_detection),
    ("stolen-token", no_response),
    ("stolen-run-token", no_socket_check),
    ("wrong-environment", allow_all),
    ("wrong-image", allow_all),
    ("edited-grant", no_row_check),
    ("inserted-grant", no_seal_check),
    ("lifted-hold", no_committee),
    ("deleted-hold", no_memory_of_holds),
    ("edited-log", blind_verification),
    ("host-paths", no_order_check),
]


@pytest.mark.parametrize(("scenario", "weaken"), WEAKNESSES)
def test_without_the_guard_the_scenario_says_missed(
    ground: LabGround, monkeypatch: pytest.MonkeyPatch, scenario: str, weaken: Weaken
) -> None:
    for person in next(one.people for one in api.catalogue() if one.id == scenario):
        ground.act_as(person)  # honest people sign in and enrol before the guard is gone
    weaken(monkeypatch)
    outcome = play(ground, scenario)
    assert outcome.status == "MISSED", outcome.reason


def test_every_scenario_here_has_a_weakness_that_it_notices() -> None:
    """In this file, or as a build without its guard (tests/attacks)."""
    assert set(HERE) <= {scenario for scenario, _ in WEAKNESSES} | {one.scenario for one in REMOVALS}


def test_what_the_ground_cannot_offer_is_not_run_and_earns_nothing(ground: LabGround) -> None:
    outcomes = api.run(ground.system, sorted(IN_A_RUN), ground)
    assert {one.status for one in outcomes} == {"NOT RUN"}
    assert not any(one.held for one in outcomes)
    assert "cannot offer a sandbox" in outcomes[0].reason


def test_a_scenario_that_breaks_by_itself_is_not_run(ground: LabGround, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = msgspec.structs.replace(api.catalogue()[0], prepare=lambda _ground: 1 // 0)
    outcome = attacks.play(ground.system, broken, ground)
    assert outcome.status == "NOT RUN"
    assert "ZeroDivisionError" in outcome.reason


def test_only_the_red_team_runs_attacks(ground: LabGround) -> None:
    with pytest.raises(Denied):
        api.run(ground.system, ["edited-log"], ground, caller=ground.act_as("eve").caller)
    (outcome,) = api.run(ground.system, ["host-paths"], ground, caller=ground.act_as("kim").caller)
    assert outcome.held


def test_an_outcomes_words_are_erased_with_the_person_who_ran_it_and_its_verdict_stays(ground: LabGround) -> None:
    kim = ground.act_as("kim").caller
    (ran,) = api.run(ground.system, ["host-paths"], ground, caller=kim)
    with begin(ground.system, kim) as unit:
        (kept,) = api.outcomes(unit, kim)
        assert kept.reason == ran.reason != ""
        (line,) = audit.entries(unit, kind="assurance.AttackRun")
        assert ran.reason not in line.leaf.decode()
        audit.erase(unit, "kim")
        (left,) = api.outcomes(unit, kim)
    assert (left.reason, left.status, left.held) == ("", ran.status, True)


def test_an_unknown_scenario_is_refused_before_anything_runs(ground: LabGround) -> None:
    with pytest.raises(NotFound) as refusal:
        api.run(ground.system, ["host-paths", "no-such"], ground)
    assert refusal.value.code == "assurance.no_such_scenario"
    with read(ground.system) as unit:
        assert audit.entries(unit, kind="assurance.AttackRun") == []


def test_a_thief_asks_again_where_the_server_cannot_answer_yet_and_meets_what_it_says_then(
    ground: LabGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["access.refusals_behind", "access.refusals_behind", "access.no_grant"]
    monkeypatch.setattr(thief, "PATIENCE_S", 10.0)

    def act(_unit: Unit) -> None:
        raise Denied(answers.pop(0), "No.", "Ask for it.")

    assert thief.tried(ground, None, "a key", act).code == "access.no_grant" and answers == []
    monkeypatch.setattr(thief, "PATIENCE_S", 0.0)
    answers.append("access.refusals_behind")
    assert thief.tried(ground, None, "a key", act).code == "access.refusals_behind", "nor is that ever what held"
