"""The other side of each detection: what an innocent person does is not answered, and no trick makes it deaf."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.detect.conftest import Watched
from tests.detect.test_detections_act import ALERT, FIVE, RESPONSE, break_in, load, settle_first_device, works
from weighthouse.app import declared
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, MINUTE
from weighthouse.core.errors import Invalid
from weighthouse.core.settings import Settings
from weighthouse.core.work import read
from weighthouse.detect import jobs
from weighthouse.detect.model import MOST_ACCOUNTS, MOST_READS, SPRAY
from weighthouse.identity.events import SignInDenied


@pytest.mark.parametrize("new", [False, True], ids=["a device of theirs", "a new laptop"])
@pytest.mark.parametrize("own", [False, True], ids=["invented names", "their own name too"])
def test_g8_whoever_gives_a_second_factor_amid_a_spray_is_left_alone_and_told_of(
    watched: Watched, new: bool, own: bool
) -> None:
    client = settle_first_device(watched, "eve")
    watched.fail(*FIVE, *(["eve"] if own else []))
    client = watched.client() if new else client
    watched.sign_in("eve", client)
    watched.follow()
    assert works(client)
    (alert,) = watched.facts(ALERT)
    assert (alert["rule"], alert["severity"], alert["principal"]) == (SPRAY, "medium", "eve")
    assert "with a second factor" in told(watched, 0)
    (response,) = watched.facts(RESPONSE)
    assert "left" in response["actions"][0]


@pytest.mark.parametrize("own", [False, True], ids=["invented names", "their own name too"])
def test_g8_one_factor_from_a_known_device_is_not_ended_by_whoever_fails_beside_it(
    watched: Watched, own: bool
) -> None:
    """A lab that counts three names as a spray, while the risk check asks for a second factor at five: a stranger who
    stops between the two could otherwise end every session that is opened behind the same address."""
    watched.system.settings = watched.system.settings.changed(**{"detect.spray_accounts": 3})
    client = settle_first_device(watched, "eve")
    watched.fail(*FIVE[:3], *(["eve"] if own else []))
    watched.sign_in("eve", client)
    watched.fail(*FIVE, *(["eve"] if own else []), event="later")
    watched.follow()
    assert works(client)
    assert watched.facts("identity.SessionStarted")[-1]["level"] == 1
    assert [one["severity"] for one in watched.facts(ALERT)] == ["medium"]
    assert "with one factor, on a device that its person had used before" in told(watched, 0)


def told(watched: Watched, number: int) -> str:
    """The words of an alert, as a responder reads them."""
    with read(watched.system) as unit:
        return str(audit.reveal(unit, audit.entries(unit, kind=ALERT, limit=100)[number])["text"])


def test_colleagues_who_mistype_and_then_sign_in_are_no_spray(watched: Watched) -> None:
    people = ("ada", "ben", "chi", "dee", "eve", "fay")
    clients = []
    for person in people:
        watched.fail(person)
        clients.append(watched.sign_in(person))
        watched.follow()
    assert watched.facts(ALERT) == []
    assert all(works(client) for client in clients)


def test_one_person_who_mistypes_their_account_five_ways_is_no_spray(watched: Watched) -> None:
    client = settle_first_device(watched, "eve")
    watched.fail("eve", "Eve", "EVE", "eve ", "ｅｖｅ")
    watched.sign_in("eve", client)
    watched.follow()
    assert works(client)
    assert watched.facts(ALERT) == []


def first_factor(watched: Watched) -> None:
    """Get a password right, and give no second factor."""
    thief = watched.browser()
    answer = thief.get(thief.to_callback(thief.get("/login").headers["location"], "eve"))
    assert "acr_values=c2" in answer.headers["location"]


def look(watched: Watched) -> None:
    for _ in range(2):
        watched.follow()
        jobs.watch_unanswered(watched.system)
        watched.settle()


def test_a_right_password_without_a_second_factor_amid_a_spray_is_told_of_once(any_watched: Watched) -> None:
    watched = any_watched
    client = settle_first_device(watched, "eve")
    watched.fail(*FIVE)
    for _ in range(2):
        first_factor(watched)
    look(watched)
    assert watched.facts(ALERT) == []  # there is time yet to give it
    watched.clock.advance(11 * MINUTE)
    look(watched)
    assert works(client)
    (alert,) = watched.facts(ALERT)
    assert (alert["rule"], alert["principal"], alert["session"], alert["severity"]) == (SPRAY, "eve", "", "high")
    assert len(alert["evidence"]) == 2
    assert watched.facts(RESPONSE)[0]["actions"] == ["nothing to end: nobody got in"]
    watched.clock.advance(DAY)
    watched.fail(*(f"{one}x" for one in FIVE))
    first_factor(watched)
    watched.clock.advance(11 * MINUTE)
    look(watched)
    assert len(watched.facts(ALERT)) == 2


def test_a_colleague_who_gives_the_second_factor_amid_a_spray_is_not_told_to_be_known(watched: Watched) -> None:
    settle_first_device(watched, "eve")
    watched.fail(*FIVE)
    watched.sign_in("eve")
    watched.clock.advance(11 * MINUTE)
    look(watched)
    assert [one["severity"] for one in watched.facts(ALERT)] == ["medium"]
    assert all("password" not in told(watched, number) for number in range(len(watched.facts(ALERT))))


def test_a_right_password_that_is_denied_amid_a_spray_is_told_of_once_and_ends_nothing(watched: Watched) -> None:
    client = settle_first_device(watched, "eve")
    line = SignInDenied(
        principal="eve", reasons=("impossible_travel", "spray"), origin="o", account="", address="", user_agent=""
    )
    watched.write(line, line)
    watched.follow()
    assert works(client)
    (alert,) = [one for one in watched.facts(ALERT) if one["rule"] == SPRAY]
    assert (alert["principal"], alert["session"], alert["severity"]) == ("eve", "", "high")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE identity_session SET body = body || ' '",
        "UPDATE identity_principal SET body = body || ' '",
        "DELETE FROM identity_session",
        "DELETE FROM identity_principal",
        "UPDATE identity_session SET body = body || ' '; UPDATE identity_principal SET body = body || ' '",
    ],
)
def test_rows_edited_for_the_moment_of_detection_save_no_session(watched: Watched, damage: str) -> None:
    settle_first_device(watched, "eve")
    watched.fail(*FIVE)
    client = break_in(watched)
    tables = ("identity_session", "identity_principal")
    with watched.system.database.engine.begin() as connection:
        before = {one: connection.execute(text(f"SELECT * FROM {one}")).mappings().all() for one in tables}
    for statement in damage.split(";"):
        watched.sql(statement)
    watched.follow()
    assert [one["rule"] for one in watched.facts(ALERT)] == [SPRAY]
    with watched.system.database.engine.begin() as connection:  # and put back as they were
        for table, rows in before.items():
            connection.execute(text(f"DELETE FROM {table}"))
            for row in rows:
                names = ", ".join(row)
                connection.execute(
                    text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{one}' for one in row)})"), dict(row)
                )
    assert not works(client)


@pytest.mark.parametrize(
    ("setting", "value"), [("detect.spray_accounts", MOST_ACCOUNTS + 1), ("detect.bulk_loads", MOST_READS + 1)]
)
def test_a_threshold_that_could_never_be_reached_is_refused(setting: str, value: int) -> None:
    with pytest.raises(Invalid, match="whole number from 0 to"):
        Settings(declared.settings(), flags={setting: value})


def test_the_highest_threshold_can_be_reached(watched: Watched) -> None:
    watched.system.settings = Settings(
        declared.settings(), flags={"state": watched.folder, "detect.bulk_loads": MOST_READS}
    )
    watched.write(*(load(i) for i in range(MOST_READS)))
    while watched.follow():
        pass
    assert watched.facts(ALERT) == []
    watched.write(load(MOST_READS))
    watched.follow()
    assert len(watched.facts(ALERT)) == 1
