"""What a key signed before its session was ended as stolen is sent by nobody afterwards, from whatever session."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import caller
from tests.identity.test_new_keys import confirmation, enrolled, grown
from weighthouse.core.caller import Caller
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import Client

STALE = "identity.signature_stale"
ENDS = ("its owner", "security", "its owner, at another server")


def signed(lab: Lab, by: tuple[Client, str], who: str, subject: str) -> api.KeySignature:
    """A thief has the machine for a minute, and lets its key sign that somebody may be let in again."""
    at = lab.clock.now()
    said = api.opening("person.thaw", subject, audience=api.audience(lab.system), person=who, device=by[1], at=at)
    lab.clock.advance(1)
    return api.KeySignature(device=by[1], at=at, value=by[0].key.sign(said))


def back_in(lab: Lab, machine: tuple[Client, str], who: str) -> tuple[Client, str]:
    """Signed in again at a machine whose key was enrolled in an earlier session, so that it goes on without this."""
    machine[0].sign_out()
    lab.sign_in(who, machine[0])
    return machine


def ended(lab: Lab, how: str, who: str, session: str) -> None:
    if how == "security":
        with begin(lab.system) as unit:
            api.end_session(unit, session, "a stolen laptop", lab.person("dee"))
        return
    owner = lab.sign_in(who)
    here = lab.system.part(Memory)  # type: ignore[type-abstract]
    if "another server" in how:  # it has a memory of its own, and this one has not heard of it yet
        lab.system.bind(Memory, FileMemory(lab.folder / "other.memory", now=lab.clock.now()))
    owner.post(f"sessions/{session}/end", {"reason": "my laptop was stolen"})
    lab.system.bind(Memory, here)
    lab.clock.advance(1)


def thaws(lab: Lab, by: Caller, whom: str, signature: api.KeySignature) -> str:
    lab.confirm(by, "person.thaw", whom)
    try:
        with begin(lab.system, by) as unit:
            api.thaw(unit, whom, "cleared", by, signed=signature)
    except WeighthouseError as error:
        return error.code
    return ""


@pytest.mark.parametrize("how", ENDS)
def test_what_was_signed_at_a_stolen_laptop_is_not_sent_from_another_session(lab: Lab, how: str) -> None:
    laptop = back_in(lab, grown(lab, "chi"), "chi")
    stolen = str(laptop[0].get("me")["session"])
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", "system")
    other = caller(lab, "chi", lab.sign_in("chi"))  # in chi's name, by whoever runs the identity provider
    taken_along = signed(lab, laptop, "chi", "eve")
    ended(lab, how, "chi", stolen)
    assert thaws(lab, other, "eve", taken_along) == STALE
    with read(lab.system) as unit:
        assert api.person(unit, "eve").frozen
    assert lab.told("OpeningRefused", "code") == [STALE] and lab.log("OpeningSigned") == []
    lab.clock.advance(1)
    assert thaws(lab, other, "eve", signed(lab, laptop, "chi", "eve")) == "", "the key itself goes on"


def test_a_session_that_signs_itself_out_spoils_no_signature(lab: Lab) -> None:
    laptop = grown(lab, "chi")
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", "system")
    other = caller(lab, "chi", lab.sign_in("chi"))
    honest = signed(lab, laptop, "chi", "eve")
    laptop[0].sign_out()
    assert thaws(lab, other, "eve", honest) == ""


def test_a_confirmation_signed_before_confirms_no_key(strict: Lab) -> None:
    laptop, new = back_in(strict, grown(strict, "ben"), "ben"), enrolled(strict, "ben")
    stolen, mark = str(laptop[0].get("me")["session"]), new[0].key.thumbprint
    other = caller(strict, "ben", strict.sign_in("ben"))
    taken_along = confirmation(strict, laptop, "ben", new[1], mark)
    strict.clock.advance(1)
    ended(strict, "its owner", "ben", stolen)
    strict.confirm(other, "device.confirm", mark)
    with pytest.raises(WeighthouseError) as error, begin(strict.system, other) as unit:
        api.confirm_own_key(unit, other, new[1], signed=taken_along)
    assert error.value.code == STALE and strict.told("KeyNotConfirmed", "code") == [STALE]
    assert new[1] not in strict.told("DeviceConfirmed", "device")


def test_what_was_signed_before_a_freeze_is_not_sent_after_the_thaw(lab: Lab) -> None:
    """Nor within the ten minutes in which security lets the key count again."""
    laptop = grown(lab, "chi")
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", "system")
    taken_along = signed(lab, laptop, "chi", "eve")
    laptop[0].sign_out()  # so that no session is left that the freeze ends as somebody else's
    with begin(lab.system) as unit:
        api.freeze(unit, "chi", "a stolen laptop", "system")
        api.thaw(unit, "chi", "found", "system")
    back = lab.person("dee")
    mark = f"chi/{laptop[0].key.thumbprint}"
    given = lab.opened("dee", "person.key", mark)
    with begin(lab.system, back) as unit:
        api.restore_key(unit, "chi", laptop[1], back, signed=given)
    other = caller(lab, "chi", lab.sign_in("chi"))
    assert thaws(lab, other, "eve", taken_along) == STALE
