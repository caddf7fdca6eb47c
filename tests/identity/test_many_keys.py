"""What one person's many keys cost those who follow the log: no more than each of them, however they were ended."""

from __future__ import annotations

import pytest
from sqlalchemy import event

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import follow
from tests.identity.test_forgotten_beginnings import name
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, MINUTE, SECOND
from weighthouse.core.ids import new_id
from weighthouse.core.work import Unit, begin
from weighthouse.identity import api
from weighthouse.identity.api import key_past
from weighthouse.identity.events import DeviceConfirmed, DeviceEnded, DeviceEnrolled, OpeningSigned


def told(unit: Unit, session: str, *beside: str) -> str:
    """As a key is enrolled in this session, under the eyes of those."""
    device = new_id("dev")
    line = DeviceEnrolled(
        device=device, principal="dee", thumbprint=device, name="laptop", session=session, beside=beside
    )
    audit.append(unit, line)
    return device


def retired(lab: Lab, session: str, *beside: str) -> None:
    with begin(lab.system) as unit:
        device = told(unit, session, *beside)
        audit.append(unit, DeviceEnded(device=device, principal="dee", reason="old", by="dee", whose="own"))
    lab.clock.advance(SECOND)


def many(lab: Lab, keys: int) -> tuple[str, str, str]:
    """An insider's session that enrolled and retired so many keys, one that counts, and as many more beside it; that
    one, which is confirmed, and another that has grown up beside it."""
    session = name(lab.sign_in("dee"))
    for _ in range(keys):
        retired(lab, session)
    with begin(lab.system) as unit:
        device = told(unit, session)
        audit.append(unit, DeviceConfirmed(device=device, principal="dee", by="system", how="seen", session=""))
        grown = told(unit, session, device)
    for _ in range(keys):
        retired(lab, session, device)
    follow(lab)
    lab.clock.advance(DAY + MINUTE)
    return session, device, grown


def needed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many statements, and questions to what became of keys, the followers need for what is new in the log."""
    count, stood = 0, key_past.Past._stood

    def one(*_: object) -> None:
        nonlocal count
        count += 1

    def asked(past: key_past.Past, index: int, at: int) -> object:
        one()
        return stood(past, index, at)

    engine = lab.system.database.engine
    event.listen(engine, "before_cursor_execute", one)
    with monkeypatch.context() as patch:
        patch.setattr(key_past.Past, "_stood", asked)
        follow(lab)
    event.remove(engine, "before_cursor_execute", one)
    return count


WHAT = ("the session that enrolled them is ended as stolen", "one that was confirmed signs", "one that grew up signs")


@pytest.mark.parametrize("what", WHAT)
def test_what_is_read_for_many_retired_keys_grows_as_they_do(
    strict: Lab, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Attack: enrol and retire keys all day. A day later the end of one session, or one vote, would be followed for
    minutes in one transaction, and meanwhile nobody could be frozen."""
    cost = list[int]()
    for keys in (5, 10, 20):  # on top of those of before: 10, 30 and 70 retired ones
        session, device, grown = many(strict, keys)
        with begin(strict.system) as unit:
            if what.startswith("the session"):
                api.end_session(unit, session, "not mine", strict.person("dee"), of="dee")
            else:
                key = device if what.startswith("one that was confirmed") else grown
                act = OpeningSigned(
                    device=key, principal="dee", act="person.thaw", about="eve", signed=unit.now, session=session
                )
                audit.append(unit, act)
        cost.append(needed(strict, monkeypatch))
    first, second = cost[1] - cost[0], cost[2] - cost[1]  # for 20 keys more, and for 40
    assert second <= 3 * first and first <= 20 * 10, cost
