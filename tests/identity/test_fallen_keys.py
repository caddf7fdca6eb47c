"""A key that was never its owner's takes along what it opened and enrolled, in whatever session that was sent."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import caller, confirm, end, follow
from tests.identity.test_new_keys import enrolled, grown, signs
from tests.identity.test_signed_before import signed, thaws
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse_sdk.client import Client

Key = tuple[Client, str]
HOW = ("fallen", "fallen, its row hidden", "fallen, retired before", "stolen", "stolen, its row hidden")


def confirmed_by_a_thief(lab: Lab) -> tuple[Key, Client]:
    """A key of dee's, and the stolen session of chi's in which it was confirmed with chi's key."""
    chi, new = grown(lab, "chi"), enrolled(lab, "dee")
    thief = lab.sign_in("chi")
    confirm(lab, chi, "dee", new, thief)
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", "system")
    lab.clock.advance(1)
    return new, thief


def hidden(lab: Lab, device: str) -> None:
    lab.sql(f"DELETE FROM identity_device WHERE id = '{device}'")


def disowned(lab: Lab, session: str) -> bool:
    with read(lab.system) as unit:
        return api.disowned(unit, "dee", session, unit.now)


@pytest.mark.parametrize("out", [True, False], ids=["signed out", "live"])
@pytest.mark.parametrize("own", [True, False], ids=["in a session of the key", "in another session"])
@pytest.mark.parametrize("how", HOW)
def test_what_it_opened_is_taken_back_wherever_it_was_sent(strict: Lab, how: str, own: bool, out: bool) -> None:
    new, thief = confirmed_by_a_thief(strict)
    here = new[0] if own else strict.sign_in("dee")
    mine = caller(strict, "dee", here)
    session = str(mine.session)
    assert thaws(strict, mine, "eve", signed(strict, new, "dee", "eve")) == ""
    strict.clock.advance(1000)
    if out:
        here.sign_out()
    if how.endswith("retired before"):
        strict.sign_in("dee").post(f"devices/{new[1]}/end", {"reason": "an old laptop", "retired": True})
    if how.endswith("hidden"):
        hidden(strict, new[1])
    follow(strict)
    assert not disowned(strict, session)
    if how.startswith("fallen"):
        end(strict, "its owner", "chi", thief)
    else:
        strict.sign_in("dee").post(f"devices/{new[1]}/end", {"reason": "stolen"})
    follow(strict)
    assert disowned(strict, session)
    told = [one.data["whose"] for one in strict.log("SessionEnded") if one.data["session"] == session]
    assert told.count("foreign") == 1 and told[-1] == "foreign"
    lines = len(strict.log("SessionEnded"))
    follow(strict)
    assert len(strict.log("SessionEnded")) == lines, "read twice, it finds nothing more"


@pytest.mark.parametrize("retired", [True, False], ids=["retired before", "live"])
def test_what_it_did_stands_if_somebody_else_vouches_for_it_too(strict: Lab, retired: bool) -> None:
    new, thief = confirmed_by_a_thief(strict)
    again = grown(strict, "gil")
    confirm(strict, again, "dee", new, again[0])
    mine = caller(strict, "dee", strict.sign_in("dee"))
    assert thaws(strict, mine, "eve", signed(strict, new, "dee", "eve")) == ""
    if retired:
        strict.sign_in("dee").post(f"devices/{new[1]}/end", {"reason": "an old laptop", "retired": True})
    end(strict, "its owner", "chi", thief)
    follow(strict)
    assert not disowned(strict, str(mine.session))
    assert retired or signs(strict, "dee", new[1], new[0].key) == ""
