"""The other side of each detection: what an innocent person does is not answered, and no trick makes it deaf."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.detect.conftest import Watched
from tests.detect.test_detections_act import ALERT, FIVE, RESPONSE, break_in, load, settle_first_device, works
from weighthouse.app import declared
from weighthouse.core.clock import DAY
from weighthouse.core.errors import Invalid
from weighthouse.core.settings import Settings
from weighthouse.detect.model import MOST_ACCOUNTS, MOST_READS, SPRAY
from weighthouse_sdk.client import ProblemError


def test_the_owner_with_device_and_second_factor_is_left_alone_and_told_of(watched: Watched) -> None:
    client = settle_first_device(watched, "eve")
    watched.fail(*FIVE)
    watched.sign_in("eve", client)
    watched.follow()
    assert works(client)
    (alert,) = watched.facts(ALERT)
    assert (alert["rule"], alert["severity"], alert["principal"]) == (SPRAY, "medium", "eve")
    (response,) = watched.facts(RESPONSE)
    assert "left" in response["actions"][0]


def test_a_known_device_alone_is_not_the_owner(watched: Watched) -> None:
    client = settle_first_device(watched, "eve")
    watched.fail(*FIVE)
    watched.sql("DELETE FROM identity_result WHERE outcome = 'failure'")  # so no second factor is asked for
    watched.sign_in("eve", client)
    watched.follow()
    assert not works(client)
    assert [one["severity"] for one in watched.facts(ALERT)] == ["high"]


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


def test_a_right_password_that_was_turned_away_is_told_of_once_and_ends_nothing(watched: Watched) -> None:
    client = settle_first_device(watched, "eve")
    watched.fail(*FIVE)
    for _ in range(3):
        with pytest.raises(ProblemError, match="not admitted"):
            watched.sign_in("eve")
        watched.follow()
    assert works(client)
    (alert,) = watched.facts(ALERT)
    assert (alert["principal"], alert["session"], alert["severity"]) == ("eve", "", "high")
    assert "nothing to end" in watched.facts(RESPONSE)[0]["actions"][0]
    watched.clock.advance(DAY)
    watched.fail(*(f"{one}x" for one in FIVE))
    with pytest.raises(ProblemError):
        watched.sign_in("eve")
    watched.follow()
    assert len(watched.facts(ALERT)) == 2


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
