"""What somebody should know of their account meets them on their first page; nobody has to look for it (finding I6)."""

from __future__ import annotations

import html

from tests.web.device import Device
from tests.web.world import World
from weighthouse.core.clock import DAY, ManualClock
from weighthouse.core.work import begin
from weighthouse.identity import api as identity

TITLE = "About your account"
THIEF = {"User-Agent": "Mozilla/5.0 (thief)"}


def home(world: World, person: str) -> str:
    return html.unescape(world.browser(person).get("/").text)


def test_a_session_that_a_thief_used_is_told_to_its_owner_for_a_week_and_to_nobody_else(
    world: World, clock: ManualClock
) -> None:
    assert world.browser("ada").get("/", headers=THIEF).status_code == 401
    told = home(world, "ada")
    assert TITLE in told and "A session of yours was ended: used elsewhere." in told
    assert 'href="/sessions"' in told[told.index(TITLE) :]
    assert TITLE not in home(world, "ben")
    clock.advance(7 * DAY)
    assert TITLE not in home(world, "ada")


def test_a_new_key_is_told_to_its_owner_for_a_day(world: World, clock: ManualClock) -> None:
    browser = world.browser("ada")
    assert Device(world, "ada", browser).enrol().status_code == 200
    told = home(world, "ada")
    assert TITLE in told and "A new key signs for you: " in told and "Test laptop" in told
    assert TITLE not in home(world, "ben")
    clock.advance(DAY)
    assert TITLE not in home(world, "ada")


def test_what_somebody_ends_themselves_is_no_news(world: World, clock: ManualClock) -> None:
    for _ in range(2):
        browser = world.browser("ada")
        clock.advance(1)
        assert world.send(browser, "/sessions", "/logout", {}).status_code == 303
    assert TITLE not in home(world, "ada")


def test_a_session_that_security_ended_is_told_with_the_reason(world: World) -> None:
    first = world.browser("ada")
    session = first.get("/api/v1/me", headers={"Accept": "application/json"}).json()["session"]
    with begin(world.system) as unit:
        identity.end_session(unit, session, "used from <b>abroad</b>", "chi", of="ada")
    told = world.browser("ada").get("/").text
    assert "used from &lt;b&gt;abroad&lt;/b&gt;" in told
