"""A COMMIT is lost on its way: the end stands outside the database, its row says nothing, and neither does the log.

It is what it was when it is written down later: an honest sign-out stops no run and takes back no grant, an end from
elsewhere does both; and each has the one line that it owes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import pytest

from tests.identity.support import Lab
from tests.identity.test_mending import kept, put_back
from tests.identity.test_sessions import code_of
from weighthouse.audit import api as audit
from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import Unit, begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api import ends, sessions
from weighthouse.identity.jobs import learners
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import Client, ProblemError

How = Callable[[Unit, Lab, str], object]
OWN: dict[str, How] = {
    ends.SIGNED_OUT: lambda unit, lab, session: sessions.end_session(unit, session, ends.SIGNED_OUT, "ada"),
    ends.ANEW: lambda unit, lab, session: sessions.end_session(unit, session, ends.ANEW, "ada"),
    ends.CROWDED: lambda unit, lab, session: sessions.end_session(unit, session, ends.CROWDED, by="system"),
}
FOREIGN: dict[str, How] = {
    "by security": lambda unit, lab, session: api.end_session(unit, session, "odd", lab.person("chi")),
    "by herself, from elsewhere": lambda unit, lab, session: api.end_session(unit, session, "odd", lab.person("ada")),
    "a detection": lambda unit, lab, session: api.end_sessions_of(unit, "ada", "detect:spray", "system"),
}


def lose() -> NoReturn:
    raise Unavailable("core.outcome_unknown", "The connection broke.", "Look again.")


def lost(lab: Lab, how: How) -> str:
    """Somebody ends a session of ada's; the memory has it, the database does not."""
    session = str(lab.sign_in("ada").get("me")["session"])
    with pytest.raises(Unavailable), begin(lab.system) as unit:
        how(unit, lab, session)
        unit.last_before_commit(lose)
    return session


def learn(lab: Lab) -> None:
    """Read the whole log as another server does."""
    for learner in learners:
        audit.learn(lab.system, 0, [learner])


def by_another(lab: Lab, session: str) -> bool:
    with read(lab.system) as unit:
        return api.ended_by_another(unit, session, "ada")


def lines(lab: Lab, session: str) -> list[tuple[str, str, str]]:
    return [
        (one.kind.removeprefix("identity."), str(one.data.get("by", "")), str(one.data.get("whose", "")))
        for one in lab.log("Session")
        if one.subject == session and one.kind != "identity.SessionStarted"
    ]


@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("reason", OWN)
def test_an_honest_end_that_was_lost_is_written_as_what_it_was_once(lab: Lab, reason: str, restart: bool) -> None:
    session = lost(lab, OWN[reason])
    assert not by_another(lab, session), "nothing of it stops in the meantime"
    assert api.tidy(lab.system) == 0, "its change may still be under way"
    if restart:
        lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    lab.clock.advance(2 * MINUTE)
    assert (api.tidy(lab.system), api.tidy(lab.system)) == (1, 0)
    assert not by_another(lab, session)
    assert lines(lab, session) == [("SessionEnded", "system" if reason == ends.CROWDED else "ada", "own")]
    assert lab.told("SessionEnded", "reason") == [reason]


@pytest.mark.parametrize("how", FOREIGN)
def test_an_end_from_elsewhere_that_was_lost_is_written_with_the_hand_that_said_it(lab: Lab, how: str) -> None:
    session = lost(lab, FOREIGN[how])
    assert by_another(lab, session)
    lab.clock.advance(2 * MINUTE)
    api.tidy(lab.system)
    by = {"by security": "chi", "a detection": "system"}.get(how, "ada")
    assert by_another(lab, session)
    assert lines(lab, session) == [("SessionEnded", by, "foreign")]
    assert lab.told("SessionEnded", "reason") == [ends.LOST], "what a person typed is the database's alone"


def test_an_honest_end_that_was_lost_is_overruled_by_her_word_that_it_was_not_hers(lab: Lab) -> None:
    session = lost(lab, OWN[ends.SIGNED_OUT])
    with begin(lab.system) as unit:
        api.end_session(unit, session, "not mine", lab.person("ada"))
    assert by_another(lab, session)
    assert lines(lab, session) == [("SessionEnded", "ada", "foreign")]


def test_an_end_that_nobody_remembers_the_reason_of_is_another_s_and_has_its_line(lab: Lab) -> None:
    session = str(lab.sign_in("ada").get("me")["session"])
    with read(lab.system) as unit:
        lab.system.part(Memory).condemn(session, unit.now + 60 * MINUTE)  # as it was kept before reasons were
    assert by_another(lab, session)
    assert api.tidy(lab.system) == 1
    assert by_another(lab, session)
    assert lines(lab, session) == [("SessionEnded", "system", "foreign")]


def test_a_row_that_was_put_back_after_a_sign_out_gets_no_second_line(lab: Lab) -> None:
    client = lab.sign_in("ada")
    session, before = str(client.get("me")["session"]), kept(lab)
    client.sign_out()
    put_back(lab, {"session": before["session"]})
    assert api.tidy(lab.system) == 1
    assert lines(lab, session) == [("SessionEnded", "ada", "own")]


def test_what_another_server_tells_of_a_crowded_session_takes_nothing_back(lab: Lab) -> None:
    session = str(lab.sign_in("ada").get("me")["session"])
    with begin(lab.system) as unit:
        sessions.end_session(unit, session, ends.CROWDED, by="system")
        at = unit.now
    lab.system.bind(Memory, FileMemory(lab.folder / "another.memory", now=lab.clock.now()))
    learn(lab)
    with read(lab.system) as unit:
        assert lab.system.part(Memory).condemned(session)
        assert not api.disclaimed(unit, "ada", session, at)


def presented(lab: Lab, client: Client) -> None:
    """Somebody who has the token's string alone presents it, with a key of their own."""
    thief = lab.client()
    thief.token = client.token
    with pytest.raises(ProblemError) as error:
        thief.get("me")
    assert error.value.code == "identity.session_used_elsewhere"


def test_a_token_s_string_ends_its_session_and_takes_back_nothing_that_needed_its_key(lab: Lab) -> None:
    client = lab.sign_in("ada")
    session = str(client.get("me")["session"])
    presented(lab, client)
    assert code_of(client) == "identity.session_ended"
    assert not by_another(lab, session)
    learn(lab)
    with read(lab.system) as unit:
        assert not api.disclaimed(unit, "ada", session, unit.now)
    with begin(lab.system) as unit:  # once somebody says that more than the string was taken
        api.end_session(unit, session, "my laptop is gone", lab.person("ada"))
    assert by_another(lab, session)
    assert [kind for kind, _, _ in lines(lab, session)] == ["SessionUsedElsewhere", "SessionEnded"]
