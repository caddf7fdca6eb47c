"""Ending a key ends what its thief has: the sessions bound to it, and its being a known device (thief finding 4)."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import follow
from tests.identity.test_new_keys import enrolled, grown
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, HOUR
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import read
from weighthouse.identity import api
from weighthouse_sdk.client import Client, ProblemError
from weighthouse_sdk.errors import SdkError


def test_ending_a_device_ends_the_sessions_of_its_key_and_makes_it_unknown(lab: Lab) -> None:
    thief, owner = lab.sign_in("ada"), lab.sign_in("ada")
    device = str(thief.enrol("laptop")["id"])
    session = str(thief.get("me")["session"])
    owner.post(f"devices/{device}/end", {"reason": "my laptop was stolen"})
    with pytest.raises(ProblemError) as error:
        thief.get("me")
    assert error.value.code == "identity.session_ended"
    assert owner.get("me")["principal"] == "ada"
    assert lab.told("SessionEnded", "reason") == ["its key was ended"]
    with read(lab.system) as unit:
        assert api.ended_by_another(unit, session, "ada")  # so what was submitted in it ends too
    lab.clock.advance(HOUR)
    asked = len(lab.log("StepUpDemanded"))
    secret = lab.secret("ada")
    with pytest.raises(SdkError, match="code"):  # the password alone is asked for more
        thief.sign_in_headless("ada", secret.password, "", code="")
    assert len(lab.log("StepUpDemanded")) == asked + 1


def sessions_of(lab: Lab, client: Client, count: int = 2) -> list[str]:
    """Sign in and out with the key of this client, several times, the first time from where it is in already."""
    found = [str(client.get("me")["session"])]
    client.sign_out()
    for _ in range(count - 1):
        lab.clock.advance(1)
        found.append(str(lab.sign_in("ben", client).get("me")["session"]))
        client.sign_out()
    lab.clock.advance(1)
    return found


def disowned(lab: Lab, *sessions: str) -> list[bool]:
    with read(lab.system) as unit:
        return [api.disowned(unit, "ben", one, unit.now) for one in sessions]


@pytest.mark.parametrize("hidden", [False, True], ids=["rows", "hidden"])
def test_a_key_ended_as_stolen_disowns_its_sessions_that_signed_out_and_no_others(lab: Lab, hidden: bool) -> None:
    """Attack, hidden: who can write the database takes the rows away for the moment in which the key is ended."""
    owner = lab.sign_in("ben")
    before = str(lab.sign_in("ben").get("me")["session"])
    thief, key = enrolled(lab, "ben")
    stolen = sessions_of(lab, thief)
    if hidden:
        lab.sql(f"CREATE TABLE hidden AS SELECT * FROM identity_session WHERE id IN {tuple(stolen)}")
        lab.sql(f"DELETE FROM identity_session WHERE id IN {tuple(stolen)}")
    owner.post(f"devices/{key}/end", {"reason": "not mine"})
    if hidden:
        lab.sql("INSERT INTO identity_session SELECT * FROM hidden")
    assert disowned(lab, *stolen, before) == [True, True, False]
    assert owner.get("me")["principal"] == "ben"
    told = [one.data for one in lab.log("SessionEnded") if one.data["whose"] == "foreign"]
    assert sorted(one["session"] for one in told) == sorted(stolen), "one line each"


def test_a_key_that_is_retired_says_nothing_against_its_sessions(lab: Lab) -> None:
    owner, (old, key) = lab.sign_in("ben"), enrolled(lab, "ben")
    out = sessions_of(lab, old)
    live = str(lab.sign_in("ben", old).get("me")["session"])
    owner.post(f"devices/{key}/end", {"reason": "an old laptop", "retired": True})
    with pytest.raises(ProblemError) as error:
        old.get("me")
    assert error.value.code == "identity.session_ended"
    assert disowned(lab, *out, live) == [False, False, False]
    assert (
        lab.told("DeviceEnded", "whose") == ["own"]
        and lab.told("SessionEnded", "reason")[-1] == "its key was retired"
    )


@pytest.mark.parametrize("how", ["live", "retired by the thief", "retired by the thief, its row hidden"])
def test_a_key_that_was_enrolled_in_a_disowned_session_disowns_its_other_sessions(strict: Lab, how: str) -> None:
    owner = grown(strict, "ben")[0]
    thief, key = enrolled(strict, "ben")
    first, second = sessions_of(strict, thief)
    if how != "live":
        strict.sign_in("ben").post(f"devices/{key}/end", {"reason": "hidden", "retired": True})
        assert disowned(strict, first, second) == [False, False]
    if how.endswith("hidden"):
        strict.sql(f"DELETE FROM identity_device WHERE id = '{key}'")
    owner.post(f"sessions/{first}/end", {"reason": "not mine"})
    assert disowned(strict, first) == [True]
    follow(strict)
    assert disowned(strict, first, second) == [True, True]
    strict.clock.advance(2 * DAY)
    follow(strict)
    assert len([one for one in strict.log("SessionEnded") if one.data["session"] == second]) == 2  # out, and foreign


def test_a_log_in_doubt_keeps_no_key_from_its_end(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, (thief, key) = lab.sign_in("ben"), enrolled(lab, "ben")
    stolen = sessions_of(lab, thief)

    def tampered(*_: object, **__: object) -> None:
        raise Unavailable("audit.tampered", "An entry is missing.", "Restore it.")

    monkeypatch.setattr(audit.Lines, "since", tampered)
    owner.post(f"devices/{key}/end", {"reason": "not mine"})
    assert lab.told("DeviceEnded", "device") == [key]
    assert disowned(lab, *stolen) == [True, True], "the rows tell of those"
