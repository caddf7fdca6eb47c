"""The walk through the provider: who gets a session, and everything that must not."""

from __future__ import annotations

import base64
import hashlib
import threading
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from tests.identity.support import AGENT, LAB, ORIGIN, Browser, Lab, query
from weighthouse.audit import api as audit
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.core.errors import Invalid
from weighthouse.core.work import begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.dev_idp.people import STEP
from weighthouse.identity.adapters.dev_idp.server import TENANT
from weighthouse.identity.store import sign_ins

WITH_FACTOR = ["identity.StepUpDemanded", "identity.FactorSpent", "identity.SessionStarted"]


def refused(lab: Lab, answer: httpx.Response, status: int, code: str, lines: int) -> None:
    """The answer is this refusal, and exactly one line tells of it since there were `lines`; a factor may be spent."""
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    told = [entry.kind for entry in lab.log()[lines:] if entry.kind != "identity.FactorSpent"]
    assert len(told) == 1, told


def test_a_person_signs_in_with_a_second_factor_the_first_time_and_without_it_later(lab: Lab) -> None:
    browser = lab.browser()
    answer = browser.sign_in("ada")
    assert (answer.status_code, answer.headers["location"]) == (303, "/inbox")
    me = browser.me().json()
    assert (me["principal"], me["assurance"]["level"], me["binding"]) == ("ada", 2, "browser")
    assert [entry.kind for entry in lab.log()] == WITH_FACTOR
    assert lab.log()[0].data["reasons"] == ["first_sign_in"]

    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    assert browser.get(target).headers["location"] == "/"
    assert browser.me().json()["assurance"]["level"] == 1  # same browser, same network: one factor is enough
    assert [entry.kind for entry in lab.log()][3:] == ["identity.SessionEnded", "identity.SessionStarted"]


def test_the_command_line_signs_in_with_its_key(lab: Lab) -> None:
    client = lab.sign_in("ada")
    me = client.get("me")
    assert (me["principal"], me["binding"], me["assurance"]["level"], me["device"]) == ("ada", "dpop", 2, None)
    assert [entry.kind for entry in lab.log()] == WITH_FACTOR


def test_the_log_holds_no_clear_address_account_or_agent(lab: Lab) -> None:
    lab.sign_in("ada", lab.client(peer="192.168.7.9"))
    for entry in lab.log():
        assert b"192.168.7.9" not in entry.leaf and AGENT.encode() not in entry.leaf


def test_secrets_are_not_in_the_database(lab: Lab) -> None:
    client = lab.sign_in("ada")
    browser = lab.browser()
    browser.sign_in("ben")
    data = b"".join(path.read_bytes() for path in lab.folder.glob("weighthouse.db*"))
    assert client.token.encode() not in data and browser.cookies["__Host-sid"].encode() not in data
    assert lab.secret("ada").password.encode() not in data


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"state": "x" * 43}, "identity.state_mismatch"),
        ({"state": None}, "identity.state_mismatch"),
        ({"iss": f"{ORIGIN}/dev-idp/other/v2.0"}, "identity.issuer_mixed_up"),
        ({"iss": None}, "identity.issuer_mixed_up"),
        ({"code": None}, "identity.code_refused"),
        ({"code": "x" * 43}, "identity.code_refused"),
        ({"code": None, "error": "access_denied\r\nSet-Cookie: a=b"}, "identity.provider_refused"),
    ],
)
def test_identity_cases_15_16_a_changed_callback_is_refused(
    lab: Lab, change: dict[str, str | None], code: str
) -> None:
    browser = lab.browser()
    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    params = {name: value for name, value in {**query(target), **change}.items() if value is not None}
    rows, lines = lab.rows(), len(lab.log())
    refused(lab, browser.get("/callback?" + urlencode(params), accept="application/json"), 401, code, lines)
    assert lab.rows() == rows and "__Host-sid" not in browser.cookies


@pytest.mark.parametrize(
    "answer",
    [{"error": "access_denied"}, {"code": "x" * 43}, {}, None],
    ids=["an error", "a code", "nothing", "late"],
)
def test_who_floods_the_callback_without_a_name_writes_one_line_a_minute(
    lab: Lab, answer: dict[str, str] | None
) -> None:
    """Attack: begin sign-ins and answer each oneself; where nothing is pushed, the state is in the browser's hands."""
    begun = []
    for _ in range(5):
        browser = lab.browser()
        begun.append((browser, query(browser.get("/login").headers["location"])["state"]))
    if answer is None:
        lab.clock.advance(11 * MINUTE)
    for again in range(2):
        for browser, state in begun[3 * again : 3 * again + 3]:
            params = {"state": state, "iss": lab.idp.issuer, **(answer or {})}
            assert browser.get("/callback?" + urlencode(params), accept="application/json").status_code == 401
        assert len(lab.log("SignInFailed")) == again + 1
        lab.clock.advance(MINUTE)


def test_identity_case_15_a_callback_counts_once(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    target = browser.to_callback(browser.get("/login").headers["location"], "ada")
    start = browser.cookies["__Host-sign-in"]
    assert browser.get(target).status_code == 303
    thief = lab.browser()
    thief.cookies["__Host-sign-in"] = start
    lines = len(lab.log())
    refused(lab, thief.get(target, accept="application/json"), 401, "identity.start_unknown", lines)


def visit(browser: Browser, target: str, answers: list[int]) -> None:
    answers.append(browser.get(target, accept="application/json").status_code)


def test_identity_case_15_of_two_callbacks_at_once_exactly_one_wins(any_lab: Lab) -> None:
    lab = any_lab
    browser = lab.browser()
    browser.sign_in("ada")
    for _ in range(5):
        target = browser.to_callback(browser.get("/login").headers["location"], "ada")
        twins = [lab.browser() for _ in range(2)]
        for twin in twins:
            twin.cookies = {name: one for name, one in browser.cookies.items() if name != "__Host-sid"}
        answers: list[int] = []
        threads = [threading.Thread(target=visit, args=(twin, target, answers)) for twin in twins]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == [303, 401], answers


def test_identity_case_15_a_sign_in_waits_ten_minutes_at_most(lab: Lab) -> None:
    browser = lab.browser()
    start = browser.get("/login").headers["location"]
    lab.clock.advance(10 * MINUTE - 1_000)
    target = browser.to_callback(start, "ada")
    lab.clock.advance(1_000)
    lines = len(lab.log())
    refused(lab, browser.get(target, accept="application/json"), 401, "identity.start_expired", lines)


def test_a_flood_of_begun_sign_ins_is_bounded_and_the_newest_go_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_ins, "MOST_STARTS", 3)
    browsers = [lab.browser() for _ in range(6)]
    targets = []
    for browser in browsers:
        lab.clock.advance(SECOND)
        targets.append(browser.to_callback(browser.get("/login").headers["location"], "ada"))
    assert lab.sql("SELECT count(*) FROM identity_start")[0][0] <= 4
    codes = [
        browser.get(target, accept="application/json").status_code
        for browser, target in zip(browsers, targets, strict=True)
    ]
    assert codes == [401, 401, 303, 303, 303, 303]


def test_identity_case_23_login_csrf_a_foreign_answer_does_not_sign_this_browser_in(lab: Lab) -> None:
    thief, victim = lab.browser(), lab.browser()
    target = thief.to_callback(thief.get("/login").headers["location"], "eve")
    lines = len(lab.log())
    refused(lab, victim.get(target, accept="application/json"), 401, "identity.start_unknown", lines)
    victim.get("/login")  # even with a sign-in of its own under way
    refused(lab, victim.get(target, accept="application/json"), 401, "identity.state_mismatch", lines + 1)
    assert "__Host-sid" not in victim.cookies


def test_identity_case_23_another_site_cannot_sign_anybody_out(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    answer = browser.send("POST", "/logout", origin="https://evil.example", accept="application/json")
    assert answer.status_code == 403
    assert browser.get("/logout").status_code == 405
    assert browser.me().status_code == 200


def test_identity_case_22_a_fixed_session_is_worth_nothing(lab: Lab) -> None:
    browser = lab.browser()
    browser.cookies["__Host-sid"] = planted = "whs_" + "A" * 43
    browser.sign_in("ada")
    assert browser.cookies["__Host-sid"] != planted
    first = browser.cookies["__Host-sid"]
    lab.clock.advance(STEP)
    browser.get(browser.to_callback(browser.get("/step-up").headers["location"], "ada", code=lab.code("ada")))
    assert browser.cookies["__Host-sid"] != first  # a raised session gets a new name, too
    for old in (planted, first):
        other = lab.browser()
        other.cookies["__Host-sid"] = old
        assert other.me().json()["code"] == "identity.session_unknown"


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%2f%2fevil.example",
        "/%2fevil.example",
        "/%252f%252fevil.example",
        "/%5cevil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y",
        "/%0d%0aSet-Cookie:x=y",
        "/\t/evil.example",
        "@evil.example",
        "",
        "/" + "a" * 2000,
        "/ä",
    ],
)
def test_identity_case_24_a_return_path_stays_on_this_server(lab: Lab, path: str) -> None:
    answer = lab.browser().get("/login?" + urlencode({"return_to": path}), accept="application/json")
    assert (answer.status_code, answer.json()["code"]) == (400, "identity.bad_return_path")


@pytest.mark.parametrize("path", ["/", "/inbox", "/runs/run_1?tab=log&x=%20y", "/a/b-c_d.e~f"])
def test_identity_case_24_plain_paths_are_fine(lab: Lab, path: str) -> None:
    assert lab.browser().get("/login?" + urlencode({"return_to": path})).status_code == 303


@pytest.mark.parametrize(
    "uri",
    [
        ORIGIN + "/callback",
        "https://evil.example/callback",
        "http://127.0.0.1.evil.example:80/callback",
        "http://evil@127.0.0.1:80/callback",
        "http://127.0.0.1:80/other",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:80/callback?x=1",
        "http://192.168.1.1:80/callback",
        "http://localhost:99999/callback",
    ],
)
def test_identity_case_24_a_command_line_returns_to_loopback_only(lab: Lab, uri: str) -> None:
    with pytest.raises(Invalid) as refusal:
        api.begin_sign_in(lab.system, redirect_uri=uri, device_jwk=lab.client().key.jwk)
    assert refusal.value.code == "identity.bad_redirect"


def test_identity_case_40_forwarded_hosts_do_not_move_the_callback(lab: Lab) -> None:
    poison = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "http", "forwarded": "host=evil.example"}
    location = lab.browser().get("/login", **poison).headers["location"]
    assert query(location)["redirect_uri"] == ORIGIN + "/callback"
    assert urlsplit(location).netloc == urlsplit(ORIGIN).netloc
    assert lab.browser().get("/login", host="evil.example").status_code == 421


def test_identity_case_34_a_second_factor_by_another_person_raises_nobody(lab: Lab) -> None:
    browser = lab.browser()
    browser.sign_in("ada")
    lab.clock.advance(STEP)
    target = browser.to_callback(browser.get("/step-up").headers["location"], "eve", code=lab.code("eve"))
    before, lines = browser.me().json(), len(lab.log())
    refused(lab, browser.get(target, accept="application/json"), 403, "identity.not_admitted", lines)
    assert browser.me().json()["assurance"] == before["assurance"]


def test_identity_case_34_a_second_factor_for_another_session_raises_nothing(lab: Lab) -> None:
    first, second = lab.browser(), lab.browser()
    first.sign_in("ada")
    second.sign_in("ada")
    lab.clock.advance(STEP)
    target = first.to_callback(first.get("/step-up").headers["location"], "ada", code=lab.code("ada"))
    second.cookies["__Host-sign-in"] = first.cookies["__Host-sign-in"]
    lines = len(lab.log())
    refused(lab, second.get(target, accept="application/json"), 401, "identity.step_up_other_session", lines)


def test_the_demanded_second_factor_cannot_be_answered_by_another_account(lab: Lab) -> None:
    browser = lab.browser()
    demanded = browser.get(browser.to_callback(browser.get("/login").headers["location"], "ada"))
    target = browser.to_callback(demanded.headers["location"], "eve", code=lab.code("eve"))
    lines = len(lab.log())
    refused(lab, browser.get(target, accept="application/json"), 403, "identity.not_admitted", lines)


def test_identity_case_48_texts_from_outside_stay_on_one_line(lab: Lab) -> None:
    browser = lab.browser(agent="Mozilla/5.0 \x85 evil")
    start = browser.get("/login").headers["location"]
    target = browser.to_callback(start, "ada")
    params = {**query(target), "error": "x\ny\x1b[2J" + "z" * 5000}
    answer = browser.get("/callback?" + urlencode(params), accept="application/json")
    assert answer.status_code == 401 and "\n" not in answer.json()["detail"] and "\x1b" not in answer.json()["detail"]
    with read(lab.system) as unit:
        shown = audit.reveal(unit, lab.log()[-1])
    assert all(part.isprintable() for part in map(str, shown.values()))


def test_identity_case_49_unknown_inactive_and_frozen_look_the_same(lab: Lab) -> None:
    changed = LAB.read_text().replace("teams: [red-team]", "teams: [red-team]\n    active: false", 1)
    assert "active: false" in changed
    lab.publish(changed)
    with begin(lab.system) as unit:
        api.freeze(unit, "eve", "laptop stolen", "system")
    answers = []
    for who in ("kim", "eve"):
        browser = lab.browser()
        target = browser.to_callback(browser.get("/login").headers["location"], who)
        answer = browser.get(target, accept="application/json")
        body = answer.json()
        answers.append((answer.status_code, {k: body[k] for k in ("code", "detail", "remedy")}))
    assert answers[0] == answers[1] and answers[0][0] == 403
    assert [entry.data["reasons"] for entry in lab.log("SignInDenied")] == [["inactive"], ["frozen"]]


def test_identity_case_17_18_the_provider_gives_a_code_to_its_own_request_only(lab: Lab) -> None:
    base = f"/dev-idp/{TENANT}/oauth2/v2.0"
    browser = lab.browser()
    start = query(browser.get("/login").headers["location"])
    for change, status in (
        ({"code_challenge_method": "plain"}, 303),
        ({"code_challenge_method": None}, 303),
        ({"code_challenge": None}, 303),
        ({"response_type": "token"}, 303),
        ({"redirect_uri": "https://evil.example/callback"}, 400),
        ({"redirect_uri": ORIGIN + "/callback/../x"}, 400),
        ({"client_id": "other"}, 400),
    ):
        asked = {name: value for name, value in {**start, **change}.items() if value is not None}
        answer = browser.get(f"{base}/authorize?" + urlencode(asked))
        assert answer.status_code == status, change
        assert status == 400 or "error=" in answer.headers["location"]
    redirect = ORIGIN + "/callback"
    wrong = (
        ({"code_verifier": ""}, 400, "invalid_grant"),
        ({"code_verifier": "y" * 43}, 400, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:1/callback"}, 400, "invalid_grant"),
        ({"client_id": "other"}, 401, "invalid_client"),
        ({"grant_type": "refresh_token"}, 400, "unsupported_grant_type"),
    )
    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    right = {
        "grant_type": "authorization_code",
        "client_id": "weighthouse",
        "code_verifier": verifier,
        "redirect_uri": redirect,
    }
    for change, status, error in (({}, 200, None), *wrong):
        location = f"{base}/authorize?" + urlencode({**start, "code_challenge": challenge})
        code = query(browser.to_callback(location, "ada"))["code"]
        answer = browser.send("POST", f"{base}/token", {**right, "code": code, **change})
        assert (answer.status_code, answer.json().get("error")) == (status, error), change
        again = browser.send("POST", f"{base}/token", {**right, "code": code})
        assert change.get("client_id") or change.get("grant_type") or again.status_code == 400  # a code is spent


def test_a_flood_of_answers_to_no_attempt_writes_one_line_a_minute(lab: Lab) -> None:
    browser, lines = lab.browser(), len(lab.log())
    for number in range(20):
        browser.cookies["__Host-sign-in"] = f"made-up-{number % 2}"
        answer = browser.get(f"/callback?state=x&code={number}", accept="application/json")
        assert (answer.status_code, answer.json()["code"]) == (401, "identity.start_unknown")
    assert [entry.kind for entry in lab.log()[lines:]] == ["identity.SignInFailed"]
    lab.clock.advance(MINUTE)
    browser.get("/callback?state=x&code=y")
    assert len(lab.log()) == lines + 2
