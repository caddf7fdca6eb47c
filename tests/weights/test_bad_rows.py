"""Attack: write one bad row, and what is done for all others ends in an error: ends, sweeps, the answer to a leaked key.

A row that cannot be read is refused by name where it is asked for, and takes no other with it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text
from tests.weights.test_rewrapping import raised, rotated
from tests.weights.world import TERN, World

from weighthouse.core.clock import MINUTE
from weighthouse.core.errors import WeighthouseError
from weighthouse.weights import api as weights

COLUMNS = {
    "weights_save": ("body", "state", "begun"),
    "weights_version": ("body", "envelope", "seal", "model", "counter", "save"),
    "weights_key": ("media", "kek", "kek_version", "blob", "shard"),
}
BAD = {
    "body": ("'{'", "''", "'null'", "'[]'", "'{}'", "'{\"id\": 7}'"),
    "state": ("''", "'open'"),
    "begun": ("0", "9000000000000000000"),
    "envelope": ("{bytes}",),
    "seal": ("{bytes}",),
    "model": ("'model/none'", "''"),
    "counter": ("0", "9000000000000000000"),
    "save": ("''",),
    "media": ("''",),
    "kek": ("''",),
    "kek_version": ("-1", "9000000000000000000"),
    "blob": ("{bytes}",),
    "shard": ("''",),
}
CASES = [(table, column, value) for table, columns in COLUMNS.items() for column in columns for value in BAD[column]]


def spoil(world: World, table: str, column: str, value: str, version: weights.Version) -> None:
    binary = "CAST('x' AS BYTEA)" if world.system.database.dialect == "postgresql" else "x'78'"
    where = {"weights_version": "id", "weights_save": "id", "weights_key": "save"}[table]
    which = version.id if table == "weights_version" else version.save
    one = " AND place = 0" if table == "weights_key" else ""
    with world.system.database.engine.begin() as connection:
        done = connection.execute(
            text(f"UPDATE {table} SET {column} = {value.replace('{bytes}', binary)} WHERE {where} = :which{one}"),
            {"which": which},
        )
        assert done.rowcount == 1


def by_name(act: Callable[[], object]) -> str:
    """The code of a refusal, empty for none; nothing else may come of a bad row."""
    try:
        act()
    except WeighthouseError as refusal:
        return refusal.code
    return ""


@pytest.mark.parametrize(("table", "column", "value"), CASES)
def test_a_bad_row_of_one_version_is_refused_by_name_and_takes_no_other_along(
    world: World, table: str, column: str, value: str
) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    bad, good, doomed = world.save(run), world.save(run, seed=2), world.save(run, seed=3)
    world.order("ada", bad)
    world.order("ada", doomed)
    rotated(world)
    spoil(world, table, column, value, bad)
    ada = world.person("ada")

    def shown(version: weights.Version) -> object:
        with world.unit(ada) as unit:
            return weights.version(unit, ada, version.id)

    def listed() -> object:
        with world.unit(ada) as unit:
            return weights.versions(unit, ada, TERN)

    for act in (lambda: shown(bad), listed, lambda: raised(world, 2)):
        by_name(act)
    assert by_name(lambda: shown(good)) == ""
    looked = {each.save: each for each in weights.rewrap_all(world.system, TERN)}
    assert (looked[good.save].moved, looked[good.save].problem) == (2, "")
    told = {each.save: each.problem for each in weights.verify_keys(world.system, TERN, stored=True)}
    assert told[good.save] == ""
    weights.sweep(world.system)
    world.settle()
    world.clock.advance(10 * MINUTE)
    weights.finish(world.system)
    over = {fact["version"] for fact in world.facts("weights.CheckpointDestroyed")}
    assert doomed.id in over and good.id not in over
    world.load(world.run("ada"), good.id)
