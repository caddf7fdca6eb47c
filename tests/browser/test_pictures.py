"""Every page with realistic data, light and dark, wide and narrow: pictures to look at, no complaint from Chromium, and
none from axe-core, which checks what WCAG 2.2 AA asks as far as a program can.

`WEIGHTHOUSE_SCREENSHOTS=folder` takes the pictures and keeps them there; without it only the measuring is done.
"""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Page

from tests.browser import scenery
from tests.browser.conftest import Visits

pytestmark = pytest.mark.browser

LOOKS = (("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390))
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")
SPILLED = """() => [...document.querySelectorAll("td")]
    .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.trim())"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AGAIN = ["color-contrast", "target-size", "scrollable-region-focusable"]  # what another look can change
PAGES = {
    "ada": {
        "home": "/",
        "search": "/request?q=tern",
        "roles": "/request?resource=model/tern",
        "details": "/request?resource=model/tern&entitlement=tern-export",
        "my-access": "/access",
        "runs": "/runs",
        "new-run": "/runs/new?example=true",
        "weights": "/weights",
        "egress": "/egress",
        "sessions": "/sessions",
        "not-here": "/nowhere",
    },
    "ben": {"resource": "/resources/model/tern", "inbox-home": "/"},
    "chi": {"alerts": "/alerts", "inbox": "/inbox", "security-home": "/"},
    "kim": {"red-team": "/evidence"},
    "fay": {"audit": "/audit", "entry": "/audit/3", "evidence": "/evidence"},
    "gil": {"committee": "/committee", "committee-home": "/"},
    "eve": {"nothing-yet": "/access", "no": "/audit"},
}


def shoot(page: Page, name: str, pictures: Path | None) -> None:
    """Take one picture in each look, if anybody wants it. A page wider than its window, or one that axe faults, fails."""
    page.evaluate(AXE)
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} at {width}"
        assert page.evaluate(SPILLED) == [], f"{name} at {width}: what is in a cell lies over its neighbour"
        if pictures is not None:
            page.screenshot(path=pictures / f"{name}-{scheme}-{width}.png", full_page=True)
        if (scheme, width) == LOOKS[0]:
            inspect(page, f"{name} {scheme} {width}", {"type": "tag", "values": RULES})
        elif (scheme, width) == LOOKS[-1]:
            inspect(page, f"{name} {scheme} {width}", {"type": "rule", "values": AGAIN})


def inspect(page: Page, name: str, rules: dict[str, object]) -> None:
    """Let axe-core look at the page; every finding is a fault."""
    found = page.evaluate("rules => axe.run(document, {runOnly: rules, resultTypes: ['violations']})", rules)
    faults = [(one["id"], node["html"][:200]) for one in found["violations"] for node in one["nodes"]]
    assert faults == [], f"{name}: {faults}"


def check_names(page: Page, name: str) -> None:
    """Every field has a label, every button and link a name, every table a caption, and headings begin with one h1."""
    faults = page.evaluate(
        """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea")]
            .filter(e => !e.labels?.length && !e.ariaLabel).map(e => e.outerHTML)
            .concat([...document.querySelectorAll("a, button, summary")]
              .filter(e => !e.textContent.trim() && !e.ariaLabel).map(e => e.outerHTML))
            .concat([...document.querySelectorAll("table")].filter(e => !e.caption).map(e => "table without caption"))
            .concat(document.querySelectorAll("h1").length === 1 ? [] : ["not one h1"])
            .concat([...document.querySelectorAll("[id]")].map(e => e.id).filter((id, at, all) => all.indexOf(id) !== at))"""
    )
    assert faults == [], f"{name}: {faults}"


def test_every_page_in_light_and_dark_without_a_complaint(visits: Visits, pictures: Path | None) -> None:
    scene = scenery.play(visits)
    for person, paths in PAGES.items():
        page = scene.pages.get(person) or visits.sign_in(visits.context(), person)
        for name, path in (paths | scene.more.get(person, {})).items():
            page.goto(path)
            check_names(page, name)
            shoot(page, name, pictures)
    visitor = visits.context().new_page()
    visitor.goto("/sign-in")
    shoot(visitor, "sign-in", pictures)
    complaints = [line for line in visits.complaints if "403" not in line and "404" not in line]
    assert complaints == []
