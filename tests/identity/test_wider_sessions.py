"""What this program found out by itself about a session takes nothing from what its person says of it afterwards."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_covered_words import ends, let_count_again
from tests.identity.test_disowned_keys import caller, confirm, follow
from tests.identity.test_fallen_keys import Key
from tests.identity.test_forgotten_beginnings import name, opens, retire, taken_back
from tests.identity.test_new_keys import enrolled, grown, signs
from tests.identity.test_signed_before import signed, thaws
from weighthouse.audit import api as audit
from weighthouse.core.clock import MINUTE
from weighthouse.core.work import begin
from weighthouse.identity import api
from weighthouse.identity.api import overtaken
from weighthouse.identity.events import OpeningSigned
from weighthouse_sdk.client import Client, ProblemError

GONE = "identity.device_unknown"


def opened(lab: Lab, key: Key, session: Client) -> str:
    """Whoever has the key thaws eve with it in this session; return that."""
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", "system")
    lab.clock.advance(1)
    mine = caller(lab, "dee", session)
    assert thaws(lab, mine, "eve", signed(lab, key, "dee", "eve")) == ""
    lab.clock.advance(MINUTE)
    return str(mine.session)


def alive(client: Client) -> bool:
    try:
        client.get("me")
    except ProblemError:
        return False
    return True


@pytest.mark.parametrize("third", ["none", "before", "after the first end"])
@pytest.mark.parametrize("order", [("dee", "chi"), ("chi", "dee")], ids="-".join)
def test_a_key_is_over_whichever_of_the_two_stolen_sessions_it_came_of_is_ended_first(
    strict: Lab, order: tuple[str, str], third: str
) -> None:
    """Attack: enrol a key in one stolen session and have it confirmed in another. When the second is ended the key
    falls, and with it the first session; what its person says of that later must still ask who enrolled the key."""
    chi, hana, key = grown(strict, "chi"), grown(strict, "hana"), enrolled(strict, "dee")
    thief = strict.sign_in("chi")
    confirm(strict, chi, "dee", key, thief)
    stolen = {"dee": opened(strict, key, key[0]), "chi": name(thief)}
    if third == "before":
        confirm(strict, hana, "dee", key, hana[0])
    for one in order:
        taken_back(strict, one, stolen[one])
        if third.startswith("after") and one == order[0] and order[0] == "chi":
            confirm(strict, hana, "dee", key, hana[0])
    assert signs(strict, "dee", key[1], key[0].key) == GONE
    assert strict.told("DeviceEnded", "device") == [key[1]]
    for one in order:
        taken_back(strict, one, stolen[one])
    assert ends(strict, stolen["chi"]) == ["foreign"] and set(ends(strict, stolen["dee"])) == {"foreign"}


def test_a_key_that_was_vouched_for_after_its_persons_word_stays(strict: Lab) -> None:
    """Read late, that word asks nothing that somebody has answered since."""
    chi, hana, key = grown(strict, "chi"), grown(strict, "hana"), enrolled(strict, "dee")
    thief = strict.sign_in("chi")
    confirm(strict, chi, "dee", key, thief)
    stolen = opened(strict, key, key[0])
    taken_back(strict, "chi", name(thief))
    with begin(strict.system) as unit:
        api.end_session(unit, stolen, "not mine", strict.person("dee"), of="dee")
    confirm(strict, hana, "dee", key, hana[0])
    follow(strict)
    assert signs(strict, "dee", key[1], key[0].key) == ""


@pytest.mark.parametrize("by", ["its owner", "security"])
def test_a_session_that_fell_with_a_key_takes_its_twin_along_once_it_is_ended_as_stolen(strict: Lab, by: str) -> None:
    chi, key = grown(strict, "chi"), enrolled(strict, "dee")
    thief, here = strict.sign_in("chi"), strict.sign_in("dee")
    twin = strict.sign_in("dee", strict.client(key=here.key))
    confirm(strict, chi, "dee", key, thief)
    stolen = opened(strict, key, here)
    taken_back(strict, "chi", name(thief))
    assert ends(strict, stolen) == ["foreign"] and alive(twin), "that the key fell says nothing against its browser"
    for _ in range(2):
        if by == "its owner":
            strict.sign_in("dee").post(f"sessions/{stolen}/end", {"reason": "not mine"})
        else:
            taken_back(strict, "dee", stolen)
        strict.clock.advance(MINUTE)
    assert not alive(twin) and ends(strict, stolen) == ["foreign", "foreign"]


def test_where_keys_count_at_once_one_that_a_thief_let_count_again_is_judged_by_that(strict: Lab) -> None:
    key, thief = let_count_again(strict)
    strict.system.settings = strict.system.settings.changed(**{"identity.new_keys": "at-once"})
    session = opens(strict, key)
    retire(strict, key)
    taken_back(strict, "chi", thief)
    assert ends(strict, session) == ["own", "foreign"]


def test_a_key_that_was_kept_and_retired_loses_what_it_did_once_its_enrolment_is_said_to_be_stolen(
    strict: Lab,
) -> None:
    """Attack: retire the key between the two ends, so that there is none left to end with its enrolment."""
    chi, hana, key = grown(strict, "chi"), grown(strict, "hana"), enrolled(strict, "dee")
    thief = strict.sign_in("chi")
    confirm(strict, chi, "dee", key, thief)
    stolen = opened(strict, key, key[0])
    confirm(strict, hana, "dee", key, hana[0])
    taken_back(strict, "chi", name(thief))
    elsewhere = opens(strict, key)
    retire(strict, key)
    follow(strict)
    assert ends(strict, elsewhere) == ["own"]
    taken_back(strict, "dee", stolen)
    assert ends(strict, elsewhere) == ["own", "foreign"]


@pytest.mark.parametrize("followed", [True, False], ids=["after the fall", "before the fall is written"])
@pytest.mark.parametrize("vouched", ["by a thief alone", "rightly, too"])
def test_the_line_of_an_act_by_a_key_that_fell_meanwhile_ends_its_session(
    strict: Lab, vouched: str, followed: bool
) -> None:
    """Attack: the key is judged and its act waits; what let the key count is ended and followed; the act commits. So
    its line comes after those of the end and of the fall."""
    chi, hana, key = grown(strict, "chi"), grown(strict, "hana"), enrolled(strict, "dee")
    thief, here = strict.sign_in("chi"), strict.sign_in("dee")
    confirm(strict, chi, "dee", key, thief)
    if vouched == "rightly, too":
        confirm(strict, hana, "dee", key, hana[0])
    session = name(here)
    with begin(strict.system) as unit:
        api.end_session(unit, name(thief), "not mine", strict.person("chi"), of="chi")
    if followed:
        follow(strict)
    with begin(strict.system) as unit:  # as it is committed by a unit that had judged the key before
        late = OpeningSigned(
            device=key[1], principal="dee", act="person.thaw", about="eve", signed=unit.now, session=session
        )
        audit.append(unit, late)
    for _ in range(2):
        with begin(strict.system) as unit:  # its own line alone, which may be read while the fall waits for its own
            overtaken.late(unit, strict.log("OpeningSigned")[-1])
    assert ends(strict, session) == (["foreign"] if vouched == "by a thief alone" else [])
