"""Keys that were enrolled, confirmed or let count again in a session that was somebody else's count no more."""

from __future__ import annotations

import msgspec
import pytest

from tests.identity.support import Lab
from tests.identity.test_keys_aside import opening
from tests.identity.test_new_keys import confirmation, enrolled, grown, signs
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.clock import DAY
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.api.states import change_state
from weighthouse.identity.jobs import followers
from weighthouse_sdk.client import Client

GONE, YOUNG = "identity.device_unknown", "identity.key_young"
ENDS = ("its owner", "security", "signed out, then its owner", "a detection")
STOPS = ("its owner", "not me", "freeze")


def follow(lab: Lab) -> None:
    for follower in followers:
        while audit.pump(lab.system, follower):
            pass


def caller(lab: Lab, who: str, client: Client) -> Caller:
    return msgspec.structs.replace(lab.person(who), session=str(client.get("me")["session"]))


def end(lab: Lab, how: str, who: str, thief: Client) -> None:
    """The thief's session, in the name of `who`, is taken back."""
    session = str(thief.get("me")["session"])
    owner = lab.sign_in(who)
    lab.clock.advance(1)
    if how.startswith("signed out"):
        thief.sign_out()
    if how.endswith("its owner"):
        owner.post(f"sessions/{session}/end", {"reason": "not mine"})
        return
    if how == "not me":
        owner.post("sessions/not-me")
        return
    with begin(lab.system) as unit:
        if how == "freeze":
            api.freeze(unit, who, "a stolen laptop", "system")
        elif how == "security":
            api.end_session(unit, session, "a thief's", lab.person("chi"))
        else:
            api.end_sessions_of(unit, who, "detect:elsewhere", SYSTEM)


def confirm(lab: Lab, by: tuple[Client, str], whom: str, new: tuple[Client, str], thief: Client) -> None:
    """Whoever holds the machine of `by` confirms a new key with its key, in the session of `thief`."""
    who = str(thief.get("me")["principal"])
    mark = new[0].key.thumbprint
    mine = caller(lab, who, thief)
    lab.confirm(mine, "device.confirm", mark)
    signed = confirmation(lab, by, whom, new[1], mark)
    with begin(lab.system) as unit:
        if who == whom:
            api.confirm_own_key(unit, mine, new[1], signed=signed)
        else:
            api.confirm_others_key(unit, mine, new[1], of=whom, signed=signed)


@pytest.mark.parametrize("how", ENDS)
def test_a_key_that_a_thief_enrolled_ends_with_the_thiefs_session(strict: Lab, how: str) -> None:
    owner, own = grown(strict, "ben")
    owner.sign_out()
    thief, device = enrolled(strict, "ben")
    end(strict, how, "ben", thief)
    assert signs(strict, "ben", device, thief.key) == GONE  # at once, before anything is written down
    follow(strict)
    strict.clock.advance(2 * DAY)
    assert signs(strict, "ben", device, thief.key) == GONE
    assert strict.told("DeviceEnded", "device") == [device]
    with read(strict.system) as unit:
        assert [one.id for one in api.devices_of(unit, "ben")] == [own]


def test_a_key_of_a_session_that_signed_itself_out_grows_up(strict: Lab) -> None:
    grown(strict, "ben")
    client, device = enrolled(strict, "ben")
    client.sign_out()
    follow(strict)
    strict.clock.advance(2 * DAY)
    assert signs(strict, "ben", device, client.key) == ""
    assert strict.told("DeviceEnded", "device") == []


@pytest.mark.parametrize("how", ["its owner", "security"])
def test_a_key_that_a_thief_confirmed_with_an_older_one_waits_again(strict: Lab, how: str) -> None:
    owner, new = grown(strict, "ben"), enrolled(strict, "ben")
    thief = strict.sign_in("ben")
    confirm(strict, owner, "ben", new, thief)
    assert signs(strict, "ben", new[1], new[0].key) == ""
    end(strict, how, "ben", thief)
    assert signs(strict, "ben", new[1], new[0].key) == YOUNG
    follow(strict)
    follow(strict)
    assert signs(strict, "ben", new[1], new[0].key) == YOUNG
    assert (strict.told("KeyFellBack", "device"), strict.told("KeyFellBack", "act")) == ([new[1]], ["confirm"])
    confirm(strict, owner, "ben", new, strict.sign_in("ben"))  # and may be confirmed anew
    assert signs(strict, "ben", new[1], new[0].key) == ""


@pytest.mark.parametrize("how", STOPS)
def test_a_key_that_a_thief_confirmed_at_securitys_machine_waits_again(strict: Lab, how: str) -> None:
    chi, new = grown(strict, "chi"), enrolled(strict, "dee")
    thief = strict.sign_in("chi")
    confirm(strict, chi, "dee", new, thief)
    assert signs(strict, "dee", new[1], new[0].key) == ""
    end(strict, how, "chi", thief)
    assert signs(strict, "dee", new[1], new[0].key) == YOUNG
    follow(strict)
    strict.clock.advance(2 * DAY)
    assert signs(strict, "dee", new[1], new[0].key) == YOUNG
    assert strict.told("KeyFellBack", "principal") == ["dee"]


@pytest.mark.parametrize("how", STOPS)
def test_a_key_that_a_thief_let_count_again_is_aside_as_before(strict: Lab, how: str) -> None:
    chi, (owner, device) = grown(strict, "chi"), grown(strict, "ben")
    owner.post("sessions/not-me")
    thief = strict.sign_in("chi")
    subject = f"ben/{owner.key.thumbprint}"
    signed = opening(strict, chi, "person.key", subject)
    mine = caller(strict, "chi", thief)
    strict.confirm(mine, "person.key", subject)
    with begin(strict.system) as unit:
        api.restore_key(unit, "ben", device, mine, signed=signed)
    assert signs(strict, "ben", device, owner.key) == ""
    end(strict, how, "chi", thief)
    assert signs(strict, "ben", device, owner.key) == GONE
    with read(strict.system) as unit:
        assert [one.id for one in api.keys_aside(unit, "ben")] == [device]
    follow(strict)
    assert signs(strict, "ben", device, owner.key) == GONE
    with read(strict.system) as unit:
        assert [one.id for one in api.keys_aside(unit, "ben")] == [device] and api.devices_of(unit, "ben") == []
    assert strict.told("KeyFellBack", "act")[-1] == "restore"
    other = grown(strict, "dee")
    strict.clock.advance(1)
    strict.confirm(strict.person("dee"), "person.key", subject)
    here, at = api.audience(strict.system), strict.clock.now()
    said = api.opening("person.key", subject, audience=here, person="dee", device=other[1], at=at)
    seal = api.KeySignature(device=other[1], at=strict.clock.now(), value=other[0].key.sign(said))
    with begin(strict.system) as unit:
        api.restore_key(unit, "ben", device, strict.person("dee"), signed=seal)
    assert signs(strict, "ben", device, owner.key) == ""


def test_what_was_confirmed_before_vouchers_were_kept_stands(strict: Lab) -> None:
    client, device = grown(strict, "ben")
    with begin(strict.system) as unit:
        change_state(unit, "ben", lambda s: msgspec.structs.replace(s, vouchers=()))
    assert signs(strict, "ben", device, client.key) == ""
