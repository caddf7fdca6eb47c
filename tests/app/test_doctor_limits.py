"""What limits a run on this machine is said by `doctor`, each row from what was really tried."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from weighthouse.app import declared
from weighthouse.app.doctor import examine
from weighthouse.app.home import Home
from weighthouse.core.settings import Settings
from weighthouse.runs.adapters import cgroups, page_cache, volume

pytestmark = pytest.mark.ordinary


def test_doctor_tells_whose_user_runs_have_and_what_limits_their_memory_and_files(tmp_path: Path) -> None:
    found = {one.name: one for one in examine(Settings(declared.settings()), Home(tmp_path / "none"))}
    root = os.geteuid() == 0
    groups = cgroups.find()
    expected = {
        "processor of runs": groups is not None and groups.share_processor,
        "control groups": groups is not None,
        "user of runs": root,
        "room of runs": root and volume.usable_on_disk(),
        "page cache of runs": page_cache.may_whole(),
    }
    assert {name: found[name].state == "ok" for name in expected} == expected
    assert all(found[name].state == "ok" or (found[name].state == "weak" and found[name].remedy) for name in expected)
    if not root:
        assert "this server's own user id" in found["user of runs"].detail
