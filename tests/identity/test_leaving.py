"""Who signs out here is led to sign out at the provider too, and who looks at their sessions sees what each did."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from tests.identity.support import ORIGIN, Lab, query
from tests.identity.test_acts import THAW, stepped
from weighthouse.core.work import read
from weighthouse.identity import api


def test_signing_out_leads_on_to_the_provider_and_back(lab: Lab) -> None:
    client = lab.sign_in("ada")
    onward = client.sign_out()
    assert query(onward) == {"client_id": "weighthouse", "post_logout_redirect_uri": f"{ORIGIN}/sign-in"}
    browser = lab.browser()
    left = browser.get(onward)
    assert (left.status_code, left.headers["location"]) == (303, f"{ORIGIN}/sign-in")
    elsewhere = browser.get(onward.replace("sign-in", "evil"))
    assert elsewhere.status_code == 200, "the provider leads to no address that is not registered"


def test_a_browser_that_signs_out_is_led_there_and_one_without_a_session_is_not(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    assert browser.sign_out().headers["location"] == "/sign-in?left=yes"
    assert browser.sign_out().headers["location"] == "/"


def test_a_provider_that_is_down_or_offers_no_sign_out_keeps_nobody_from_leaving(lab: Lab) -> None:
    client = lab.sign_in("ada")

    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("down")

    lab.use_provider(httpx.MockTransport(down), lab.wanted)
    assert client.sign_out() == ""
    assert lab.told("SessionEnded", "reason") == ["signed out"]


def test_a_session_tells_what_it_did_lately_and_nothing_of_another(lab: Lab) -> None:
    client, other = lab.sign_in("ben"), lab.sign_in("ben")
    stepped(lab, client, THAW)
    shown = {one["id"]: [said["what"] for said in one["lately"]] for one in client.get("sessions")["items"]}
    mine, theirs = str(client.get("me")["session"]), str(other.get("me")["session"])
    assert "Let the frozen person eve in again." in shown[mine] and shown[mine][-1] == "Signed in."
    assert shown[theirs] == ["Signed in."]
    with read(lab.system) as unit:
        assert api.lately(unit, "ses_none") == []
    assert urlsplit(lab.idp.issuer).netloc in ORIGIN
