"""An end of a key that came first, a thief's or a policy's, keeps nobody from ending it as stolen afterwards."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_covered_words import restore
from tests.identity.test_disowned_keys import caller, follow
from tests.identity.test_fallen_keys import disowned
from tests.identity.test_new_keys import grown
from tests.identity.test_signed_before import signed, thaws
from weighthouse.core.clock import DAY, MINUTE
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.work import begin
from weighthouse.identity import api
from weighthouse.identity.api import ending
from weighthouse.identity.api.devices import drop_device
from weighthouse.identity.api.ends import ACCOUNT_GONE
from weighthouse_sdk.client import Client, ProblemError

NOT_WIDER = "identity.end_not_wider"
COVERS = ("retired", "stolen since now", "account gone")


def thawed(lab: Lab) -> tuple[str, Client, str]:
    """A key of dee's with which a thief thaws eve in another session; return it, that session and its id. The one in
    which it was enrolled is over, and nothing is said against that."""
    key, here = grown(lab, "dee"), lab.sign_in("dee")
    key[0].sign_out()
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", "system")
    lab.clock.advance(1)
    mine = caller(lab, "dee", here)
    assert thaws(lab, mine, "eve", signed(lab, key, "dee", "eve")) == ""
    lab.clock.advance(MINUTE)
    return key[1], here, str(mine.session)


def covered(lab: Lab, key: str, cover: str) -> None:
    """Whoever has a session of dee's, and no key, ends the key so that nothing falls; or policy does."""
    if cover == "account gone":
        with begin(lab.system) as unit:
            drop_device(unit, "dee", key, ACCOUNT_GONE, by="system")
    else:
        said = {"retired": True} if cover == "retired" else {"since": lab.clock.now()}
        lab.sign_in("dee").post(f"devices/{key}/end", {"reason": "covered up", **said})
    lab.clock.advance(MINUTE)
    follow(lab)


def ends(lab: Lab, key: str, who: str = "its owner", **said: object) -> str:
    try:
        if who == "its owner":
            lab.sign_in("dee").post(f"devices/{key}/end", {"reason": "stolen", **said})
        else:
            with begin(lab.system) as unit:
                api.end_device_of(unit, "dee", key, "stolen", by=lab.person("chi"))
    except (ProblemError, WeighthouseError) as error:
        return error.code
    finally:
        follow(lab)
    return ""


def foreign(lab: Lab, session: str) -> int:
    return len([one for one in lab.log("SessionEnded") if one.subject == session and one.data["whose"] == "foreign"])


@pytest.mark.parametrize("who", ["its owner", "security"])
@pytest.mark.parametrize("cover", COVERS)
def test_a_key_that_was_ended_first_is_ended_as_stolen_still(strict: Lab, cover: str, who: str) -> None:
    key, thief, session = thawed(strict)
    thief.sign_out()
    covered(strict, key, cover)
    assert not disowned(strict, session)
    assert ends(strict, key, who) == ""
    assert disowned(strict, session) and foreign(strict, session) == 1
    assert [one.data["by"] for one in strict.log("DeviceEnded")][1:] == ["dee" if who == "its owner" else "chi"]
    assert strict.told("DeviceEnded", "whose")[-1] == "foreign"
    lines = len(strict.log("DeviceEnded")), len(strict.log("SessionEnded"))
    assert [ends(strict, key, who), ends(strict, key, retired=True)] == [NOT_WIDER, NOT_WIDER]
    assert (len(strict.log("DeviceEnded")), len(strict.log("SessionEnded"))) == lines, "and nothing is changed"


@pytest.mark.parametrize("cover", COVERS)
def test_a_week_is_counted_from_the_first_end_however_late_its_owner_hears_of_it(strict: Lab, cover: str) -> None:
    """Attack: cover up, and have the week go by in which everything that is named by no moment is taken back."""
    key, thief, session = thawed(strict)
    thief.sign_out()
    covered(strict, key, cover)
    strict.clock.advance(9 * DAY)
    assert ends(strict, key) == ""
    assert disowned(strict, session)


@pytest.mark.parametrize("retired", [False, True], ids=["aside", "retired since"])
@pytest.mark.parametrize("aside", ["not me", "freeze"])
@pytest.mark.parametrize("days", [0, 10])
def test_a_week_is_counted_from_when_the_key_was_set_aside(strict: Lab, days: int, aside: str, retired: bool) -> None:
    """Attack: sign out, and let the owner stop everything first; a key that is aside was ended as stolen since now."""
    key, thief, session = thawed(strict)
    thief.sign_out()
    for _ in range(2):
        strict.clock.advance(DAY)
        if aside == "not me":
            strict.sign_in("dee").post("sessions/not-me")
        else:
            with begin(strict.system) as unit:
                api.freeze(unit, "dee", "odd reads", "system")
    strict.clock.advance(days * DAY + MINUTE)
    if retired:
        with begin(strict.system) as unit:
            api.end_device_of(unit, "dee", key, "an old laptop", by=strict.person("dee"), retired=True)
    follow(strict)
    assert foreign(strict, session) == 0
    assert ends(strict, key, "security") == "" and foreign(strict, session) == 1


def test_who_let_a_key_count_again_begins_its_week_anew(strict: Lab) -> None:
    """What was done ten days before it was set aside the last time is not taken back unless its owner says so."""
    key, _, session = thawed(strict)
    chi = grown(strict, "chi")
    strict.clock.advance(DAY)
    strict.sign_in("dee").post("sessions/not-me")
    restore(strict, chi, strict.sign_in("chi"), "dee", key)
    strict.clock.advance(9 * DAY)
    strict.sign_in("dee").post("sessions/not-me")
    assert ends(strict, key, "security") == "" and foreign(strict, session) == 0


def test_a_stop_of_before_a_key_was_enrolled_begins_no_week_of_it(strict: Lab) -> None:
    strict.sign_in("dee").post("sessions/not-me")
    key, _, session = thawed(strict)
    strict.clock.advance(9 * DAY)
    strict.sign_in("dee").post("sessions/not-me")
    assert ends(strict, key, "security") == "" and foreign(strict, session) == 0


def test_a_thief_who_ends_the_key_in_the_session_that_acted_does_not_save_it(strict: Lab) -> None:
    """Whoever says that a key was stolen keeps the session in which they say so; the next to say it ends that one."""
    key, thief, session = thawed(strict)
    thief.post(f"devices/{key}/end", {"reason": "stolen"})
    strict.clock.advance(MINUTE)
    assert not disowned(strict, session) and thief.get("me")["session"] == session
    assert ends(strict, key) == ""
    assert disowned(strict, session) and foreign(strict, session) == 1
    assert ends(strict, key) == NOT_WIDER


def test_who_named_too_late_a_moment_names_an_earlier_one(strict: Lab) -> None:
    key, thief, session = thawed(strict)
    thief.sign_out()
    strict.clock.advance(9 * DAY)
    assert ends(strict, key) == "" and not disowned(strict, session)
    assert ends(strict, key, since=strict.clock.now() - DAY) == NOT_WIDER
    assert ends(strict, key, since=strict.clock.now() - 10 * DAY) == ""
    assert disowned(strict, session) and foreign(strict, session) == 1
    assert strict.told("DeviceEnded", "whose") == ["foreign", "foreign"]


def test_a_log_in_doubt_keeps_nobody_from_it(strict: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    class Tampered:
        def of(self, *_: object, **__: object) -> None:
            raise Unavailable("audit.tampered", "An entry is missing.", "Restore it.")

    key, thief, session = thawed(strict)
    thief.sign_out()
    covered(strict, key, "account gone")
    monkeypatch.setattr(ending, "_ENDED", Tampered())
    assert ends(strict, key) == "" and disowned(strict, session)
