"""A person stops what is done in their name, with one step and no second factor; security undoes it (finding I6)."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_sessions import code_of
from weighthouse.core.errors import Conflict, Denied, NotFound, Unauthenticated
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.api.states import stop_first
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


def test_who_asks_while_a_stop_waits_for_its_row_is_turned_away_without_a_line(lab: Lab) -> None:
    """A page of ben's that polls while he says that it was not him is no sign of an edited database."""
    client, other = lab.sign_in("ben"), lab.sign_in("ben")
    with begin(lab.system) as unit:
        stop_first(unit, "ben")  # as `not me` does before it waits for the row
    assert code_of(client) == "identity.session_ended"
    assert lab.log("RecordRefused") == []
    lab.sql("UPDATE identity_principal SET body = replace(body, '\"epoch\":0', '\"epoch\":9')")
    assert code_of(other) == "identity.record_refused"
    assert len(lab.log("RecordRefused")) == 1, "an edited row is one all the same"
