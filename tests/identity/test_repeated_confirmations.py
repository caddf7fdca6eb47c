"""A confirmation is made now and good once: what was taken back is not given again by sending it again."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import YOUNG, caller, end, follow
from tests.identity.test_new_keys import confirmation, enrolled, grown, signs
from weighthouse.core.clock import DAY, MINUTE
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import begin
from weighthouse.identity import api
from weighthouse_sdk.client import Client

STALE = "identity.signature_stale"


def sent(lab: Lab, by: Client, whom: str, new: tuple[Client, str], signed: api.KeySignature) -> str:
    """What is answered to this confirmation in the session of `by`, who has a second factor for it."""
    who = str(by.get("me")["principal"])
    mine = caller(lab, who, by)
    lab.confirm(mine, "device.confirm", new[0].key.thumbprint)
    try:
        with begin(lab.system) as unit:
            if who == whom:
                api.confirm_own_key(unit, mine, new[1], signed=signed)
            else:
                api.confirm_others_key(unit, mine, new[1], of=whom, signed=signed)
    except WeighthouseError as error:
        return error.code
    return ""


@pytest.mark.parametrize(("victim", "whom"), [("ben", "ben"), ("chi", "dee")])
@pytest.mark.parametrize("later", [0, 2 * MINUTE, 11 * MINUTE, 7 * DAY])
def test_what_was_taken_back_is_not_confirmed_by_sending_it_again(
    strict: Lab, victim: str, whom: str, later: int
) -> None:
    own, new = grown(strict, victim), enrolled(strict, whom)
    signed = confirmation(strict, own, whom, new[1], new[0].key.thumbprint)
    thief = strict.sign_in(victim)
    assert sent(strict, thief, whom, new, signed) == "" and signs(strict, whom, new[1], new[0].key) == ""
    end(strict, "its owner", victim, thief)
    follow(strict)
    strict.clock.advance(later)
    assert sent(strict, strict.sign_in(victim), whom, new, signed) == STALE
    assert signs(strict, whom, new[1], new[0].key) == YOUNG
    assert strict.told("KeyNotConfirmed", "code") == [STALE]
    again = confirmation(strict, own, whom, new[1], new[0].key.thumbprint)
    assert sent(strict, strict.sign_in(victim), whom, new, again) == ""


@pytest.mark.parametrize("off", [-11 * MINUTE, MINUTE])
def test_a_confirmation_is_taken_only_about_when_it_was_signed(strict: Lab, off: int) -> None:
    chi, new = grown(strict, "chi"), enrolled(strict, "dee")
    strict.clock.advance(11 * MINUTE)
    at = strict.clock.now() + off
    with begin(strict.system) as unit:
        said = api.confirmation(api.device(unit, new[1]), audience=api.audience(strict.system), by=chi[1], at=at)
    signed = api.KeySignature(device=chi[1], at=at, value=chi[0].key.sign(said))
    assert sent(strict, strict.sign_in("chi"), "dee", new, signed) == STALE
    assert signs(strict, "dee", new[1], new[0].key) == YOUNG


def test_a_confirmation_is_for_the_key_that_signs_it_and_its_moment(strict: Lab) -> None:
    chi, new = grown(strict, "chi"), enrolled(strict, "dee")
    signed = confirmation(strict, chi, "dee", new[1], new[0].key.thumbprint)
    strict.clock.advance(1)
    moved = api.KeySignature(device=signed.device, at=signed.at + 1, value=signed.value)
    assert sent(strict, strict.sign_in("chi"), "dee", new, moved) == "identity.bad_signature"
    assert strict.told("KeyNotConfirmed", "code") == ["identity.bad_signature"]
