"""What makes the console safe to decide in: nothing typed is lost, nothing irreversible is one slip away, and the way
back from a refusal leads to a page."""

from __future__ import annotations

import re

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.web.device import Device
from tests.web.test_pages import ASK, REASON, ask
from tests.web.world import World, field
from weighthouse.access import api as access
from weighthouse.core.caller import SYSTEM, Assurance, Caller
from weighthouse.core.ids import PrincipalId, new_id
from weighthouse.core.work import begin, read
from weighthouse.detect import api as detect
from weighthouse.detect.model import ELSEWHERE, Incident
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse.policy import api as policy
from weighthouse.web import words
from weighthouse.web.headers import SecurityHeaders


def alarm(world: World, person: str, session: str = "") -> str:
    """Put one alert on record, as a detection would."""
    incident = Incident(
        rule=ELSEWHERE, key=new_id("ses"), severity="high", principal=person, session=session, evidence=(1,),
        text="A session was used from elsewhere.",
    )  # fmt: skip
    with begin(world.system, SYSTEM) as unit:
        return detect.record(unit, incident, (), ()).id


def test_a_refused_request_comes_back_with_everything_that_was_typed(world: World) -> None:
    ada = world.browser("ada")
    short = world.send(ada, "/sessions", "/request", {**ASK, "reason": "because"})
    assert short.status_code == 400 and "access." in short.text
    assert ">because</textarea>" in short.text and 'value="7200000" selected' in short.text
    ask(world, ada)
    again = world.send(ada, "/sessions", "/request", ASK)
    assert again.status_code == 409 and "access.already_pending" in again.text
    assert REASON in again.text
    assert len(world.facts("access.RequestSubmitted")) == 1


def test_a_form_that_was_refused_leads_back_to_its_page_and_never_to_a_place_that_only_takes_forms(
    world: World,
) -> None:
    gil = world.browser("gil")
    page = {"Referer": world.origin + "/committee?done=opened"}
    refused = world.send(gil, "/committee", "/committee/holds", {"model": "model/nothing", "reason": "x"}, **page)
    assert refused.status_code >= 400
    assert 'href="/committee?done=opened"' in refused.text
    elsewhere = {"Referer": world.origin + "/committee/motions"}  # answers POST alone
    refused = world.send(
        gil, "/committee", "/committee/holds", {"model": "model/nothing", "reason": "x"}, **elsewhere
    )
    assert 'href="/committee/motions"' not in refused.text


def test_after_a_second_factor_the_reader_is_on_the_page_again(world: World) -> None:
    gil = world.browser("gil")
    world.clock.advance(16 * 60_000)  # type: ignore[attr-defined]
    data = {"model": "model/tern", "reason": "Not yet."}
    refused = world.send(gil, "/committee", "/committee/holds", data, Referer=world.origin + "/committee")
    assert refused.status_code == 401 and 'href="/step-up?return_to=/committee"' in refused.text


@pytest.mark.parametrize(
    "referer",
    ["https://evil.example/committee", "{own}//evil.example/", "{own}.evil.example/", "javascript:alert(1)"],
)
def test_no_other_site_gets_into_the_way_back(world: World, referer: str) -> None:
    ada = world.browser("ada")
    page = ada.get("/resources/model/nothing", headers={"Referer": referer.format(own=world.origin)})
    assert page.status_code == 404
    assert "evil" not in page.text and "javascript:" not in page.text


def test_an_unknown_address_keeps_the_readers_own_navigation_and_tells_a_visitor_nothing(world: World) -> None:
    ada = world.browser("ada")
    lost = ada.get("/no/such/page")
    assert lost.status_code == 404 and 'href="/inbox"' in lost.text and "Sign out" in lost.text
    assert ada.get("/audit/abc").status_code == 422 and "Sign out" in ada.get("/audit/abc").text
    stranger = world.visitor().get("/no/such/page")
    assert stranger.status_code == 404 and "Sign out" not in stranger.text


def test_the_card_says_whose_approval_is_the_last_and_asks_for_a_factor_of_its_own(world: World) -> None:
    ada, ben = world.browser("ada"), world.browser("ben")
    card = ask(world, ada)
    page = ben.get(card).text
    assert "still waits for the other places" in page and "Yours to fill" in page
    assert "What is unusual" in page and "Load weights inside a run" in page and "No language model took part" in page
    digest = field(page, "digest")
    assert page.count(digest) >= 2  # in the form, and whole before the reader's eyes
    assert "takes a second factor given for exactly it" in page
    device = Device(world, "ben", ben)
    device.enrol()
    assert device.decide(card, "approve").status_code == 303
    confirmed = [text for fact in world.facts("identity.ActConfirmed") for text in fact["acts"]]
    assert confirmed[-1] == f"Vote to approve the request {card.rsplit('/', 1)[1]} ({digest})."


def test_the_count_in_the_navigation_is_the_length_of_the_inbox(world: World) -> None:
    ada = world.browser("ada")
    ask(world, ada)
    ask(world, ada, entitlement="tern-load")
    for name in ("ada", "ben", "gil"):
        caller = Caller(
            principal=PrincipalId(name),
            kind="person",
            account=policy.account_ref("dev", name),
            assurance=Assurance(2, world.clock.now(), "otp"),
        )
        with read(world.system) as unit:
            assert access.waiting(unit, caller) == len(access.inbox(unit, caller))
    with read(world.system) as unit:
        ben = Caller(
            principal=PrincipalId("ben"),
            kind="person",
            account=policy.account_ref("dev", "ben"),
            assurance=Assurance(2, unit.now, "otp"),
        )
        assert access.waiting(unit, ben) == 2 and access.waiting(unit, ben, limit=1) == 1


def test_a_responder_freezes_the_person_of_an_alert_and_reads_how_to_thaw_them(world: World) -> None:
    chi, eve = world.browser("chi"), world.browser("eve")
    alert = alarm(world, "eve")
    assert f'action="/alerts/{alert}/freeze"' in chi.get("/alerts").text
    frozen = world.send(chi, "/sessions", f"/alerts/{alert}/freeze", {"reason": "Confirmed by telephone."})
    assert frozen.status_code == 303, frozen.text
    assert eve.get("/sessions").status_code != 200
    assert "person is frozen" in chi.get("/alerts").text
    assert "weighthouse sessions thaw eve" in chi.get("/alerts").text
    thawed = world.send(chi, "/sessions", f"/alerts/{alert}/thaw", {"reason": "It was a test."})
    assert thawed.status_code == 404, "a session and a factor thaw nobody"


def test_a_responder_ends_the_session_of_an_alert(world: World) -> None:
    chi, eve = world.browser("chi"), world.browser("eve")
    session = re.search(r'action="/sessions/(ses_\w+)/end"', eve.get("/sessions").text)
    assert session
    alert = alarm(world, "eve", session.group(1))
    done = world.send(chi, "/sessions", f"/alerts/{alert}/end-session", {"reason": "Used from elsewhere."})
    assert done.status_code == 303, done.text
    assert eve.get("/sessions").status_code == 303


@pytest.mark.parametrize("act", ["freeze", "end-session", "acknowledge"])
@pytest.mark.parametrize("person", ["eve", "fay"])
def test_nobody_else_acts_on_an_alert_and_the_attempt_leaves_one_line(world: World, act: str, person: str) -> None:
    alert = alarm(world, "chi")
    client = world.browser(person)
    before = len(world.facts("access.Denied"))
    refused = world.send(client, "/sessions", f"/alerts/{alert}/{act}", {"reason": "Spite.", "note": "Spite."})
    assert refused.status_code == 403, refused.text
    assert len(world.facts("access.Denied")) == before + 1
    assert world.facts("identity.PersonFrozen") == [] and f'action="/alerts/{alert}/{act}"' not in refused.text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u3164b", "a⟦U+3164⟧b"),
        ("a\u2028b", "a⟦U+2028⟧b"),
        ("a\u200db", "a⟦U+200D⟧b"),
        ("a\ufe00b", "a⟦U+FE00⟧b"),
        ("\u2764\ufe0f", "\u2764\ufe0f"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + "⟦U+0301⟧" * 2),
        ("שָׁלוֹם", "שָׁלוֹם"),
    ],
)
def test_access_case_34_what_draws_nothing_or_too_much_becomes_a_mark(text: str, shown: str) -> None:
    assert words.plain(text) == shown


@given(st.text())
def test_a_name_in_a_sentence_is_isolated_and_has_no_markup(text: str) -> None:
    inside = str(words.named(text)).removeprefix("<bdi>").removesuffix("</bdi>")
    assert "<" not in inside and ">" not in inside


@pytest.mark.parametrize(
    ("agent", "shown"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 14_0) AppleWebKit/605 Version/18 Safari/605", "Safari on macOS"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/141.0 Safari/537.36 Edg/141.0", "Edge on Windows"),
        ("weighthouse-cli/1", "weighthouse-cli/1"),
        ("", "unnamed program"),
    ],
)  # fmt: skip
def test_a_user_agent_is_said_as_a_browser_and_a_system(agent: str, shown: str) -> None:
    assert words.browser(agent) == shown


def test_every_private_answer_is_kept_by_nobody_and_every_answer_gives_no_power_away(world: World) -> None:
    fay = world.browser("fay")
    paths = ("/", "/access", "/inbox", "/audit", "/audit/0", "/audit/0/proof.txt", "/audit/0/leaf.json", "/evidence")
    for path in (*paths, "/no/such", "/request?resource=none", "/api/v1/inbox"):
        answer = fay.get(path)
        assert answer.headers["cache-control"] == "no-store", path
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert (
            "camera=()" in answer.headers["permissions-policy"] and "usb=()" in answer.headers["permissions-policy"]
        )
        assert "data:" not in answer.headers["content-security-policy"]
        assert "strict-transport-security" not in answer.headers  # plain HTTP on loopback


@pytest.mark.parametrize("secure", [True, False])
def test_a_served_https_origin_is_told_to_stay_on_https(secure: bool) -> None:
    inner = Starlette(routes=[Route("/", lambda _: PlainTextResponse("x"))])
    app = SecurityHeaders(inner, form_targets=(), secure=secure, proof_nonce=lambda: "")
    client = httpx.Client(transport=InProcess(app, peer="127.0.0.1"), base_url="http://lab.example")
    assert ("strict-transport-security" in client.get("/").headers) is secure


def test_the_navigation_promises_no_page_that_answers_no(world: World) -> None:
    for person in ("ada", "ben", "chi", "dee", "fay", "gil", "kim"):
        client = world.browser(person)
        places = re.findall(r'<li><a href="(/[a-z]*)"', client.get("/").text)
        assert len(places) > 5
        for place in places:
            assert client.get(place).status_code == 200, f"{person}: {place}"


def test_a_red_team_sees_what_became_of_its_attacks_but_not_the_checks(world: World) -> None:
    kim, fay = world.browser("kim"), world.browser("fay")
    assert "Not run" in kim.get("/evidence").text and "E-17" not in kim.get("/evidence").text
    assert "E-17" in fay.get("/evidence").text
    before = len(world.facts("access.Denied"))
    assert world.send(kim, "/sessions", "/evidence/compute", {}).status_code == 403
    assert len(world.facts("access.Denied")) == before + 1
