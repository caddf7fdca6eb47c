"""What follows an end is done though a row was hidden while the log was followed, and put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.identity.support import Lab
from tests.identity.test_covered_words import ends
from tests.identity.test_disowned_keys import caller, confirm, follow
from tests.identity.test_fallen_keys import Key
from tests.identity.test_forgotten_beginnings import name, opens, taken_back
from tests.identity.test_new_keys import enrolled, grown, signs
from tests.identity.test_wider_sessions import alive, opened
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import NotFound
from weighthouse.core.work import Unit, begin
from weighthouse.identity import api
from weighthouse.identity.api import redoing
from weighthouse.identity.api.learning import learn
from weighthouse.identity.api.moments import KEPT
from weighthouse.identity.api.sealing import memory, refused
from weighthouse.identity.jobs import timers
from weighthouse_sdk.client import Client, DeviceKey

GONE, YOUNG = "identity.device_unknown", "identity.key_young"
KEY_COLUMN = {"identity_principal": "principal", "identity_session": "id", "identity_device": "id"}


@pytest.fixture
def world(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    """As in production, on both databases."""
    return Lab(any_database, clock, tmp_path, **{"identity.new_keys": "confirm"})


def read_on(lab: Lab) -> None:
    """The log takes what waits for it, and its followers read it."""
    for _ in range(3):
        audit.sequence(lab.system)
        follow(lab)


def again(lab: Lab) -> None:
    """The timers of this room come round."""
    for timer in timers:
        if timer.name in ("identity-again", "identity-owed"):
            timer.run(lab.system)
    read_on(lab)


@contextmanager
def hidden(lab: Lab, table: str, row: str, how: str = "deleted") -> Iterator[None]:
    """For a while a row is deleted, or edited so that its seal does not hold; then it is as it was."""
    where = f"WHERE {KEY_COLUMN[table]} = :row"
    before = lab.sql(f"SELECT * FROM {table} {where}", row=row)[0]._mapping
    if how == "deleted":
        lab.sql(f"DELETE FROM {table} {where}", row=row)
    else:
        lab.sql(f"UPDATE {table} SET body = body || ' ' {where}", row=row)
    yield
    lab.sql(f"DELETE FROM {table} {where}", row=row)
    columns = ", ".join(before)
    lab.sql(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(f':{one}' for one in before)})", **dict(before))


def says_stolen(lab: Lab, who: str, session: str) -> None:
    """Somebody says that a session of theirs was a thief's; nobody has read it yet."""
    with begin(lab.system) as unit:
        api.end_session(unit, session, "not mine", lab.person(who), of=who)


def of_a_thief(lab: Lab) -> tuple[str, Key, Client]:
    """A session of dee's in which a thief enrolled a key, that key, and a session that is bound to it."""
    stolen, key = lab.sign_in("dee"), DeviceKey.generate()
    mine = caller(lab, "dee", stolen)
    lab.confirm(mine, "device.enrol", key.thumbprint)
    with begin(lab.system) as unit:
        device = api.enrol_device(unit, mine, key.jwk, "laptop").id
    bound = lab.sign_in("dee", lab.client(key=key))
    read_on(lab)
    return str(mine.session), (bound, str(device)), bound


def kept_key(lab: Lab) -> tuple[Key, str]:
    """A stolen key of dee's that fell with a stolen session of chi's, and is kept by an honest word of hana's; and the
    session that enrolled it."""
    chi, hana, key = grown(lab, "chi"), grown(lab, "hana"), enrolled(lab, "dee")
    thief = lab.sign_in("chi")
    confirm(lab, chi, "dee", key, thief)
    stolen = opened(lab, key, key[0])
    confirm(lab, hana, "dee", key, hana[0])
    taken_back(lab, "chi", name(thief))
    assert signs(lab, "dee", key[1], key[0].key) == ""
    return key, stolen


@pytest.mark.parametrize("how", ["deleted", "edited"])
def test_a_kept_key_is_over_though_its_persons_record_was_hidden_when_it_was_asked_anew(
    strict: Lab, how: str
) -> None:
    """Attack: who confirmed a stolen key loses their session first, so that it is kept; hide its person's record while
    their own word is followed, and who enrolled it would never be asked again."""
    key, stolen = kept_key(strict)
    says_stolen(strict, "dee", stolen)
    with hidden(strict, "identity_principal", "dee", how):
        read_on(strict)
        again(strict)
    assert signs(strict, "dee", key[1], key[0].key) == GONE, "at once, before any timer"
    for _ in range(2):
        again(strict)
    assert strict.told("DeviceEnded", "device") == [key[1]]


def test_a_server_that_only_hears_of_the_word_asks_the_kept_key_anew(strict: Lab) -> None:
    key, stolen = kept_key(strict)
    says_stolen(strict, "dee", stolen)
    learn(strict.system, strict.log("SessionEnded"))
    assert signs(strict, "dee", key[1], key[0].key) == GONE


@pytest.mark.parametrize("how", ["deleted", "edited"])
@pytest.mark.parametrize("table", list(KEY_COLUMN))
def test_a_session_bound_to_a_thiefs_key_ends_whichever_row_was_hidden(world: Lab, table: str, how: str) -> None:
    """Attack: hide the thief's key, or what lists it, while the end of the session that enrolled it is followed; the
    session that was opened with the key would go on in its person's name."""
    stolen, key, bound = of_a_thief(world)
    says_stolen(world, "dee", stolen)
    row = {"identity_principal": "dee", "identity_session": stolen, "identity_device": key[1]}[table]
    with hidden(world, table, row, how):
        read_on(world)
    assert not alive(bound), "before any timer"
    again(world)
    if table == "identity_principal":  # closed by what ended then, so it is not believed now: nobody lives by it
        assert signs(world, "dee", key[1], bound.key) == "identity.record_refused"
        with begin(world.system) as unit:
            api.freeze(unit, "dee", "the record was edited", "system")
    for _ in range(2):
        again(world)
    assert redoing._due(world.system) == []
    assert world.told("DeviceEnded", "device") == [key[1]]
    assert signs(world, "dee", key[1], bound.key) == GONE
    assert ends(world, stolen) == ["foreign"]


def test_a_key_is_ended_that_the_session_enrolled_which_was_ended_by_its_id_alone(strict: Lab) -> None:
    """Attack: hide the session while it is ended, so that the line of its end names nobody."""
    stolen, key, bound = of_a_thief(strict)
    with hidden(strict, "identity_session", stolen):
        with pytest.raises(NotFound), begin(strict.system) as unit:
            api.end_session(unit, stolen, "a thief's", strict.person("chi"))
        read_on(strict)
    assert strict.told("DeviceEnded", "device") == [key[1]] and not alive(bound)


@pytest.mark.parametrize("how", ["deleted", "edited"])
def test_a_key_that_fell_unseen_never_grows_up_by_itself(strict: Lab, how: str) -> None:
    """Attack: hide the record while the word for the key falls, and whenever a timer comes round; a day later the key
    would count as one that has grown up beside an honest one."""
    grown(strict, "dee")
    chi, new = grown(strict, "chi"), enrolled(strict, "dee")
    thief = strict.sign_in("chi")
    confirm(strict, chi, "dee", new, thief)
    says_stolen(strict, "chi", name(thief))
    with hidden(strict, "identity_principal", "dee", how):
        read_on(strict)
    strict.clock.advance(2 * DAY)
    assert signs(strict, "dee", new[1], new[0].key) == YOUNG
    for _ in range(2):
        again(strict)
    assert strict.told("KeyFellBack", "device") == [new[1]]
    hana = grown(strict, "hana")
    confirm(strict, hana, "dee", new, hana[0])
    assert signs(strict, "dee", new[1], new[0].key) == "", "whoever confirms it anew has looked at it"


def test_what_a_key_opened_by_a_word_that_fell_is_taken_back_while_the_record_is_hidden(strict: Lab) -> None:
    chi, new = grown(strict, "chi"), enrolled(strict, "dee")
    thief = strict.sign_in("chi")
    confirm(strict, chi, "dee", new, thief)
    session = opens(strict, new)
    says_stolen(strict, "chi", name(thief))
    with hidden(strict, "identity_principal", "dee"):
        read_on(strict)
        assert ends(strict, session) == ["own", "foreign"]


def test_a_key_that_was_rightly_confirmed_counts_on_though_its_persons_record_was_hidden(strict: Lab) -> None:
    grown(strict, "dee")
    chi, hana, new, young = (
        grown(strict, "chi"),
        grown(strict, "hana"),
        enrolled(strict, "dee"),
        enrolled(strict, "dee"),
    )
    thief = strict.sign_in("chi")
    confirm(strict, chi, "dee", new, thief)
    confirm(strict, hana, "dee", new, hana[0])
    says_stolen(strict, "chi", name(thief))
    with hidden(strict, "identity_principal", "dee"):
        read_on(strict)
    for _ in range(2):
        again(strict)
    strict.clock.advance(2 * DAY)
    assert signs(strict, "dee", new[1], new[0].key) == signs(strict, "dee", young[1], young[0].key) == ""
    assert strict.told("KeyFellBack", "waits") == [False] and strict.told("DeviceEnded", "device") == []


def test_what_waits_for_a_broken_record_holds_up_nobody_and_is_forgotten_at_last(strict: Lab) -> None:
    key, stolen = kept_key(strict)
    says_stolen(strict, "dee", stolen)
    strict.sql("UPDATE identity_principal SET body = body || ' ' WHERE principal = 'dee'")
    read_on(strict)
    before = len(strict.log())
    strict.clock.advance(2 * MINUTE)
    for _ in range(3):
        again(strict)
    assert memory(strict.system).owed() == () and len(strict.log()) == before
    assert [person for _, person in redoing._due(strict.system)] == ["dee"]
    memory(strict.system).forget(strict.clock.now() + KEPT)
    assert redoing._due(strict.system) == [], key


def test_a_line_that_still_cannot_be_carried_out_is_not_told_of_at_each_round(strict: Lab) -> None:
    def refuse(unit: Unit, entry: audit.Entry) -> None:
        raise refused("device", entry.kind, "the certificate does not hold")

    strict.sign_in("dee")
    with begin(strict.system) as unit:
        redoing.carrying_out(unit, 0)
        redoing.unread(unit, "dee")
    before = len(strict.log())
    assert redoing.redo(strict.system, refuse) == 0 and len(strict.log()) == before
    assert redoing._due(strict.system) == [(0, "dee")]


def test_what_a_key_opened_in_a_session_whose_row_was_edited_meanwhile_falls_once_it_is_believed(
    strict: Lab,
) -> None:
    """Attack: edit the row of the session in which a key acted, so that nobody can tell whether that was ended."""
    chi, new = grown(strict, "chi"), enrolled(strict, "dee")
    thief = strict.sign_in("chi")
    confirm(strict, chi, "dee", new, thief)
    session = opens(strict, new)
    says_stolen(strict, "chi", name(thief))
    with hidden(strict, "identity_session", session, "edited"):
        read_on(strict)
    for _ in range(2):
        again(strict)
    assert ends(strict, session) == ["own", "foreign"]
