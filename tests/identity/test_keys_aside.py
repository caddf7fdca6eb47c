"""A key neither grows up while it is set aside nor beside none that counts, and comes back only by its own name."""

from __future__ import annotations

import msgspec
import pytest

from tests.identity.support import Lab
from tests.identity.test_new_keys import confirmation, enrolled, grown, signs
from weighthouse.core.clock import DAY, HOUR
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.api.states import change_state
from weighthouse_sdk.client import Client

YOUNG = "identity.key_young"
REASON = "His laptop was stolen."


def opening(lab: Lab, chi: tuple[Client, str], act: str, subject: str) -> api.KeySignature:
    """Chi's second factor and the signature of her grown key, for exactly this."""
    lab.clock.advance(1)
    lab.confirm(lab.person("chi"), act, subject)
    at = lab.clock.now()
    said = api.opening(act, subject, audience=api.audience(lab.system), person="chi", device=chi[1], at=at)
    return api.KeySignature(device=chi[1], at=at, value=chi[0].key.sign(said))


def restores(lab: Lab, chi: tuple[Client, str], device: str, mark: str) -> str:
    """What Chi is told when she lets a key of Ben's count again."""
    signed = opening(lab, chi, "person.key", f"ben/{mark}")
    try:
        with begin(lab.system) as unit:
            api.restore_key(unit, "ben", device, lab.person("chi"), signed=signed)
    except WeighthouseError as error:
        return error.code
    return ""


def stop(lab: Lab, how: str, chi: tuple[Client, str]) -> None:
    """Everything of Ben's is stopped, by himself or by Chi, who thaws him again."""
    if how == "not me":
        lab.sign_in("ben").post("sessions/not-me")
        return
    with begin(lab.system) as unit:
        api.freeze(unit, "ben", REASON, lab.person("chi"))
    signed = opening(lab, chi, "person.thaw", "ben")
    with begin(lab.system) as unit:
        api.thaw(unit, "ben", REASON, lab.person("chi"), signed=signed)


@pytest.mark.parametrize("how", ["not me", "freeze"])
def test_a_key_that_did_not_count_is_over_when_everything_is_stopped(strict: Lab, how: str) -> None:
    chi, (owner, own), (thief, young) = grown(strict, "chi"), grown(strict, "ben"), enrolled(strict, "ben")
    stop(strict, how, chi)
    assert strict.told("DeviceEnded", "device") == [young]
    strict.clock.advance(2 * DAY)
    with read(strict.system) as unit:
        assert [one.id for one in api.keys_aside(unit, "ben")] == [own] and api.devices_of(unit, "ben") == []
    for device, key in ((own, owner.key), (young, thief.key)):
        assert signs(strict, "ben", device, key) == "identity.device_unknown"
    assert restores(strict, chi, young, thief.key.thumbprint) == "identity.key_not_aside"
    assert restores(strict, chi, own, owner.key.thumbprint) == ""
    assert signs(strict, "ben", own, owner.key) == ""
    assert strict.told("KeysRestored", "device") == [own]


@pytest.mark.parametrize("first", ["not me", "freeze"])
def test_no_stop_on_top_of_another_brings_anything_back(strict: Lab, first: str) -> None:
    chi, (thief, young) = grown(strict, "chi"), enrolled(strict, "ben")
    for how in (first, "freeze", "not me"):
        stop(strict, how, chi)
    strict.clock.advance(2 * DAY)
    assert restores(strict, chi, young, thief.key.thumbprint) == "identity.key_not_aside"
    assert signs(strict, "ben", young, thief.key) == "identity.device_unknown"


def test_what_an_older_version_set_aside_before_it_counted_stays_there(strict: Lab) -> None:
    chi, (thief, young) = grown(strict, "chi"), enrolled(strict, "ben")
    with begin(strict.system) as unit:
        change_state(unit, "ben", lambda s: msgspec.structs.replace(s, devices=(), first=(), suspended=(young,)))
    strict.clock.advance(2 * DAY)
    assert restores(strict, chi, young, thief.key.thumbprint) == "identity.key_never_counted"
    stop(strict, "freeze", chi)
    assert strict.told("DeviceEnded", "device") == [young]


def test_security_signs_for_one_key_and_no_other_comes_with_it(strict: Lab) -> None:
    chi, (owner, own), (other, second) = grown(strict, "chi"), grown(strict, "ben"), grown(strict, "ben")
    stop(strict, "not me", chi)
    assert restores(strict, chi, own, other.key.thumbprint) == "identity.bad_signature"
    assert restores(strict, chi, second, f"{other.key.thumbprint}x") == "identity.bad_signature"
    assert restores(strict, chi, own, owner.key.thumbprint) == ""
    assert signs(strict, "ben", own, owner.key) == ""
    assert signs(strict, "ben", second, other.key) == "identity.device_unknown"
    strict.sign_in("ben", owner)
    assert [one["id"] for one in owner.get("devices/aside")["items"]] == [second]
    owner.post(f"devices/{second}/end", {"reason": "not mine"})
    assert owner.get("devices/aside")["items"] == []
    assert restores(strict, chi, second, other.key.thumbprint) == "identity.key_not_aside"


def test_two_keys_of_somebody_without_any_vouch_for_each_other_in_no_time(strict: Lab) -> None:
    (one, first), (two, second) = enrolled(strict, "ben"), enrolled(strict, "ben")
    strict.clock.advance(2 * DAY)
    for device, key in ((first, one.key), (second, two.key)):
        assert signs(strict, "ben", device, key) == YOUNG
    signed = confirmation(strict, (two, second), "ben", first, one.key.thumbprint)
    strict.confirm(strict.person("ben"), "device.confirm", one.key.thumbprint)
    with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
        api.confirm_own_key(unit, strict.person("ben"), first, signed=signed)
    assert error.value.code == YOUNG


@pytest.mark.parametrize("how", ["not me", "freeze"])
def test_a_key_enrolled_while_all_others_are_aside_waits_for_a_second_person(strict: Lab, how: str) -> None:
    chi, _ = grown(strict, "chi"), grown(strict, "ben")
    stop(strict, how, chi)
    thief, new = enrolled(strict, "ben")
    strict.clock.advance(2 * DAY)
    assert signs(strict, "ben", new, thief.key) == YOUNG


def test_a_key_that_grows_beside_one_waits_for_a_second_person_once_that_is_ended(strict: Lab) -> None:
    _, old = grown(strict, "ben")
    thief, new = enrolled(strict, "ben")
    strict.clock.advance(HOUR)
    strict.sign_in("ben", thief)
    thief.post(f"devices/{old}/end", {"reason": "over"})
    strict.clock.advance(2 * DAY)
    assert signs(strict, "ben", new, thief.key) == YOUNG
