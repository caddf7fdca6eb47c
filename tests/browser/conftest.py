"""Chromium and a served control plane. A missing browser fails loudly: a page nobody looked at is not tested."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.web.world import World
from weighthouse.app.server import Served, free_port
from weighthouse.core.clock import SystemClock

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"


class Visits:
    """Opens browser contexts, and keeps every complaint that a page of ours caused in any of them."""

    def __init__(self, browser: Browser, world: World) -> None:
        self._browser, self.world = browser, world
        self.complaints: list[str] = []

    def context(self, *, scheme: str = "light", width: int = 1280, javascript: bool = True) -> BrowserContext:
        made = self._browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if scheme == "dark" else "light",
            java_script_enabled=javascript,
            base_url=self.world.origin,
        )
        made.on("console", lambda line: self._note(line.type, line.text))
        made.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        made.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error(`violation of ${e.violatedDirective}`))"
        )
        return made

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")

    def sign_in(self, context: BrowserContext, person: str, path: str = "/") -> Page:
        """Sign in as a person does, through the identity provider's own form."""
        page = context.new_page()
        page.goto("/sign-in?return_to=" + path)
        page.get_by_role("link", name="Continue").click()
        for _ in range(2):
            if page.get_by_label("Account").count() == 0:
                break
            page.get_by_label("Account").fill(self.world.account(person))
            page.get_by_label("Password").fill(self.world.password(person))
            if page.get_by_label("Code").get_attribute("required") is not None:
                page.get_by_label("Code").fill(self.world.code(person))
            page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(self.world.origin + path)
        return page

    def decide(self, page: Page, person: str, button: str) -> None:
        """Press a button whose act takes a second factor of its own: give it at the provider, then press again."""
        page.get_by_role("button", name=button, exact=True).click()
        page.get_by_role("link", name="Give your second factor").click()
        page.get_by_label("Account").fill(self.world.account(person))
        page.get_by_label("Password").fill(self.world.password(person))
        page.get_by_label("Code").fill(self.world.code(person))
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name=button, exact=True).click()
        # The browser tells of every 401; this one is how the server asks for the factor.
        self.complaints[:] = [one for one in self.complaints if "401 (Unauthorized)" not in one]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        pytest.fail("These tests need Chromium: apt-get install chromium", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visits(chromium: Browser, tmp_path: Path) -> Iterator[Visits]:
    world = World(SystemClock(), tmp_path, port=free_port("127.0.0.1"), mode="demo")
    served = Served(world.app, port=int(world.origin.rsplit(":", 1)[1])).start()
    made = Visits(chromium, world)
    yield made
    for context in chromium.contexts:
        context.close()
    served.stop()
    served._loop.close()  # `stop` leaves it open, and an unclosed loop is a warning, which is an error here
    world.system.database.close()


@pytest.fixture
def pictures() -> Path | None:
    """Where screenshots go: the folder that WEIGHTHOUSE_SCREENSHOTS names, if any."""
    named = os.environ.get("WEIGHTHOUSE_SCREENSHOTS")
    if not named:
        return None
    folder = Path(named)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
