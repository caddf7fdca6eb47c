"""The risk check: unknown asks for a second factor, a thief's traces deny, and a failed detector never allows. What a
stranger can bring about asks for a second factor, and locks nobody out."""

from __future__ import annotations

import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.identity.support import ORIGIN, Browser, Lab
from weighthouse.core.clock import DAY, HOUR, MINUTE
from weighthouse.core.errors import Invalid
from weighthouse.core.work import begin
from weighthouse.identity import api
from weighthouse.identity.adapters.dev_idp.people import STEP
from weighthouse.identity.adapters.places import TablePlaces
from weighthouse.identity.model import Place
from weighthouse.identity.ports import Places
from weighthouse.identity.rules.arrival import origin_of
from weighthouse.identity.rules.risk import Around, Attempt, Success, distance_km, judge

NOW = 1_790_000_000_000
AMSTERDAM, LONDON, SYDNEY = (52_370, 4_900, 20), (51_500, -120, 20), (-33_870, 151_200, 20)
HOME = Place(network="home", country="NL", known=True, spot=AMSTERDAM)
PAST = Success(at=NOW - DAY // 2, device="key-1", network="home", country="NL", spot=AMSTERDAM)
CALM = Around(failing_people=0, lab_sign_ins=500, country_seen=True)
SPRAYED = Around(failing_people=5, lab_sign_ins=500, country_seen=True)
ABROAD = Place(network="hotel", country="AU", known=True, spot=SYDNEY)


def attempt(device: str = "key-1", place: Place | None = HOME, level: int = 1, at: int = NOW) -> Attempt:
    return Attempt(at=at, device=device, place=place, level=level)


TABLE = {
    "the usual": (attempt(), [PAST], CALM, "allow", []),
    "first time": (attempt(), [], CALM, "step_up", ["first_sign_in"]),
    "new device": (attempt("key-2"), [PAST], CALM, "step_up", ["new_device"]),
    "no device": (attempt(""), [PAST], CALM, "step_up", ["new_device"]),
    "new network": (attempt(place=Place(network="cafe", country="NL", known=True)), [PAST], CALM, "step_up", ["new_network"]),
    "unknown place": (attempt(place=Place(network="home")), [PAST], CALM, "step_up", ["place_unknown"]),
    "new country": (
        attempt(place=Place(network="home", country="DE", known=True)), [PAST], CALM, "step_up", ["new_country"],
    ),
    "dormant": (attempt(), [Success(at=NOW - 91 * DAY, device="key-1", network="home", country="NL")], CALM, "step_up", ["dormant"]),
    "spray, known device": (attempt(), [PAST], SPRAYED, "step_up", ["spray"]),
    "spray, new device": (attempt("key-2"), [PAST], SPRAYED, "step_up", ["new_device", "spray"]),
    "spray, first time": (attempt(), [], SPRAYED, "step_up", ["first_sign_in", "spray"]),
    "four people failing": (attempt(), [PAST], Around(failing_people=4, lab_sign_ins=500, country_seen=True), "allow", []),
    "impossible travel, known device": (
        attempt(place=ABROAD), [PAST], CALM, "step_up", ["new_network", "new_country", "impossible_travel"],
    ),
    "impossible travel, new device": (
        attempt("key-2", ABROAD), [PAST], CALM, "deny", ["impossible_travel", "new_device", "new_network", "new_country"],
    ),
    "a country nobody comes from": (
        attempt("key-2", Place(network="home", country="KP", known=True)), [PAST],
        Around(failing_people=0, lab_sign_ins=50, country_seen=False), "deny", ["new_country_for_lab", "new_device", "new_country"],
    ),
    "a young lab knows no countries": (
        attempt(place=Place(network="home", country="KP", known=True)), [PAST],
        Around(failing_people=0, lab_sign_ins=49, country_seen=False), "step_up", ["new_country"],
    ),
    "no address facts": (attempt(place=None), [PAST], CALM, "step_up", ["detector_failed"]),
    "no history": (attempt(), None, CALM, "step_up", ["detector_failed"]),
    "no surroundings": (attempt(), [PAST], None, "step_up", ["detector_failed"]),
    "demand is met": (attempt("key-2", level=2), [PAST], CALM, "allow", ["new_device"]),
    "so is one amid a spray": (attempt("key-2", level=2), [PAST], SPRAYED, "allow", ["new_device", "spray"]),
    "denial is not": (
        attempt("key-2", ABROAD, level=2), [PAST], SPRAYED, "deny",
        ["impossible_travel", "new_device", "new_network", "new_country", "spray"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_identity_case_41_risk_verdicts(name: str) -> None:
    tried, history, around, outcome, codes = TABLE[name]
    verdict = judge(tried, history, around)
    assert (verdict.outcome, list(verdict.codes())) == (outcome, codes)


def test_identity_case_41_travel_is_impossible_above_eight_hundred_kilometres_an_hour() -> None:
    km = distance_km(AMSTERDAM, SYDNEY) - 40
    assert 16_500 < km < 16_700 and distance_km(AMSTERDAM, LONDON) < 500
    too_fast = km * HOUR // 800
    for at, found in ((PAST.at + too_fast, True), (PAST.at + too_fast + 1000, False)):
        codes = judge(attempt(place=ABROAD, at=at), [PAST], CALM).codes()
        assert ("impossible_travel" in codes) is found
    near = Place(network="home", country="NL", known=True, spot=LONDON)
    assert "impossible_travel" not in judge(attempt(place=near, at=PAST.at + 1), [PAST], CALM).codes()


@given(
    device=st.sampled_from(["", "key-1", "key-2"]),
    place=st.sampled_from([None, HOME, ABROAD, Place(network="x")]),
    history=st.none() | st.lists(st.sampled_from([PAST]), max_size=2),
    around=st.none() | st.sampled_from([CALM, SPRAYED]),
)
def test_one_factor_is_enough_only_when_nothing_is_new_unknown_or_broken(
    device: str, place: Place | None, history: list[Success] | None, around: Around | None
) -> None:
    verdict = judge(attempt(device, place), history, around)
    if verdict.outcome == "allow":
        assert (device, place, bool(history), around) == ("key-1", HOME, True, CALM)
        assert verdict.reasons == ()
    second = judge(attempt(device, place, level=2), history, around)
    assert second.outcome == ("deny" if verdict.outcome == "deny" else "allow")


@given(
    device=st.sampled_from(["", "key-1", "key-2"]),
    place=st.sampled_from([None, HOME, ABROAD, Place(network="x")]),
    history=st.none() | st.lists(st.sampled_from([PAST]), max_size=2),
    failing=st.integers(0, 100_000),
    level=st.sampled_from([1, 2]),
)
def test_whoever_fails_from_an_address_denies_nobody_behind_it(
    device: str, place: Place | None, history: list[Success] | None, failing: int, level: int
) -> None:
    """Names can be invented without end: with any number of them, only one's own history denies."""
    sprayed = Around(failing_people=failing, lab_sign_ins=500, country_seen=True)
    calm = judge(attempt(device, place, level), history, CALM)
    amid = judge(attempt(device, place, level), history, sprayed)
    assert (amid.outcome == "deny") is (calm.outcome == "deny")
    if level == 2:
        assert amid.outcome == calm.outcome


def test_places_come_from_the_operators_table_and_everything_else_is_unknown(lab: Lab) -> None:
    table = lab.folder / "places.csv"
    table.write_text(
        "range,network,country\n198.51.100.0/24,office,NL,52.37,4.9,20\n198.51.100.7/32,guest,NL\n2001:db8::/32,office6,NL\n"
    )
    places = TablePlaces(table)
    assert places.place("198.51.100.1") == Place(network="office", country="NL", known=True, spot=(52370, 4900, 20))
    assert places.place("198.51.100.7").network == "guest"
    assert places.place("::ffff:198.51.100.1").network == "office"
    assert places.place("127.0.0.1") == places.place("::1") == Place(network="local", known=True)
    assert not places.place("8.8.8.8").known and places.place("8.8.8.8").network == "8.8.8.0/24"
    for bad in ("198.51.100.0/33,x,NL", "198.51.100.0/24,x", "198.51.100.0/24,x,NL,a,b,c"):
        table.write_text(f"range,network,country\n{bad}\n")
        with pytest.raises(Invalid) as refusal:
            TablePlaces(table)
        assert "places.csv:2" in refusal.value.message
    with pytest.raises(Invalid):
        TablePlaces(lab.folder / "absent.csv")


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("64:ff9b::198.51.100.7", "198.51.100.7"),
        ("2002:c633:6407:aaaa::9", "198.51.100.7"),
        ("2001:db8:0:7::1", "2001:db8:0:7::/64"),
        ("2001:DB8::7:ffff:ffff:ffff:ffff", "2001:db8:0:7::/64"),
        ("2001:db8:0:8::1", "2001:db8:0:8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (" 198.51.100.7 ", "198.51.100.7"),
        ("not an address", "not an address"),
    ],
)
def test_identity_case_41_an_ipv6_address_counts_as_its_64(address: str, origin: str) -> None:
    assert origin_of(address) == origin


def test_identity_case_41_rotating_inside_a_64_hides_no_failures_from_the_risk_check(lab: Lab) -> None:
    with begin(lab.system) as unit:
        for number, who in enumerate(("ada", "ben", "chi", "dee", "gil")):
            reported = api.SignInResult(
                issuer="dev",
                subject=who,
                address=f"2001:db8:0:7::{number}",
                user_agent="spray",
                outcome="failure",
                reason="bad password",
                event_id=who,
            )
            assert api.record_sign_in(unit, reported)
    assert len({entry.data["origin"] for entry in lab.log("SignInFailed")}) == 1
    settled(lab, "eve", "2001:db8:0:7:dead::beef")
    assert "spray" in lab.log("StepUpDemanded")[-1].data["reasons"]


class Broken:
    def place(self, address: str) -> Place:
        raise OSError("table gone")


def test_identity_case_41_a_broken_detector_asks_for_a_second_factor(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    lab.system.bind(Places, Broken())
    answer = browser.get(browser.to_callback(browser.get("/login").headers["location"], "ada"))
    assert "acr_values=c2" in answer.headers["location"]
    assert lab.log("StepUpDemanded")[-1].data["reasons"][0] == "detector_failed"


def test_history_put_in_by_hand_makes_no_device_familiar(lab: Lab) -> None:
    lab.browser().sign_in("chi")
    row = dict(lab.sql("SELECT * FROM identity_result WHERE outcome = 'success'")[0]._mapping)
    body = json.loads(row["body"])
    for name, changed in (("a", {**body, "person": "ada"}), ("b", body)):
        row |= {"id": name, "person": "ada", "body": json.dumps(changed, sort_keys=True, separators=(",", ":"))}
        marks = ", ".join(":" + key for key in row)
        lab.sql(f"INSERT INTO identity_result ({', '.join(row)}) VALUES ({marks})", **row)
    browser = lab.browser()
    browser.get(browser.to_callback(browser.get("/login").headers["location"], "ada"))
    assert lab.log("StepUpDemanded")[-1].data["reasons"] == ["first_sign_in"]


def typed(browser: Browser, who: str, password: str, code: str = "") -> httpx.Response:
    """What the provider answers to its form."""
    page = browser.get(browser.get("/login").headers["location"]).text
    form = {"handle": page.split('name="handle" value="')[1].split('"')[0], "account": who}
    return browser.send("POST", page.split('action="')[1].split('"')[0], {**form, "password": password, "code": code})


def spray(browser: Browser, people: list[str]) -> list[httpx.Response]:
    return [typed(browser, who, "Winter2026!") for who in people]


OFFICE = "192.168.1.1"
INVENTED = [f"nobody{number}" for number in range(12)]


def settled(lab: Lab, who: str, peer: str) -> httpx.Response:
    """Sign in on a strange device with one factor; the answer leads on to the second."""
    browser = lab.browser(peer=peer)
    lab.clock.advance(STEP)
    answer = browser.get(browser.to_callback(browser.get("/login").headers["location"], who))
    assert "acr_values=c2" in answer.headers["location"]
    return answer


def test_a_password_that_was_sprayed_opens_nothing_and_colleagues_keep_working(lab: Lab) -> None:
    colleague = lab.browser(peer=OFFICE)
    colleague.sign_in("ada")
    thief = lab.browser(peer=OFFICE)
    answers = spray(thief, ["ada", "ben", "chi", "dee", "gil", "gil"])
    assert {answer.status_code for answer in answers} == {403}
    assert [entry.data["source"] for entry in lab.log("SignInFailed")] == ["provider"] * 6
    assert len({entry.data["origin"] for entry in lab.log("SignInFailed")}) == 1

    started = len(lab.log("SessionStarted"))
    on = settled(lab, "eve", OFFICE)  # the guess that is right, and no second factor
    assert "spray" in lab.log("StepUpDemanded")[-1].data["reasons"]
    with pytest.raises(AssertionError, match="not right"):
        thief.to_callback(on.headers["location"], "eve", code="000000")
    assert len(lab.log("SessionStarted")) == started

    again = colleague.get(colleague.to_callback(colleague.get("/login").headers["location"], "ada"))
    assert "acr_values=c2" in again.headers["location"]
    lab.clock.advance(HOUR)
    again = colleague.get(colleague.to_callback(colleague.get("/login").headers["location"], "ada"))
    assert again.headers["location"] == "/"


@pytest.mark.parametrize("known", [True, False], ids=["a device of theirs", "a new laptop"])
def test_g8_a_stranger_who_invents_names_locks_nobody_of_the_office_out(lab: Lab, known: bool) -> None:
    """The finding: five wrong passwords an hour, with names that exist nowhere, kept everybody with a new device out of
    the office, whatever they could show."""
    colleague = lab.browser(peer=OFFICE)
    if known:
        colleague.sign_in("eve")
    for _ in range(3):
        spray(lab.browser(peer=OFFICE), INVENTED)
        answer = colleague.sign_in("eve")  # with the second factor that is asked for
        assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
        assert colleague.me().json()["principal"] == "eve"
        lab.clock.advance(20 * MINUTE)
    assert lab.log("SignInDenied") == []
    assert "spray" in lab.log("SessionStarted")[-1].data["reasons"]


def test_the_same_report_of_a_failure_counts_once(lab: Lab) -> None:
    result = api.SignInResult(
        issuer="dev",
        subject="ada",
        address="10.1.1.1",
        user_agent="x\ny",
        outcome="failure",
        reason="bad",
        event_id="e1",
    )
    with begin(lab.system) as unit:
        assert [api.record_sign_in(unit, result) for _ in range(3)] == [True, False, False]
    assert len(lab.log("SignInFailed")) == 1 and lab.log("SignInFailed")[0].data["principal"] == "ada"


def test_identity_case_49_unknown_wrong_and_locked_look_the_same_at_the_provider(lab: Lab) -> None:
    browser = lab.browser()
    unknown, wrong = spray(browser, ["nobody", "ada"])
    assert unknown.status_code == wrong.status_code == 403
    spray(browser, ["ada"] * 4)
    start = browser.get("/login").headers["location"]
    with pytest.raises(AssertionError, match="not right, or is locked"):
        browser.to_callback(start, "ada")  # the right password, alone, and too late
    lab.clock.advance(15 * MINUTE)
    assert browser.to_callback(browser.get("/login").headers["location"], "ada").startswith(
        ORIGIN + "/callback?code="
    )
    strip = [answer.text.split("<form")[0] for answer in (unknown, wrong)]
    assert strip[0] == strip[1] and abs(len(unknown.text) - len(wrong.text)) == 0


def test_g8_a_stranger_who_knows_a_name_does_not_lock_its_owner_out_at_the_provider(lab: Lab) -> None:
    """Five wrong passwords locked the account for a quarter of an hour, whoever had typed them and from wherever."""
    spray(lab.browser(), ["ada"] * 30)
    owner = lab.browser()
    target = owner.to_callback(owner.get("/login").headers["location"], "ada", code=lab.code("ada"))
    lab.clock.advance(STEP)
    answer = owner.get(owner.to_callback(owner.get(target).headers["location"], "ada", code=lab.code("ada")))
    assert answer.headers["location"] == "/" and owner.me().json()["principal"] == "ada"
    spray(lab.browser(), ["ben"] * 30)
    assert lab.sign_in("ben").get("me")["principal"] == "ben"  # and so does a command line, which is told no once


def test_codes_are_not_guessed_by_whoever_has_the_password_and_nobody_else_locks_them(lab: Lab) -> None:
    owner = lab.browser()

    def guess(password: str, code: str) -> httpx.Response:
        return typed(owner, "ada", password, code)

    right = lab.secret("ada").password
    for number in range(30):
        assert guess("Winter2026!", f"{number:06d}").status_code == 403
    assert guess(right, lab.code("ada")).status_code == 303
    for number in range(5):
        assert guess(right, f"{number:06d}").status_code == 403
    spray(lab.browser(), INVENTED * 2)  # nor do invented names push the count out
    assert guess(right, lab.code("ada")).status_code == 403
    lab.clock.advance(15 * MINUTE)
    assert guess(right, lab.code("ada")).status_code == 303


def test_whoever_asks_the_provider_without_end_empties_nobody_elses_desk(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weighthouse.identity.adapters.dev_idp.desk.MOST", 8)
    flood, colleague = lab.browser(), lab.browser()
    for _ in range(7):
        flood.get(flood.get("/login").headers["location"])
    page = colleague.get(colleague.get("/login").headers["location"]).text
    for _ in range(7):
        flood.get(flood.get("/login").headers["location"])
    form = {"handle": page.split('name="handle" value="')[1].split('"')[0], "account": "ada", "code": ""}
    form["password"] = lab.secret("ada").password
    assert colleague.send("POST", page.split('action="')[1].split('"')[0], form).status_code == 303
