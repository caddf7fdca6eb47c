"""What was said no to while the clock had leapt holds; and once it is set right and confirmed, nobody longer than that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.identity.support import Lab
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, MINUTE, SECOND, Millis
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api import moments
from weighthouse.identity.api.once import first_spent
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import Client, ProblemError

LEAP: Millis = 30 * DAY


@contextmanager
def leapt(lab: Lab) -> Iterator[None]:
    """The clock stands a month ahead for a while; then it is set right, and the operator says so."""
    with read(lab.system) as unit:
        assert unit.clock_trouble == ""
    lab.clock.set(lab.clock.now() + LEAP)
    with read(lab.system) as unit:
        assert unit.clock_trouble == "ahead"
    lab.clock.advance(MINUTE)
    yield
    lab.clock.advance(MINUTE)
    lab.clock.set(lab.clock.now() - LEAP)
    for kept in (lab.idp._desk._answered, lab.idp._desk._steps, lab._steps):
        kept.clear()  # the clocks of the provider and of the telephone are set right, too
    audit.confirm_clock(lab.folder, lab.clock, "root", "It is right again.")
    assert audit.heed_confirmation(lab.system)


def foreign(lab: Lab, person: str, at: Millis) -> bool:
    with read(lab.system) as unit:
        return api.disclaimed(unit, person, "", at)


def refused(client: Client) -> str:
    try:
        client.get("me")
    except ProblemError as error:
        return error.code
    return ""


@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted"])
def test_not_me_in_a_leap_is_for_all_until_then_and_for_nothing_that_comes_after(lab: Lab, restart: bool) -> None:
    before, client = lab.clock.now(), lab.sign_in("ada")
    with leapt(lab):
        in_it = lab.clock.now()
        lab.clock.advance(SECOND)
        owner = lab.sign_in("ada")
        lab.clock.advance(SECOND)
        owner.post("sessions/not-me")
        assert foreign(lab, "ada", before) and foreign(lab, "ada", in_it)
    if restart:
        lab.system.bind(Memory, FileMemory(lab.folder / "identity.memory", now=lab.clock.now()))
    assert refused(client) == refused(owner) == "identity.session_ended"
    after = lab.clock.now()
    assert foreign(lab, "ada", before) and foreign(lab, "ada", in_it) and not foreign(lab, "ada", after)
    assert refused(lab.sign_in("ada")) == "", "nobody waits a month"
    lab.clock.advance(SECOND)
    lab.sign_in("ada").post("sessions/not-me")
    assert foreign(lab, "ada", after) and foreign(lab, "ada", lab.clock.now())
    lab.clock.advance(SECOND)
    assert not foreign(lab, "ada", lab.clock.now())
    lab.clock.advance(2 * LEAP)
    assert foreign(lab, "ada", in_it) and foreign(lab, "ada", before) and not foreign(lab, "ada", after + LEAP // 2)


def test_until_somebody_has_said_that_the_clock_is_right_the_stop_covers_all_up_to_it(lab: Lab) -> None:
    with read(lab.system) as unit:
        assert unit.clock_trouble == ""
    lab.clock.set(lab.clock.now() + LEAP)
    lab.sign_in("ada").post("sessions/not-me")
    lab.clock.set(lab.clock.now() - LEAP)
    assert foreign(lab, "ada", lab.clock.now() + DAY)


def test_a_leap_that_was_right_gives_nothing_back(lab: Lab) -> None:
    """A machine that was paused: others went on meanwhile, and what was asked for there is covered as well."""
    with read(lab.system) as unit:
        meanwhile = unit.now + DAY
    lab.clock.set(lab.clock.now() + LEAP)
    lab.sign_in("ada").post("sessions/not-me")
    audit.confirm_clock(lab.folder, lab.clock, "root", "It was paused.")
    assert audit.heed_confirmation(lab.system)
    lab.clock.advance(DAY)
    assert foreign(lab, "ada", meanwhile)


def test_who_was_frozen_and_thawed_in_a_leap_signs_in_after_it(lab: Lab) -> None:
    thief = lab.sign_in("ben")
    with leapt(lab), begin(lab.system) as unit:
        api.freeze(unit, "ben", "odd reads", lab.person("chi"))
        api.thaw(unit, "ben", "It was nothing.", "operator")
    assert refused(thief) == "identity.session_ended"
    assert refused(lab.sign_in("ben")) == ""


def test_a_factor_and_a_signature_of_a_leap_are_not_in_the_way_and_not_good_again(lab: Lab) -> None:
    with read(lab.system) as unit:
        early = unit.now
    name = "opening dev_x"
    with leapt(lab), begin(lab.system) as unit:
        at = unit.now
        assert lab.system.part(Memory).is_later(moments.series(unit, name), at)
    lab.clock.advance(SECOND)
    with begin(lab.system) as unit:
        here = moments.series(unit, name)
        assert unit.now > early and here != name
        assert lab.system.part(Memory).is_later(here, unit.now)
        assert not lab.system.part(Memory).is_later(here, unit.now)
    lab.clock.advance(at - lab.clock.now())
    with begin(lab.system) as unit:
        assert moments.series(unit, name) == name and not lab.system.part(Memory).is_later(name, at)


def test_a_second_factor_counts_again_after_a_leap(lab: Lab) -> None:
    def counts() -> bool:
        with begin(lab.system) as unit:
            return first_spent(unit, "dev|ben", unit.now // SECOND)

    with leapt(lab):
        assert counts() and not counts()
        late = lab.clock.now()
    lab.clock.advance(SECOND)
    assert counts() and not counts(), "once, as ever"
    lab.clock.advance(late - lab.clock.now())
    assert not counts(), "what was spent in the leap is spent when its time comes"
    lab.clock.advance(SECOND)
    assert counts()
