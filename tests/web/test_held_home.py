"""Somebody under a hold still finds the door, sees what is theirs, and is told why nothing else opens."""

from __future__ import annotations

from tests.web.world import World
from weighthouse.access import api as access
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import begin


def test_a_held_person_sees_their_own_pages_and_no_inbox(world: World) -> None:
    ben = world.browser("ben")
    with begin(world.system) as unit:
        access.place_hold(unit, SYSTEM, "ben", "signs of a stolen session")
    for path in ("/", "/access", "/sessions"):
        assert ben.get(path).status_code == 200, path
    refused = ben.get("/inbox")
    assert refused.status_code == 403 and "access.held" in refused.text
