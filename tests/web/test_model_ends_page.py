"""The Weights page of a model that is being destroyed: who ordered it, who approved it, when it is final, how to undo."""

from __future__ import annotations

import pytest

from tests.web.world import World
from weighthouse.weights import api as weights
from weighthouse.weights.api import reading


@pytest.mark.parametrize("state", ["being_destroyed", "destroyed"])
def test_its_page_says_who_ordered_it_and_when_it_is_final(
    world: World, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    order = weights.ModelDestruction(
        order="dst_1",
        model="model/tern",
        newest="ver_1",
        person="ada",
        approvers=("ben", "chi"),
        final=1_790_000_000_000,
        state=state,
    )
    monkeypatch.setattr(reading, "model_destruction", lambda unit, model: order if model == order.model else None)
    page = world.browser("ada").get("/weights").text
    assert page.count("Ordered by ada, approved by ben, chi") == 1
    assert state.replace("_", " ") in page
    undo = "weighthouse weights undestroy-model model/tern"
    assert (undo in page, "none of its versions ever opens again" in page) == (
        state == "being_destroyed",
        state == "destroyed",
    )
