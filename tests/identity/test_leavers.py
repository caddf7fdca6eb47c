"""Whose account policy drops stays gone, though their record cannot be read in that moment and is put back later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.identity.support import Lab
from tests.identity.test_accounts import text
from tests.identity.test_new_keys import grown, signs
from tests.identity.test_wider_sessions import alive
from weighthouse.audit import api as audit
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.jobs import learners
from weighthouse.identity.ports import Memory
from weighthouse.policy import api as policy

DEE = "accounts: [{issuer: dev, subject: dee}]"
OTHER = "accounts: [{issuer: dev, subject: dee2}]"
BOTH = "accounts: [{issuer: dev, subject: dee}, {issuer: dev, subject: dee2}]"
BREAKS = {
    "edited": "UPDATE identity_principal SET body = body || ' ' WHERE principal = 'dee'",
    "hidden": "DELETE FROM identity_principal WHERE principal = 'dee'",
}
GONE = "identity.device_unknown"


@pytest.fixture
def lab(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    return Lab(any_database, clock, tmp_path, **{"identity.new_keys": "confirm"})


def publish(lab: Lab, new: str, *, refused: bool = False) -> None:
    """As the room above publishes: what the text takes from its people ends in the same transaction."""
    with begin(lab.system) as unit:
        before = policy.current_locked(unit).lab
        after = policy.store(unit, new, "lab.yaml", "chi").lab
        for person in sorted(before.people):
            if policy.accounts_of(before, person) - policy.accounts_of(after, person):
                api.settle_accounts(unit, person)
        if refused:
            raise KeyboardInterrupt
    settle(lab)


def settle(lab: Lab) -> None:
    while audit.sequence(lab.system):
        pass


def broken(lab: Lab, how: str) -> Callable[[], None]:
    """Break the record of dee; call the result to put it back."""
    lab.sql("CREATE TABLE aside AS SELECT * FROM identity_principal WHERE principal = 'dee'")
    lab.sql(BREAKS[how])

    def back() -> None:
        lab.sql("DELETE FROM identity_principal WHERE principal = 'dee'")
        lab.sql("INSERT INTO identity_principal SELECT * FROM aside")
        lab.sql("DROP TABLE aside")

    return back


def ends(lab: Lab) -> dict[str, list[str]]:
    settle(lab)
    return {kind: lab.told(kind, "principal") for kind in ("SessionEnded", "DeviceEnded")}


@pytest.mark.parametrize("how", BREAKS)
def test_the_key_and_the_session_of_a_leaver_are_over_though_their_record_was_broken(lab: Lab, how: str) -> None:
    client, device = grown(lab, "dee")
    other = grown(lab, "ben")
    before = text(lab)
    settle(lab)
    back = broken(lab, how)
    publish(lab, before.replace(DEE, OTHER))
    back()
    assert ends(lab) == {"SessionEnded": ["dee"], "DeviceEnded": ["dee"]}
    publish(lab, before + "\n")  # the account comes back; what it proved does not
    assert (signs(lab, "dee", device, client.key), alive(client)) == (GONE, False)
    assert (signs(lab, "ben", other[1], other[0].key), alive(other[0])) == ("", True)
    publish(lab, before.replace(DEE, OTHER))
    assert ends(lab) == {"SessionEnded": ["dee"], "DeviceEnded": ["dee"]}, "each end is told once"
    assert set(lab.told("SessionEnded", "reason") + lab.told("DeviceEnded", "reason")) == {"account no longer theirs"}


def test_what_was_begun_a_moment_ago_ends_too_though_its_line_waits(lab: Lab) -> None:
    client, device = grown(lab, "dee")
    before = text(lab)
    back = broken(lab, "edited")
    publish(lab, before.replace(DEE, OTHER))
    back()
    publish(lab, before + "\n")
    assert (signs(lab, "dee", device, client.key), alive(client)) == (GONE, False)
    assert ends(lab) == {"SessionEnded": ["dee"], "DeviceEnded": ["dee"]}


@pytest.mark.parametrize("how", BREAKS)
def test_whose_other_account_is_dropped_keeps_what_this_one_proved(lab: Lab, how: str) -> None:
    before = text(lab)
    publish(lab, before.replace(DEE, BOTH))
    client, device = grown(lab, "dee")
    settle(lab)
    back = broken(lab, how)
    publish(lab, before + "\n")
    back()
    assert (signs(lab, "dee", device, client.key), alive(client)) == ("", True)
    assert ends(lab) == {"SessionEnded": [], "DeviceEnded": []}


@pytest.mark.parametrize("table", ["session", "device"])
def test_what_is_hidden_with_the_record_is_over_as_well(lab: Lab, table: str) -> None:
    """Nobody can tell which account proved it."""
    client, device = grown(lab, "dee")
    kiosk = lab.sign_in("dee")
    before = text(lab)
    back = broken(lab, "edited")
    lab.sql(f"CREATE TABLE more AS SELECT * FROM identity_{table}")
    lab.sql(f"DELETE FROM identity_{table}")
    for new in (before.replace(DEE, OTHER), before + "\n", before.replace(DEE, OTHER)):
        publish(lab, new)
    lab.sql(f"INSERT INTO identity_{table} SELECT * FROM more")
    back()
    publish(lab, before + "\n")
    assert (signs(lab, "dee", device, client.key), alive(client), alive(kiosk)) == (GONE, False, False)
    assert ends(lab) == {"SessionEnded": ["dee", "dee"], "DeviceEnded": ["dee"]}, "each end is told once"


def test_a_text_that_is_refused_in_the_end_ends_nothing(lab: Lab) -> None:
    client, device = grown(lab, "dee")
    settle(lab)
    back = broken(lab, "edited")
    with pytest.raises(KeyboardInterrupt):
        publish(lab, text(lab).replace(DEE, OTHER), refused=True)
    back()
    assert (signs(lab, "dee", device, client.key), alive(client)) == ("", True)
    assert ends(lab) == {"SessionEnded": [], "DeviceEnded": []}


def test_another_server_learns_these_ends_from_the_log(lab: Lab, tmp_path: Path) -> None:
    client, device = grown(lab, "dee")
    before = text(lab)
    back = broken(lab, "edited")
    publish(lab, before.replace(DEE, OTHER))
    back()
    lab.system.bind(Memory, FileMemory(tmp_path / "another.memory", now=lab.clock.now()))
    with read(lab.system) as unit:
        lines = audit.entries(unit, limit=1_000)
    for learner in learners:
        learner.learn(lab.system, [one for one in lines if one.kind in learner.kinds])
    publish(lab, before + "\n")
    assert (signs(lab, "dee", device, client.key), alive(client)) == (GONE, False)
