"""A log in doubt is said in every form of the answer, and the plain one stays a checkpoint that others can check."""

from __future__ import annotations

from collections.abc import Callable

from tests.cli.conftest import Terminal
from tests.web.world import World

from weighthouse.access.api import close_on_doubt
from weighthouse.audit.rules import note as notes
from weighthouse.core import shape


def test_the_plain_head_says_its_doubts_beside_the_checkpoint(world: World, at: Callable[[str], Terminal]) -> None:
    fay = at("fay").sign_in()
    sound = fay.run("audit", "head", "-o", "plain")
    assert "In doubt" not in fay.said and notes.parse(sound.encode())
    world.system.database.ours = frozenset({shape.Part("table", "nowhere", "")})
    assert close_on_doubt(world.system)
    (doubt,) = fay.json("audit", "head")["doubts"]
    plain = fay.run("audit", "head", "-o", "plain")
    assert f"In doubt: {doubt}" in fay.said and notes.parse(plain.encode())
    assert doubt not in plain
