"""The main job in a real browser under the strict policy: ask, approve with a key no script can read, hold, give back."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visits

pytestmark = pytest.mark.browser

REASON = "Fine-tune Tern for the December evaluation, ticket TRN-412."


def ask(page: Page) -> str:
    """Walk the wizard from the search to the card; return the card's path."""
    page.goto("/request")
    page.get_by_label("Search models").fill("tern")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Tern", exact=True).click()
    page.get_by_role("link", name="Train Tern").click()
    page.get_by_label("For how long").select_option(label="1 h")
    page.get_by_label("Why you need it").fill(REASON)
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_text("You ask for")).to_be_visible()
    page.get_by_role("button", name="Submit the request").click()
    expect(page.get_by_text("Submitted.")).to_be_visible()
    return page.url.split("?")[0]


def test_a_vote_is_signed_by_a_key_in_the_browser_and_two_of_them_start_the_grant(visits: Visits) -> None:
    ada = visits.sign_in(visits.context(), "ada")
    card = ask(ada)
    for person in ("ben", "chi"):
        page = visits.sign_in(visits.context(), person, "/inbox")
        page.get_by_role("link", name="Ada").click()
        expect(page.get_by_text("This browser has no key yet")).to_be_visible()
        page.get_by_label("Comment").fill("Agreed in the stand-up.")
        visits.decide(page, person, "Approve")
        expect(page.get_by_text("Your vote counts.")).to_be_visible()
        readable = page.evaluate(
            """async () => { const open = indexedDB.open("weighthouse", 1);
            await new Promise(done => open.onsuccess = done);
            const all = open.result.transaction("keys").objectStore("keys").getAll();
            await new Promise(done => all.onsuccess = done); return all.result[0].key.extractable; }"""
        )
        assert readable is False
    ada.goto(card)
    expect(ada.get_by_text("signed by their own device")).to_have_count(2)
    ada.goto("/access")
    ada.get_by_role("button", name="Give back").click()
    ada.get_by_role("button", name="Give it back").click()
    expect(ada.get_by_text("Given back.")).to_be_visible()
    signed = visits.world.facts("access.VoteCast")
    assert [vote["kind"] for vote in signed] == ["device", "device"]
    assert visits.complaints == []


def test_the_committee_votes_with_keys_of_its_own(visits: Visits) -> None:
    gil = visits.sign_in(visits.context(), "gil", "/committee")
    gil.get_by_label("Release of").select_option("model/tern")
    gil.get_by_label("Reason").fill("The drill of November found a slow drip.")
    gil.get_by_role("button", name="See what it would stop").click()
    gil.get_by_role("button", name="Call the hold").click()
    hold = gil.locator("code[title^='hld_']").first.get_attribute("title")
    assert hold
    gil.get_by_label("Class").select_option("lift_hold")
    gil.get_by_label("Subject").fill(hold)
    gil.get_by_label("Text").fill("Lift it after the retest.")
    gil.get_by_role("button", name="Open the motion").click()
    hana = visits.sign_in(visits.context(), "hana", "/committee")
    for page, person in ((gil, "gil"), (hana, "hana")):
        page.goto("/committee")
        visits.decide(page, person, "For")
        expect(page.get_by_text("Your ballot counts.")).to_be_visible()
    gil.goto("/committee")
    gil.get_by_role("button", name="Count and close", exact=True).click()
    gil.get_by_role("button", name="Count and close now").click()
    expect(gil.get_by_text("carried")).to_be_visible()
    assert visits.complaints == []


def test_everything_but_a_device_signature_works_without_javascript(visits: Visits) -> None:
    context = visits.context(javascript=False)
    ada = visits.sign_in(context, "ada")
    card = ask(ada)
    ben = visits.sign_in(visits.context(javascript=False), "ben", "/inbox")
    ben.get_by_role("link", name="Ada").click()
    expect(ben.get_by_text("weighthouse review").first).to_be_visible()
    expect(ben.get_by_role("button", name="Approve")).to_have_count(0)
    ada.goto(card)
    ada.get_by_role("button", name="Withdraw it").click()
    ada.get_by_role("button", name="Withdraw", exact=True).click()
    expect(ada.get_by_text("Withdrawn. Nobody")).to_be_visible()
    ada.goto("/request?resource=model/wren&entitlement=wren-train")
    ada.get_by_label("Why you need it").fill("Try a smaller learning rate on Wren.")
    ada.get_by_role("button", name="Review").click()
    ada.get_by_role("button", name="Submit the request").click()
    ada.goto("/access")
    ada.get_by_role("button", name="Give back").click()
    ada.get_by_role("button", name="Give it back").click()
    expect(ada.get_by_text("Given back.")).to_be_visible()
    ada.get_by_role("button", name="Sign out").click()
    expect(ada.get_by_role("link", name="Continue")).to_be_visible()
    assert visits.complaints == []


def test_the_menu_and_the_order_of_the_keyboard_work_on_a_narrow_screen(visits: Visits) -> None:
    ada = visits.sign_in(visits.context(width=390, javascript=False), "ada")
    expect(ada.get_by_role("link", name="My access")).to_be_hidden()
    ada.keyboard.press("Tab")
    expect(ada.get_by_role("link", name="Skip to content")).to_be_focused()
    ada.get_by_role("button", name="Menu").click()
    ada.get_by_role("link", name="My access").click()
    expect(ada.get_by_role("heading", name="My access")).to_be_visible()
