"""What the tests of assurance share: a live ground over real rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.assurance.ground import LabGround
from tests.detect.conftest import Watched
from tests.identity.support import LAB
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database


@pytest.fixture
def ground(database: Database, clock: ManualClock, tmp_path: Path) -> LabGround:
    watched = Watched(database, clock, tmp_path)
    watched.publish(
        LAB.read_text("utf-8").replace("    # images: [sha256:…] ", f"    images: [sha256:{'a' * 64}]  #")
    )
    return LabGround(watched)
