"""New keys sign nothing sensitive until an older key, a second person or a day has confirmed them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.identity.support import Lab
from weighthouse.core.clock import DAY, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse_sdk.client import Client, DeviceKey


@pytest.fixture
def strict(database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(database, clock, tmp_path, **{"identity.new_keys": "confirm"})


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


def second(lab: Lab, by: str, device: str, mark: str) -> None:
    lab.confirm(lab.person(by), "device.confirm", mark)
    with begin(lab.system) as unit:
        api.confirm_others_key(unit, lab.person(by), device, of="ben")


def test_a_first_key_waits_for_a_second_person_however_old_it_is(strict: Lab) -> None:
    client, device = enrolled(strict, "ben")
    strict.clock.advance(2 * DAY)
    assert signs(strict, "ben", device, client.key) == "identity.key_young"
    with pytest.raises(WeighthouseError) as error:
        second(strict, "ben", device, client.key.thumbprint)
    assert error.value.code == "identity.key_of_oneself"
    second(strict, "chi", device, client.key.thumbprint)
    assert signs(strict, "ben", device, client.key) == ""
    assert strict.told("DeviceConfirmed", "by") == ["chi"]


def test_a_further_key_is_confirmed_by_an_older_one_or_by_a_day(strict: Lab) -> None:
    client, device = enrolled(strict, "ben")
    second(strict, "chi", device, client.key.thumbprint)
    other, new = enrolled(strict, "ben")
    with read(strict.system) as unit:
        ((waits, begins),) = api.waiting_keys(unit, "ben")
    assert waits.id == new and begins == waits.at + DAY
    assert signs(strict, "ben", new, other.key) == "identity.key_young"
    with read(strict.system) as unit:
        said = api.confirmation(api.device(unit, new))
    ben = strict.person("ben")
    strict.confirm(ben, "device.confirm", other.key.thumbprint)
    for by, key, code in ((new, other.key, "identity.device_unknown"), (device, other.key, "identity.bad_signature")):
        with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
            api.confirm_own_key(unit, ben, new, by=by, signature=key.sign(said))
        assert error.value.code == code
    with begin(strict.system) as unit:
        api.confirm_own_key(unit, ben, new, by=device, signature=client.key.sign(said))
    assert signs(strict, "ben", new, other.key) == ""
    third, last = enrolled(strict, "ben")
    strict.clock.advance(DAY)
    assert signs(strict, "ben", last, third.key) == ""


def test_a_new_key_vouches_for_no_other(strict: Lab) -> None:
    client, device = enrolled(strict, "ben")
    second(strict, "chi", device, client.key.thumbprint)
    thief, young = enrolled(strict, "ben")
    _, other = enrolled(strict, "ben")
    with read(strict.system) as unit:
        said = api.confirmation(api.device(unit, other))
    with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
        api.confirm_own_key(unit, strict.person("ben"), other, by=young, signature=thief.key.sign(said))
    assert error.value.code == "identity.key_young"


def test_confirming_takes_a_factor_of_its_own(strict: Lab) -> None:
    _, device = enrolled(strict, "ben")
    with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
        api.confirm_others_key(unit, strict.person("chi"), device, of="ben")
    assert error.value.code == "identity.act_unconfirmed"


def test_where_it_is_only_tried_out_keys_count_at_once(lab: Lab) -> None:
    client, device = enrolled(lab, "ben")
    assert signs(lab, "ben", device, client.key) == "" and api.at_once(lab.system)
