"""How long without a break, judged when access begins: adversarial case 47 and what outsiders found beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.access.support import LAB, Lab, refused
from weighthouse.access import api
from weighthouse.core.clock import HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import Denied, Invalid
from weighthouse.core.work import begin

DAY_LONG = LAB.read_text("utf-8").replace("chain: 2d", "chain: 1d")


@pytest.fixture
def strict(database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    """The example lab, but nobody keeps Tern for more than a day without a break."""
    return Lab(database, clock, tmp_path, DAY_LONG)


def approve(lab: Lab, request: api.Request, *voters: str) -> None:
    for voter in voters:
        lab.vote(voter, request.id)


def used(lab: Lab, person: str, hours: int, entitlements: tuple[str, ...]) -> int:
    """For how many of so many hours a person who asks for one role after the other can load Tern."""
    allowed = 0
    for hour in range(hours):
        if hour % 8 == 0:
            try:
                approve(
                    lab, lab.ask(person, entitlements[hour // 8 % len(entitlements)], duration=8 * HOUR), "ben", "chi"
                )
            except (Denied, Invalid) as no:
                assert no.code == "access.renewal_cap"
        allowed += lab.code(person) == "access.allowed"
        lab.clock.advance(HOUR)
    return allowed


def test_access_case_47_banked_requests_approved_one_by_one_do_not_outlast_the_chain(lab: Lab) -> None:
    where = [lab.ask("eve", "tern-export", operation={"version": "ver_1", "destination": f"d{n}"}) for n in range(5)]
    approve(lab, where[0], "ben", "chi", "gil")
    lab.clock.advance(2 * HOUR)
    for request in where[1:]:
        approve(lab, request, "ben", "chi")
        before = len(lab.log("access.Denied"))
        with pytest.raises(Denied) as error:
            lab.vote("gil", request.id)
        assert refused(error) == "access.renewal_cap" and "tern" in error.value.message
        lines = lab.log("access.Denied")[before:]
        assert [(one.data["code"], one.data["principal"], one.data["action"]) for one in lines] == [
            ("access.renewal_cap", "eve", "request.activate")
        ]
    lab.clock.advance(15 * MINUTE + 1)
    assert lab.vote("gil", where[1].id).state == "approved", "after a break it may begin"


def test_two_roles_that_take_turns_share_one_chain(strict: Lab) -> None:
    assert used(strict, "ada", 96, ("tern-train", "tern-load")) == 4 * 24 - 3 * 8, "a day, then eight hours without"


def test_a_role_of_another_kind_counts_too_but_one_operation_does_not(strict: Lab) -> None:
    text = strict.text.replace("actions: [run.submit, weights.load]\n", "actions: [run.stop]\n")
    strict.publish(text)
    assert used(strict, "ada", 24, ("tern-load",)) == 0, "it no longer gives the weights"
    with pytest.raises(Invalid) as error:
        strict.ask("ada", "tern-train")
    assert refused(error) == "access.renewal_cap"
    request = strict.ask("ada", "tern-export", operation={"version": "ver_1", "destination": "d"}, duration=HOUR)
    approve(strict, request, "ben", "chi", "gil")
    assert strict.grants("ada")[0].entitlement == "tern-export"


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE access_grant SET ended = not_before + 1, state = 'ended', end_at = not_before + 60000",
        "UPDATE access_grant SET person = 'eve'",
        "DELETE FROM access_grant",
    ],
)
def test_whoever_writes_the_database_shortens_no_chain(lab: Lab, edit: str) -> None:
    for _ in range(6):
        lab.grant(duration=8 * HOUR)
        lab.clock.advance(8 * HOUR)
    lab.sql(edit)
    lab.bind_memories()
    with pytest.raises(Invalid) as error:
        lab.ask("ada", duration=8 * HOUR)
    assert refused(error) == "access.renewal_cap"


@pytest.mark.parametrize("edit", ["UPDATE access_grant SET ended = not_before + 1, state = 'ended'", "SELECT 1"])
def test_grants_of_an_older_release_are_read_from_their_seals(lab: Lab, edit: str) -> None:
    """The first release remembered no grant outside the database unless a separation named it."""
    for _ in range(6):
        lab.grant(duration=8 * HOUR)
        lab.clock.advance(8 * HOUR)
    memory = lab.folder / "access.refusals"
    memory.write_bytes(b"".join(line for line in memory.read_bytes().splitlines(True) if b'"apart"' not in line))
    lab.bind_memories()
    lab.sql(edit)
    with pytest.raises(Invalid) as error:
        lab.ask("ada", duration=8 * HOUR)
    assert refused(error) == "access.renewal_cap"


def test_what_was_given_back_counts_only_until_then(lab: Lab) -> None:
    grant = lab.grant(duration=8 * HOUR)
    with begin(lab.system) as unit:
        api.give_back(unit, lab.caller("ada"), grant.id)
    for _ in range(5):
        lab.clock.advance(16 * MINUTE)
        lab.grant(duration=8 * HOUR)
        with begin(lab.system) as unit:
            api.give_back(unit, lab.caller("ada"), lab.grants("ada")[0].id)
    lab.clock.advance(16 * MINUTE)
    assert lab.ask("ada", duration=8 * HOUR).state == "pending"
