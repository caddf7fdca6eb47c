"""The same story over HTTP with the SDK's client: real sign-in, real device keys, problems with stable codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.access.support import REASON
from tests.identity.support import Lab
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.access.routes import api as routes
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse_sdk.client import Client, ProblemError

ASK = {"entitlement": "tern-train", "resource": "model/tern", "duration": 2 * HOUR, "reason": REASON}


@pytest.fixture
def lab(database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    made = Lab(database, clock, tmp_path)
    made.system.bind(Refusals, FileRefusals(tmp_path / "refusals"))
    made.app.include_router(routes.router)
    return made


def twice(lab: Lab, who: str) -> Client:
    """Somebody signed in, and then with a second factor."""
    return lab.sign_in(who, lab.sign_in(who), step_up=True)


def approver(lab: Lab, who: str) -> tuple[Client, str]:
    """Somebody signed in with a second factor and an enrolled device; returns the client and the device's id."""
    client = twice(lab, who)
    return client, client.enrol("laptop")["id"]


def vote(client: Client, device: str, request: str, verdict: str = "approve") -> dict[str, Any]:
    card = client.get(f"/requests/{request}/card")
    statement = {**card["statement"], "verdict": verdict, "device": device}
    signature = {"kind": "device", "device": device, "at": statement["at"], "value": client.sign_vote(statement)}
    answer: dict[str, Any] = client.post(
        f"/requests/{request}/votes", {"verdict": verdict, "digest": card["digest"], "signature": signature}
    )
    return answer


def problem(call: Any) -> tuple[int, str]:
    with pytest.raises(ProblemError) as error:
        call()
    return error.value.status, error.value.code


def test_the_story_over_http(lab: Lab) -> None:
    ada = twice(lab, "ada")
    assert [one["resource"] for one in ada.get("/search", q="tern")["items"]] == ["model/tern"]
    ranked = ada.get("/advise", resource="model/tern", action="weights.load")["items"]
    assert [one["entitlement"] for one in ranked] == ["tern-load", "tern-train", "weights-admin"]
    request = ada.post("/requests", ASK, idempotency_key="ask-once-1234")
    assert ada.post("/requests", ASK, idempotency_key="ask-once-1234")["id"] == request["id"]
    assert problem(lambda: ada.post("/requests", {**ASK, "duration": 1}, idempotency_key="ask-once-1234"))[0] == 409
    ben, ben_device = approver(lab, "ben")
    assert [card["request"]["id"] for card in ben.get("/inbox")["items"]] == [request["id"]]
    assert vote(ben, ben_device, request["id"])["state"] == "pending"
    chi, chi_device = approver(lab, "chi")
    assert vote(chi, chi_device, request["id"])["state"] == "approved"
    assert ada.get("/explain", action="run.submit", resource="model/tern")["allowed"] is True
    outside = ada.get("/explain", action="weights.load", resource="model/tern")
    assert outside["reasons"][0]["code"] == "access.outside_run"
    assert "weighthouse run submit" in outside["remedy"] and outside["missing"] == []
    grant = ada.get("/grants")["items"][0]
    who = chi.get("/who", resource="model/tern")["items"]
    assert {"ada"} == {one["principal"] for one in who if one["grant"] == grant["id"]}
    hold = chi.post("/holds", {"subject": "model/tern", "reason": "odd reads"})
    assert ada.get("/explain", action="weights.load", resource="model/tern")["reasons"][0]["code"] == "access.held"
    assert chi.get("/holds")["items"][0]["id"] == hold["id"]
    chi.post(f"/holds/{hold['id']}/lift", {"reason": "explained", **chi.opening("hold.lift", hold["id"])})
    chi.post(f"/grants/{grant['id']}/revoke", {"reason": "the work is done"})
    assert ada.get("/grants")["items"][0]["state"] == "ended"


def test_refusals_are_problems_with_stable_codes(lab: Lab) -> None:
    ada, eve = twice(lab, "ada"), lab.sign_in("eve")
    request = ada.post("/requests", ASK)
    assert problem(lambda: eve.get(f"/requests/{request['id']}/card")) == (404, "access.no_such_request")
    assert problem(lambda: eve.get("/requests/ada/card")) == (400, "core.bad_id")
    assert problem(lambda: ada.post("/requests", ASK)) == (409, "access.already_pending")
    assert problem(lambda: eve.get("/grants", principal="ada"))[0] == 403
    assert (
        problem(lambda: eve.get("/explain", action="weights.load", resource="model/tern", principal="ada"))[0] == 403
    )
    assert problem(lambda: eve.post("/grants/grt_" + "0" * 26 + "/revoke", {"reason": "spite"}))[0] == 403
    for body in ({**ASK, "more": 1}, {**ASK, "duration": "2h"}, {**ASK, "reason": "x" * 3000}, {}):
        status, _ = problem(lambda body=body: ada.post("/requests", body))  # type: ignore[misc]
        assert status in (400, 422)
    fay = lab.sign_in("fay")
    assert fay.get("/grants", principal="ada")["items"] == []
    assert fay.get("/explain", action="weights.load", resource="model/tern", principal="ada")["allowed"] is False
    dee = twice(lab, "dee")
    text = (Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml").read_text("utf-8")
    checked = dee.post("/policy/check", {"name": "lab.yaml", "text": text.replace("Example Lab", "Other Lab")})
    assert checked["version"] == dee.get("/policy")["version"] + 1
    wrong = {"name": "lab.yaml", "text": text.replace("class: frontier", "class: fronteer")}
    assert problem(lambda: dee.post("/policy/check", wrong)) == (400, "policy.unknown_reference")
    assert problem(lambda: dee.post("/policy", {"name": "lab.yaml", "text": text + "#"})) == (403, "access.no_grant")
