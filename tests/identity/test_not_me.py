"""A person stops what is done in their name, with one step and no second factor; security undoes it (finding I6)."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from weighthouse.core.errors import Conflict, Denied, NotFound, Unauthenticated
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse_sdk.client import Client, ProblemError


def dead(client: Client) -> bool:
    try:
        client.get("me")
    except ProblemError as error:
        return error.code == "identity.session_ended"
    return False


def test_one_step_ends_every_session_sets_keys_aside_and_touches_nobody_else(lab: Lab) -> None:
    thief, owner, other = lab.sign_in("ada"), lab.sign_in("ada"), lab.sign_in("ben")
    device = str(thief.enrol("laptop")["id"])
    kept = str(other.enrol("laptop")["id"])
    lab.clock.advance(30 * 60_000 - 1)
    lab.sign_in("ada", owner)  # with one factor: nothing more is asked of whoever only stops
    lines = len(lab.log())
    assert owner.post("sessions/not-me")["devices"] == 1
    assert dead(thief) or dead(owner)
    assert dead(owner)
    with read(lab.system) as unit:
        assert api.sessions_of(unit, "ada") == [] and api.devices_of(unit, "ada") == []
        with pytest.raises(NotFound, match="ended"):
            api.device(unit, device)
        assert [one.id for one in api.devices_of(unit, "ben")] == [kept]
    kinds = [entry.kind for entry in lab.log()[lines:]]
    assert kinds.count("identity.Disowned") == 1 and not any("Frozen" in kind for kind in kinds)


def test_security_lets_the_keys_count_again_with_a_factor_for_that(lab: Lab) -> None:
    owner = lab.sign_in("ada")
    device = str(owner.enrol("laptop")["id"])
    owner.post("sessions/not-me")
    chi = lab.person("chi")
    mark = f"ada/{owner.key.thumbprint}"
    signed = lab.opened("chi", "person.key", mark)
    with pytest.raises(Denied, match="a signature by a key"), begin(lab.system, chi) as unit:
        api.restore_key(unit, "ada", device, chi)
    with begin(lab.system, chi) as unit:
        assert api.restore_key(unit, "ada", device, chi, signed=signed).id == device
    with read(lab.system) as unit:
        assert api.device(unit, device).person == "ada"
    ada = lab.sign_in("ada")
    ada.post("sessions/not-me")
    lab.clock.advance(1)
    again = lab.signed("chi", "person.key", mark)
    with pytest.raises(Unauthenticated, match="factor"), begin(lab.system, chi) as unit:
        api.restore_key(unit, "ada", device, chi, signed=again)
    lab.confirm(chi, "person.key", mark)
    with pytest.raises(Conflict, match="opened"), begin(lab.system, chi) as unit:
        api.restore_key(unit, "ada", device, chi, signed=signed)
    with begin(lab.system, chi) as unit:
        api.restore_key(unit, "ada", device, chi, signed=again)
    with pytest.raises(NotFound, match="set aside"), begin(lab.system, chi) as unit:
        api.restore_key(unit, "ada", device, chi)
    assert lab.told("KeysRestored", "thumbprint") == [owner.key.thumbprint] * 2
    assert lab.told("OpeningRefused", "code") == [
        "identity.opening_unsigned",
        "identity.signature_stale",
        "identity.key_not_aside",
    ]
