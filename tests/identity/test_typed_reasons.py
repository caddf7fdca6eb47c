"""What follows from an end does not depend on the words that somebody types as its reason."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_fallen_keys import disowned
from weighthouse.core.clock import MINUTE
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.api import ends
from weighthouse.identity.api.states import UNBELIEVED
from weighthouse_sdk.client import Client, ProblemError

WORDS = sorted(ends.DECIDING)


def session_of(client: Client) -> str:
    return str(client.get("me")["session"])


def alive(client: Client) -> bool:
    try:
        client.get("me")
    except ProblemError:
        return False
    return True


@pytest.mark.parametrize("by", ["its owner", "security"])
@pytest.mark.parametrize("word", WORDS)
def test_an_end_with_a_word_of_this_program_as_its_reason_takes_back_as_much_as_any(
    lab: Lab, word: str, by: str
) -> None:
    thief = lab.sign_in("eve")
    twin = lab.sign_in("eve", lab.client(key=thief.key))
    lab.clock.advance(MINUTE)
    owner, stolen = lab.sign_in("eve"), session_of(thief)
    before = len(lab.log("SessionEnded"))
    if by == "its owner":
        owner.post(f"sessions/{stolen}/end", {"reason": word})
    else:
        chi = lab.person("chi")
        with begin(lab.system, chi) as unit:
            api.end_session(unit, stolen, word, chi, of="eve")
    assert disowned(lab, stolen) and not alive(thief)
    assert not alive(twin), "whoever has one session of a key has the other"
    assert alive(owner)
    line = lab.log("SessionEnded")[before]
    assert (line.subject, line.data["whose"]) == (stolen, "foreign")
    with read(lab.system) as unit:
        (shown,) = [one for one in api.ended_lately(unit, "eve") if one.id == stolen]
    assert shown.ended_reason == f"“{word}”", "and is shown as what somebody said"


@pytest.mark.parametrize("word", WORDS)
def test_an_end_of_a_key_with_such_a_reason_is_remembered_at_once_and_owes_its_line(lab: Lab, word: str) -> None:
    owner = lab.sign_in("eve")
    device = str(owner.enrol("laptop")["id"])
    with pytest.raises(RuntimeError), begin(lab.system, lab.person("eve")) as unit:
        api.end_device(unit, lab.person("eve"), device, word)
        raise RuntimeError("the database takes nothing of it")
    with read(lab.system) as unit:
        assert api.devices_of(unit, "eve") == [], "what was stopped stays stopped"
    assert lab.told("DeviceEnded", "device") in ([], [device])


def test_a_freeze_for_the_reason_that_stands_for_a_refused_record_has_one_line(lab: Lab) -> None:
    with begin(lab.system, lab.person("chi")) as unit:
        api.freeze(unit, "eve", UNBELIEVED, lab.person("chi"))
    assert len(lab.log("PersonFrozen")) == 1
    with read(lab.system) as unit:
        assert api.person(unit, "eve").frozen_reason == f"“{UNBELIEVED}”"


def test_other_words_are_kept_as_they_are(lab: Lab) -> None:
    stolen = session_of(lab.sign_in("eve"))
    with begin(lab.system) as unit:
        api.end_session(unit, stolen, "too many sessions, I think", "chi", of="eve")
        (shown,) = [one for one in api.ended_lately(unit, "eve") if one.id == stolen]
    assert shown.ended_reason == "too many sessions, I think"
