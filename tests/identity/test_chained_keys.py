"""A key vouches with all that it rests on: a whole chain falls with any link, and only what the stop is for."""

from __future__ import annotations

import msgspec
import pytest

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import GONE, YOUNG, caller, confirm, end, follow
from tests.identity.test_keys_aside import opening
from tests.identity.test_new_keys import enrolled, grown, signs
from weighthouse.core.clock import DAY
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.api.states import change_state
from weighthouse_sdk.client import Client, ProblemError

Key = tuple[Client, str]


def restored(lab: Lab, by: Key, thief: Client, whose: Key) -> None:
    """In the session `thief`, with the key `by` of security's, a key of Ben's that is aside is let count again."""
    subject = f"ben/{whose[0].key.thumbprint}"
    signed = opening(lab, by, "person.key", subject)
    mine = caller(lab, "chi", thief)
    lab.confirm(mine, "person.key", subject)
    with begin(lab.system) as unit:
        api.restore_key(unit, "ben", whose[1], mine, signed=signed)


def lives(client: Client) -> bool:
    try:
        client.get("me")
    except ProblemError:
        return False
    return True


@pytest.mark.parametrize("links", [1, 3])
@pytest.mark.parametrize("written", [False, True])
def test_what_a_fallen_key_confirmed_falls_with_it_link_by_link(strict: Lab, links: int, written: bool) -> None:
    owner, thief = grown(strict, "ben"), strict.sign_in("ben")
    by, session, chain = owner, thief, list[Key]()
    for _ in range(links + 1):
        new = enrolled(strict, "ben")
        confirm(strict, by, "ben", new, session)
        chain.append(new)
        by, session = new, new[0]
    assert [signs(strict, "ben", key, client.key) for client, key in chain] == [""] * (links + 1)
    for client, _ in chain:
        client.sign_out()
    end(strict, "its owner", "ben", thief)
    if written:
        follow(strict)
        strict.clock.advance(2 * DAY)
    assert [signs(strict, "ben", key, client.key) for client, key in chain] == [YOUNG] * (links + 1)
    assert signs(strict, "ben", owner[1], owner[0].key) == ""
    follow(strict)
    assert sorted(strict.told("KeyFellBack", "device")) == sorted(key for _, key in chain)
    confirm(strict, owner, "ben", chain[0], strict.sign_in("ben"))  # looked at since; the rest of the chain waits on
    assert [signs(strict, "ben", key, client.key) for client, key in chain[:2]] == ["", YOUNG]


@pytest.mark.parametrize("how", ["its owner", "not me", "freeze"])
def test_what_a_key_confirmed_falls_with_whoever_let_it_count_again(strict: Lab, how: str) -> None:
    chi, stolen = grown(strict, "chi"), grown(strict, "ben")
    stolen[0].post("sessions/not-me")
    thief = strict.sign_in("chi")
    restored(strict, chi, thief, stolen)
    strict.sign_in("ben", stolen[0])
    new = enrolled(strict, "ben")
    confirm(strict, stolen, "ben", new, stolen[0])
    assert signs(strict, "ben", new[1], new[0].key) == "" and lives(new[0]) and lives(stolen[0])
    acted = str(new[0].get("me")["session"])
    end(strict, how, "chi", thief)
    assert (signs(strict, "ben", stolen[1], stolen[0].key), signs(strict, "ben", new[1], new[0].key)) == (GONE, YOUNG)
    follow(strict)
    assert not lives(new[0]) and not lives(stolen[0])
    with read(strict.system) as unit:
        assert api.disowned(unit, "ben", acted, unit.now), "what was done in it is taken back"
        assert [one.id for one in api.keys_aside(unit, "ben")] == [stolen[1]]
    strict.clock.advance(2 * DAY)
    assert (signs(strict, "ben", stolen[1], stolen[0].key), signs(strict, "ben", new[1], new[0].key)) == (GONE, YOUNG)


@pytest.mark.parametrize("written", [False, True])
def test_what_grew_up_beside_a_fallen_key_waits_for_a_second_person(strict: Lab, written: bool) -> None:
    chi, one = grown(strict, "chi"), enrolled(strict, "ben")
    thief = strict.sign_in("chi")
    confirm(strict, chi, "ben", one, thief)
    beside = enrolled(strict, "ben")
    one[0].sign_out()
    beside[0].sign_out()
    end(strict, "not me", "chi", thief)
    if written:
        follow(strict)
    strict.clock.advance(2 * DAY)
    for client, key in (one, beside):
        assert signs(strict, "ben", key, client.key) == YOUNG
    follow(strict)
    assert sorted(strict.told("KeyFellBack", "device")) == sorted((one[1], beside[1]))


@pytest.mark.parametrize("out", [True, False], ids=["signed out", "live"])
@pytest.mark.parametrize(("retired", "told"), [(True, ""), (False, YOUNG)], ids=["retired", "stolen"])
def test_a_key_that_its_owner_retires_leaves_what_it_confirmed(
    strict: Lab, retired: bool, told: str, out: bool
) -> None:
    old, new = grown(strict, "ben"), enrolled(strict, "ben")
    confirm(strict, old, "ben", new, strict.sign_in("ben") if out else old[0])
    if out:
        old[0].sign_out()
    new[0].post(f"devices/{old[1]}/end", {"reason": "an old laptop", "retired": retired})
    follow(strict)
    assert signs(strict, "ben", new[1], new[0].key) == told
    assert (lives(old[0]), lives(new[0])) == (False, retired)


def test_a_chain_falls_though_the_key_in_its_middle_was_ended(strict: Lab) -> None:
    owner, thief = grown(strict, "ben"), strict.sign_in("ben")
    two, three = enrolled(strict, "ben"), enrolled(strict, "ben")
    confirm(strict, owner, "ben", two, thief)
    confirm(strict, two, "ben", three, three[0])
    two[0].sign_out()
    three[0].post(f"devices/{two[1]}/end", {"reason": "covered up", "retired": True})
    assert signs(strict, "ben", three[1], three[0].key) == ""
    end(strict, "its owner", "ben", thief)
    assert signs(strict, "ben", three[1], three[0].key) == YOUNG


@pytest.mark.parametrize("how", ["not me", "freeze"])
@pytest.mark.parametrize(("days", "told"), [(0, YOUNG), (6, YOUNG), (15, "")])
def test_a_stop_is_for_what_was_vouched_for_lately(strict: Lab, how: str, days: int, told: str) -> None:
    """Attack: one session of security's, and every key that she ever confirmed is silent, the committee's too."""
    chi, new = grown(strict, "chi"), enrolled(strict, "dee")
    confirm(strict, chi, "dee", new, strict.sign_in("chi"))
    strict.clock.advance(days * DAY)
    end(strict, how, "chi", strict.sign_in("chi"))
    assert signs(strict, "dee", new[1], new[0].key) == told
    strict.clock.advance(30 * DAY)
    if how == "not me":
        end(strict, how, "chi", strict.sign_in("chi"))  # a later stop is no pardon for what an earlier one was for
    assert signs(strict, "dee", new[1], new[0].key) == told
    follow(strict)
    assert signs(strict, "dee", new[1], new[0].key) == told


def test_a_key_that_is_set_aside_again_is_let_count_anew(strict: Lab) -> None:
    """Attack: what somebody said for a key once is kept, and a thief's word for it afterwards rests on that."""
    chi, own = grown(strict, "chi"), grown(strict, "ben")
    for _ in ("chi herself", "a thief"):
        strict.sign_in("ben").post("sessions/not-me")
        session = strict.sign_in("chi")
        restored(strict, chi, session, own)
    assert signs(strict, "ben", own[1], own[0].key) == ""
    end(strict, "its owner", "chi", session)
    assert signs(strict, "ben", own[1], own[0].key) == GONE


def test_vouchers_of_before_keys_were_named_stand_by_their_own_session(strict: Lab) -> None:
    owner, thief = grown(strict, "ben"), strict.sign_in("ben")
    two, three = enrolled(strict, "ben"), enrolled(strict, "ben")
    confirm(strict, owner, "ben", two, thief)
    confirm(strict, two, "ben", three, three[0])
    with begin(strict.system) as unit:
        plain = msgspec.structs.replace
        change_state(
            unit, "ben", lambda s: plain(s, vouchers=tuple(plain(one, key="", rests=()) for one in s.vouchers))
        )
    end(strict, "its owner", "ben", thief)
    assert [signs(strict, "ben", key, client.key) for client, key in (two, three)] == [YOUNG, ""]
