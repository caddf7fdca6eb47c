"""What belongs to other people: their sessions, their log, their things, and a key that is not theirs to enrol."""

from __future__ import annotations

import json
import re

from tests.web.device import Device
from tests.web.world import World, field
from weighthouse.app.initialise import EXAMPLE_LAB
from weighthouse.core.work import begin
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy


def test_another_persons_session_cannot_be_ended_from_ones_own_page(world: World) -> None:
    ada, eve = world.browser("ada"), world.browser("eve")
    path = re.search(r'action="(/sessions/ses_\w+/end)"', ada.get("/sessions").text)
    assert path
    answer = world.send(eve, "/sessions", path.group(1), {})
    assert answer.status_code == 404 and "identity.session_unknown" in answer.text
    assert ada.get("/sessions").status_code == 200


def test_no_page_or_file_of_the_log_is_for_those_who_may_not_read_it(world: World) -> None:
    ada = world.browser("ada")
    for path in (
        "/audit",
        "/audit/0",
        "/audit/0/proof.txt",
        "/audit/0/leaf.json",
        "/audit/log.vkey",
        "/alerts",
        "/evidence",
    ):
        answer = ada.get(path)
        assert answer.status_code == 403, path
        assert "identity." not in re.sub(r"<[^>]+>", "", answer.text), path


def test_a_key_is_enrolled_only_with_its_own_signature(world: World) -> None:
    ada = world.browser("ada")
    own, other = Device(world, "ada", ada), Device(world, "ada", ada)
    data = {"jwk": json.dumps(own.jwk), "name": "Stolen", "proof": other.proof_for(own.jwk)}
    answer = world.send(ada, "/sessions", "/devices", data, Accept="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "identity.bad_key")
    for jwk in ("{}", "[1]", "not json", json.dumps({**own.jwk, "d": "private"})):
        answer = world.send(ada, "/sessions", "/devices", {**data, "jwk": jwk}, Accept="application/json")
        assert (answer.status_code, answer.json()["code"]) == (400, "identity.bad_key"), jwk
    assert world.facts("identity.DeviceEnrolled") == []


def test_a_resource_that_one_may_not_know_of_has_no_page_and_no_wizard(world: World) -> None:
    text = EXAMPLE_LAB.read_text("utf-8")
    with begin(world.system) as unit:
        policy.store(unit, text.replace('resources: ["*"]', "resources: [dataset/stdlib]", 1), "lab.yaml")
    ada = world.browser("ada")
    assert ada.get("/resources/dataset/stdlib").status_code == 200
    for path in (
        "/resources/model/tern",
        "/request?resource=model/tern",
        "/request?resource=model/tern&entitlement=tern-load",
    ):
        answer = ada.get(path)
        assert answer.status_code == 404, path
        assert "frontier" not in answer.text


def test_a_second_factor_that_is_missing_is_offered_not_just_demanded(world: World) -> None:
    ben = world.browser("ben")
    world.clock.advance(11 * 60_000)  # type: ignore[attr-defined]
    device = Device(world, "ben", ben)
    form = {
        "csrf": field(ben.get("/sessions").text, "csrf"),
        "jwk": json.dumps(device.jwk),
        "name": "x",
        "proof": device.proof_for(device.jwk),
    }
    headers = {"Origin": world.origin, "Referer": f"{world.origin}/sessions"}
    answer = ben.post("/devices", data=form, headers={**headers, "Accept": "application/json"})
    assert (answer.status_code, answer.json()["step_up"]) == (401, True)
    browser = ben.post("/devices", data=form, headers=headers)
    assert browser.status_code == 303 and "return_to=%2Fsessions" in browser.headers["location"]
    assert f"Enrol the key {identity.thumbprint_of(device.jwk)}" in world.confirm(ben, browser.headers["location"])
    form["csrf"] = field(ben.get("/sessions").text, "csrf")
    assert ben.post("/devices", data=form, headers=headers).status_code == 200
