"""Attack: ask for an export again with its old idempotency key, once something says no. Data case 6, with a secret.

No bundle is kept: a repeat is decided as of now, makes its bundle anew for the same recipient, and leaves its line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from tests.weights.test_lowered_counts import sequenced
from tests.weights.world import TERN, World

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.clock import DAY, MINUTE
from weighthouse.core.errors import WeighthouseError
from weighthouse.weights import api as weights
from weighthouse_sdk.checkpoint import parse_bundle
from weighthouse_sdk.checkpoint_binding import Recipient

KEY = "the-export-of-eve"


class Exported:
    """One export that Eve was given, under an idempotency key."""

    def __init__(self, world: World) -> None:
        self.world, self.partner = world, Recipient()
        world.grant("ada", "tern-train")
        self.version = world.save(world.run("ada"))
        sequenced(world)
        self.destination = f"x25519:{self.partner.public.hex()}"
        operation = {"version": self.version.id, "destination": self.destination}
        grant = world.grant("eve", "tern-export", operation=operation)
        assert grant is not None
        self.grant = grant.id
        self.first = self.asked()

    def asked(self) -> dict[str, Any]:
        eve = self.world.person("eve")
        with self.world.unit(eve) as unit:
            return weights.export_once(unit, eve, self.version.id, self.destination, KEY)

    def refused(self) -> tuple[str, list[str]]:
        """The code of a repeat's refusal, and the lines that it left."""
        size = self.world.size()
        with pytest.raises(WeighthouseError) as caught:
            self.asked()
        return caught.value.code, self.world.since(size)


@pytest.fixture
def export(any_world: World) -> Exported:
    return Exported(any_world)


def test_no_bundle_is_kept_and_a_repeat_makes_it_anew_with_a_line(export: Exported) -> None:
    with export.world.unit() as unit:
        kept = [str(row[0]) for row in unit.conn.execute(text("SELECT answer FROM core_answer"))]
    assert [row.partition(" ")[2] for row in kept] == [f'{{"id":"{export.first["id"]}"}}']
    again = export.asked()
    assert {**again, "bundle": ""} == {**export.first, "bundle": ""}
    assert again["bundle"] != export.first["bundle"], "the keys were sealed anew"
    assert parse_bundle(again["bundle"].encode(), audit.keys(export.world.system)).version == export.version.id
    lines = export.world.facts("weights.WeightsExported")
    assert [(line["export"], line["repeated"]) for line in lines] == [(again["id"], False), (again["id"], True)]
    assert len(export.world.facts("keys.KeyReleased")) >= 3, "each time is a release of its own"


def _held(export: Exported) -> None:
    chi = export.world.person("chi")
    with export.world.unit(chi) as unit:
        access.place_hold(unit, chi, TERN, "An incident.", actions=("weights.export",))


def _over(export: Exported) -> None:
    export.world.clock.advance(DAY)


def _revoked(export: Exported) -> None:
    chi = export.world.person("chi")
    with export.world.unit(chi) as unit:
        access.revoke(unit, chi, export.grant, "An incident.")


@pytest.mark.parametrize(
    ("after", "code"),
    [(_held, "access.held"), (_over, "access.grant_expired"), (_revoked, "access.grant_ended")],
)
def test_a_repeat_is_refused_by_the_reason_of_today_with_one_line(
    export: Exported, after: Callable[[Exported], None], code: str
) -> None:
    after(export)
    assert export.refused() == (code, ["access.Denied"])


def test_an_export_of_a_version_that_was_destroyed_is_refused_with_one_line(export: Exported) -> None:
    export.world.order("ada", export.version)
    assert export.refused() == ("weights.being_destroyed", ["weights.ExportRefused"])
    export.world.clock.advance(10 * MINUTE)
    assert weights.finish(export.world.system) == 1
    assert export.refused() == ("weights.destroyed", ["weights.ExportRefused"])
