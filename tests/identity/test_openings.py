"""What opens takes a key that counted before; whoever runs the identity provider has none (insider finding 1)."""

from __future__ import annotations

import msgspec
import pytest

from tests.identity.support import Lab
from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse_sdk.client import DeviceKey

REFUSED = {
    "no signature at all": "identity.opening_unsigned",
    "by another key": "identity.bad_signature",
    "for another person": "identity.bad_signature",
    "for another act": "identity.bad_signature",
    "of another time": "identity.bad_signature",
    "by a device of somebody else": "identity.bad_signature",
    "by a device that is none": "identity.device_unknown",
    "eleven minutes old": "identity.signature_stale",
    "of a time to come": "identity.signature_stale",
}


def forged(lab: Lab, how: str) -> api.KeySignature | None:
    honest = lab.opened("chi", "person.thaw", "eve")
    replaced = msgspec.structs.replace
    here = api.audience(lab.system)
    said = api.opening("person.thaw", "eve", audience=here, person="chi", device=honest.device, at=honest.at)
    if how == "eleven minutes old":
        lab.clock.advance(11 * MINUTE)
        lab.confirm(lab.person("chi"), "person.thaw", "eve")
    later = lab.signed("chi", "person.thaw", "eve").at + MINUTE
    return {
        "no signature at all": None,
        "by another key": replaced(honest, value=DeviceKey.generate().sign(said)),
        "for another person": lab.signed("chi", "person.thaw", "ada"),
        "for another act": lab.signed("chi", "person.keys", "eve"),
        "of another time": replaced(honest, at=honest.at - 1),
        "by a device of somebody else": lab.opened("ben", "person.thaw", "eve"),
        "by a device that is none": replaced(honest, device="dev_none"),
        "eleven minutes old": honest,
        "of a time to come": replaced(honest, at=later),
    }[how]


@pytest.mark.parametrize("how", list(REFUSED))
def test_a_session_and_a_factor_thaw_nobody_without_a_signature_over_exactly_this(lab: Lab, how: str) -> None:
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", lab.person("chi"))
    signed, chi = forged(lab, how), lab.person("chi")
    with pytest.raises(WeighthouseError) as error, begin(lab.system, chi) as unit:
        api.thaw(unit, "eve", "cleared", chi, signed=signed)
    assert error.value.code == REFUSED[how]
    with read(lab.system) as unit:
        assert api.person(unit, "eve").frozen
    assert lab.told("OpeningRefused", "code") == [REFUSED[how]] and lab.log("PersonThawed") == []


def test_a_signature_opens_once_also_after_the_person_was_frozen_again(lab: Lab) -> None:
    """Whoever overheard one thaw has a signature that is good for nothing more."""
    chi = lab.person("chi")
    signed = lab.opened("chi", "person.thaw", "eve")
    for expected in ("", "identity.signature_stale"):
        lab.confirm(chi, "person.thaw", "eve")
        with begin(lab.system) as unit:
            api.freeze(unit, "eve", "odd reads", chi)
        code = ""
        try:
            with begin(lab.system, chi) as unit:
                api.thaw(unit, "eve", "cleared", chi, signed=signed)
        except WeighthouseError as error:
            code = error.code
        assert code == expected
    assert lab.told("OpeningRefused", "code") == ["identity.signature_stale"]
