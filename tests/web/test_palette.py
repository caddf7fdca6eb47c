"""Both palettes keep the contrast that people with weaker sight need (WCAG 2.2, 1.4.3: 4.5 to 1 for text)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import weighthouse.web

CSS = (Path(weighthouse.web.__file__).parent / "static" / "console.css").read_text("utf-8")
ON = [
    ("ink", "paper"), ("ink", "sheet"), ("ink", "raised"), ("quiet", "paper"), ("quiet", "sheet"), ("quiet", "raised"),
    ("accent", "sheet"), ("accent", "paper"), ("accent-ink", "accent"), ("accent", "accent-soft"), ("good", "good-soft"),
    ("bad", "bad-soft"), ("wait", "wait-soft"), ("bad", "sheet"), ("wait", "sheet"), ("sheet", "wait"),
    ("sheet", "bad"), ("accent-ink", "good"), ("bad", "paper"), ("wait", "paper"), ("good", "sheet"), ("accent", "raised"),
]  # fmt: skip


def palettes() -> dict[str, dict[str, str]]:
    light, dark = CSS.split("@media (prefers-color-scheme: dark)", 1)
    found = {}
    for name, text in (("light", light), ("dark", dark.split("}\n}", 1)[0])):
        found[name] = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", text))
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), ON)
def test_text_stands_out_from_its_ground(scheme: str, text: str, ground: str) -> None:
    palette = palettes()[scheme]
    high, low = sorted((luminance(palette[text]), luminance(palette[ground])), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5, f"{scheme}: {text} on {ground}"


def test_the_style_sheet_asks_nobody_for_anything() -> None:
    assert "url(" not in CSS and "@import" not in CSS
