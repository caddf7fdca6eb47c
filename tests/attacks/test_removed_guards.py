"""A build in which any one guard is removed does not pass the attack that the guard stops.

`make test` runs each attack against its sabotaged build; `make soak` runs the whole demo script against each, which
must exit non-zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attacks.fork_server import ForkServer, libraries
from tests.attacks.removed_guards import CATALOGUE, LIMIT_S, REMOVALS, SCRIPT, Removal, build, run
from weighthouse.assurance import api as assurance

DEMO = {one.id for one in assurance.catalogue() if one.demo}


def named(removal: Removal) -> str:
    return removal.scenario


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    made = ForkServer(libraries())
    yield made
    made.close()


def test_every_attack_of_the_catalogue_has_a_removed_guard() -> None:
    assert {one.id for one in assurance.catalogue()} == {one.scenario for one in REMOVALS}


@pytest.mark.parametrize("removal", REMOVALS, ids=named)
def test_an_attack_notices_that_its_guard_is_gone(removal: Removal, tmp_path: Path, fork_server: ForkServer) -> None:
    done = fork_server.run(CATALOGUE, removal.scenario, source=build(removal, tmp_path), limit_s=LIMIT_S)
    print(f"{removal.scenario}: {done.stdout.strip()}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("MISSED"), done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("removal", [one for one in REMOVALS if one.scenario in DEMO], ids=named)
def test_the_demo_script_fails_without_the_guard(removal: Removal, tmp_path: Path) -> None:
    done = run(SCRIPT, source=build(removal, tmp_path))
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr
    assert "MISSED" in done.stdout or "FAIL" in done.stdout
