"""What a key did is judged by the words for it that stood then: those that came later give it nothing."""

from __future__ import annotations

import pytest

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import caller, confirm, follow
from tests.identity.test_fallen_keys import Key, disowned
from tests.identity.test_new_keys import enrolled, grown, signs
from tests.identity.test_signed_before import signed, thaws
from weighthouse.core.clock import DAY, MINUTE
from weighthouse.core.work import begin
from weighthouse.identity import api
from weighthouse_sdk.client import Client

WAYS = (
    ("live", "chi", "first"),
    ("live", "chi", "last"),
    ("live", "gil", "first"),
    ("retired", "gil", "first"),
    ("retired between", "chi", "first"),
)


def opens(lab: Lab, key: Key) -> str:
    """Whoever has the key thaws eve with it, in a session of dee's that is over afterwards; return that."""
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "odd reads", "system")
    lab.clock.advance(MINUTE)
    here = lab.sign_in("dee")
    mine = caller(lab, "dee", here)
    assert thaws(lab, mine, "eve", signed(lab, key, "dee", "eve")) == ""
    lab.clock.advance(MINUTE)
    here.sign_out()
    lab.clock.advance(MINUTE)
    return str(mine.session)


def name(client: Client) -> str:
    return str(client.get("me")["session"])


def taken_back(lab: Lab, who: str, session: str) -> None:
    with begin(lab.system) as unit:
        api.end_session(unit, session, "not mine", lab.person(who), of=who)
    follow(lab)
    lab.clock.advance(MINUTE)


def retire(lab: Lab, key: Key) -> None:
    lab.sign_in("dee").post(f"devices/{key[1]}/end", {"reason": "an old laptop", "retired": True})


@pytest.mark.parametrize(("left", "second", "first"), WAYS)
def test_what_a_key_did_between_two_stolen_words_for_it_falls(
    strict: Lab, left: str, second: str, first: str
) -> None:
    chi, new = grown(strict, "chi"), enrolled(strict, "dee")
    other = chi if second == "chi" else grown(strict, second)
    thieves = [("chi", strict.sign_in("chi")), (second, strict.sign_in(second))]
    confirm(strict, chi, "dee", new, thieves[0][1])
    new[0].sign_out()  # the session in which it was enrolled is nobody's but dee's
    session = opens(strict, new)
    confirm(strict, other, "dee", new, thieves[1][1])
    strict.clock.advance(MINUTE)
    if left == "retired":
        retire(strict, new)
    one, two = [(who, name(thief)) for who, thief in (thieves if first == "first" else thieves[::-1])]
    taken_back(strict, *one)
    assert disowned(strict, session) == (first == "first"), "it acted by the first word alone"
    if left == "retired between":
        retire(strict, new)
    taken_back(strict, *two)
    assert disowned(strict, session)
    told = [one.data["whose"] for one in strict.log("SessionEnded") if one.data["session"] == session]
    assert told == ["own", "foreign"], "one line for each end"


def test_what_a_key_did_since_who_vouched_for_it_fell_themselves_falls(strict: Lab) -> None:
    """The first word for it was said in a session that nobody disowned, by a key that rested on a stolen one."""
    chi, gil, hana, new = (
        grown(strict, "chi"),
        enrolled(strict, "gil"),
        grown(strict, "hana"),
        enrolled(strict, "dee"),
    )
    stolen, last = strict.sign_in("chi"), strict.sign_in("hana")
    named = name(stolen), name(last)
    confirm(strict, chi, "gil", gil, stolen)
    confirm(strict, hana, "gil", gil, strict.sign_in("hana"))
    confirm(strict, gil, "dee", new, strict.sign_in("gil"))
    session = opens(strict, new)
    confirm(strict, hana, "dee", new, last)
    taken_back(strict, "chi", named[0])
    assert signs(strict, "gil", gil[1], gil[0].key) == signs(strict, "dee", new[1], new[0].key) == ""
    assert disowned(strict, session), "the key counts on by a later word, which gives it nothing"
    taken_back(strict, "hana", named[1])
    assert signs(strict, "gil", gil[1], gil[0].key) == ""
    assert len(strict.told("KeyFellBack", "since")) == 3 and all(strict.told("KeyFellBack", "since"))


def test_what_a_key_did_that_grew_up_beside_a_fallen_one_falls(strict: Lab) -> None:
    chi, one, hana = grown(strict, "chi"), enrolled(strict, "dee"), grown(strict, "hana")
    stolen = strict.sign_in("chi")
    confirm(strict, chi, "dee", one, stolen)
    beside, named = enrolled(strict, "dee"), [name(stolen)]
    strict.clock.advance(2 * DAY)
    session = opens(strict, beside)
    last = strict.sign_in("hana")
    named.append(name(last))
    confirm(strict, hana, "dee", beside, last)
    taken_back(strict, "chi", named[0])
    assert signs(strict, "dee", beside[1], beside[0].key) == "" and disowned(strict, session)
    taken_back(strict, "hana", named[1])
    assert strict.told("KeyFellBack", "act") == ["confirm", "beside", "confirm"]
