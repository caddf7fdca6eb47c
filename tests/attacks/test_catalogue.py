"""Every theft of the catalogue on the demo's stage, in one go: all are stopped or detected as was promised for them.

A kept server is asked the same whenever tests run (test_evidence_page.py).
"""

from __future__ import annotations

import re

import pytest

from tests.attacks.removed_guards import run
from weighthouse.assurance import api as assurance

LIMIT_S = 1200  # some wait a minute for what they would steal
EVERY = "import sys; from weighthouse.app.demo.play import play; sys.exit(play(script=True, every=True))"


@pytest.mark.soak
@pytest.mark.timeout(LIMIT_S + 60)
def test_every_theft_of_the_catalogue_is_held() -> None:
    done = run(EVERY, limit_s=LIMIT_S)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    whole = len(assurance.catalogue())
    assert f"{whole} of {whole} thefts" in done.stdout
    assert len(re.findall(r"^ +(BLOCKED|DETECTED) ", done.stdout, re.M)) == whole
    assert re.search(r"ok +E-19 satisfied", done.stdout)


def test_the_demo_plays_a_chosen_twenty() -> None:
    """Enough to see each room say no, and short enough to watch."""
    assert sum(one.demo for one in assurance.catalogue()) == 20
