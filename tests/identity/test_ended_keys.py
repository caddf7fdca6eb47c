"""Ending a key ends what its thief has: the sessions bound to it, and its being a known device (thief finding 4)."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from weighthouse.core.clock import HOUR
from weighthouse.core.work import read
from weighthouse.identity import api
from weighthouse_sdk.client import ProblemError
from weighthouse_sdk.errors import SdkError


def test_ending_a_device_ends_the_sessions_of_its_key_and_makes_it_unknown(lab: Lab) -> None:
    thief, owner = lab.sign_in("ada"), lab.sign_in("ada")
    device = str(thief.enrol("laptop")["id"])
    session = str(thief.get("me")["session"])
    owner.post(f"devices/{device}/end", {"reason": "my laptop was stolen"})
    with pytest.raises(ProblemError) as error:
        thief.get("me")
    assert error.value.code == "identity.session_ended"
    assert owner.get("me")["principal"] == "ada"
    assert lab.told("SessionEnded", "reason") == ["its key was ended"]
    with read(lab.system) as unit:
        assert api.ended_by_another(unit, session, "ada")  # so what was submitted in it ends too
    lab.clock.advance(HOUR)
    asked = len(lab.log("StepUpDemanded"))
    secret = lab.secret("ada")
    with pytest.raises(SdkError, match="code"):  # the password alone is asked for more
        thief.sign_in_headless("ada", secret.password, "", code="")
    assert len(lab.log("StepUpDemanded")) == asked + 1
