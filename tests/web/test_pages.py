"""The main job through the pages alone, without JavaScript: ask, decide, hold, give back, and read what happened."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from tests.audit.support import verifier
from tests.web import world as worlds
from tests.web.device import Device
from tests.web.world import World, field
from weighthouse.app.initialise import EXAMPLE_LAB
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, MINUTE, ManualClock
from weighthouse.core.work import begin
from weighthouse.policy import api as policy
from weighthouse.web.words import stamp

REASON = "Fine-tune Tern for the December evaluation, ticket TRN-412."
ASK = {"resource": "model/tern", "entitlement": "tern-train", "duration": 2 * HOUR, "reason": REASON}


def ask(world: World, client: httpx.Client, **change: object) -> str:
    """Submit a request through the wizard's last page; return where it leads."""
    answer = world.send(client, "/sessions", "/request", {**ASK, **change})
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].split("?")[0]


def test_the_wizard_leads_from_a_search_to_a_submitted_request(world: World) -> None:
    ada = world.browser("ada")
    assert (
        '<a href="/request?resource=model/tern"><bdi>Tern</bdi></a>' in ada.get("/request", params={"q": "tern"}).text
    )
    roles = ada.get("/request", params={"resource": "model/tern"}).text
    assert roles.index("tern-load") < roles.index("tern-train") < roles.index("weights-admin")
    form = ada.get("/request", params={"resource": "model/tern", "entitlement": "tern-train"}).text
    assert 'name="reason"' in form and "one of <bdi>Weights stewards</bdi>" in form
    review = world.send(ada, "/sessions", "/request/review", ASK)
    assert "You ask for</span> <bdi>Train Tern</bdi>" in review.text and REASON in review.text
    assert world.facts("access.RequestSubmitted") == []
    changed = world.send(ada, "/sessions", "/request/change", ASK)
    assert f">{REASON}</textarea>" in changed.text
    card = ada.get(ask(world, ada)).text
    assert "This is your own request" in card and "Withdraw it" in card
    assert len(world.facts("access.RequestSubmitted")) == 1


def test_two_people_approve_on_the_card_with_their_own_devices_and_the_grant_shows(world: World) -> None:
    ada, ben, chi = (world.browser(person) for person in ("ada", "ben", "chi"))
    card = ask(world, ada)
    for person, client in (("ben", ben), ("chi", chi)):
        assert "Tern" in client.get("/inbox").text
        device = Device(world, person, client)
        assert device.enrol().status_code == 200
        answer = device.decide(card, "approve", comment="Fine by me.")
        assert answer.status_code == 303, answer.text
    assert "Nothing waits for you" in chi.get("/inbox").text
    assert ada.get(card).text.count("signed by their own device") == 2
    mine = ada.get("/access").text
    assert "Train Tern" in mine and "Give back" in mine
    assert "Approved by" in ben.get("/resources/model/tern").text
    grant = re.search(r'action="(/access/grt_\w+/give-back)"', mine)
    assert grant
    assert world.send(ada, "/access", grant.group(1), {}).status_code == 303
    assert "You hold no grant" in ada.get("/access").text


def test_a_denial_needs_one_voice_and_is_shown_with_its_words(world: World) -> None:
    ada, chi = world.browser("ada"), world.browser("chi")
    card = ask(world, ada)
    device = Device(world, "chi", chi)
    device.enrol()
    assert device.decide(card, "deny", comment="Not before the freeze.").status_code == 303
    shown = ada.get(card).text
    assert "denied" in shown and "Not before the freeze." in shown


def test_without_javascript_a_device_class_names_the_command_and_an_attested_class_has_the_form(world: World) -> None:
    ada, ben = world.browser("ada"), world.browser("ben")
    frontier = ben.get(ask(world, ada)).text
    assert re.search(r"data-unsigned.*weighthouse review", frontier, re.DOTALL)
    assert re.search(r'data-kind="device"[^>]* hidden>', frontier)
    with begin(world.system) as unit:
        text = EXAMPLE_LAB.read_text("utf-8")
        start = text.index("  wren-train:")
        asked = "approval:\n      steward: {team: weights-stewards, count: 1}"
        policy.store(unit, text[:start] + text[start:].replace("approval: none", asked, 1), "lab.yaml")
    card = ask(world, ada, resource="model/wren", entitlement="wren-train")
    page = ben.get(card).text
    assert 'data-kind="attested"' in page and "data-unsigned" not in page
    data = {"verdict": "approve", "digest": field(page, "digest"), "at": field(page, "at"), "comment": ""}
    answer = world.send(ben, card, f"{card}/vote", data)
    assert answer.status_code == 303, answer.text
    assert "attested by the server" in ada.get(card).text


def test_a_vote_without_a_signature_is_refused_on_a_device_class(world: World) -> None:
    ada, ben = world.browser("ada"), world.browser("ben")
    card = ask(world, ada)
    page = ben.get(card).text
    data = {"verdict": "approve", "digest": field(page, "digest"), "at": field(page, "at")}
    answer = world.send(ben, card, f"{card}/vote", data)
    assert answer.status_code == 403
    assert "access.attested_not_enough" in answer.text


def test_what_one_may_not_know_of_is_404(world: World) -> None:
    eve, ada = world.browser("eve"), world.browser("ada")
    card = ask(world, ada)
    kim = world.browser("kim")
    assert kim.get(card).status_code == 404
    assert kim.get("/resources/model/nothing").status_code == 404
    assert eve.get("/audit").status_code == 403


PAGES = {
    "ada": [
        "/",
        "/request",
        "/access",
        "/inbox",
        "/runs",
        "/runs/new",
        "/weights",
        "/committee",
        "/egress",
        "/sessions",
    ],
    "fay": [
        "/audit",
        "/audit?kind=identity.SessionStarted",
        "/audit/0",
        "/audit/0/proof.txt",
        "/alerts",
        "/evidence",
    ],
    "gil": ["/committee", "/evidence", "/inbox"],
    "chi": ["/alerts", "/audit", "/resources/lab", "/resources/dataset/stdlib"],
}


@pytest.mark.parametrize("person", PAGES)
def test_every_page_renders_for_the_people_it_is_for(world: World, person: str) -> None:
    client = world.browser(person)
    for path in PAGES[person]:
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text[:3000]}"
        if answer.headers["content-type"].startswith("text/html"):
            assert answer.text.count("<h1>") == 1 and "<main" in answer.text
            assert "None" not in re.sub(r"<[^>]+>", "", answer.text), path


def test_a_last_day_reads_as_the_day_that_the_text_names(world: World, clock: ManualClock) -> None:
    today = stamp(clock.now())[:10]
    text = EXAMPLE_LAB.read_text("utf-8").replace(
        "ivo: {kind: director, independent: false}", f'ivo: {{kind: director, independent: false, until: "{today}"}}'
    )
    with begin(world.system, SYSTEM) as unit:
        policy.store(unit, text.replace('expires: "2036-12-31"', f'expires: "{today}"'), "lab.yaml")
    clock.set((clock.now() // DAY) * DAY + DAY - 2 * MINUTE)
    gil = world.browser("gil")
    assert f"until the end of {today} UTC" in gil.get("/committee").text
    assert today in gil.get("/egress").text and "ended: refused" not in gil.get("/egress").text
    clock.advance(2 * MINUTE)
    assert "ended: refused" in gil.get("/egress").text


def test_the_committee_holds_a_release_and_lifts_it_by_a_signed_quorate_vote(world: World) -> None:
    gil, hana = world.browser("gil"), world.browser("hana")
    called = world.send(
        gil, "/committee", "/committee/holds", {"model": "model/tern", "reason": "Drill found a drip."}
    )
    assert called.status_code == 303, called.text
    page = gil.get("/committee").text
    hold = re.search(r'title="(hld_\w+)"', page)
    assert hold and "held" in page and "Held by the committee" in gil.get("/resources/model/tern").text
    motion = {"cls": "lift_hold", "subject": hold.group(1), "text": "Lift it after the retest."}
    assert world.send(gil, "/committee", "/committee/motions", motion).status_code == 303
    page = gil.get("/committee").text
    opened = re.search(r'action="(/committee/motions/mot_\w+)/ballot"', page)
    assert opened and "Count and close" not in page and "still to answer: <bdi>Gil (committee chair)</bdi>" in page
    close = opened.group(1) + "/close"
    early = world.send(gil, "/committee", close, {})
    assert early.status_code == 409 and "governance.no_quorum" in early.text
    for person, client in (("gil", gil), ("hana", hana)):
        device = Device(world, person, client)
        device.enrol()
        answer = device.decide("/committee", "for")
        assert answer.status_code == 303, answer.text
    assert "Count and close" in gil.get("/committee").text
    assert world.send(gil, "/committee", close, {}).status_code == 303
    assert "Held by" not in gil.get("/resources/model/tern").text


def test_a_member_sees_what_a_hold_would_stop_and_afterwards_what_it_has_stopped(world: World) -> None:
    gil, fay, ada = world.browser("gil"), world.browser("fay"), world.browser("ada")
    asked = {"model": "model/tern", "reason": "Drill <b>found</b> a drip."}
    before = len(world.facts("access.HoldPlaced"))
    would = gil.get("/committee/holds/new", params=asked).text
    assert "It stops weights.export." in would and "Drill &lt;b&gt;found" in would and "Call the hold" in would
    assert len(world.facts("access.HoldPlaced")) == before and gil.get("/committee").text.count("hld_") == 0
    assert ada.get("/committee/holds/new", params=asked).status_code == 403
    assert world.send(gil, "/committee", "/committee/holds", asked).status_code == 303
    hold = re.search(r'href="/committee/holds/(hld_\w+)"', gil.get("/committee").text)
    assert hold
    path = f"/committee/holds/{hold.group(1)}"
    assert "It has stopped nothing so far" in gil.get(path).text
    export = {
        **ASK,
        "entitlement": "tern-export",
        "duration": HOUR,
        "op_version": "ver_1",
        "op_destination": "x.example",
    }
    refused = world.send(ada, "/sessions", "/request", export)
    assert "access.held" in refused.text, refused.text
    for reader in (gil, fay):
        page = reader.get(path).text
        assert "stands" in page and "1 in all" in page and "request.submit" in page, page
    assert 'href="/audit/' in fay.get(path).text
    assert ada.get(path).status_code == 403 and path not in ada.get("/committee").text
    assert gil.get("/committee/holds/hld_nothing").status_code in (400, 404)


def test_ending_a_session_on_its_page_ends_it(world: World) -> None:
    here, there = world.browser("ada"), world.browser("ada")
    rows = re.findall(r"<tr>.*?</tr>", here.get("/sessions").text, re.DOTALL)
    other = next(row for row in rows if "/end" in row and "this one" not in row)
    path = re.search(r'action="(/sessions/ses_\w+/end)"', other)
    assert path
    assert world.send(here, "/sessions", path.group(1), {}).status_code == 303
    assert there.get("/sessions").status_code == 303
    assert here.get("/sessions").status_code == 200


@pytest.mark.parametrize(("form", "whose"), [({}, "foreign"), ({"retired": "yes"}, "own")])
def test_a_device_is_ended_on_its_page_as_stolen_or_as_retired(
    world: World, form: dict[str, str], whose: str
) -> None:
    ada = world.browser("ada")
    device = Device(world, "ada", ada)
    world.confirmed(ada, device.enrol)
    page = ada.get("/sessions").text
    assert "It was stolen, or is not yours" in page and 'name="retired"' in page
    answer = world.send(ada, "/sessions", f"/devices/{device.id}/end", form)
    assert answer.status_code == 303
    told = ada.get(answer.headers["location"]).text  # the session of whoever says so goes on
    assert ("is taken back" in told, "Nothing is said against" in told) == (whose == "foreign", whose == "own")
    assert [one["whose"] for one in world.facts("identity.DeviceEnded")] == [whose]


def test_access_case_34_what_people_write_is_inert_wherever_it_is_shown(world: World) -> None:
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg onload=alert(3)> please approve {{ 7*7 }}"
    ada = world.browser("ada")
    card = ask(world, ada, reason=attack)
    ben = world.browser("ben")
    for client, path in ((ada, card), (ben, card), (ben, "/inbox"), (ada, "/access"), (ben, "/")):
        page = client.get(path).text
        assert "<script>alert" not in page and "<img src=x" not in page and "<svg onload" not in page, path
        assert "&lt;script&gt;alert(1)" in page or path == "/access"
        assert "49 " not in page


def test_access_case_34_hidden_and_turning_characters_are_refused_or_shown_as_marks(world: World) -> None:
    ada = world.browser("ada")
    refused = world.send(ada, "/sessions", "/request", {**ASK, "reason": "Approve this \u202e evil reason here"})
    assert refused.status_code == 400 and "access.reason_hides" in refused.text
    review = world.send(ada, "/sessions", "/request/review", {**ASK, "reason": "Approve \u202e this"})
    assert "⟦U+202E⟧" in review.text


def test_a_hostile_user_agent_is_inert_on_the_sessions_page(world: World) -> None:
    agent, worlds.AGENT = worlds.AGENT, "<script>alert(1)</script>"
    try:
        page = world.browser("ada").get("/sessions").text
    finally:
        worlds.AGENT = agent
    assert "<script>alert" not in page and "&lt;script&gt;alert(1)" in page


def test_the_saved_proof_of_an_entry_convinces_the_separate_verifier(world: World, tmp_path: Path) -> None:
    fay = world.browser("fay")
    entry = next(entry for entry in fay.get("/audit").text.split('href="/audit/')[1:] if entry[0].isdigit())
    index = entry.split('"')[0]
    for name, path in (
        ("proof.txt", f"/audit/{index}/proof.txt"),
        ("log.vkey", "/audit/log.vkey"),
        ("leaf.json", f"/audit/{index}/leaf.json"),
    ):
        (tmp_path / name).write_bytes(fay.get(path).content)
    told = ("--proof", tmp_path / "proof.txt", "--leaf", tmp_path / "leaf.json", "--key", tmp_path / "log.vkey")
    good = verifier(*told)
    assert good.returncode == 0, good.stdout + good.stderr
    (tmp_path / "leaf.json").write_bytes(fay.get(f"/audit/{index}/leaf.json").content.replace(b'"', b"'", 1))
    assert verifier(*told).returncode == 1
