"""The safe state of a clock that leapt: nothing new is granted, and there is a way out that the message names."""

from __future__ import annotations

import pytest

from tests.access.support import Lab, refused
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, HOUR, MINUTE
from weighthouse.core.errors import Invalid, Unavailable
from weighthouse.core.work import begin

WHY = "The virtual machine was paused; the time service agrees with a watch."


def asked(lab: Lab) -> str:
    """A request that lacks one vote, before the clock leaps."""
    request = lab.ask("ada", duration=HOUR)
    lab.device("chi")
    lab.vote("ben", request.id)
    return request.id


def test_a_leap_is_left_by_the_act_that_its_message_names(lab: Lab) -> None:
    request = asked(lab)
    lab.clock.set(lab.clock.now() + HOUR)
    with pytest.raises(Unavailable) as error:
        lab.vote("chi", request)
    assert refused(error) == "access.clock_suspect" and "weighthouse audit confirm-clock" in error.value.remedy
    assert not audit.heed_confirmation(lab.system), "nobody has said anything yet"
    audit.confirm_clock(lab.folder, lab.clock, "root", WHY)
    assert audit.heed_confirmation(lab.system) and not audit.heed_confirmation(lab.system)
    assert lab.vote("chi", request).state == "approved"
    lines = lab.log("audit.ClockConfirmed")
    assert [(one.data["trouble"], one.data["by"]) for one in lines] == [("ahead", "root")]


def test_a_clock_that_moves_after_it_was_confirmed_is_not_the_one_that_was_looked_at(lab: Lab) -> None:
    request = asked(lab)
    lab.clock.set(lab.clock.now() + HOUR)
    audit.confirm_clock(lab.folder, lab.clock, "root", WHY)
    lab.clock.set(lab.clock.now() + HOUR)
    assert not audit.heed_confirmation(lab.system)
    with pytest.raises(Unavailable):
        lab.vote("chi", request)
    assert lab.log("audit.ClockConfirmed") == []


def test_a_word_that_somebody_else_could_write_is_not_heeded(lab: Lab) -> None:
    asked(lab)
    lab.clock.set(lab.clock.now() + HOUR)
    audit.confirm_clock(lab.folder, lab.clock, "root", WHY)
    (lab.folder / "clock.confirmed").chmod(0o666)
    assert not audit.heed_confirmation(lab.system)
    (lab.folder / "clock.confirmed").unlink()
    (lab.folder / "word").write_text("{}")
    (lab.folder / "clock.confirmed").symlink_to(lab.folder / "word")
    assert not audit.heed_confirmation(lab.system)


def test_a_confirmation_takes_no_sound_time_back_and_has_a_reason(lab: Lab) -> None:
    lab.grant(duration=HOUR)
    start = lab.clock.now()
    lab.clock.advance(2 * HOUR)
    assert lab.code("ada") == "access.grant_expired"
    lab.clock.set(start + MINUTE)
    audit.confirm_clock(lab.folder, lab.clock, "root", WHY)
    audit.heed_confirmation(lab.system)
    assert lab.code("ada") == "access.grant_expired"
    with pytest.raises(Invalid):
        audit.confirm_clock(lab.folder, lab.clock, "root", "x")


def test_a_second_of_another_year_is_left_by_the_operators_word(lab: Lab) -> None:
    """The time service was wrong once; nobody waits ten years, and the log says who set it right."""
    lab.clock.set(lab.clock.now() + 3650 * DAY)
    with begin(lab.system) as unit:
        assert unit.clock_trouble == "ahead"
    lab.clock.set(lab.clock.now() - 3650 * DAY)
    audit.confirm_clock(lab.folder, lab.clock, "root", WHY)
    assert audit.heed_confirmation(lab.system)
    with begin(lab.system) as unit:
        assert (unit.clock_trouble, unit.now) == ("", lab.clock.now())
    assert [one.data["trouble"] for one in lab.log("audit.ClockConfirmed")] == ["behind"]
