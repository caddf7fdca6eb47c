"""A session whose row is hidden, or forgotten, when it is said to be stolen is over with all that goes with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.identity.hiding import hide, settled
from tests.identity.support import Lab
from tests.identity.test_covered_words import ends
from tests.identity.test_disowned_keys import confirm
from tests.identity.test_forgotten_beginnings import name
from tests.identity.test_new_keys import enrolled, grown, signs
from tests.identity.test_wider_sessions import alive, opened
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import NotFound, Unavailable
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api.settling import settle_accounts
from weighthouse.identity.ports import Memory
from weighthouse_sdk.client import DeviceKey

GONE, YOUNG = "identity.device_unknown", "identity.key_young"


@pytest.fixture
def any_strict(any_database: Database, clock: ManualClock, tmp_path: Path) -> Lab:
    """As in production, on both databases."""
    return Lab(any_database, clock, tmp_path, **{"identity.new_keys": "confirm"})


def session_hidden(lab: Lab, session: str) -> Callable[[], None]:
    return hide(lab, "identity_session", "id", session)


def say(lab: Lab, who: str, session: str, by: str = "security") -> None:
    """Somebody says that the session was stolen, and what follows it reads that."""
    if by == "its owner":
        lab.sign_in(who).post(f"sessions/{session}/end", {"reason": "not mine"})
    else:
        with begin(lab.system) as unit:
            api.end_session(unit, session, "not mine", lab.person("ada"), of=who)
    settled(lab)
    lab.clock.advance(MINUTE)


def said(lab: Lab, session: str) -> list[tuple[str, str]]:
    """By whom its ends were said, in the order of their lines, and what they say of it."""
    return [
        (str(one.data["by"]), str(one.data["whose"])) for one in lab.log("SessionEnded") if one.subject == session
    ]


def disowned(lab: Lab, session: str, who: str) -> bool:
    with read(lab.system) as unit:
        return api.disowned(unit, who, session, unit.now)


@pytest.mark.parametrize("by", ["its owner", "security"])
def test_a_session_that_is_hidden_while_it_is_ended_takes_the_others_of_its_key_along(
    any_strict: Lab, by: str
) -> None:
    lab, here = any_strict, any_strict.sign_in("dee")
    twin, other = lab.sign_in("dee", lab.client(key=here.key)), lab.sign_in("dee")
    stolen = name(here)
    settled(lab)
    back = session_hidden(lab, stolen)
    say(lab, "dee", stolen, by)
    say(lab, "dee", stolen, by)
    back()
    assert not alive(here) and not alive(twin)
    assert alive(other), "which is of another key, as the log tells"
    settled(lab)
    assert ends(lab, stolen) == ["foreign"], "one line, however often it is said"


def test_both_of_a_key_are_over_though_both_are_hidden_and_the_state_besides(any_strict: Lab) -> None:
    lab, here = any_strict, any_strict.sign_in("dee")
    twin, other = lab.sign_in("dee", lab.client(key=here.key)), lab.sign_in("dee")
    named = [name(one) for one in (here, twin, other)]
    settled(lab)
    back = [session_hidden(lab, one) for one in named]
    back.append(hide(lab, "identity_principal", "principal", "dee"))
    say(lab, "dee", named[0])
    for one in back:
        one()
    assert [disowned(lab, one, "dee") for one in named] == [True, True, False]


def test_of_a_browsers_hidden_session_nobody_knows_the_browser_so_all_others_end(strict: Lab) -> None:
    thief, other = strict.browser(), strict.browser()
    thief.sign_in("dee")
    other.sign_in("dee")
    stolen, here = str(thief.me().json()["session"]), strict.sign_in("dee")
    session_hidden(strict, stolen)
    here.post(f"sessions/{stolen}/end", {"reason": "not mine"})
    assert other.me().status_code == 401
    assert alive(here), "who says so goes on"


def test_a_browser_that_is_hidden_while_another_key_is_ended_costs_nobody_a_session(strict: Lab) -> None:
    browser, here, old = strict.browser(), strict.sign_in("dee"), enrolled(strict, "dee")
    browser.sign_in("dee")
    back = session_hidden(strict, str(browser.me().json()["session"]))
    here.post(f"devices/{old[1]}/end", {"reason": "stolen"})
    back()
    assert alive(here) and not alive(old[0])
    assert browser.me().status_code == 200, "it is no key's, as the log tells"


@pytest.mark.parametrize("hidden", [False, True], ids=["its row there", "its row gone"])
@pytest.mark.parametrize("retired", [True, False], ids=["retired", "as stolen"])
def test_a_key_that_is_hidden_while_it_is_ended_costs_no_session_but_its_own(
    strict: Lab, retired: bool, hidden: bool
) -> None:
    old, here = enrolled(strict, "dee"), strict.sign_in("dee")
    sessions = name(old[0]), name(here)
    back = hide(strict, "identity_device", "id", old[1]) if hidden else None
    here.post(f"devices/{old[1]}/end", {"reason": "an old laptop", "retired": retired})
    if back is not None:
        back()
    assert not alive(old[0]) and alive(here)
    assert [disowned(strict, one, "dee") for one in sessions] == [not retired, False]
    assert strict.told("DeviceEnded", "key") == [old[0].key.thumbprint]


@pytest.mark.parametrize("hidden", [False, True], ids=["its row there", "its row gone"])
@pytest.mark.parametrize("by", ["its owner", "security"])
def test_a_session_that_fell_with_a_key_and_is_gone_takes_its_twin_along_once_somebody_says_so(
    any_strict: Lab, by: str, hidden: bool
) -> None:
    lab = any_strict
    chi, key = grown(lab, "chi"), enrolled(lab, "dee")
    thief, here = lab.sign_in("chi"), lab.sign_in("dee")
    twin = lab.sign_in("dee", lab.client(key=here.key))
    confirm(lab, chi, "dee", key, thief)
    stolen = opened(lab, key, here)
    settled(lab)
    say(lab, "chi", name(thief))
    assert said(lab, stolen) == [("system", "foreign")] and alive(twin)
    if hidden:
        session_hidden(lab, stolen)
    say(lab, "dee", stolen, by)
    say(lab, "dee", stolen, by)
    assert not alive(twin)
    assert said(lab, stolen) == [("system", "foreign"), ("ada" if by == "security" else "dee", "foreign")]


@pytest.mark.parametrize("days", [5, 9])
def test_a_later_session_of_the_same_key_ends_though_the_row_was_forgotten_since(strict: Lab, days: int) -> None:
    here = strict.sign_in("dee")
    stolen = name(here)
    strict.clock.advance(days * DAY)
    api.tidy(strict.system)
    later, other = strict.sign_in("dee", strict.client(key=here.key)), strict.sign_in("dee")
    say(strict, "dee", stolen)
    assert not alive(later) and alive(other)
    say(strict, "dee", stolen)
    assert said(strict, stolen) == [("ada", "foreign")]


@pytest.mark.parametrize("hidden", ["its row there", "its row gone", "gone, and the memory lost", "edited"])
def test_a_key_ends_with_its_enrolment_though_the_row_of_that_session_is_gone(any_strict: Lab, hidden: str) -> None:
    """Attack: have the key confirmed by a thief, then by somebody who was deceived. The first word falls and takes
    along the session of the enrolment; then take its row away, so that what its person says of it meets nothing."""
    lab = any_strict
    chi, hana, key = grown(lab, "chi"), grown(lab, "hana"), enrolled(lab, "dee")
    thief = lab.sign_in("chi")
    confirm(lab, chi, "dee", key, thief)
    stolen = opened(lab, key, key[0])
    confirm(lab, hana, "dee", key, hana[0])
    settled(lab)
    say(lab, "chi", name(thief))
    assert signs(lab, "dee", key[1], key[0].key) == ""
    if hidden.endswith("edited"):
        lab.sql("UPDATE identity_session SET body = body || ' ' WHERE id = :i", i=stolen)
    elif hidden != "its row there":
        session_hidden(lab, stolen)
    for _ in range(2):
        say(lab, "dee", stolen)
        if hidden.endswith("lost"):
            lab.system.bind(Memory, FileMemory(lab.folder / "another.memory", now=lab.clock.now()))
    assert signs(lab, "dee", key[1], key[0].key) == GONE
    assert lab.told("DeviceEnded", "device") == [key[1]]
    assert said(lab, stolen) == [("system", "foreign"), ("ada", "foreign")]


@pytest.mark.parametrize("damage", ["signed out", "its row edited"])
def test_a_session_that_signed_out_and_was_edited_is_taken_back_still(strict: Lab, damage: str) -> None:
    thief = strict.sign_in("dee")
    stolen = name(thief)
    thief.sign_out()
    if damage != "signed out":
        strict.sql("UPDATE identity_session SET body = body || ' ' WHERE id = :i", i=stolen)
    say(strict, "dee", stolen)
    assert said(strict, stolen) == [("dee", "own"), ("ada", "foreign")]


@pytest.mark.parametrize("hidden", ["nothing", "the session", "the session and the state"])
@pytest.mark.parametrize("how", ["everything of theirs", "the one session"])
def test_a_detection_disowns_what_was_given_in_a_session_that_is_hidden(
    any_strict: Lab, how: str, hidden: str
) -> None:
    lab = any_strict
    chi, new = grown(lab, "chi"), enrolled(lab, "dee")
    gone = lab.sign_in("chi")
    thief, out = lab.sign_in("chi"), name(gone)
    gone.sign_out()
    confirm(lab, chi, "dee", new, thief)
    stolen, back = name(thief), []
    settled(lab)
    if hidden != "nothing":
        back += [session_hidden(lab, stolen), session_hidden(lab, out)]
    if hidden.endswith("state"):
        back.append(hide(lab, "identity_principal", "principal", "chi"))
    with begin(lab.system) as unit:
        if how == "the one session" and hidden != "nothing":
            with pytest.raises(NotFound):  # whose it is nobody says here, so all of theirs are ended then
                api.end_session(unit, stolen, "detect:bulk", SYSTEM)
        api.end_sessions_of(unit, "chi", "detect:bulk", SYSTEM)
    settled(lab)
    for one in back:
        one()
    settled(lab)
    assert not alive(thief) and disowned(lab, stolen, "chi")
    assert signs(lab, "dee", new[1], new[0].key) == YOUNG
    assert ends(lab, stolen) == ["foreign"] and ends(lab, out) == ["own"]


def test_a_session_that_was_only_condemned_by_its_id_is_ended_with_everything_still(strict: Lab) -> None:
    """Its row is hidden, and its person's state names it no more since they signed in elsewhere."""
    session = name(strict.sign_in("chi"))
    session_hidden(strict, session)
    strict.sign_in("chi")
    with begin(strict.system) as unit:
        with pytest.raises(NotFound):
            api.end_session(unit, session, "detect:bulk", SYSTEM)
        assert api.end_sessions_of(unit, "chi", "detect:bulk", SYSTEM) == 2
    assert said(strict, session) == [("system", "foreign")]


def test_what_signed_out_and_is_hidden_stays_as_it_was_though_the_memory_is_lost(strict: Lab) -> None:
    client = strict.sign_in("chi")
    session = name(client)
    client.sign_out()
    session_hidden(strict, session)
    strict.system.bind(Memory, FileMemory(strict.folder / "another.memory", now=strict.clock.now()))
    with begin(strict.system) as unit:
        assert api.end_sessions_of(unit, "chi", "detect:bulk", SYSTEM) == 0
    assert said(strict, session) == [("chi", "own")]


def test_what_was_done_in_a_hidden_session_that_is_ended_for_caution_stands(strict: Lab) -> None:
    thief = strict.sign_in("chi")
    session = name(thief)
    back = session_hidden(strict, session)
    with begin(strict.system) as unit:
        assert api.end_sessions_of(unit, "chi", "detect:elsewhere", SYSTEM, believed=True) == 1
    back()
    assert not alive(thief) and not disowned(strict, session, "chi")
    assert said(strict, session) == [("system", "own")]


@pytest.mark.parametrize("other", ["dee", "ada"])
def test_whoever_signs_in_at_a_browser_says_nothing_against_the_session_that_was_open_there(
    strict: Lab, other: str
) -> None:
    browser = strict.browser()
    browser.sign_in("dee")
    first = str(browser.me().json()["session"])
    dee, key = msgspec.structs.replace(strict.person("dee"), session=first), DeviceKey.generate()
    strict.confirm(dee, "device.enrol", key.thumbprint)
    with begin(strict.system) as unit:
        device = api.enrol_device(unit, dee, key.jwk, "the key of a browser").id
    with begin(strict.system) as unit:
        api.confirm_first_key(unit, "dee", device, mark=key.thumbprint, reason="seen in person")
    browser.sign_in(other)
    settled(strict)
    assert browser.me().json()["principal"] == other
    assert signs(strict, "dee", device, key) == "" and said(strict, first) == [(other, "own")]
    assert not disowned(strict, first, "dee")
    say(strict, "dee", first)
    assert signs(strict, "dee", device, key) == GONE, "and it can be said to be stolen still"
    assert said(strict, first) == [(other, "own"), ("ada", "foreign")]


def test_what_ended_along_with_another_is_said_to_be_stolen_still_and_once(strict: Lab) -> None:
    here = strict.sign_in("dee")
    first, twin = name(here), name(strict.sign_in("dee", strict.client(key=here.key)))
    for session in (first, twin, twin):
        say(strict, "dee", session)
        strict.system.bind(Memory, FileMemory(strict.folder / "another.memory", now=strict.clock.now()))
    assert (said(strict, first), said(strict, twin)) == ([("ada", "foreign")], [("ada", "foreign")] * 2)


def test_a_hidden_session_is_ended_with_everything_though_the_log_is_in_doubt(
    strict: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = name(strict.sign_in("dee"))
    session_hidden(strict, session)
    in_doubt(monkeypatch, "since")
    with begin(strict.system) as unit:
        api.end_sessions_of(unit, "dee", "detect:bulk", SYSTEM)
    monkeypatch.undo()
    assert said(strict, session) == [("system", "foreign")] and disowned(strict, session, "dee")


def in_doubt(monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    def tampered(*_: object, **__: object) -> None:
        raise Unavailable("audit.tampered", "An entry is missing.", "Restore it.")

    monkeypatch.setattr(audit.Lines, asked, tampered)


def test_what_is_said_twice_has_one_line_though_the_log_has_not_taken_the_first_yet(any_strict: Lab) -> None:
    lab = any_strict
    stolen = name(lab.sign_in("dee"))
    session_hidden(lab, stolen)
    for _ in range(2):
        with begin(lab.system) as unit:
            api.end_session(unit, stolen, "not mine", lab.person("ada"), of="dee")
    settled(lab)
    assert said(lab, stolen) == [("ada", "foreign")]


def test_a_hidden_session_costs_no_others_when_an_account_is_settled(strict: Lab) -> None:
    browser, here = strict.browser(), strict.sign_in("dee")
    browser.sign_in("dee")
    session_hidden(strict, str(browser.me().json()["session"]))
    with begin(strict.system) as unit:
        assert settle_accounts(unit, "dee") == 1
    assert alive(here)


def test_a_hidden_session_costs_no_others_when_a_key_is_retired_while_the_log_is_in_doubt(
    strict: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, here = enrolled(strict, "dee"), strict.sign_in("dee")
    session_hidden(strict, name(strict.sign_in("dee")))
    in_doubt(monkeypatch, "newest")
    with begin(strict.system) as unit:
        api.end_device_of(unit, "dee", old[1], "an old laptop", by=strict.person("dee"), retired=True)
    monkeypatch.undo()
    assert not alive(old[0]) and alive(here)


def test_a_session_of_long_ago_in_which_a_stolen_key_signed_costs_no_later_ones(strict: Lab) -> None:
    """Its row was forgotten in due time: what is said of the key alone says nothing of that session's own."""
    key, here = grown(strict, "dee"), strict.sign_in("dee")
    opened(strict, key, here)
    session = name(here)
    strict.clock.advance(30 * DAY)
    api.tidy(strict.system)
    later = strict.sign_in("dee", strict.client(key=here.key))
    strict.clock.advance(MINUTE)
    with begin(strict.system) as unit:
        api.end_device_of(unit, "dee", key[1], "stolen", by=strict.person("ada"), since=0)
    assert said(strict, session) == [("ada", "foreign")] and alive(later)
