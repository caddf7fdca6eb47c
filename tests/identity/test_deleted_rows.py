"""A session whose row was deleted is ended by its owner, and by security, all the same: the log says whose it was."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_fallen_keys import disowned
from weighthouse.core.clock import MINUTE
from weighthouse.core.work import begin
from weighthouse.detect import api as detect
from weighthouse_sdk.client import ProblemError


@pytest.mark.parametrize("by", ["its owner", "security"])
def test_a_session_that_was_signed_out_and_deleted_is_taken_back_still(lab: Lab, by: str) -> None:
    thief = lab.sign_in("eve")
    stolen = str(thief.get("me")["session"])
    thief.sign_out()
    assert lab.sql("DELETE FROM identity_session WHERE id = :i RETURNING id", i=stolen)
    lab.clock.advance(MINUTE)
    assert not disowned(lab, stolen)
    if by == "its owner":
        lab.sign_in("eve").post(f"sessions/{stolen}/end", {"reason": "not mine"})
    else:
        chi = lab.person("chi")
        with begin(lab.system, chi) as unit:
            detect.end_session(unit, chi, "eve", stolen, "not hers")
    assert disowned(lab, stolen)
    lines = [one for one in lab.log("SessionEnded") if one.subject == stolen]
    assert [one.data["whose"] for one in lines] == ["own", "foreign"]


def test_nobody_ends_the_deleted_session_of_somebody_else_as_theirs(lab: Lab) -> None:
    thief = lab.sign_in("eve")
    stolen = str(thief.get("me")["session"])
    thief.sign_out()
    lab.sql("DELETE FROM identity_session WHERE id = :i", i=stolen)
    for session in (stolen, "ses_" + "0" * 26):
        with pytest.raises(ProblemError) as caught:
            lab.sign_in("ben").post(f"sessions/{session}/end", {"reason": "not mine"})
        assert caught.value.code == "identity.session_unknown"
    assert not disowned(lab, stolen)
