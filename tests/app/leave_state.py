"""Leaves a small state folder of this version behind, for `test_upgrade.py` of the versions to come.

`python -m tests.app.leave_state` plays the demo up to its two runs, exports one of their checkpoints, and packs the
folder under the newest schema's number. Objects and what runs left are not packed (nobody can make them small), nor is anything of this machine.
"""

from __future__ import annotations

import json
import shutil
import tarfile
import tempfile
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from weighthouse.app import schema
from weighthouse.app.demo import acts
from weighthouse.app.demo.stage import Stage
from weighthouse.app.demo.tell import Tell
from weighthouse.audit import api as audit
from weighthouse.core.work import read
from weighthouse.runs.adapters import contained

STATES = Path(__file__).parent / "states"
LEFT_OUT = ("sockets", "*.pem", "lock", "running.json", "log-condition.json")


def leave(folder: Path) -> str:
    """Play, copy the state folder to `folder`, and return the revision of its schema."""
    judge, tell = contained.judge, Tell()
    # The log keeps the kernel that a run saw; that of whoever packs a state is nobody's business.
    contained.judge = lambda *seen: msgspec.structs.replace(judge(*seen), kernel="6.12.0", kernel_version="#1")
    with Stage() as stage:
        ada = acts.sign_in(stage, tell)
        request = acts.ask(stage, tell, ada)
        acts.approve(stage, tell, ada, request)
        exported = export(stage, acts.train(stage, tell, ada))
        stage.house.workers.settle()
        with read(stage.system) as unit:
            about = {"at": unit.now, "entries": audit.head(unit).size, "export": exported}
        revision = schema.current(stage.system.database) or ""
        stage.house.stop()
        shutil.copytree(stage.folder, folder / "state", ignore=shutil.ignore_patterns(*LEFT_OUT))
    for place in ("objects", "runs"):
        shutil.rmtree(folder / "state" / place)
    (folder / "about.json").write_text(json.dumps(about), "utf-8")
    return revision


def export(stage: Stage, version: str) -> dict[str, str]:
    """Have Eve export a version under an idempotency key, as the command line does; return what she asked for."""
    body = {
        "version": version,
        "destination": f"x25519:{X25519PrivateKey.generate().public_key().public_bytes_raw().hex()}",
    }
    asked = {
        "entitlement": "tern-export",
        "resource": "model/tern",
        "duration": 3_600_000,
        "reason": "Send this one checkpoint to the partner named in the contract.",
        "operation": body,
    }
    eve = stage.actor("eve")
    request = str(eve.client.post("requests", asked)["id"])
    for person in ("ben", "chi", "gil"):
        stage.actor(person).approve(request)
    key = "the-export-of-eve"
    eve.client.post("weights/exports", body, idempotency_key=key)
    return {**body, "key": key}


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        revision = leave(Path(made))
        target = STATES / f"schema-{revision}.tar.xz"
        with tarfile.open(target, "w:xz") as tar:
            for name in ("state", "about.json"):
                tar.add(Path(made) / name, name, filter=_nobody)
    print(target)


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


if __name__ == "__main__":
    main()
