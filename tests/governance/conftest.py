"""What the tests of governance share: a lab whose committee members hold device keys, with a real registry to release."""

from __future__ import annotations

import base64
import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from sqlalchemy import text

from tests.weights.world import LAB, TERN, World
from weighthouse.audit import api as audit
from weighthouse.core.canonical import encode
from weighthouse.core.clock import ManualClock
from weighthouse.core.database import Database
from weighthouse.core.work import begin
from weighthouse.governance import api
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

MEMBERS = ("gil", "hana", "ivo")


class Committee(World):
    """A lab with Gil (chair, independent), Hana (independent) and Ivo; `sql` does what a database administrator can."""

    def hold(self, who: str = "gil", model: str = TERN) -> api.ReleaseStatus:
        caller = self.person(who)
        with begin(self.system, caller) as unit:
            return api.place_release_hold(unit, caller, model, "The evaluation is not finished.")

    def open(self, subject: str, who: str = "gil", cls: str = "lift_hold") -> api.MotionView:
        caller = self.person(who)
        with begin(self.system, caller) as unit:
            return api.open_motion(unit, caller, cls, subject, "The evaluation is finished.")

    def motion(self, motion: str, who: str = "fay") -> api.MotionView:
        caller = self.person(who)
        with begin(self.system, caller) as unit:
            return api.motion(unit, caller, motion)

    def sign(self, who: str, statement: dict[str, Any]) -> str:
        _, key = self.device(who)
        r, s = decode_dss_signature(key.sign(encode(statement), ec.ECDSA(hashes.SHA256())))
        return base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()

    def cast(self, who: str, motion: str, choice: str = "for", *, signed: str = "", **changed: Any) -> api.Ballot:
        """Sign what the motion shows with the member's own device and send it; `changed` tampers with the sending."""
        device, _ = self.device(who)
        view = self.motion(motion, who)
        statement = {**view.statement, "ballot": signed or choice, "device": device}
        sent = {
            "digest": view.digest,
            "device": device,
            "at": statement.get("at", self.clock.now()),
            "signature": self.sign(who, statement),
            **changed,
        }
        caller = self.person(who)
        if choice in api.CHOICES:
            self.confirm(who, "committee.ballot", motion, ballot=choice, digest=view.digest)
        with begin(self.system, caller) as unit:
            return api.cast(unit, caller, motion, choice, **sent)

    def lose_device(self, who: str) -> None:
        """End a member's device; the next ballot of theirs is signed by a new one."""
        caller = self.person(who)
        with begin(self.system, caller) as unit:
            identity.end_device(unit, caller, self.device(who)[0], "lost laptop")
        del self.devices[who]

    def charter(self, old: str, new: str) -> None:
        """Publish the lab with one change; `{}` in it is the day after the clock's."""
        day = datetime.datetime.fromtimestamp(self.clock.now() / 1000 + 86_400, datetime.UTC).date().isoformat()
        text = LAB.read_text("utf-8")
        assert text.count(old) == 1
        with begin(self.system) as unit:
            policy.store(unit, text.replace(old, new.replace("{}", day)), "lab.yaml")

    def close(self, motion: str, who: str = "gil") -> api.MotionView:
        caller = self.person(who)
        with begin(self.system, caller) as unit:
            return api.close(unit, caller, motion)

    def status(self, model: str = TERN) -> api.ReleaseStatus:
        with begin(self.system) as unit:
            return api.release_status(unit, model)

    def facts(self, kind: str) -> list[dict[str, Any]]:
        with begin(self.system) as unit:
            return [entry.data for entry in audit.entries(unit, kind=kind, limit=50)]

    def sql(self, statement: str, **values: Any) -> int:
        with self.system.database.engine.begin() as connection:
            return connection.execute(text(statement), values).rowcount


@pytest.fixture
def committee(database: Database, clock: ManualClock, tmp_path: Path) -> Committee:
    return Committee(database, clock, tmp_path)
