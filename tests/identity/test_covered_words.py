"""What a key did by a thief's word alone falls, whatever the key was made to look like since; by an honest one it stays."""

from __future__ import annotations

import msgspec
import pytest

from tests.identity.support import Lab
from tests.identity.test_disowned_keys import caller, confirm, follow
from tests.identity.test_fallen_keys import Key
from tests.identity.test_forgotten_beginnings import name, opens, retire, taken_back
from tests.identity.test_keys_aside import opening
from tests.identity.test_new_keys import enrolled, grown, signs
from tests.identity.test_signed_before import signed, thaws
from weighthouse.core.clock import DAY, HOUR, MINUTE
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.api import devices
from weighthouse.identity.events import DeviceEnrolled
from weighthouse_sdk.client import Client

COVERS = ("none", "retired", "stolen since now", "not me", "freeze", "confirmed again", "hidden and retired")
GONE = "identity.device_unknown"


def restore(lab: Lab, by: Key, session: Client, who: str, device: str) -> None:
    """In this session, with the key `by` of chi's, a key of `who` that is aside is let count again."""
    with read(lab.system) as unit:
        mark = devices.read_back(unit, device).thumbprint
    subject = f"{who}/{mark}"
    said = opening(lab, by, "person.key", subject)
    mine = caller(lab, "chi", session)
    lab.confirm(mine, "person.key", subject)
    with begin(lab.system) as unit:
        api.restore_key(unit, who, device, mine, signed=said)
    lab.clock.advance(MINUTE)


def aside(lab: Lab, how: str = "not me") -> None:
    if how == "not me":
        lab.sign_in("dee").post("sessions/not-me")
    else:
        with begin(lab.system) as unit:
            api.freeze(unit, "dee", "odd reads", "system")
    lab.clock.advance(MINUTE)


def cover(lab: Lab, key: Key, how: str) -> None:
    """What becomes of the key after it acted."""
    if how in ("not me", "freeze"):
        lab.clock.advance(10 * HOUR)  # its stop is not for what was done so long before
        aside(lab, how)
    if how.endswith("retired"):
        retire(lab, key)
    if how.startswith("hidden"):
        lab.sql(f"DELETE FROM identity_device WHERE id = '{key[1]}'")
    if how == "stolen since now":
        lab.sign_in("dee").post(f"devices/{key[1]}/end", {"reason": "covered up", "since": lab.clock.now()})
    if how == "confirmed again":
        hana = grown(lab, "hana")
        confirm(lab, hana, "dee", key, hana[0])
    lab.clock.advance(MINUTE)
    follow(lab)


def ends(lab: Lab, session: str) -> list[str]:
    return [str(one.data["whose"]) for one in lab.log("SessionEnded") if one.subject == session]


def let_count_again(lab: Lab) -> tuple[Key, str]:
    """A key of dee's that was rightly confirmed, set aside, and let count again in a session of chi's, a thief's."""
    chi, key = grown(lab, "chi"), grown(lab, "dee")
    lab.clock.advance(20 * DAY)
    aside(lab)
    here = lab.sign_in("chi")
    restore(lab, chi, here, "dee", key[1])
    return key, name(here)


@pytest.mark.parametrize("how", COVERS)
def test_what_a_key_did_that_a_thief_let_count_again_falls(strict: Lab, how: str) -> None:
    """Attack: an honest word of before the key was set aside answered for the thief's, once the key was over."""
    key, thief = let_count_again(strict)
    session = opens(strict, key)
    cover(strict, key, how)
    assert ends(strict, session) == ["own"]
    for _ in range(2):
        taken_back(strict, "chi", thief)
    assert ends(strict, session) == ["own", "foreign"]


@pytest.mark.parametrize("how", COVERS)
def test_what_a_key_did_that_was_rightly_let_count_again_stays(strict: Lab, how: str) -> None:
    key, thief = let_count_again(strict)
    session = opens(strict, key)  # by the thief's word alone
    gil = grown(strict, "gil")
    confirm(strict, gil, "dee", key, gil[0])
    rightly = opens(strict, key)
    cover(strict, key, how)
    taken_back(strict, "chi", thief)
    assert (ends(strict, session), ends(strict, rightly)) == (["own", "foreign"], ["own"])


@pytest.mark.parametrize("told", [True, False], ids=["its line names who watched", "an old line"])
@pytest.mark.parametrize("how", COVERS)
def test_what_a_key_did_that_grew_up_beside_a_thiefs_alone_falls(
    strict: Lab, monkeypatch: pytest.MonkeyPatch, how: str, told: bool
) -> None:
    """Attack: enrol one key, have it confirmed in a stolen session, and let the next grow up under its eyes."""
    if not told:
        monkeypatch.setattr(devices, "_enrolled", _of_before)
    chi, one = grown(strict, "chi"), enrolled(strict, "dee")
    thief = strict.sign_in("chi")
    confirm(strict, chi, "dee", one, thief)
    beside, named = enrolled(strict, "dee"), name(thief)
    one[0].sign_out()
    beside[0].sign_out()
    strict.clock.advance(2 * DAY)
    session = opens(strict, beside)
    cover(strict, beside, how)
    assert ends(strict, session) == ["own"]
    taken_back(strict, "chi", named)
    assert ends(strict, session) == ["own", "foreign"]


def _of_before(device: api.Device, _: object) -> DeviceEnrolled:
    class Old(DeviceEnrolled, frozen=True, kw_only=True, omit_defaults=True):
        pass

    return Old(
        device=device.id,
        principal=device.person,
        thumbprint=device.thumbprint,
        name=device.name,
        session=device.session,
    )


@pytest.mark.parametrize("told", [True, False], ids=["its line names who watched", "an old line"])
def test_what_a_key_did_that_grew_up_beside_an_honest_one_stays(
    strict: Lab, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    if not told:
        monkeypatch.setattr(devices, "_enrolled", _of_before)
    aside(strict)  # of before there was any key
    chi, own = grown(strict, "chi"), grown(strict, "dee")
    new, thief = enrolled(strict, "dee"), strict.sign_in("chi")
    named = name(thief)
    confirm(strict, chi, "dee", new, thief)
    for one in (own, new):
        one[0].sign_out()
    young = opens(strict, new)
    strict.clock.advance(2 * DAY)
    session = opens(strict, new)
    retire(strict, new)
    taken_back(strict, "chi", named)
    assert (ends(strict, young), ends(strict, session)) == (["own", "foreign"], ["own"])


def test_a_key_grows_up_by_no_eyes_that_were_gone_before(strict: Lab) -> None:
    """Attack: end the honest key under whose eyes the thief's grows; it waits, and a stolen word alone lets it count."""
    chi, own = grown(strict, "chi"), grown(strict, "dee")
    new = enrolled(strict, "dee")
    retire(strict, own)
    new[0].sign_out()
    strict.clock.advance(2 * DAY)
    thief = strict.sign_in("chi")
    named = name(thief)
    confirm(strict, chi, "dee", new, thief)
    session = opens(strict, new)
    retire(strict, new)
    taken_back(strict, "chi", named)
    assert ends(strict, session) == ["own", "foreign"]


@pytest.mark.parametrize("first", ["where it was enrolled", "where it was let count again"])
def test_in_whichever_order_the_ends_come_the_same_falls(strict: Lab, first: str) -> None:
    chi, stolen = grown(strict, "chi"), strict.sign_in("dee")
    key = (stolen, str(stolen.enrol("laptop")["id"]))
    confirm(strict, chi, "dee", key, chi[0])  # chi was deceived
    where = name(stolen)
    session = opens(strict, key)
    stolen.sign_out()
    strict.clock.advance(10 * HOUR)
    aside(strict)
    here = strict.sign_in("chi")
    restore(strict, chi, here, "dee", key[1])
    again = opens(strict, key)
    turns = [("dee", where), ("chi", name(here))]
    for who, one in turns if first == "where it was enrolled" else turns[::-1]:
        taken_back(strict, who, one)
    assert (ends(strict, session), ends(strict, again)) == (["own", "foreign"], ["own", "foreign"])
    assert signs(strict, "dee", key[1], key[0].key) == GONE


@pytest.mark.parametrize("later", ["a word", "a second person's word", "a day"])
def test_what_a_key_did_before_it_counted_rightly_falls_though_it_counts(strict: Lab, later: str) -> None:
    """Attack: have the key confirmed once more, or let it grow a day old, and what it opened before is forgotten."""
    own, new, gil = grown(strict, "dee"), enrolled(strict, "dee"), grown(strict, "gil")
    thief = strict.sign_in("dee")
    named = name(thief)
    new[0].sign_out()
    confirm(strict, own, "dee", new, thief)
    session = opens(strict, new)
    if later == "a day":
        strict.clock.advance(2 * DAY)
    else:
        by, here = (own, strict.sign_in("dee")) if later == "a word" else (gil, gil[0])
        confirm(strict, by, "dee", new, here)
    rightly = opens(strict, new)
    taken_back(strict, "dee", named)
    assert signs(strict, "dee", new[1], new[0].key) == "", "it counts on"
    assert (ends(strict, session), ends(strict, rightly)) == (["own", "foreign"], ["own"])


def test_a_key_counts_on_though_what_it_did_where_it_was_enrolled_fell(strict: Lab) -> None:
    """Who vouches for it now has looked at it; the session in which it was enrolled fell with what it did there."""
    gil, new = grown(strict, "gil"), enrolled(strict, "dee")
    chi = grown(strict, "chi")
    thief = strict.sign_in("chi")
    named, here = name(thief), name(new[0])
    confirm(strict, chi, "dee", new, thief)
    with begin(strict.system) as unit:
        api.freeze(unit, "eve", "odd reads", "system")
    strict.clock.advance(MINUTE)
    assert thaws(strict, caller(strict, "dee", new[0]), "eve", signed(strict, new, "dee", "eve")) == ""
    confirm(strict, gil, "dee", new, gil[0])
    rightly = opens(strict, new)
    for _ in range(2):
        taken_back(strict, "chi", named)
    assert (ends(strict, here), ends(strict, rightly)) == (["foreign"], ["own"])
    assert signs(strict, "dee", new[1], new[0].key) == ""
    assert [one for one in strict.told("KeyFellBack", "act") if one == "enrol"] == ["enrol"]
    assert strict.told("DeviceEnded", "device") == []
    retire(strict, new)
    taken_back(strict, "chi", named)
    assert ends(strict, rightly) == ["own"], "nor does its end bring that back"


def test_what_a_key_did_before_it_fell_is_no_word_for_what_it_did_after(strict: Lab) -> None:
    """A key that fell back waits for somebody: it never grows up by itself, and what was said before counts no more."""
    chi, own = grown(strict, "chi"), grown(strict, "dee")
    new = enrolled(strict, "dee")
    new[0].sign_out()
    thieves = [strict.sign_in("dee"), strict.sign_in("chi")]
    named = [name(one) for one in thieves]
    confirm(strict, own, "dee", new, thieves[0])
    taken_back(strict, "dee", named[0])
    confirm(strict, chi, "dee", new, thieves[1])
    strict.clock.advance(2 * DAY)
    session = opens(strict, new)
    retire(strict, new)
    taken_back(strict, "chi", named[1])
    assert ends(strict, session) == ["own", "foreign"]
    assert [one.data["waits"] for one in strict.log("KeyFellBack")] == [True]


@pytest.mark.parametrize("whose", ["who confirmed it", "who enrolled it"])
def test_the_sessions_of_a_key_that_was_never_its_persons_fall_though_it_is_over(strict: Lab, whose: str) -> None:
    """Nothing was signed there; but whoever had the key had the session."""
    chi, new = grown(strict, "chi"), enrolled(strict, "dee")
    thief, enrolling = strict.sign_in("chi"), name(new[0])
    named = name(thief)
    confirm(strict, chi, "dee", new, thief if whose == "who confirmed it" else chi[0])
    new[0].sign_out()
    bound = name(strict.sign_in("dee", new[0]))
    new[0].sign_out()
    retire(strict, new)
    follow(strict)
    assert ends(strict, bound) == ["own"]
    taken_back(strict, *(("chi", named) if whose == "who confirmed it" else ("dee", enrolling)))
    assert ends(strict, bound) == ["own", "foreign"]


def test_a_line_of_a_fall_names_where_what_fell_was_said(strict: Lab) -> None:
    chi, new, gil = grown(strict, "chi"), enrolled(strict, "dee"), grown(strict, "gil")
    thief = strict.sign_in("chi")
    named = name(thief)
    confirm(strict, chi, "dee", new, thief)
    confirm(strict, gil, "dee", new, gil[0])
    taken_back(strict, "chi", named)
    line = strict.log("KeyFellBack")[0].data
    assert (msgspec.json.decode(msgspec.json.encode(line["sessions"])), line["waits"]) == ([named], False)
