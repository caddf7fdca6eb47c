"""Theft: swap a save's folder for a link, so that what is committed and mounted is elsewhere on the host."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from weighthouse.assurance.model import Expected, Observed, Trace
from weighthouse.assurance.ports import Ground, Scenario
from weighthouse.assurance.scenarios import saving
from weighthouse.assurance.scenarios.saving import Saving
from weighthouse.core.errors import WeighthouseError

CODE = "weights.bad_shard"


def attack(ground: Ground, save: Saving) -> Observed:
    elsewhere = Path(tempfile.mkdtemp(prefix="host-"))
    try:
        shutil.copytree(save.folder, elsewhere / "folder")
        shutil.rmtree(save.folder / "shards")
        save.folder.rmdir()
        save.folder.symlink_to(elsewhere / "folder")
        saving.commit(ground, save)
    except WeighthouseError as refusal:
        return Observed(code=refusal.code, message=refusal.message)
    finally:
        shutil.rmtree(elsewhere)
    return Observed(loot="a folder of the host, read through a link that a run left")


SCENARIO = Scenario(
    id="swapped-parent",
    title="Swap a save's folder for a link to the host",
    techniques=("T1611", "T1574", "CVE-2021-30465"),
    people=("eve",),
    steps=(
        "A run writes a save, then puts a link in the place of its folder.",
        "It commits, so that what lies behind the link would be a version, and a parent.",
    ),
    expected=Expected(
        status="BLOCKED",
        room="weights",
        code=CODE,
        traces=(Trace("weights.ManifestRefused", {"code": CODE}),),
        absent=(Trace("weights.CheckpointSealed"),),
    ),
    prepare=saving.written,
    attack=attack,
    cleanup=saving.over,
    on="copy",
)
