"""A drain through output, metrics and names: told at half of an hour's share, held when several runs were silenced."""

from __future__ import annotations

from tests.detect.conftest import Watched
from weighthouse.access import api as access
from weighthouse.core.clock import DAY, HOUR
from weighthouse.core.work import begin, read
from weighthouse.detect.model import OUTPUT
from weighthouse.egress import api as egress
from weighthouse.egress import store
from weighthouse.egress.model import WayRow

ALERT = "detect.AlertRaised"


def open_ways(watched: Watched, *runs: str, person: str = "eve") -> None:
    """Ways of runs in the ledger, without proxies: what is said needs none."""
    with begin(watched.system) as unit:
        for run in runs:
            row = WayRow(run=run, profile="none", model="model/wren", person=person, opened=unit.now)
            store.add_way(unit.conn, row, run)


def drain(watched: Watched, run: str) -> int:
    """Say pieces of 64 bytes, as output, metric or name would, until nothing more is kept; return the bytes kept."""
    kept = 0
    while True:
        with begin(watched.system) as unit:
            if not egress.charge_output(unit, run, 64):
                return kept
        kept += 64


def held(watched: Watched, person: str) -> bool:
    with read(watched.system) as unit:
        return any(hold.subject == person for hold in access.holds(unit))


def test_one_loud_run_is_told_within_a_pass_and_nobody_is_held(watched: Watched) -> None:
    open_ways(watched, "run_1")
    assert drain(watched, "run_1") < 8 * 1024, "a run may say an eighth of a percent of Wren in an hour"
    watched.follow()
    assert [(one["rule"], one["severity"], one["principal"]) for one in watched.facts(ALERT)] == [
        (OUTPUT, "medium", "eve")
    ]
    assert not held(watched, "eve")
    watched.follow()
    assert len(watched.facts(ALERT)) == 1


def test_a_drain_that_goes_on_with_new_runs_stays_under_the_budget_and_is_held(watched: Watched) -> None:
    runs = [f"run_{number}" for number in range(21)]
    open_ways(watched, *runs)
    kept = sum(drain(watched, run) for run in runs)
    assert kept <= 4 * 1024 * 1024 // 300, "21 runs together: less than a third of a percent of Wren"
    watched.follow()
    alerts = watched.facts(ALERT)
    assert [one["severity"] for one in alerts].count("high") == 7 and held(watched, "eve")


def test_another_persons_runs_and_yesterdays_do_not_add_up(watched: Watched) -> None:
    for day, person in enumerate(("eve", "ada", "eve")):
        open_ways(watched, f"run_{day}", person=person)
        drain(watched, f"run_{day}")
        watched.follow()
        watched.clock.advance(DAY - HOUR if day == 0 else 2 * HOUR)
    assert {one["severity"] for one in watched.facts(ALERT)} == {"medium"}
