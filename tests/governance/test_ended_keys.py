"""What a thief's key gave falls with the key, signed out or not; what an honest one gave stays when it is retired."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.governance.test_disowned_ballots import Signed
from weighthouse.core.clock import DAY, HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Conflict, Invalid, NotFound
from weighthouse.core.work import begin
from weighthouse.detect import api as detect
from weighthouse.identity import api as identity
from weighthouse.identity.api.devices import drop_device
from weighthouse.identity.api.ends import ACCOUNT_GONE


@pytest.fixture
def committee(database: Database, clock: ManualClock, tmp_path: Path) -> Signed:
    return Signed(database, clock, tmp_path)


@pytest.fixture
def motion(committee: Signed) -> str:
    hold = committee.hold().hold
    assert hold is not None
    return committee.open(hold).motion.id


def thief_steps_back(committee: Signed, motion: str, *, elsewhere: bool = False) -> tuple[str, str]:
    """A thief with a session of hana's enrols a key in it, recuses her with that key and signs out."""
    for who in ("hana", "gil", "ivo"):
        committee.device(who)
    own = committee.devices.pop("hana")
    session = committee.begin_session("hana")
    key = committee.device("hana")[0]
    if elsewhere:  # another stolen session
        sign_out(committee, session)
        session = committee.begin_session("hana")
    committee.cast("hana", motion, "recuse")
    sign_out(committee, session)
    committee.devices["hana"] = own
    committee.begin_session("hana")
    committee.clock.advance(HOUR)
    return key, session


def sign_out(committee: Signed, session: str) -> None:
    with begin(committee.system) as unit:
        identity.end_session(unit, session, identity.SIGNED_OUT, committee.person("hana"))
    committee.clock.advance(1)


def ends(
    committee: Signed, key: str, how: str = "its owner", *, retired: bool = False, since: int | None = None
) -> None:
    me = committee.person("hana" if how == "its owner" else "chi")
    with begin(committee.system, me) as unit:
        if how == "security":
            detect.end_key(unit, me, "hana", key, "She says it is not hers.", since=since)
        else:
            identity.end_device(unit, me, key, "not mine", retired=retired, since=since)
    committee.clock.advance(1)


def recused(committee: Signed, motion: str) -> tuple[str, ...]:
    view = committee.motion(motion)
    assert view.fault == ""
    return view.tally.recused


@pytest.mark.parametrize("elsewhere", [False, True], ids=["where it was enrolled", "in another stolen session"])
@pytest.mark.parametrize("how", ["its owner", "security"])
def test_a_recusal_by_a_thiefs_key_falls_when_the_key_is_ended_though_its_session_signed_out(
    committee: Signed, motion: str, how: str, elsewhere: bool
) -> None:
    key, session = thief_steps_back(committee, motion, elsewhere=elsewhere)
    assert recused(committee, motion) == ("hana",)
    ends(committee, key, how)
    assert recused(committee, motion) == ()
    committee.begin_session("hana")
    committee.cast("hana", motion, "against")
    view = committee.motion(motion)
    assert (view.void, view.tally.votes_against, view.tally.recused) == ((), 1, ())
    ended = [one for one in committee.facts("identity.SessionEnded") if one["session"] == session]
    assert [one["whose"] for one in ended] == ["own", "foreign"]
    assert [(one["device"], one["whose"]) for one in committee.facts("identity.DeviceEnded")] == [(key, "foreign")]


def test_a_recusal_stands_when_its_member_retires_the_key(committee: Signed, motion: str) -> None:
    """To part with a laptop is no way back to the table."""
    key, session = thief_steps_back(committee, motion)
    ends(committee, key, retired=True)
    assert recused(committee, motion) == ("hana",)
    assert [one["whose"] for one in committee.facts("identity.SessionEnded") if one["session"] == session] == ["own"]
    with pytest.raises(Conflict) as refusal:
        committee.cast("hana", motion)
    assert refusal.value.code == "governance.recused"


COVERS = ("retired", "stolen since now", "account gone")


def covers_up(committee: Signed, key: str, cover: str) -> None:
    """Whoever has a session of hana's, and no key, ends a key of hers so that nothing falls; or policy does."""
    if cover == "account gone":
        with begin(committee.system) as unit:
            drop_device(unit, "hana", key, ACCOUNT_GONE, by="system")
    else:
        retired = cover == "retired"
        ends(committee, key, retired=retired, since=None if retired else committee.clock.now())
    committee.clock.advance(HOUR)


@pytest.mark.parametrize("how", ["its owner", "security"])
@pytest.mark.parametrize("cover", COVERS)
def test_a_recusal_by_a_key_that_was_ended_first_falls_when_it_is_ended_as_stolen(
    committee: Signed, motion: str, cover: str, how: str
) -> None:
    key, _ = thief_steps_back(committee, motion)
    covers_up(committee, key, cover)
    assert recused(committee, motion) == ("hana",), "it outlives a key that is over"
    with pytest.raises(Conflict) as again:
        ends(committee, key, retired=True)
    assert again.value.code == "identity.end_not_wider"
    ends(committee, key, how)
    assert recused(committee, motion) == ()
    lines = len(committee.facts("identity.DeviceEnded"))
    with pytest.raises(Conflict) as refusal:
        ends(committee, key, how)
    assert refusal.value.code == "identity.end_not_wider"
    assert lines == len(committee.facts("identity.DeviceEnded")) == 2
    with pytest.raises(NotFound):
        ends(committee, committee.devices["gil"][0], how)


@pytest.mark.parametrize(
    ("days", "since", "fell"), [(6, None, True), (8, None, False), (6, 1, False), (8, 9, True), (6, 7, True)]
)
def test_it_reaches_back_a_week_unless_its_owner_names_when(
    committee: Signed, motion: str, days: int, since: int | None, fell: bool
) -> None:
    key, _ = thief_steps_back(committee, motion)
    committee.clock.advance(days * DAY)
    committee.begin_session("hana")
    ends(committee, key, since=None if since is None else committee.clock.now() - since * DAY)
    assert recused(committee, motion) == (() if fell else ("hana",))


def test_a_moment_that_is_to_come_is_no_way_to_spare_everything(committee: Signed, motion: str) -> None:
    key, _ = thief_steps_back(committee, motion)
    with pytest.raises(Invalid) as refusal:
        ends(committee, key, since=committee.clock.now() + 1)
    assert refusal.value.code == "identity.since_ahead" and recused(committee, motion) == ("hana",)
    ends(committee, key)
    assert recused(committee, motion) == ()
