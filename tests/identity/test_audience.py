"""A signature counts at the server that it was made for. The attacker runs another server that the same person uses."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from tests.identity.support import ORIGIN, Lab
from tests.identity.test_new_keys import enrolled, grown
from weighthouse.audit import api as audit
from weighthouse.core.canonical import encode
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.rules import audience as rule
from weighthouse_sdk.client import DeviceKey, ProblemError
from weighthouse_sdk.client.audience import audience_of, plain
from weighthouse_sdk.client.key import b64url
from weighthouse_sdk.errors import SdkError

STAGING = "https://staging.example"
Elsewhere = Callable[[Lab], str]


def another_address(lab: Lab) -> str:
    return rule.named(STAGING, audit.key(lab.system))


def another_log(_lab: Lab) -> str:
    return rule.named(ORIGIN, "weighthouse.local/log+00000000+AAAA")


def freeze(lab: Lab) -> None:
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", lab.person("chi"))


def thaw(lab: Lab, said: bytes, signed: api.KeySignature) -> str:
    """What whoever runs the provider is told, in a session and with a factor of their own making."""
    chi = lab.person("chi")
    forged = api.KeySignature(device=signed.device, at=signed.at, value=lab._grown["chi"].sign(said))
    try:
        with begin(lab.system, chi) as unit:
            api.thaw(unit, "eve", "cleared", chi, signed=forged)
    except WeighthouseError as error:
        return error.code
    return ""


@pytest.mark.parametrize("elsewhere", [another_address, another_log])
def test_what_was_signed_to_open_elsewhere_opens_nothing_here(lab: Lab, elsewhere: Elsewhere) -> None:
    freeze(lab)
    signed = lab.opened("chi", "person.thaw", "eve")
    there = elsewhere(lab)
    said = api.opening("person.thaw", "eve", audience=there, person="chi", device=signed.device, at=signed.at)
    assert thaw(lab, said, signed) == "identity.bad_signature"
    assert lab.told("OpeningRefused", "code") == ["identity.bad_signature"]
    with read(lab.system) as unit:
        assert api.person(unit, "eve").frozen


def test_what_an_older_program_signed_opens_nothing_and_says_what_to_do(lab: Lab) -> None:
    freeze(lab)
    signed = lab.opened("chi", "person.thaw", "eve")
    said = {"type": "weighthouse/open/1", "act": "person.thaw", "subject": "eve", "person": "chi"}
    assert thaw(lab, encode({**said, "device": signed.device, "at": signed.at}), signed) == api.OUTDATED
    assert lab.told("OpeningRefused", "code") == [api.OUTDATED] and lab.log("PersonThawed") == []
    assert "Upgrade" in api.outdated().remedy


@pytest.mark.parametrize("elsewhere", [another_address, another_log])
def test_a_key_that_was_confirmed_elsewhere_is_not_confirmed_here(strict: Lab, elsewhere: Elsewhere) -> None:
    (chi, own), (client, device) = grown(strict, "chi"), enrolled(strict, "ben")
    at = strict.clock.now()
    with read(strict.system) as unit:
        said = api.confirmation(api.device(unit, device), audience=elsewhere(strict), by=own, at=at)
    signed = api.KeySignature(device=own, at=at, value=chi.key.sign(said))
    strict.confirm(strict.person("chi"), "device.confirm", client.key.thumbprint)
    with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
        api.confirm_others_key(unit, strict.person("chi"), device, of="ben", signed=signed)
    assert error.value.code == "identity.bad_signature"
    assert strict.told("KeyNotConfirmed", "code") == ["identity.bad_signature"]


def test_a_confirmation_of_an_older_program_is_not_taken(strict: Lab) -> None:
    (chi, own), (client, device) = grown(strict, "chi"), enrolled(strict, "ben")
    at, mark = strict.clock.now(), client.key.thumbprint
    said = {"type": "weighthouse/confirm-key/2", "person": "ben", "thumbprint": mark, "device": device}
    value = chi.key.sign(encode({**said, "by": own, "at": at}))
    signed = api.KeySignature(device=own, at=at, value=value)
    strict.confirm(strict.person("chi"), "device.confirm", client.key.thumbprint)
    with pytest.raises(WeighthouseError) as error, begin(strict.system) as unit:
        api.confirm_others_key(unit, strict.person("chi"), device, of="ben", signed=signed)
    assert error.value.code == api.OUTDATED and strict.told("KeyNotConfirmed", "code") == [api.OUTDATED]


def test_a_key_is_enrolled_by_a_proof_for_this_server_only(lab: Lab) -> None:
    client, key = lab.sign_in("ben"), DeviceKey.generate()
    elsewhere = api.possession("ben", key.jwk, another_address(lab))
    older = encode({"enrol": "ben", "thumbprint": key.thumbprint})
    for said, code in ((elsewhere, "identity.bad_key"), (older, api.OUTDATED)):
        with pytest.raises(ProblemError) as error:
            client.post("devices", {"jwk": key.jwk, "name": "x", "proof": b64url(key.sign(said))})
        assert error.value.code == code
    assert lab.log("DeviceEnrolled") == []


def test_the_client_signs_for_the_address_that_it_speaks_to_and_the_log_it_knows(lab: Lab) -> None:
    client = lab.sign_in("ben")
    here = client.audience()
    assert here == api.audience(lab.system) and client.log == here.partition("#")[2]
    digest = base64.urlsafe_b64decode(client.log + "=")
    assert len(digest) == 32
    for said, log, code in (
        (another_address(lab), client.log, "client.other_server"),
        (another_log(lab), client.log, "client.other_log"),
        ("", client.log, "client.no_audience"),
        (None, client.log, "client.no_audience"),
        (f"{ORIGIN}#", "", "client.other_log"),
        (f"{ORIGIN}.example#{client.log}", client.log, "client.other_server"),
    ):
        with pytest.raises(SdkError) as error:
            audience_of(ORIGIN, said, log)
        assert error.value.code == code
        with pytest.raises(SdkError):
            client.sign_vote({"audience": said, "verdict": "approve"})


@pytest.mark.parametrize(
    "spelling", ["HTTPS://Lab.Example", "https://lab.example:443/", "https://lab.example", "https://lab.example/"]
)
def test_client_and_server_spell_an_address_alike(spelling: str) -> None:
    assert plain(spelling) == rule.plain(spelling) == "https://lab.example"
    assert plain("http://[::1]:8040/") == rule.plain("http://[::1]:8040/") == "http://[::1]:8040"
