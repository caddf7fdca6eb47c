"""What another site, or a hostile text, tries on a signed-in browser; each is stopped in the browser itself or here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visits

pytestmark = pytest.mark.browser

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> approve me please"


@contextmanager
def other_site(body: str) -> Iterator[str]:
    """Another origin on the same site, which is the hardest one: cookies that are SameSite travel to us from there."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_access_case_34_hostile_text_does_nothing_on_any_page_that_shows_it(visits: Visits) -> None:
    ada = visits.sign_in(visits.context(), "ada")
    ada.goto("/request?resource=model/tern&entitlement=tern-train")
    ada.get_by_label("Why you need it").fill(HOSTILE)
    ada.get_by_role("button", name="Review").click()
    ada.get_by_role("button", name="Submit the request").click()
    card = ada.url.split("?")[0]
    ben = visits.sign_in(visits.context(), "ben")
    for page, path in ((ada, card), (ada, "/access"), (ben, card), (ben, "/inbox"), (ben, "/")):
        page.goto(path)
        expect(page.locator("main")).to_be_visible()
        assert page.title().endswith("Weighthouse"), path
        assert page.locator("main img, main script").count() == 0
    expect(ben.get_by_text("<script>").first).to_be_visible()
    assert visits.complaints == []


def test_no_script_of_a_page_can_turn_text_into_markup(visits: Visits) -> None:
    page = visits.sign_in(visits.context(), "ada")
    thrown = page.evaluate(
        "() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (e) { return e.name; } }"
    )
    assert thrown == "TypeError"
    made = page.evaluate(
        "() => { try { trustedTypes.createPolicy('x', {}); return ''; } catch (e) { return e.name; } }"
    )
    assert made == "TypeError"
    assert any("require-trusted-types-for" in line for line in visits.complaints)


def test_another_site_cannot_frame_a_page(visits: Visits) -> None:
    context = visits.context()
    visits.sign_in(context, "ada")
    with other_site(f'<iframe src="{visits.world.origin}/sessions" width=600 height=400></iframe>') as site:
        page = context.new_page()
        page.goto(site)
        page.wait_for_timeout(500)
        assert page.frames[1].url.startswith("chrome-error:") or "Sessions" not in page.frames[1].content()
    assert any("frame-ancestors" in line or "X-Frame-Options" in line for line in visits.complaints)


def test_another_site_cannot_send_a_form_with_the_persons_cookie(visits: Visits) -> None:
    context = visits.context()
    ada = visits.sign_in(context, "ada")
    form = (
        f'<form method="post" action="{visits.world.origin}/logout"><button>Win a prize</button></form>'
        '<meta name="referrer" content="no-referrer">'
    )
    with other_site(form) as site:
        page = context.new_page()
        page.goto(site)
        page.get_by_role("button").click()
        expect(page.get_by_text("web.cross_site")).to_be_visible()
    ada.goto("/sessions")
    expect(ada.get_by_role("heading", name="Sessions & devices")).to_be_visible()


def test_another_site_cannot_read_an_answer(visits: Visits) -> None:
    context = visits.context()
    visits.sign_in(context, "ada")
    with other_site("<p>hello</p>") as site:
        page = context.new_page()
        page.goto(site)
        read = page.evaluate(
            f"() => fetch('{visits.world.origin}/sessions', {{credentials: 'include'}}).then(a => a.text(), e => e.name)"
        )
        assert read == "TypeError"
