"""Whoever just stops is no better hidden than whoever signs out: a session out of use is listed, and taken back."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import GONE, follow
from tests.identity.test_new_keys import enrolled, grown, signs
from weighthouse.core.caller import Caller
from weighthouse.core.clock import DAY, MINUTE
from weighthouse.core.errors import Denied
from weighthouse.core.work import begin
from weighthouse.detect import api as detect
from weighthouse.identity import api


def over(lab: Lab, who: str = "ben") -> set[str]:
    listed = {str(one["id"]) for one in lab.sign_in(who).get("sessions/ended")["items"]}
    chi = lab.person("chi")
    with begin(lab.system, chi) as unit:
        assert {str(one.id) for one in detect.ended_page(unit, chi, who, 200, None).items} == listed
    return listed


@pytest.mark.parametrize("later", [31 * MINUTE, 2 * DAY])
def test_a_session_out_of_use_is_listed_to_its_owner_and_to_security_and_taken_back(strict: Lab, later: int) -> None:
    grown(strict, "ben")
    thief, device = enrolled(strict, "ben")
    session = str(thief.get("me")["session"])
    assert session not in over(strict)
    strict.clock.advance(later)
    assert session in over(strict)
    owner = strict.sign_in("ben")
    page = [one for one in owner.get("sessions/ended")["items"] if one["id"] == session]
    assert any("Enrolled the key" in str(what) for what in page[0]["lately"])
    owner.post(f"sessions/{session}/end", {"reason": "not mine"})
    assert signs(strict, "ben", device, thief.key) == GONE
    follow(strict)
    assert strict.told("DeviceEnded", "device") == [device]


def test_a_session_that_gave_nothing_is_listed_no_longer_than_it_could_have_lived(strict: Lab) -> None:
    session = str(strict.sign_in("ben").get("me")["session"])
    strict.clock.advance(31 * MINUTE)
    assert session in over(strict)
    strict.clock.advance(DAY)
    assert session not in over(strict)


def test_security_sees_the_live_keys_of_a_person_and_ends_one(strict: Lab) -> None:
    client, device = grown(strict, "ben")
    chi, ada = strict.person("chi"), strict.person("ada")

    def seen(by: Caller) -> list[str]:
        with begin(strict.system, by) as unit:
            return [str(one.id) for one in detect.keys_of(unit, by, "ben")]

    assert seen(chi) == [device]
    for attempt in (seen, lambda by: detect_end(strict, by, device)):
        with pytest.raises(Denied):
            attempt(ada)
    detect_end(strict, chi, device)
    assert seen(chi) == [] and signs(strict, "ben", device, client.key) == GONE
    assert (strict.told("DeviceEnded", "by"), strict.told("DeviceEnded", "device")) == (["chi"], [device])
    with begin(strict.system) as unit:
        assert api.sessions_of(unit, "ben") == []


def detect_end(lab: Lab, by: Caller, device: str) -> None:
    with begin(lab.system, by) as unit:
        detect.end_key(unit, by, "ben", device, "He says it is not his.")


def test_sessions_that_are_opened_and_closed_push_none_out_of_sight(lab: Lab) -> None:
    """Attack: sign in and out until the list, which was cut at fifty, begins after the stolen session."""
    thief = lab.sign_in("ben")
    stolen = str(thief.get("me")["session"])
    thief.sign_out()
    for _ in range(60):
        lab.clock.advance(1)
        lab.sign_in("ben").sign_out()
    owner, seen, cursor = lab.sign_in("ben"), list[str](), ""
    while cursor is not None:
        answer = owner.get("sessions/ended?limit=25" + (f"&cursor={cursor}" if cursor else ""))
        seen += [str(one["id"]) for one in answer["items"]]
        cursor = answer["next"]
    assert len(seen) == len(set(seen)) == 61 and seen[-1] == stolen and answer["total"] == 61
    chi = lab.person("chi")
    with begin(lab.system, chi) as unit:
        page = detect.ended_page(unit, chi, "ben", 50, None)
        assert len(page.items) == 50
        assert stolen in [one.id for one in detect.ended_page(unit, chi, "ben", 50, page.next).items]
