"""An alert that somebody acknowledged in a session which was not theirs is open again."""

from __future__ import annotations

import msgspec
import pytest

from tests.detect.conftest import Watched
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Conflict
from weighthouse.core.work import begin, read
from weighthouse.detect import api
from weighthouse.identity import api as identity


def session_of(watched: Watched, who: str) -> Caller:
    session = str(watched.sign_in(who).get("me")["session"])
    watched.clock.advance(1)
    return msgspec.structs.replace(watched.person(who), session=session)


@pytest.mark.parametrize("how", ["its owner", "not me"])
def test_an_alert_acknowledged_in_a_thiefs_session_is_open_again(watched: Watched, how: str) -> None:
    with begin(watched.system) as unit:
        identity.freeze(unit, "eve", "odd reads", watched.person("dee"))
    watched.follow()
    thief, owner = session_of(watched, "chi"), session_of(watched, "chi")
    with read(watched.system) as unit:
        alert = api.alerts(unit, owner)[0].id
    with begin(watched.system, thief) as unit:
        api.acknowledge(unit, thief, alert, "harmless")
    with begin(watched.system, owner) as unit, pytest.raises(Conflict):
        api.acknowledge(unit, owner, alert)
    watched.clock.advance(1)
    with begin(watched.system, owner) as unit:
        if how == "not me":
            identity.disown(unit, owner)
        else:
            identity.end_session(unit, str(thief.session), "not mine", owner)
    watched.clock.advance(1)
    owner = session_of(watched, "chi")
    with begin(watched.system, owner) as unit:
        assert api.alert(unit, owner, alert).acknowledged_by is None
        assert api.acknowledge(unit, owner, alert, "seen").note == "seen"
    assert [one["by"] for one in watched.facts("detect.AlertAcknowledged")] == ["chi", "chi"]


def test_an_alert_acknowledged_in_a_session_that_signed_itself_out_stays_so(watched: Watched) -> None:
    with begin(watched.system) as unit:
        identity.freeze(unit, "eve", "odd reads", watched.person("dee"))
    watched.follow()
    chi = session_of(watched, "chi")
    with read(watched.system) as unit:
        alert = api.alerts(unit, chi)[0].id
    with begin(watched.system, chi) as unit:
        api.acknowledge(unit, chi, alert)
        identity.end_session(unit, str(chi.session), "signed out", chi)
    other = session_of(watched, "chi")
    with read(watched.system) as unit:
        assert api.alert(unit, other, alert).acknowledged_by == "chi"
