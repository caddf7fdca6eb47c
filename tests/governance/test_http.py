"""The committee, the alerts and the evidence over HTTP, with real sign-ins and signatures by the SDK's device key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.detect.conftest import Watched
from tests.identity.support import LAB, ORIGIN
from weighthouse.assurance.routes import api as assurance_routes
from weighthouse.cli import committee
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.detect.routes import api as detect_routes
from weighthouse.governance.routes import api as governance_routes
from weighthouse.identity.routes import api as identity_routes
from weighthouse.identity.routes import browser as browser_routes
from weighthouse.policy import api as policy
from weighthouse.web import api as web
from weighthouse.weights.events import LoadStarted
from weighthouse_sdk.client import Client, ProblemError


class Served(Watched):
    """A lab that serves the rooms under test as well."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path) -> None:
        super().__init__(database, clock, folder)
        rooms = (identity_routes, browser_routes, detect_routes, assurance_routes, governance_routes)
        self.app = web.build(
            self.system, [one.router for one in rooms], origin=ORIGIN, mounts={"/dev-idp": self.idp.application}
        )

    def member(self, who: str) -> tuple[Client, str]:
        client = self.sign_in(who)
        return client, str(client.enrol("laptop")["id"])


@pytest.fixture
def served(database: Database, clock: ManualClock, tmp_path: Path) -> Served:
    return Served(database, clock, tmp_path)


def refused(act: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(ProblemError) as problem:
        act(*arguments, **named)
    return problem.value.status, problem.value.code


def ballot(client: Client, device: str, motion: str, choice: str) -> dict[str, Any]:
    shown = client.get(f"motions/{motion}")
    statement = {**shown["statement"], "ballot": choice, "device": device}
    return {
        "ballot": choice,
        "digest": shown["digest"],
        "device": device,
        "at": statement["at"],
        "signature": client.sign_vote(statement),
    }


def test_the_committee_holds_and_lifts_over_http(served: Served) -> None:
    (gil, gils), (ivo, ivos) = served.member("gil"), served.member("ivo")
    assert {one["person"] for one in gil.get("committee")["seats"]} == {"gil", "hana", "ivo"}
    held = gil.post("releases/hold", {"model": "model/tern", "reason": "Not evaluated yet."})
    assert held["held"]
    body = {"class": "lift_hold", "subject": held["hold"], "text": "Evaluated."}
    motion = gil.post("motions", body, idempotency_key="a-fresh-key-1")["motion"]["id"]
    assert gil.post("motions", body, idempotency_key="a-fresh-key-1")["motion"]["id"] == motion
    gil.post(f"motions/{motion}/ballots", ballot(gil, gils, motion, "for"))
    assert refused(gil.post, f"motions/{motion}/close") == (409, "governance.no_quorum")
    ivo.post(f"motions/{motion}/ballots", ballot(ivo, ivos, motion, "for"))
    assert gil.post(f"motions/{motion}/close")["outcome"] == "carried"
    assert not gil.get("releases", model="model/tern")["held"]
    assert [one["motion"]["class"] for one in gil.get("motions")["items"]] == ["lift_hold"]


def test_a_policy_text_is_brought_before_the_committee_over_http(served: Served) -> None:
    (gil, gils), text = (
        served.member("gil"),
        LAB.read_text("utf-8").replace("  min_independent: 1", "  min_independent: 2"),
    )
    body = {"class": "charter_change", "subject": policy.digest_of(text), "text": "Two of them.", "policy": text}
    opened = gil.post("motions", body)
    assert any("min independent was 1, becomes 2" in line for line in opened["motion"]["changes"])
    assert opened["motion"]["base"].startswith("1/sha256:")
    committee._check_motion(opened, opened["digest"])  # what the command line signs is what was shown
    motion = opened["motion"]["id"]
    assert gil.post(f"motions/{motion}/ballots", ballot(gil, gils, motion, "for"))["choice"] == "for"
    other = {**body, "subject": "sha256:" + "0" * 64}
    assert refused(gil.post, "motions", other) == (400, "governance.bad_motion")
    faulty = text.replace("    release: {", "    relese: {")
    named = {**body, "policy": faulty, "subject": policy.digest_of(faulty)}
    assert refused(gil.post, "motions", named) == (400, "policy.unknown_quorum")


def test_strangers_to_the_committee_are_refused_over_http(served: Served) -> None:
    dee = served.sign_in("dee")
    assert refused(dee.get, "motions/mot_" + "0" * 26)[0] == 403
    assert refused(dee.post, "releases/hold", {"model": "model/tern", "reason": "Let it go."})[0] == 403
    assert refused(dee.post, "motions", {"class": "coup", "subject": "x", "text": "x"})[0] == 422
    assert refused(served.client().get, "committee")[0] == 401


def test_motions_are_refused_to_strangers_even_while_there_are_none(served: Served) -> None:
    eve, fay, gil = (served.sign_in(who) for who in ("eve", "fay", "gil"))
    assert refused(eve.get, "motions") == (403, "access.no_grant")
    assert refused(eve.get, "motions", subject="model/tern") == (403, "access.no_grant")
    assert fay.get("motions")["items"] == gil.get("motions")["items"] == []


def test_an_unknown_model_is_no_release_that_is_free(served: Served) -> None:
    dee = served.sign_in("dee")
    assert not dee.get("releases", model="model/tern")["held"]
    for other in ("model/tren", "dataset/stdlib", "unknown", "../tern"):
        assert refused(dee.get, "releases", model=other) == (404, "governance.no_such_model")


def test_responders_read_and_acknowledge_alerts_over_http(served: Served) -> None:
    read = [
        LoadStarted(version=f"v{i}", model="model/wren", person="eve", run="", bytes=1, spent=0, lease="", until=0)
        for i in range(41)
    ]
    served.write(*read)
    served.follow()
    chi, eve = served.sign_in("chi"), served.sign_in("eve")
    (alert,) = chi.get("alerts")["items"]
    assert alert["rule"] == "bulk-reads"
    assert chi.get(f"alerts/{alert['id']}") == alert
    assert chi.post(f"alerts/{alert['id']}/acknowledge", {"note": "mine"})["acknowledged_by"] == "chi"
    assert refused(chi.post, f"alerts/{alert['id']}/acknowledge", {}) == (409, "detect.already_acknowledged")
    assert refused(eve.get, "alerts")[0] == 403


def test_why_somebody_is_frozen_is_for_responders_and_the_auditor(served: Served) -> None:
    chi, eve, fay = (served.sign_in(who) for who in ("chi", "eve", "fay"))
    chi.post("people/ada/freeze", {"reason": "Suspected of selling notes."})
    for anybody in (eve, chi, fay):
        (ada,) = [one for one in anybody.get("people")["items"] if one["frozen"]]
        assert ada == {"id": "ada", "name": ada["name"], "teams": ["training"], "active": True, "frozen": True}
    before = len(served.facts("access.Denied"))
    assert refused(eve.get, "people/frozen") == (403, "access.no_grant")
    assert len(served.facts("access.Denied")) == before + 1
    for reader in (chi, fay):
        (frozen,) = reader.get("people/frozen")["items"]
        assert (frozen["id"], frozen["frozen_reason"]) == ("ada", "Suspected of selling notes.")
    assert refused(chi.post, "people/ada/thaw", {"reason": "Cleared."}) == (403, "identity.opening_unsigned")
    chi.enrol("desk")
    chi.post("people/ada/thaw", {"reason": "Cleared.", **chi.opening("person.thaw", "ada")})
    assert chi.get("people/frozen")["items"] == []


def test_evidence_and_attacks_over_http(served: Served) -> None:
    fay, eve, kim = served.sign_in("fay"), served.sign_in("eve"), served.sign_in("kim")
    assert {one["result"] for one in fay.get("evidence")["items"]} == {"not-tested"}
    fay.post("evidence/compute")
    found = {one["id"]: one["result"] for one in fay.get("evidence")["items"]}
    assert (found["E-07"], found["E-17"], found["E-19"]) == ("satisfied", "satisfied", "not-tested")
    assert refused(eve.post, "evidence/compute")[0] == 403
    assert len(kim.get("attacks")["items"]) >= 12
    assert refused(eve.post, "attacks/run", {"scenarios": []})[0] == 403
    assert refused(kim.post, "attacks/run", {"scenarios": []}) == (503, "assurance.no_ground")
