"""A vote that was lost with its device may be given again, and why it was lost reads the same everywhere."""

from __future__ import annotations

import pytest

from tests.access.support import Lab, refused
from weighthouse.access.api import sealing
from weighthouse.core.errors import Conflict
from weighthouse.core.work import begin
from weighthouse.identity import api as identity


def end_device(lab: Lab, person: str) -> None:
    with begin(lab.system, lab.caller(person)) as unit:
        identity.end_device(unit, lab.caller(person), lab.devices.pop(person), "lost")


def test_a_vote_lost_with_its_device_is_given_again(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    with pytest.raises(Conflict) as error:
        lab.vote("ben", request.id)
    assert refused(error) == "access.already_voted"
    end_device(lab, "ben")
    said = " ".join(lab.card("chi", request.id).unusual)
    assert "device that signed it was ended" in said and "access.voter_device_ended" in said
    assert "signature" not in said and "somebody" not in said, "losing a laptop is no forgery"
    assert lab.vote("chi", request.id).state == "pending"
    assert lab.card("ben", request.id).can_vote
    assert lab.vote("ben", request.id).state == "approved"
    assert lab.code("ada") == "access.allowed"
    assert [one.data["voter"] for one in lab.log("access.VoteCast")] == ["ben", "chi", "ben"]


def test_a_vote_whose_row_was_written_by_somebody_is_given_again_and_called_a_forgery(lab: Lab) -> None:
    request = lab.ask("ada")
    lab.vote("ben", request.id)
    lab.sql("UPDATE access_vote SET body = replace(body, :old, :new)", old='"at":1', new='"at":2')
    assert "somebody else may have written it" in " ".join(lab.card("chi", request.id).unusual)
    lab.vote("ben", request.id)
    assert lab.vote("chi", request.id).state == "approved"


def test_why_a_grant_is_suspended_reads_the_same_after_a_restart(lab: Lab) -> None:
    lab.grant()
    assert lab.code("ada") == "access.allowed", "now its votes are verified and kept"
    end_device(lab, "ben")
    warm = lab.code("ada")
    sealing._kept = sealing._Kept()  # what a restart does
    lab.bind_memories()
    assert (warm, lab.code("ada")) == ("access.voter_device_ended", "access.voter_device_ended")
