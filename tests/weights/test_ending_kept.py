"""What is left of a model whose key was destroyed: nothing that opens. Attacks: kill the server between the line and
the key, put rows, objects or the key file back, rotate it alive, or save a new model under the same name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.weights.test_destroying import code_of, finished, undestroy
from tests.weights.test_ending import GRACE, OVER, end, ended, grant, keep, saved
from tests.weights.world import PASSPHRASE, TERN, WREN, World, reopen

from weighthouse.core.caller import SYSTEM
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, begin, read
from weighthouse.keys import api as keys
from weighthouse.keys import jobs
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.ports import KeyService
from weighthouse.weights import api as weights

ROOT = Path(__file__).parents[2]
TABLES = ("weights_key", "weights_version", "weights_save", "weights_head", "weights_model_order")


@pytest.fixture
def version(any_world: World) -> weights.Version:
    return saved(any_world)


def over(world: World, version: weights.Version) -> weights.ModelDestruction:
    """Have the whole model of a version destroyed for good."""
    order = world.end("ada", version)
    world.settle()
    world.clock.advance(GRACE)
    assert ended(world) == (1, [OVER])
    return order


def material(system: System, model: str = TERN) -> bool:
    """Whether the key service holds any key of a model."""
    found = system.part(KeyService).find(model)
    return found is not None and not found.destroyed


def test_at_its_time_it_is_final_by_one_line_and_nothing_opens_again(
    any_world: World, version: weights.Version
) -> None:
    world, ada = any_world, any_world.person("ada")
    older = version
    newest = world.save(world.run("ada"), seed=2)
    order = over(world, newest)
    (line,) = world.facts(OVER)
    assert line == {"kek": TERN, "order": order.order}
    assert not material(world.system)
    with world.unit() as unit:
        assert unit.conn.execute(text("SELECT count(*) FROM weights_key")).scalar() == 0
    for one in (older, newest):
        assert code_of(lambda one=one: world.begin_load(world.run("ada"), one.id)) == "weights.destroyed"
        with world.unit(ada) as unit:
            assert weights.version(unit, ada, one.id).state == "destroyed"
    with world.unit(ada) as unit:
        assert {one.state for one in weights.versions(unit, ada, TERN)} == {"destroyed"}
        told = next(one for one in weights.models(unit, ada) if one.id == TERN)
        assert (told.state, told.destruction and told.destruction.order) == ("destroyed", order.order)
    assert code_of(lambda: keep(world, "ada")) == "weights.model_destroyed"
    assert ended(world) == (0, []) and jobs.mend(world.system) == 0


def test_the_moment_after_the_end_its_line_is_on_its_way_and_it_is_over(
    any_world: World, version: weights.Version
) -> None:
    """On PostgreSQL a line is an entry a moment later; the row says it at once."""
    world = any_world
    world.end("ada", version)
    world.settle()
    world.clock.advance(GRACE)
    assert weights.finish_models(world.system) == 1
    assert code_of(lambda: keep(world, "ada")) == "weights.model_destroyed"
    assert code_of(lambda: world.begin_load(world.run("ada"), version.id)) == "weights.destroyed"
    assert weights.finish_models(world.system) == 0
    assert len(world.facts(OVER)) == 1 and world.facts("weights.ModelDestructionUndone") == []


@pytest.mark.parametrize("step", ["row", "keys", "line", "commit", "key", "after"])
def test_a_kill_at_any_step_of_the_end_leaves_all_or_nothing_and_the_key_goes(world: World, step: str) -> None:
    version = saved(world)
    world.end("ada", version)
    world.clock.advance(GRACE)
    url = str(world.system.database.engine.url)
    world.system.database.engine.dispose()
    done = subprocess.run(
        [sys.executable, "-m", "tests.weights.killed_model_end", url, str(world.state), str(world.clock.now()), step],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    final = step in ("key", "after")
    with world.unit() as unit:
        left = unit.conn.execute(text("SELECT count(*) FROM weights_key")).scalar()
    assert (left == 0, len(world.facts(OVER))) == (final, int(final))
    again = reopen(url, world.state, world.clock.now())  # a server that starts anew
    assert material(again) == (step != "after")
    assert weights.finish_models(again) == (0 if final else 1)
    with read(again) as unit:
        assert keys.owed(unit) == ([TERN] if step == "key" else [])
        assert next(one for one in keys.keks(unit, SYSTEM) if one.name == TERN).destroyed
    assert jobs.mend(again) == (step == "key")
    assert not material(again) and jobs.mend(again) == 0
    assert len(world.facts(OVER)) == 1
    again.database.close()


def test_a_key_file_put_back_opens_nothing_and_loses_the_key_again(world: World) -> None:
    """Rows, key file and all else of the day before, and a server that starts on them: the log remembers."""
    version = saved(world)
    with world.unit() as unit:
        rows = {one: [row._asdict() for row in unit.conn.execute(text(f"SELECT * FROM {one}"))] for one in TABLES}
    shutil.copy(world.state / "keys.sealed", world.state / "yesterday")
    over(world, version)
    with world.unit() as unit:
        for table, listed in rows.items():
            unit.conn.execute(text(f"DELETE FROM {table}"))
            for row in listed:
                names = ", ".join(f":{name}" for name in row)
                unit.conn.execute(text(f"INSERT INTO {table} VALUES ({names})"), row)
    (world.state / "yesterday").replace(world.state / "keys.sealed")
    again = reopen(str(world.system.database.engine.url), world.state, world.clock.now())
    assert material(again)
    world.system = again
    assert code_of(lambda: world.begin_load(world.run("ada"), version.id)) == "weights.destroyed"
    for act in (_rewrap, _rotate, _raise_minimum, _try):
        assert code_of(lambda act=act: act(again)) == "keys.destroyed"
    assert jobs.rotate_due(again) == 0
    assert jobs.mend(again) == 1 and not material(again)
    again.database.close()


def _item(system: System) -> list[Any]:
    with read(system) as unit:
        row = unit.conn.execute(text("SELECT kek, kek_version, blob FROM weights_key")).first()
    assert row is not None
    return [(keys.Wrapped(row.kek, row.kek_version, bytes(row.blob)), {"model": TERN, "version": "ver_1"})]


def _rewrap(system: System) -> object:
    items = _item(system)
    with begin(system) as unit:
        return keys.rewrap(unit, resource=TERN, items=items)


def _try(system: System) -> object:
    items = _item(system)
    with begin(system) as unit:
        return keys.tried(unit, resource=TERN, items=items)


def _rotate(system: System) -> object:
    with begin(system, SYSTEM) as unit:
        return keys.rotate(unit, SYSTEM, TERN)


def _raise_minimum(system: System) -> object:
    with begin(system, SYSTEM) as unit:
        return keys.set_minimum(unit, SYSTEM, TERN, 1)


def test_rotation_and_rewrap_while_it_is_ordered_change_nothing_of_its_end(world: World) -> None:
    version = saved(world)
    world.end("ada", version)
    _rotate(world.system)
    assert [one.problem for one in weights.rewrap_all(world.system, TERN)] == [""]
    with begin(world.system, SYSTEM) as unit:
        weights.raise_minimum(unit, SYSTEM, TERN, 2)
    world.clock.advance(GRACE)
    assert ended(world) == (1, [OVER])
    assert not material(world.system)


def test_the_name_is_not_used_again_and_the_remedy_is_another(world: World) -> None:
    version = saved(world)
    over(world, version)
    world.grant("ada", "tern-train")
    with pytest.raises(WeighthouseError) as caught:
        world.begin_save(world.run("ada"))
    assert caught.value.code == "weights.model_destroyed" and "another name" in caught.value.remedy
    grant(world, version)
    assert code_of(lambda: end(world, "ada")) == "weights.model_destroyed"
    with begin(world.system, SYSTEM) as unit, pytest.raises(WeighthouseError) as caught:
        keys.destroy(unit, SYSTEM, TERN)
    assert caught.value.code == "keys.destroyed"


def test_another_model_that_was_made_from_it_keeps_its_own_key(world: World) -> None:
    world.grant("ada", "wren-train", WREN)
    parent = saved(world)
    child = world.save(world.run("ada", "research"), WREN)
    over(world, parent)
    assert set(world.load(world.run("ada", "research"), child.id)) == {"embed", "head", "step"}
    assert material(world.system, WREN)


def test_its_objects_go_with_the_sweep_and_an_order_on_one_version_has_nothing_left_to_do(world: World) -> None:
    version = saved(world)
    folder = world.state / "objects" / version.prefix
    world.limit(destroy_grace_s=3600)
    world.order("ada", version)
    world.limit(destroy_grace_s=600)
    over(world, version)
    assert folder.exists()
    weights.sweep(world.system)
    assert not folder.exists()
    world.clock.advance(3600 * 1000)
    assert finished(world) == (0, [])
    assert code_of(lambda: undestroy(world, "ada", version.id)).startswith(("access.grant", "weights.destroyed"))


def test_a_key_service_that_is_away_at_the_end_loses_the_key_when_it_is_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = saved(world)

    def away(*_: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(SealedKeys, "destroy", away)
        over(world, version)
        assert material(world.system)
    assert jobs.mend(world.system) == 1
    assert not material(world.system)
    assert SealedKeys.open(world.state / "keys.sealed", PASSPHRASE).find(TERN).destroyed  # type: ignore[union-attr]
