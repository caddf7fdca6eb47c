"""What a thief did in somebody's name is taken back by security though that person has left the lab since."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.detect.conftest import Watched
from tests.identity.test_fallen_keys import disowned
from tests.identity.test_wider_ends import thawed
from weighthouse.access.api.accounts import settle_accounts
from weighthouse.core.caller import Caller
from weighthouse.core.clock import MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit, begin
from weighthouse.detect import api as detect
from weighthouse.policy import api as policy

UNKNOWN = "identity.person_unknown"


@pytest.fixture
def strict(any_database: Database, clock: ManualClock, tmp_path: Path) -> Watched:
    return Watched(any_database, clock, tmp_path, **{"identity.new_keys": "confirm"})


def leaves(lab: Watched, person: str) -> None:
    """Policy names this person no more, as after the last day of somebody's work."""
    with begin(lab.system) as unit:
        text, before = policy.text_of(unit, policy.current(unit).digest), policy.current(unit).lab
        rest = re.sub(rf"^  {person}:\n(?:    .*\n)+", "", text, flags=re.M)
        rest = re.sub(rf"(?<=[\[ ]){person}(, )?(?=[\], a-z])", "", rest)
        assert person not in policy.parse(rest, "lab.yaml").people
        policy.store(unit, rest, "lab.yaml")
        settle_accounts(unit, before, policy.current(unit).lab)
    lab.clock.advance(MINUTE)
    lab.follow()


def refusal(lab: Watched, act: str, person: str, what: str) -> str:
    chi = lab.person("chi")
    try:
        with begin(lab.system, chi) as unit:
            if act == "key":
                detect.end_key(unit, chi, person, what, "stolen before she left")
            else:
                detect.end_session(unit, chi, person, what, "stolen before she left")
    except WeighthouseError as error:
        return error.code
    finally:
        lab.follow()
    return ""


@pytest.mark.parametrize("act", ["key", "session"])
def test_security_takes_back_what_a_stolen_key_of_a_leaver_opened(strict: Watched, act: str) -> None:
    key, thief, session = thawed(strict)
    thief.sign_out()
    leaves(strict, "dee")
    assert not disowned(strict, session), "they signed out behind themselves, and nothing was said against that"
    chi = strict.person("chi")
    with begin(strict.system, chi) as unit:
        assert detect.sessions_of(unit, chi, "dee") == []
        assert session in [one.id for one in detect.ended_page(unit, chi, "dee", 50, None).items]
        assert detect.keys_of(unit, chi, "dee") == [] and detect.keys_aside(unit, chi, "dee") == []
    lines = len(strict.log("DeviceEnded"))
    assert refusal(strict, act, "dee", key if act == "key" else session) == ""
    assert disowned(strict, session)
    assert len(strict.log("DeviceEnded")) == lines + (act == "key")
    assert len([one for one in strict.log("SessionEnded") if one.subject == session]) == 2


def test_nobody_is_taken_for_somebody_who_was_never_there(strict: Watched) -> None:
    key, thief, session = thawed(strict)
    thief.sign_out()
    chi = strict.person("chi")
    assert [refusal(strict, "key", "nobody", key), refusal(strict, "session", "nobody", session)] == [UNKNOWN] * 2
    leaves(strict, "dee")
    assert refusal(strict, "key", "dee", "dev_" + "0" * 26) == "identity.device_unknown"
    assert refusal(strict, "session", "dee", "ses_" + "0" * 26) == "detect.no_such_session"

    def ended(unit: Unit, caller: Caller, person: str) -> object:
        return detect.ended_page(unit, caller, person, 50, None)

    for look in (detect.sessions_of, ended, detect.keys_of, detect.keys_aside):
        with pytest.raises(WeighthouseError) as caught, begin(strict.system, chi) as unit:
            look(unit, chi, "nobody")
        assert caught.value.code == UNKNOWN
    assert not disowned(strict, session)
