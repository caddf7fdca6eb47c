"""Names that a hostile name server leads inside, asked of the machine's real resolver, knocked at through real Envoy."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.egress.resolved import ANSWERS

pytestmark = pytest.mark.timeout(120)
HONEST = {"honest.test", "rebinding.test"}


def test_egress_case_49_only_names_that_lead_outside_are_followed_and_asked_for_once(short: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--net", "--mount"]
    done = subprocess.run(
        [*alone, sys.executable, "-m", "tests.egress.resolved", str(short)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    inside = set(ANSWERS) - HONEST
    assert {name for name, status in seen["statuses"].items() if status == 200} == HONEST
    assert {one.partition(":")[0] for one in seen["unresolved"]} == inside
    assert seen["refused"] == dict.fromkeys(inside, "egress.leads_inside")
    assert seen["connections"] == 2, "what was judged when the way was opened is what was connected to"
    assert all(seen["asked"][name] <= 2 for name in ANSWERS), "one question of each kind, and none at the connection"
