"""Acts that are under way when their session is ended: what they are, and how the end overtakes them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import msgspec

from tests.governance.test_closed_again import Open
from tests.weights.world import TERN
from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller, Life
from weighthouse.core.clock import HOUR
from weighthouse.core.work import Unit, begin, read
from weighthouse.governance import api
from weighthouse.identity import api as identity
from weighthouse.identity.jobs import followers as keys
from weighthouse_sdk.client import DeviceKey

Act = Callable[[Unit], object]
PATIENCE_S = 1.0  # for an end that needs a row which the act holds: it is said before that


class Racing(Open):
    """People whose acts wait for something while their session is ended."""

    def settle(self) -> None:
        while audit.sequence(self.system):
            pass

    def follow(self) -> None:
        for _ in range(2):
            self.settle()
            for follower in keys:
                while audit.pump(self.system, follower):
                    pass
            self.settle()
            super().follow()
        self.settle()

    def facts(self, kind: str) -> list[dict[str, Any]]:
        self.settle()
        return super().facts(kind)

    def end(self, how: str, who: str, thief: str) -> None:
        if how != "its key":
            self.stop(how, who, thief)
            return
        self.clock.advance(1)
        with begin(self.system, self.person(who)) as unit:
            identity.end_device(unit, self.person(who), self.device(who)[0], "stolen")

    def overtaken(self, caller: Caller, act: Act, how: str, thief: str) -> None:
        """Let the end come while the act waits: for its turn to write on SQLite, for a lock on PostgreSQL."""
        who = str(caller.principal)
        self.begin_session(who)
        if self.system.database.dialect == "sqlite":
            self.end(how, who, thief)
            with begin(self.system, caller) as unit:
                act(unit)
            return
        ending = threading.Thread(target=self.end, args=(how, who, thief))
        try:
            with begin(self.system, caller) as unit:
                act(unit)
                ending.start()
                ending.join(PATIENCE_S)
        finally:
            ending.join()

    def living(self, who: str) -> Caller:
        """The caller of the present session as `authenticate` makes it, with what that lives by."""
        with read(self.system) as unit:
            found = next(one for one in identity.sessions_of(unit, who) if one.id == self.sessions[who])
        life = Life(mark=found.device_mark, began=found.created, epoch=found.epoch)
        return msgspec.structs.replace(self.person(who), life=life)

    def keep_states(self) -> None:
        self.sql("CREATE TABLE aside AS SELECT * FROM identity_principal")

    def put_state(self, who: str) -> None:
        """Let the record of a person be as it was when it was kept."""
        self.sql("DELETE FROM identity_principal WHERE principal = :who", who=who)
        self.sql("INSERT INTO identity_principal SELECT * FROM aside WHERE principal = :who", who=who)

    def refusals(self) -> list[tuple[str, str]]:
        return [(one["subject_id"], one["code"]) for one in self.facts("identity.CredentialRefused")]


def security_hold(lab: Racing, subject: str = "ada") -> str:
    with begin(lab.system, lab.person("chi")) as unit:
        return access.place_hold(unit, lab.person("chi"), subject, "bulk reads").id


def _lift(lab: Racing) -> tuple[str, Callable[[Caller], Act]]:
    hold = security_hold(lab)

    def made(caller: Caller) -> Act:
        signed = lab.opening("chi", "hold.lift", hold)
        return lambda unit: access.lift_hold(unit, caller, hold, "it was a mistake", signed=signed)

    return "chi", made


def _thaw(lab: Racing) -> tuple[str, Callable[[Caller], Act]]:
    lab.freeze("eve")

    def made(caller: Caller) -> Act:
        signed = lab.opening("chi", "person.thaw", "eve")
        return lambda unit: identity.thaw(unit, "eve", "it was a mistake", caller, signed=signed)

    return "chi", made


def _vote(lab: Racing) -> tuple[str, Callable[[Caller], Act]]:
    ada = lab.person("ada")
    with begin(lab.system, ada) as unit:
        asked = access.submit(
            unit, ada, entitlement="tern-train", resource=TERN, duration=HOUR, reason="A test of the registry."
        )

    def made(caller: Caller) -> Act:
        device, _ = lab.device("chi")
        with read(lab.system, caller) as unit:
            card = access.card(unit, caller, asked.id)
        statement = {**card.statement, "verdict": "approve", "device": device}
        value = lab.sign("chi", statement)
        signature = access.VoteSignature(kind="device", at=statement["at"], device=device, value=value)
        lab.confirm("chi", "request.vote", asked.id, verdict="approve", digest=card.digest)
        return lambda unit: access.vote(unit, caller, asked.id, "approve", digest=card.digest, signature=signature)

    return "chi", made


def _ballot(lab: Racing) -> tuple[str, Callable[[Caller], Act]]:
    hold = lab.hold().hold
    assert hold is not None
    lab.settle()
    motion = lab.open(hold).motion.id
    lab.settle()
    lab.device("hana")

    def made(caller: Caller) -> Act:
        view = lab.motion(motion, "hana")
        device, _ = lab.device("hana")
        statement = {**view.statement, "ballot": "for", "device": device}
        sent = {
            "digest": view.digest,
            "device": device,
            "at": statement["at"],
            "signature": lab.sign("hana", statement),
        }
        lab.confirm("hana", "committee.ballot", motion, ballot="for", digest=view.digest)
        return lambda unit: api.cast(unit, caller, motion, "for", **sent)

    return "hana", made


def _enrol(lab: Racing) -> tuple[str, Callable[[Caller], Act]]:
    def made(caller: Caller) -> Act:
        key = DeviceKey.generate()
        lab.confirm("chi", "device.enrol", key.thumbprint)
        return lambda unit: identity.enrol_device(unit, caller, key.jwk, "mine")

    return "chi", made


def _ask(lab: Racing) -> tuple[str, Callable[[Caller], Act]]:
    wish: dict[str, Any] = {"entitlement": "tern-train", "resource": TERN, "duration": HOUR}
    return "ada", lambda caller: lambda unit: access.submit(unit, caller, **wish, reason="A test of the registry.")


def _hold(lab: Racing) -> tuple[str, Callable[[Caller], Act]]:
    return "chi", lambda caller: lambda unit: access.place_hold(unit, caller, "model/tern", "odd reads")


ACTS: dict[str, tuple[Callable[[Racing], tuple[str, Callable[[Caller], Act]]], str]] = {
    "lift": (_lift, "access.HoldLifted"),
    "thaw": (_thaw, "identity.PersonThawed"),
    "vote": (_vote, "access.VoteCast"),
    "ballot": (_ballot, "governance.BallotCast"),
    "enrol": (_enrol, "identity.DeviceEnrolled"),
    "ask": (_ask, "access.RequestSubmitted"),
    "hold": (_hold, "access.HoldPlaced"),
}
