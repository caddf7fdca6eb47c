"""Attack (PostgreSQL): lock any table, so that whoever says no meets a database that does not take it.

One table of all that stops something, each beside each table that it, or its caller's session, touches: what was said
is refused at use while the lock stands and after it, and the log tells of it once, so that other servers hear.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.access.support import Lab
from tests.access.test_owing import settle
from weighthouse.access import api
from weighthouse.access.api import owing
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.caller import Assurance
from weighthouse.core.clock import DAY, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.work import Unit, begin, read
from weighthouse.identity import api as identity
from weighthouse.identity.api import owing as identity_owing
from weighthouse.identity.api import tidying
from weighthouse.identity.api.sealing import mark, memory
from weighthouse.identity.api.sessions import open_session
from weighthouse.identity.model import SESSION_TOUCH, Credential
from weighthouse.runs import api as runs
from weighthouse.runs.events import StopAsked

TABLES = (
    "identity_session", "identity_principal", "identity_device", "identity_act", "access_vote", "access_grant",
    "access_request", "access_hold", "log_personal", "log_follower", "log_outbox", "core_answer",
)  # fmt: skip
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"
HERE = "127.0.0.1"
WHY = "This must stop at once."
assert runs.stop  # the room that says what line a stop of a run owes


@pytest.fixture
def lab(postgres_url: str, clock: ManualClock, tmp_path: Path) -> Iterator[Lab]:
    database = Database(postgres_url)
    database.create_all()
    yield Lab(database, clock, tmp_path)
    database.close()


@contextlib.contextmanager
def locked(lab: Lab, table: str, mode: str = "SHARE") -> Iterator[None]:
    with lab.system.database.engine.connect() as connection:
        connection.execute(text(f"LOCK TABLE {table} IN {mode} MODE"))
        yield


def signed_in(lab: Lab, person: str) -> tuple[str, Credential]:
    """A session of a browser of its own, and what that browser presents."""
    browser = new_id("tst")
    with begin(lab.system) as unit:
        session, secret = open_session(
            unit,
            person=person,
            binding="browser",
            key="",
            address=HERE,
            network="",
            user_agent=AGENT,
            device_mark=f"browser:{mark(unit, 'browser', browser)}",
            assurance=Assurance(2, unit.now, "totp"),
            account=lab.caller(person).account,
            reasons=(),
        )
    return session.id, Credential(kind="cookie", value=secret, address=HERE, user_agent=AGENT, device_mark=browser)


def refuses(lab: Lab, act: Callable[[Unit], object]) -> bool:
    try:
        with read(lab.system) as unit:
            act(unit)
    except WeighthouseError:
        return True
    return False


@dataclass
class Said:
    """A no that is ready to be said: what says it, whether its thing is refused, and what its line is about."""

    say: Callable[[Unit], object]
    over: Callable[[], bool]
    about: str


def closed(lab: Lab, id_: str) -> Callable[[], bool]:
    return lambda: lab.system.part(Refusals).closed(id_)


def _revoke(lab: Lab) -> Said:
    grant = lab.grant("eve")
    used = lambda: refuses(lab, lambda unit: api.valid_grant(unit, grant.id))  # noqa: E731
    return Said(lambda unit: api.revoke(unit, lab.caller("chi"), grant.id, WHY), used, grant.id)


def _give_back(lab: Lab) -> Said:
    grant = lab.grant("eve")
    used = lambda: refuses(lab, lambda unit: api.valid_grant(unit, grant.id))  # noqa: E731
    return Said(lambda unit: api.give_back(unit, lab.caller("eve"), grant.id), used, grant.id)


def _hold(lab: Lab) -> Said:
    reason, refusals = f"{WHY} {new_id('tst')}", lab.system.part(Refusals)
    over = lambda: any(one.reason == reason for one in refusals.holds())  # noqa: E731
    return Said(lambda unit: api.place_hold(unit, lab.caller("chi"), "model/wren", reason), over, "")


def _committee_hold(lab: Lab) -> Said:
    reason, refusals = f"{WHY} {new_id('tst')}", lab.system.part(Refusals)
    over = lambda: any(one.reason == reason for one in refusals.holds())  # noqa: E731
    say = lambda unit: api.place_hold(  # noqa: E731
        unit, lab.caller("gil"), "model/wren", reason, kind="governance"
    )
    return Said(say, over, "")


def _deny(lab: Lab) -> Said:
    request = lab.ask("eve")
    card = lab.card("ben", request.id)
    signed, ben = lab.signed("ben", card, "deny"), lab.caller("ben")
    say = lambda unit: api.vote(unit, ben, request.id, "deny", digest=card.digest, signature=signed)  # noqa: E731
    return Said(say, closed(lab, request.id), request.id)


def _withdraw(lab: Lab) -> Said:
    request = lab.ask("eve")
    return Said(lambda unit: api.withdraw(unit, lab.caller("eve"), request.id), closed(lab, request.id), request.id)


def _end_session(lab: Lab) -> Said:
    session, shown = signed_in(lab, "eve")
    say = lambda unit: identity.end_session(unit, session, WHY, lab.caller("chi"), of="eve")  # noqa: E731
    return Said(say, lambda: refuses(lab, lambda unit: identity.authenticate(unit, shown)), session)


def _end_all(lab: Lab) -> Said:
    session, shown = signed_in(lab, "eve")
    say = lambda unit: identity.end_sessions_of(unit, "eve", WHY, lab.caller("chi"))  # noqa: E731
    return Said(say, lambda: refuses(lab, lambda unit: identity.authenticate(unit, shown)), session)


def _not_me(lab: Lab) -> Said:
    _, shown = signed_in(lab, "eve")
    say = lambda unit: identity.disown(unit, lab.caller("eve"))  # noqa: E731
    return Said(say, lambda: refuses(lab, lambda unit: identity.authenticate(unit, shown)), "eve")


def _freeze(lab: Lab) -> Said:
    with read(lab.system) as unit:
        frozen = identity.person(unit, "eve").frozen
    if frozen:
        lab.thaw("eve")
        lab.clock.advance(1)
    _, shown = signed_in(lab, "eve")
    say = lambda unit: identity.freeze(unit, "eve", WHY, lab.caller("chi"))  # noqa: E731
    return Said(say, lambda: refuses(lab, lambda unit: identity.authenticate(unit, shown)), "eve")


def _end_device(lab: Lab) -> Said:
    lab.devices.pop("eve", None)
    device = lab.device("eve")
    say = lambda unit: identity.end_device(unit, lab.caller("eve"), device, WHY)  # noqa: E731
    return Said(say, lambda: refuses(lab, lambda unit: identity.device(unit, device)), device)


def _stop_run(lab: Lab) -> Said:
    run = new_id("run")
    line = StopAsked(run=run, model="model/tern", why="runs.stopped_by_person", by="chi", kept=True)

    def say(unit: Unit) -> None:
        api.refuse_for_good(unit, run, line)
        unit.conn.execute(text("UPDATE access_grant SET ended = ended WHERE id = 'any row'"))
        audit.append(unit, line)

    return Said(say, closed(lab, run), run)


STOPS: dict[str, tuple[Callable[[Lab], Said], str]] = {
    "revoke": (_revoke, "access.GrantEnded"),
    "give back": (_give_back, "access.GrantEnded"),
    "hold": (_hold, "access.HoldPlaced"),
    "committee hold": (_committee_hold, "access.HoldPlaced"),
    "deny": (_deny, "access.RequestDenied"),
    "withdraw": (_withdraw, "access.RequestWithdrawn"),
    "end a session": (_end_session, "identity.SessionEnded"),
    "end all sessions": (_end_all, "identity.SessionEnded"),
    "this was not me": (_not_me, "identity.Disowned"),
    "freeze, set keys aside": (_freeze, "identity.PersonFrozen"),
    "end a device": (_end_device, "identity.DeviceEnded"),
    "stop a run": (_stop_run, "runs.StopAsked"),
}


def say(lab: Lab, said: Said) -> None:
    """Say it; the database may take it, or not for the lock and nothing else."""
    try:
        with begin(lab.system, lab.caller("chi")) as unit:
            unit.conn.execute(text("SET LOCAL lock_timeout = '100ms'"))
            said.say(unit)
    except Unavailable as error:
        assert error.code == "core.database_unavailable"
        assert "stands" in error.message


def paid(lab: Lab) -> None:
    settle(lab)
    lab.clock.advance(2 * MINUTE)
    owing.pay(lab.system)
    identity_owing.pay(lab.system)
    tidying.tidy(lab.system)
    settle(lab)


@pytest.mark.parametrize("stop", list(STOPS))
def test_each_stop_beside_each_lock_is_remembered_and_told_once(lab: Lab, stop: str) -> None:
    ready, kind = STOPS[stop]
    lab.device("ben")
    lab.clock.advance(3 * DAY)
    found = {}
    for table in TABLES:
        lab.clock.advance(MINUTE)
        said = ready(lab)
        settle(lab)
        before = sum(said.about in ("", one.subject) for one in lab.log(kind))
        with locked(lab, table):
            assert not said.over(), "the lock alone refuses nothing, so what is refused below is so for the stop"
            say(lab, said)
            during = said.over()
        after = said.over()
        paid(lab)
        told = sum(said.about in ("", one.subject) for one in lab.log(kind)) - before
        found[table] = (during, after, said.over(), told)
    assert found == dict.fromkeys(TABLES, (True, True, True, 1))
    assert not lab.system.part(Refusals).owed() and not memory(lab.system).owed()


def test_a_lock_on_the_table_of_sessions_turns_nobody_away_who_would_say_no(lab: Lab) -> None:
    _, shown = signed_in(lab, "chi")
    idle = lab.system.settings.integer("identity.idle_s") * 1000
    with locked(lab, "identity_session"):
        for _ in range(3):  # longer together than a session may stay unused
            lab.clock.advance(max(SESSION_TOUCH, idle // 2) + 1)
            with read(lab.system) as unit:
                assert identity.authenticate(unit, shown).principal == "chi"
    lab.clock.advance(idle)
    assert refuses(lab, lambda unit: identity.authenticate(unit, shown)), "and whoever is idle is so all the same"
