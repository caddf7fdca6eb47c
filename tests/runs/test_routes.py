"""Runs and ways out over HTTP, on the whole application: who gets in, what fits, and what is not there for others.

No runner stands behind it, so a submitted run stays in the queue; what a run would print is kept by the room itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.web.world import World
from weighthouse.app import provider
from weighthouse.app.initialise import EXAMPLE_LAB
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import ManualClock
from weighthouse.core.work import begin, read
from weighthouse.identity.adapters.dev_idp.people import STEP
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.policy import api as policy
from weighthouse.runs.api import executing
from weighthouse.runs.model import Line
from weighthouse_sdk.client import Client, DeviceKey, ProblemError

WREN = "model/wren"
NOBODYS = "run_" + "0" * 26
Seat = Callable[[str], Client]


@pytest.fixture
def world(clock: ManualClock, tmp_path: Path) -> Iterator[World]:
    made = World(clock, tmp_path)
    yield made
    made.system.database.close()


@pytest.fixture
def seat(world: World) -> Seat:
    """Sign somebody in at a command line of their own."""

    def sit(person: str) -> Client:
        client = stranger(world)
        world.clock.advance(STEP)  # type: ignore[attr-defined]
        secret = provider.dev_secret(world.system, world.account(person))
        client.sign_in_headless(world.account(person), secret.password, secret.totp, code=world.code(person))
        return client

    return sit


def stranger(world: World) -> Client:
    key = DeviceKey.generate()
    key.now = lambda: world.clock.now() / 1000
    return Client(world.origin, key, transport=InProcess(world.app))


def grant(client: Client) -> str:
    """Get the access that needs no approval, and return the grant."""
    wanted = {"entitlement": "wren-train", "resource": WREN, "duration": 3_600_000, "reason": "A test of the routes."}
    client.post("requests", wanted)
    return str(client.get("grants")["items"][0]["id"])


def order(client: Client, **change: Any) -> dict[str, Any]:
    whole = {
        "model": WREN,
        "environment": client.get("runs/environments")["items"][0]["digest"],
        "command": ["python", "main.py"],
        "code": {"main.py": "print(1)"},
        "dataset": "dataset/stdlib",
    }
    return {**whole, **change}


def refused(act: Callable[..., Any], *arguments: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(ProblemError) as problem:
        act(*arguments, **named)
    return problem.value.status, problem.value.code


def lines(world: World) -> int:
    with read(world.system) as unit:
        return audit.head(unit).size


def test_a_run_is_submitted_listed_read_and_stopped(world: World, seat: Seat) -> None:
    ada = seat("ada")
    granted = grant(ada)
    first = ada.post("runs", order(ada))
    second = ada.post("runs", order(ada, risk="low", wall_clock_s=60))
    assert (first["state"], first["owner"], first["grant"]) == ("queued", "ada", granted)
    assert (first["order"]["risk"], first["order"]["egress_profile"]) == ("high", "none")
    assert second["must_end"] == second["submitted"] + 60_000
    assert ada.get("runs") == {"items": [second, first], "next": None}
    page = ada.get("runs", limit=1)
    assert page["items"] == [second]
    assert ada.get("runs", limit=1, cursor=page["next"]) == {"items": [first], "next": None}
    assert ada.get(f"runs/{first['id']}") == first
    stopped = ada.post(f"runs/{first['id']}/stop", {"reason": "wrong seed"})
    assert (stopped["state"], stopped["reason"]) == ("stopped", "runs.stopped_by_person")
    assert refused(ada.post, f"runs/{first['id']}/stop", {"reason": "again"}) == (409, "runs.ended")
    assert [fact["run"] for fact in world.facts("runs.RunSubmitted")] == [first["id"], second["id"]]
    assert [(fact["run"], fact["by"]) for fact in world.facts("runs.RunStopped")] == [(first["id"], "ada")]


def test_output_is_read_on_from_where_one_stopped(world: World, seat: Seat) -> None:
    ada = seat("ada")
    grant(ada)
    run = ada.post("runs", order(ada))["id"]
    assert ada.get(f"runs/{run}/logs") == {"items": [], "next": None}
    with begin(world.system, SYSTEM) as unit:
        executing.keep_lines(unit, run, [Line("lab", "started"), Line("out", "<b>1</b>"), Line("err", "2")])
    page = ada.get(f"runs/{run}/logs", limit=2)
    assert [(one["stream"], one["text"]) for one in page["items"]] == [("lab", "started"), ("out", "<b>1</b>")]
    rest = ada.get(f"runs/{run}/logs", cursor=page["next"])
    assert [one["text"] for one in rest["items"]] == ["2"]
    assert ada.get(f"runs/{run}/logs", cursor=rest["next"]) == {"items": [], "next": None}


def test_a_repeated_submission_is_one_run_and_another_one_under_its_key_is_refused(world: World, seat: Seat) -> None:
    ada = seat("ada")
    grant(ada)
    once = ada.post("runs", order(ada), idempotency_key="submit-once-1")
    assert ada.post("runs", order(ada), idempotency_key="submit-once-1") == once
    changed = order(ada, code={"main.py": "print(2)"})
    assert refused(ada.post, "runs", changed, idempotency_key="submit-once-1") == (409, "core.idempotency_mismatch")
    assert len(world.facts("runs.RunSubmitted")) == 1


ROUTES = (
    ("POST", "runs"),
    ("GET", "runs"),
    ("GET", "runs/environments"),
    ("GET", "runs/{run}"),
    ("GET", "runs/{run}/logs"),
    ("POST", "runs/{run}/stop"),
    ("GET", "egress/budgets"),
    ("GET", "egress/profiles"),
)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_identity_case_26_a_copied_token_and_no_token_open_nothing(
    world: World, seat: Seat, method: str, path: str
) -> None:
    ada = seat("ada")
    grant(ada)
    body = order(ada)
    run = ada.post("runs", body)["id"]
    known = path.format(run=run)
    sent = {"reason": "mine now"} if path.endswith("/stop") else body
    assert refused(stranger(world).request, method, known, body=sent)[0] == 401
    thief = stranger(world)
    thief.token = ada.token
    assert refused(thief.request, method, known, body=sent)[0] == 401
    assert len(world.facts("runs.RunSubmitted")) == 1 and world.facts("runs.RunStopped") == []


def test_without_a_grant_a_submission_is_refused_in_one_line(world: World, seat: Seat) -> None:
    eve = seat("eve")
    before = lines(world)
    assert refused(eve.post, "runs", order(eve)) == (403, "access.no_grant")
    assert lines(world) == before + 1
    assert [(f["principal"], f["action"]) for f in world.facts("access.Denied")] == [("eve", "run.submit")]
    assert world.facts("runs.RunSubmitted") == [] and eve.get("runs")["items"] == []


@pytest.mark.parametrize(("method", "rest"), [("GET", ""), ("GET", "/logs"), ("POST", "/stop")])
def test_another_persons_run_is_not_there_and_looks_like_one_that_never_was(
    world: World, seat: Seat, method: str, rest: str
) -> None:
    ada, eve = seat("ada"), seat("eve")
    grant(ada)
    grant(eve)  # the same access to the same model makes nobody the owner of another's run
    run = ada.post("runs", order(ada))["id"]
    told = []
    for one in (run, NOBODYS):
        with pytest.raises(ProblemError) as problem:
            eve.request(method, f"runs/{one}{rest}", body={"reason": "sabotage"} if method == "POST" else None)
        told.append((problem.value.status, problem.value.code, str(problem.value)))
    assert told[0] == told[1] and told[0][:2] == (404, "runs.no_run")
    assert eve.get("runs")["items"] == [] and ada.get(f"runs/{run}")["state"] == "queued"


def test_auditors_see_every_run_and_stop_none_and_responders_stop_any_in_one_line(world: World, seat: Seat) -> None:
    ada, fay, chi = seat("ada"), seat("fay"), seat("chi")
    grant(ada)
    run = ada.post("runs", order(ada))["id"]
    assert [one["id"] for one in fay.get("runs")["items"]] == [run] == [one["id"] for one in chi.get("runs")["items"]]
    assert refused(fay.post, f"runs/{run}/stop", {"reason": "no"}) == (403, "access.no_grant")
    assert [(f["principal"], f["action"]) for f in world.facts("access.Denied")] == [("fay", "run.stop")]
    assert chi.post(f"runs/{run}/stop", {"reason": "look into it"})["state"] == "stopped"
    assert [(fact["run"], fact["by"]) for fact in world.facts("runs.RunStopped")] == [(run, "chi")]


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"owner": "chi"}, 422, "web.invalid_body"),
        ({"model": None}, 422, "web.invalid_body"),
        ({"command": "python main.py"}, 422, "web.invalid_body"),
        ({"command": ["python", 1]}, 422, "web.invalid_body"),
        ({"code": {"main.py": "x" * 300_000}}, 422, "web.invalid_body"),
        ({"code": {f"a{i}.py": "" for i in range(33)}}, 422, "web.invalid_body"),
        ({"risk": "none"}, 422, "web.invalid_body"),
        ({"wall_clock_s": "60"}, 422, "web.invalid_body"),
        ({"wall_clock_s": 0}, 422, "web.invalid_body"),
        ({"wall_clock_s": 86_400}, 400, "runs.bad_order"),
        ({"command": ["sh", "-c", "id"]}, 400, "runs.bad_order"),
        ({"code": {"../main.py": ""}}, 400, "runs.bad_order"),
        ({"environment": "sha256:" + "0" * 64}, 400, "runs.unknown_environment"),
        ({"dataset": "dataset/none"}, 404, "runs.no_dataset"),
        ({"dataset": "model/tern"}, 404, "runs.no_dataset"),
        ({"egress_profile": "elsewhere"}, 404, "runs.unknown_profile"),
        ({"parent": "model/tern"}, 400, "core.bad_id"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_body_that_does_not_fit_is_refused_and_queues_nothing(
    world: World, seat: Seat, change: dict[str, Any], status: int, code: str
) -> None:
    ada = seat("ada")
    grant(ada)
    assert refused(ada.post, "runs", order(ada, **change)) == (status, code)
    assert world.facts("runs.RunSubmitted") == [] and ada.get("runs")["items"] == []


def test_what_is_no_json_or_too_much_is_refused_before_it_is_an_order(world: World, seat: Seat) -> None:
    ada = seat("ada")
    url = f"{world.origin}/api/v1/runs"
    with httpx.Client(transport=InProcess(world.app)) as plain:
        for content, status in ((b"{", 400), (b"[]", 422), (b'"x"', 422), (b" " * (2 * 1024 * 1024 + 1), 413)):
            proof = {
                "Authorization": f"DPoP {ada.token}",
                "DPoP": ada.key.proof("POST", url, token=ada.token, nonce=ada.nonce),
            }
            answer = plain.post(url, content=content, headers={**proof, "Content-Type": "application/json"})
            assert answer.status_code == status, (content[:10], answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
    assert world.facts("runs.RunSubmitted") == []


def test_a_stop_needs_a_reason_and_numbers_have_bounds(world: World, seat: Seat) -> None:
    ada = seat("ada")
    grant(ada)
    run = ada.post("runs", order(ada))["id"]
    for body in ({}, {"reason": ""}, {"reason": "x" * 501}, {"reason": "x", "force": True}, {"reason": 1}):
        assert refused(ada.post, f"runs/{run}/stop", body)[0] == 422
    for limit in (0, 501):
        assert refused(ada.get, "runs", limit=limit)[0] == 422
    for query in ({"after": -1}, {"limit": 0}, {"limit": 1001}):
        assert refused(ada.get, f"runs/{run}/logs", **query)[0] == 422
    assert refused(ada.get, "runs/model%2Ftern")[0] in (400, 404)
    assert ada.get(f"runs/{run}")["state"] == "queued"


def test_everybody_sees_the_caps_and_how_long_a_theft_would_take(seat: Seat) -> None:
    eve = seat("eve")
    budgets = {(one["level"], one["name"]): one for one in eve.get("egress/budgets")["items"]}
    assert {level for level, _ in budgets} == {"lab", "model", "profile", "destination", "said"}
    tern = budgets["model", "model/tern"]
    assert tern["artefact_bytes"] == 16 * 1024 * 1024 and tern["theft_of_whole"] > tern["theft_of_hundredth"]
    assert all(window["spent"] == 0 for one in budgets.values() for window in one["windows"])
    profiles = {one["id"]: one for one in eve.get("egress/profiles")["items"]}
    assert profiles["none"]["entries"] == []
    assert [(one["host"], one["owner"]) for one in profiles["mirror"]["entries"]] == [
        ("mirror.lab.internal", "platform")
    ]


def test_the_check_of_a_policy_text_names_the_model_without_a_size_and_is_for_those_concerned(seat: Seat) -> None:
    text = EXAMPLE_LAB.read_text("utf-8")
    unsized = text.replace("    size: 4MiB\n", "")
    dee = seat("dee")
    assert dee.post("egress/check", {"name": "lab.yaml", "text": text})["items"] == []
    named = dee.post("egress/check", {"name": "lab.yaml", "text": unsized})["items"]
    assert [one["model"] for one in named] == ["model/wren"] and "size" in named[0]["remedy"]
    assert refused(seat("eve").post, "egress/check", {"name": "lab.yaml", "text": text})[0] == 403


@pytest.mark.parametrize("path", ["egress/budgets", "egress/profiles"])
def test_the_caps_are_not_for_those_who_may_not_see_the_catalogue(world: World, seat: Seat, path: str) -> None:
    whole = EXAMPLE_LAB.read_text("utf-8")
    narrowed = whole.replace("eligible: everyone", "eligible: [training]", 1)
    assert narrowed != whole
    with begin(world.system, SYSTEM) as unit:
        policy.store(unit, narrowed, "lab.yaml")
    assert seat("ada").get(path)["items"]
    assert refused(seat("kim").get, path)[0] == 403
