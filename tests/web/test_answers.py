"""Every answer carries the headers, and every refusal says what, why and the remedy, and nothing more."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.full_disk import full_at
from tests.web.world import World, field


def test_every_answer_forbids_framing_sniffing_and_other_origins(world: World) -> None:
    visitor = world.visitor()
    stylesheet = re.search(r'href="(/static/[^"]+\.css)"', visitor.get("/sign-in").text)
    assert stylesheet
    for path in ("/sign-in", "/nowhere", "/broken", "/api/v1/nowhere", stylesheet.group(1)):
        answer = visitor.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy, path
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"


def test_a_page_runs_only_scripts_with_this_answers_nonce(world: World) -> None:
    visitor = world.visitor()
    first, second = visitor.get("/sign-in"), visitor.get("/sign-in")
    nonces = [re.findall(r"'nonce-([^']+)'", one.headers["content-security-policy"])[0] for one in (first, second)]
    assert nonces[0] != nonces[1]
    assert set(re.findall(r'<script[^>]*nonce="([^"]+)"', first.text)) == {nonces[0]}
    assert "unsafe" not in first.headers["content-security-policy"]
    assert "trusted-types 'none'" in first.headers["content-security-policy"]
    assert not re.search(r"<script(?![^>]*nonce)| style=| on[a-z]+=", first.text)
    assert first.headers["cache-control"] == "no-store"


def test_static_files_are_kept_for_good_and_no_path_climbs_out(world: World) -> None:
    visitor = world.visitor()
    href = re.search(r'src="(/static/[^"]+console\.js)"', visitor.get("/sign-in").text)
    assert href
    script = visitor.get(href.group(1))
    assert script.status_code == 200 and "immutable" in script.headers["cache-control"]
    for path in ("/static/../model.py", "/static/%2e%2e/model.py", "/static/x/console.js", "/static/"):
        assert visitor.get(path).status_code == 404


@pytest.mark.parametrize("size", [65_537, 1_000_000])
def test_an_oversize_body_is_refused_before_it_is_read(world: World, size: int) -> None:
    answer = world.visitor(Accept="application/json").post("/api/v1/probe", content=b"x" * size)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "web.body_too_large"


def test_a_body_that_hides_its_length_is_refused_as_it_grows(world: World) -> None:
    pieces = (b"x" * 16_384 for _ in range(100))
    answer = world.visitor(Accept="application/json").post("/api/v1/probe", content=pieces)
    assert answer.status_code == 413


def test_a_misshapen_body_names_its_fields_and_repeats_no_value(world: World) -> None:
    ada = world.browser("ada")
    token = field(ada.get("/sessions").text, "csrf")
    headers = {"Origin": world.origin, "X-CSRF-Token": token}
    answer = ada.post("/api/v1/probe", json={"name": 7, "count": "sesame", "extra": 1}, headers=headers)
    problem = answer.json()
    assert answer.status_code == 422
    assert problem["code"] == "web.invalid_body"
    assert problem["fields"] == "body.name,body.count,body.extra"
    assert "sesame" not in answer.text


def test_an_unforeseen_error_shows_a_request_id_and_no_traceback(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for accept in ("text/html", "application/json"):
        answer = world.visitor(Accept=accept).get("/broken")
        assert answer.status_code == 500
        assert "web.internal" in answer.text and answer.headers["x-request-id"] in answer.text
        assert "hunter2" not in answer.text and "Traceback" not in answer.text
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(
    ("path", "code", "where"),
    [("/full", "core.no_space", "{state}"), ("/read-only", "core.disk_unusable", "/var/shard")],
)
def test_a_disk_that_takes_no_more_is_a_refusal_that_names_it(world: World, path: str, code: str, where: str) -> None:
    """Full and read-only disks are foreseen: what to do about them is said, to people and to programs."""
    answer = world.visitor(Accept="application/json").get(path)
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert where.format(state=world.state) in answer.json()["detail"] and answer.json()["remedy"]
    page = world.visitor(Accept="text/html").get(path)
    assert page.status_code == 503 and code in page.text and "Traceback" not in page.text


def test_an_export_for_which_there_is_no_room_says_so(world: World) -> None:
    fay = world.browser("fay")
    assert fay.get("/api/v1/audit/export").status_code == 200, "else this shows nothing"
    with full_at(16):
        answer = fay.get("/api/v1/audit/export")
    assert (answer.status_code, answer.json()["code"]) == (503, "core.no_space")
    assert fay.get("/api/v1/audit/export").status_code == 200


def test_unknown_addresses_and_methods_are_problems_with_a_remedy(world: World) -> None:
    visitor = world.visitor(Accept="application/json")
    missing, method = visitor.get("/api/v1/nowhere"), visitor.get("/api/v1/probe")
    assert (missing.status_code, missing.json()["code"]) == (404, "web.not_found")
    assert (method.status_code, method.json()["code"]) == (405, "web.method_not_allowed")
    assert missing.json()["remedy"] and missing.json()["type"] == "urn:weighthouse:error:web.not_found"


def test_a_visitor_is_sent_to_sign_in_and_back_to_a_path_of_ours(world: World) -> None:
    answer = world.visitor().get("/sessions?done=ended")
    assert answer.status_code == 303
    target = urlsplit(answer.headers["location"])
    assert (target.path, target.netloc) == ("/sign-in", "")
    assert parse_qs(target.query)["return_to"] == ["/sessions?done=ended"]
    assert world.visitor(Accept="application/json").get("/sessions").status_code == 401


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "/%2f/evil.example"])
def test_a_return_path_to_another_origin_is_refused(world: World, path: str) -> None:
    page = world.visitor().get("/sign-in", params={"return_to": path})
    assert "evil" not in page.text
    assert world.visitor().get("/login", params={"return_to": path}).status_code == 400


def test_signing_in_returns_to_the_page_that_asked(world: World) -> None:
    ada = world.browser("ada", return_to="/sessions?done=ended")
    assert "Ada" in ada.get("/sessions").text


def test_a_signed_out_browser_is_a_visitor_again(world: World) -> None:
    ada = world.browser("ada")
    assert world.send(ada, "/sessions", "/logout", {}).status_code == 303
    assert ada.get("/sessions").status_code == 303


def test_a_cookie_used_from_another_browser_says_so_instead_of_just_asking_to_sign_in(world: World) -> None:
    ada = world.browser("ada")
    answer = ada.get("/sessions", headers={"User-Agent": "Mozilla/5.0 (thief)"})
    assert answer.status_code == 401
    assert "identity.session_used_elsewhere" in answer.text
    assert len(world.facts("identity.SessionUsedElsewhere")) == 1


def test_a_filter_that_is_misspelt_is_refused_with_the_nearest_name(world: World) -> None:
    ada = world.browser("ada")
    answer = ada.get("/api/v1/search?limt=1")
    assert (answer.status_code, answer.json()["code"]) == (400, "web.unknown_parameter")
    assert "'limit'" in answer.json()["remedy"]


def test_a_manifest_of_as_many_shards_as_a_save_may_have_reaches_its_room(world: World) -> None:
    """A thousand shards make half a mebibyte of manifest; what is larger than that by far is refused unread."""
    ada = world.browser("ada")
    headers = {"Origin": world.origin, "X-CSRF-Token": field(ada.get("/sessions").text, "csrf")}
    path = f"/api/v1/weights/saves/sav_{'0' * 26}/commit"
    for size, code in ((510_000, "weights."), (1_100_000, "web.invalid_body"), (3_000_000, "web.body_too_large")):
        answer = ada.post(path, json={"manifest": "x" * size}, headers=headers)
        assert answer.json()["code"].startswith(code), answer.text
