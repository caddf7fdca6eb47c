"""The end of a version over HTTP, as two people meet it: refused alone, approved, ordered, undone by the approver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from weighthouse.app.demo.stage import Stage
from weighthouse.assurance.scenarios import saving
from weighthouse_sdk.client import ProblemError


def refused(act: Callable[..., Any], *said: object) -> str:
    with pytest.raises(ProblemError) as caught:
        act(*said)
    return caught.value.code


def test_two_people_order_the_end_of_a_version_and_either_undoes_it() -> None:
    with Stage() as stage:
        made = saving.written(stage.ground)
        saving.commit(stage.ground, made)
        here = f"weights/versions/{made.version}"
        eve, ben = stage.actor("eve"), stage.actor("ben")
        reason = {"reason": "Made from data that we may not keep."}
        assert refused(eve.client.post, f"{here}/destroy", reason) == "access.no_grant"
        asked = {
            "entitlement": "wren-destroy",
            "resource": "model/wren",
            "duration": 3_600_000,
            "operation": {"version": made.version},
            **reason,
        }
        ben.approve(str(eve.client.post("requests", asked)["id"]))
        order = eve.client.post(f"{here}/destroy", reason)
        assert (order["state"], order["person"], order["approvers"]) == ("being_destroyed", "eve", ["ben"])
        shown = eve.client.get(here)
        assert (shown["state"], shown["destruction"]) == ("being_destroyed", order)
        assert refused(stage.actor("chi").client.post, f"{here}/undestroy", reason).startswith("access.")
        assert ben.client.post(f"{here}/undestroy", {"reason": "It is evidence."})["state"] == "committed"
        assert eve.client.get(here)["destruction"] is None
        saving.over(stage.ground, made)


def test_three_people_order_the_end_of_a_model_one_undoes_it() -> None:
    with Stage() as stage:
        made = saving.written(stage.ground)
        saving.commit(stage.ground, made)
        saving.over(stage.ground, made)
        eve, ben, chi = (stage.actor(name) for name in ("eve", "ben", "chi"))
        body = {"model": "model/wren", "reason": "The contract over its data has ended."}
        assert refused(eve.client.post, "weights/models/destroy", body) == "access.no_grant"
        asked = {
            "entitlement": "wren-end",
            "resource": "model/wren",
            "duration": 3_600_000,
            "operation": {"newest": made.version},
            "reason": body["reason"],
        }
        request = str(eve.client.post("requests", asked)["id"])
        ben.approve(request)
        assert refused(eve.client.post, "weights/models/destroy", body) == "access.no_grant", "one more is needed"
        chi.approve(request)
        order = eve.client.post("weights/models/destroy", body)
        assert (order["state"], order["person"], sorted(order["approvers"])) == (
            "being_destroyed",
            "eve",
            ["ben", "chi"],
        )
        assert refused(eve.client.post, "weights/models/destroy", body) == "weights.model_being_destroyed"
        (shown,) = (one for one in eve.client.get("weights/models")["items"] if one["id"] == "model/wren")
        assert (shown["state"], shown["destruction"]) == ("being_destroyed", order)
        kept = ben.client.post("weights/models/undestroy", {**body, "reason": "It is evidence."})
        assert kept == {"model": "model/wren", "state": "kept"}
        (shown,) = (one for one in eve.client.get("weights/models")["items"] if one["id"] == "model/wren")
        assert (shown["state"], shown["destruction"]) == ("kept", None)
