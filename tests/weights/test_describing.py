"""Names, shapes and types of a version are shown to whoever may load it, charged and logged, and to nobody else."""

from __future__ import annotations

import msgspec
import numpy
import pytest
from tests.weights.world import TERN, World

from weighthouse.access import api as access
from weighthouse.core.errors import Denied, WeighthouseError
from weighthouse.weights import api as weights
from weighthouse_sdk import checkpoint

TENSORS = {"embed": numpy.ones((3, 4), "float32"), "step": numpy.array(1, "int64")}


def saved(world: World, metadata: dict[str, str] | None = None) -> weights.Version:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    ticket = checkpoint.parse_save(msgspec.to_builtins(draft.ticket))
    said = metadata or {"loss": "0.5"}
    envelope = checkpoint.save(TENSORS, ticket, draft.recipient, draft.signer, draft.folder, metadata=said)
    return world.commit(run, draft, envelope)


def test_who_may_load_may_list_and_it_is_charged_and_logged(world: World) -> None:
    version, ada = saved(world), world.run("ada")
    before = world.size()
    with world.unit(ada) as unit:
        found = weights.describe(unit, ada, version.id)
        budget = weights.read_budget(unit, "ada", TERN)
    assert [(t.name, t.dtype, t.shape, t.bytes) for t in found.items] == [
        ("embed", "F32", (3, 4), 48), ("step", "I64", (), 8),
    ]  # fmt: skip
    assert found.metadata == {"loss": "0.5"}
    assert [kind for kind in world.since(before) if kind != "access.Allowed"] == [
        "access.WorkloadBound", "keys.KeyReleased", "weights.LoadStarted",
    ]  # fmt: skip
    (line,) = world.facts("weights.LoadStarted")
    assert 0 < line["bytes"] == budget.spent < version.bytes
    assert line["lease"] == ""
    assert world.facts("keys.KeyReleased")[-1]["count"] == 1


def test_what_a_reader_would_not_see_of_a_runs_texts_is_marked(world: World) -> None:
    version, ada = saved(world, {"no\x1bte": "first\nsecond \u202ereview \x1b[2Jed"}), world.run("ada")
    with world.unit(ada) as unit:
        found = weights.describe(unit, ada, version.id)
    assert found.metadata == {"no⟦U+001B⟧te": "first\nsecond ⟦U+202E⟧review ⟦U+001B⟧[2Jed"}


def test_weights_case_38_without_a_grant_or_under_a_hold_nothing_is_listed(world: World) -> None:
    version = saved(world)
    for caller in (world.person("eve"), world.run("eve")):
        before = world.size()
        with pytest.raises(Denied), world.unit(caller) as unit:
            weights.describe(unit, caller, version.id)
        assert world.since(before) == ["access.Denied"]
    chi, run = world.person("chi"), world.run("ada")
    with world.unit(chi) as unit:
        held = next(each.grant for each in access.who_has(unit, chi, TERN) if each.grant is not None)
        access.revoke(unit, chi, held, "The laptop was stolen.")
    before = world.size()
    with pytest.raises(Denied), world.unit(run) as unit:
        weights.describe(unit, run, version.id)
    assert world.since(before) == ["access.Denied"]


def test_an_index_that_was_altered_in_storage_is_refused_with_one_line(world: World) -> None:
    version, run = saved(world), world.run("ada")
    folder = world.state / "objects" / version.prefix / "shards"
    index = min(folder.glob("*.floe"), key=lambda path: path.stat().st_size)
    whole = bytearray(index.read_bytes())
    whole[-1] ^= 1
    index.write_bytes(whole)
    before = world.size()
    with pytest.raises(WeighthouseError) as caught, world.unit(run) as unit:
        weights.describe(unit, run, version.id)
    assert caught.value.code == "weights.index"
    assert [kind for kind in world.since(before) if kind != "access.Allowed"] == ["weights.TamperFound"]
