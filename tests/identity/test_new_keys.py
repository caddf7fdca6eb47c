"""New keys sign nothing sensitive until an older key, a second person or a day has confirmed them."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from weighthouse.core.canonical import encode
from weighthouse.core.clock import DAY, HOUR
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse_sdk.client import Client, DeviceKey


def enrolled(lab: Lab, who: str) -> tuple[Client, str]:
    client = lab.sign_in(who)
    return client, str(client.enrol("laptop")["id"])


def signs(lab: Lab, who: str, device: str, key: DeviceKey) -> str:
    try:
        with read(lab.system) as unit:
            api.verify_device_signature(unit, device, who, b"vote", key.sign(b"vote"))
    except WeighthouseError as error:
        return error.code
    return ""


def grown(lab: Lab, who: str) -> tuple[Client, str]:
    """Somebody with a key that counts: the operator of the machine has confirmed their first one."""
    client, device = enrolled(lab, who)
    with begin(lab.system) as unit:
        api.confirm_first_key(unit, who, device, mark=client.key.thumbprint, reason="seen in person")
    return client, device


def confirmation(
    lab: Lab, own: tuple[Client, str], whom: str, device: str, mark: str, **said: str
) -> api.KeySignature:
    """What the key `own` signs now to confirm a key of `whom`."""
    lab.clock.advance(1)
    at = lab.clock.now()
    plain = {
        "type": "weighthouse/confirm-key/3",
        "audience": api.audience(lab.system),
        "person": whom,
        "thumbprint": mark,
        "device": device,
    }
    value = own[0].key.sign(encode({**plain, "by": own[1], "at": at, **said}))
    return api.KeySignature(device=own[1], at=at, value=value)


def second(lab: Lab, by: str, device: str, mark: str, own: tuple[Client, str], **said: str) -> None:
    """`by` confirms Ben's key with their own one, over the person and the key that Ben has read to them."""
    lab.confirm(lab.person(by), "device.confirm", mark)
    signed = confirmation(lab, own, "ben", device, mark, **said)
    with begin(lab.system) as unit:
        api.confirm_others_key(unit, lab.person(by), device, of="ben", signed=signed)


def test_a_first_key_waits_for_a_second_person_however_old_it_is(strict: Lab) -> None:
    chi = grown(strict, "chi")
    client, device = enrolled(strict, "ben")
    strict.clock.advance(2 * DAY)
    assert signs(strict, "ben", device, client.key) == "identity.key_young"
    with pytest.raises(WeighthouseError) as error:
        second(strict, "ben", device, client.key.thumbprint, (client, device))
    assert error.value.code == "identity.key_of_oneself"
    second(strict, "chi", device, client.key.thumbprint, chi)
    assert signs(strict, "ben", device, client.key) == ""
    assert strict.told("DeviceConfirmed", "by") == ["system", "chi"]


def test_no_key_grows_up_by_a_clock_that_leapt(strict: Lab) -> None:
    """Attack: whoever rules the time sets it a day ahead; the thief's young key counts, and confirms the next one."""
    grown(strict, "ben")
    thief, device = enrolled(strict, "ben")
    strict.clock.set(strict.clock.now() + 25 * HOUR)
    assert signs(strict, "ben", device, thief.key) == "identity.key_young"
    with read(strict.system) as unit:
        assert unit.clock_trouble == "ahead"
        assert [one.id for one, _ in api.waiting_keys(unit, "ben")] == [device]
    strict.clock.set(strict.clock.now() - 25 * HOUR)
    strict.clock.advance(25 * HOUR)
    assert signs(strict, "ben", device, thief.key) == "", "a day that passed is one"


def test_who_runs_the_identity_provider_confirms_no_key_as_somebody_else(strict: Lab) -> None:
    """They sign in as Chi with a factor of their own making and enrol a key; what they lack is her old one."""
    chi = grown(strict, "chi")
    client, device = enrolled(strict, "ben")
    thief = enrolled(strict, "chi")
    mark = client.key.thumbprint
    for own, said, code in (
        (thief, {}, "identity.key_young"),
        ((thief[0], chi[1]), {}, "identity.bad_signature"),
        ((client, device), {}, "identity.bad_signature"),
        (chi, {"thumbprint": thief[0].key.thumbprint}, "identity.bad_signature"),
        (chi, {"person": "ada"}, "identity.bad_signature"),
        ((chi[0], "none"), {}, "identity.device_unknown"),
    ):
        with pytest.raises(WeighthouseError) as error:
            second(strict, "chi", device, mark, own, **said)
        assert error.value.code == code
        assert signs(strict, "ben", device, client.key) == "identity.key_young"
    refused = strict.told("KeyNotConfirmed", "code")
    assert refused == ["identity.key_young", *["identity.bad_signature"] * 4, "identity.device_unknown"]
    assert strict.told("DeviceConfirmed", "principal") == ["chi"]


def test_the_operator_confirms_a_first_key_only_as_its_owner_reads_it(strict: Lab) -> None:
    client, device = enrolled(strict, "chi")
    for person, mark in (("ben", client.key.thumbprint), ("chi", "another")):
        with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
            api.confirm_first_key(unit, person, device, mark=mark, reason="seen in person")
        assert error.value.code == "identity.device_unknown"
    assert signs(strict, "chi", device, client.key) == "identity.key_young"


def test_a_further_key_is_confirmed_by_an_older_one_or_by_a_day(strict: Lab) -> None:
    client, device = grown(strict, "ben")
    other, new = enrolled(strict, "ben")
    with read(strict.system) as unit:
        ((waits, begins),) = api.waiting_keys(unit, "ben")
    assert waits.id == new and begins == waits.at + DAY
    assert signs(strict, "ben", new, other.key) == "identity.key_young"
    ben, mark = strict.person("ben"), other.key.thumbprint
    strict.confirm(ben, "device.confirm", mark)
    for own, code in (((other, new), "identity.device_unknown"), ((other, device), "identity.bad_signature")):
        signed = confirmation(strict, own, "ben", new, mark)
        with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
            api.confirm_own_key(unit, ben, new, signed=signed)
        assert error.value.code == code
    signed = confirmation(strict, (client, device), "ben", new, mark)
    with begin(strict.system) as unit:
        api.confirm_own_key(unit, ben, new, signed=signed)
    assert signs(strict, "ben", new, other.key) == ""
    third, last = enrolled(strict, "ben")
    strict.clock.advance(DAY)
    assert signs(strict, "ben", last, third.key) == ""


def test_a_new_key_vouches_for_no_other(strict: Lab) -> None:
    grown(strict, "ben")
    thief, young = enrolled(strict, "ben")
    client, other = enrolled(strict, "ben")
    signed = confirmation(strict, (thief, young), "ben", other, client.key.thumbprint)
    with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
        api.confirm_own_key(unit, strict.person("ben"), other, signed=signed)
    assert error.value.code == "identity.key_young"


def test_confirming_takes_a_factor_of_its_own(strict: Lab) -> None:
    chi, own = grown(strict, "chi")
    client, device = enrolled(strict, "ben")
    signed = confirmation(strict, (chi, own), "ben", device, client.key.thumbprint)
    with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
        api.confirm_others_key(unit, strict.person("chi"), device, of="ben", signed=signed)
    assert error.value.code == "identity.act_unconfirmed"


def test_where_it_is_only_tried_out_keys_count_at_once(lab: Lab) -> None:
    client, device = enrolled(lab, "ben")
    assert signs(lab, "ben", device, client.key) == "" and api.at_once(lab.system)
