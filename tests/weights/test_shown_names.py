"""What a run chose to call its tensors is paid for by that run before anybody outside of a run reads it.

Attack: whoever may load a model inside a sandbox alone saves empty tensors whose names are its weights, and lists them
on a laptop: all of a model in half a minute, at no cost.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy
import pytest
from tests.weights.world import TERN, World

from weighthouse.core.errors import TooMany
from weighthouse.egress import api as egress
from weighthouse.weights import api as weights
from weighthouse_sdk import checkpoint

EMPTY = numpy.zeros((0,), "uint8")
CODE = "egress.said_spent"


def saved(world: World, tensors: Mapping[str, Any], run: Any = None, **metadata: str) -> weights.Version:
    run = run or world.run("ada")
    draft = world.begin_save(run)
    ticket = checkpoint.parse_save(msgspec.to_builtins(draft.ticket))
    envelope = checkpoint.save(tensors, ticket, draft.recipient, draft.signer, draft.folder, metadata=metadata)
    return world.commit(run, draft, envelope)


def spelt(count: int, each: int = 720) -> dict[str, Any]:
    return {base64.b64encode(os.urandom(each), b"-_").decode(): EMPTY for _ in range(count)}


def shown(world: World, version: weights.Version, who: Any = None) -> weights.Tensors:
    caller = who or world.person("ada")
    with world.unit(caller) as unit:
        return weights.describe(unit, caller, version.id)


def said(world: World) -> int:
    with world.unit(world.person("ada")) as unit:
        (one,) = [each for each in egress.budgets(unit) if (each.level, each.name) == ("said", TERN)]
    return max(window.spent for window in one.windows)


def test_weights_spelt_in_names_are_shown_as_far_as_the_model_may_be_spoken_of_and_no_further(world: World) -> None:
    world.grant("ada", "tern-train")
    told, refusals = 0, 0
    for _ in range(12):
        version, before = saved(world, spelt(24)), world.size()
        try:
            told += sum(len(row.name) * 3 // 4 for row in shown(world, version).items)
        except TooMany as refusal:
            refusals += 1
            assert refusal.code == CODE
            assert [kind for kind in world.since(before) if not kind.startswith("access.")] == ["egress.StepRefused"]
    assert refusals and told <= said(world)
    with world.unit(world.person("ada")) as unit:
        (one,) = [each for each in egress.budgets(unit) if (each.level, each.name) == ("said", TERN)]
    assert told < one.daily // 2, "an hour's share of one person's"


SHAPES = {f"{at}": numpy.zeros((0, *(each + 1 for each in os.urandom(7))), "uint8") for at in range(6_000)}
SHORT = {os.urandom(20).hex(): EMPTY for _ in range(1_500)}


@pytest.mark.parametrize("tensors", [SHAPES, SHORT], ids=["shapes", "names"])
def test_shapes_and_short_names_cost_as_much_as_they_tell(world: World, tensors: dict[str, Any]) -> None:
    world.grant("ada", "tern-train")
    version = saved(world, tensors)
    with pytest.raises(TooMany) as refused:
        shown(world, version)
    assert refused.value.code == CODE


def test_texts_beside_the_tensors_cost_too(world: World) -> None:
    world.grant("ada", "tern-train")
    version = saved(world, {"w": EMPTY}, **{f"k{at}": os.urandom(500).hex() for at in range(60)})
    with pytest.raises(TooMany) as refused:
        shown(world, version)
    assert refused.value.code == CODE


def test_an_honest_model_costs_little_and_once(world: World) -> None:
    world.grant("ada", "tern-train")
    names = [
        f"model.layers.{layer}.{part}.weight" for layer in range(40) for part in ("q", "k", "v", "o", "up", "down")
    ]
    version, before = saved(world, {name: numpy.zeros((2, 3), "float32") for name in names}), said(world)
    assert len(shown(world, version).items) == 240
    paid = said(world) - before
    assert 0 < paid < 2_000
    shown(world, version)
    assert said(world) - before == paid, "who looks again is told nothing new"
    (line,) = world.facts("weights.TensorsShown")
    assert (line["bytes"], line["person"], line["version"]) == (paid, "ada", version.id)


def test_what_a_run_reads_of_another_versions_names_it_pays_for_as_for_a_load(world: World) -> None:
    world.grant("ada", "tern-train")
    version = saved(world, spelt(40))
    before = said(world)
    assert len(shown(world, version, world.run("ada")).items) == 40
    assert said(world) == before + 8 and not world.facts("weights.TensorsShown")
