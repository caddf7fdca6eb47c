"""A lab with people who hold device keys, for stories about access: ask, vote, use, end, and read the log.

Everything is real: the signed policy, identity's devices, the log, both databases. Only the sign-in is left out, for
a `Caller` is what sign-in gives; tests of identity make them the long way.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import structs
from sqlalchemy import text

from tests.audit.support import bind_log
from weighthouse.access import api
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.api.sealing import b64, unb64
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.canonical import encode
from weighthouse.core.clock import HOUR, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.ids import DeviceId, PrincipalId, SessionId
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.core.signing import MemorySigners, Signers
from weighthouse.core.work import System, begin, read
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.api.states import change_state
from weighthouse.identity.model import PrincipalState, Voucher
from weighthouse.identity.model import settings as identity_settings
from weighthouse.identity.ports import Memory, Site
from weighthouse.policy import api as policy
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory

ORIGIN = "http://127.0.0.1:8040"
LAB = Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml"
REASON = "Continue the ablation of the tokenizer on the parent checkpoint."
WHY_BROAD = "Two models must be compared layer by layer in one session, and no narrower entitlement reaches both."
_numbers = itertools.count()


class Key:
    """A P-256 key of a browser: signs as WebCrypto does, raw r and s."""

    def __init__(self) -> None:
        self._key: EllipticCurvePrivateKey = generate_private_key(SECP256R1())
        numbers = self._key.public_key().public_numbers()
        self.jwk = {
            "kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32, "big")), "y": b64(numbers.y.to_bytes(32, "big")),
        }  # fmt: skip

    def sign(self, data: bytes) -> str:
        r, s = decode_dss_signature(self._key.sign(data, ECDSA(SHA256())))
        return b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


class Lab:
    """One server; `sql` does what a database administrator can do."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path, lab: str | None = None) -> None:
        self.clock = clock
        self.folder = folder
        self.text = lab if lab is not None else LAB.read_text("utf-8")
        flags = {"state": folder, "mode": "development"}
        self.system = bind_log(
            System(Settings((*DECLARED, *audit.settings, *identity_settings), flags=flags), clock, database), folder
        )
        self.bind_memories()
        self.keys: dict[str, Key] = {}
        self.devices: dict[str, DeviceId] = {}
        with begin(self.system) as unit:
            api.publish_policy(unit, None, self.text, "lab.yaml")

    def bind_memories(self) -> None:
        """Bind what lies outside the database, afresh from its files as after a restart."""
        bind = self.system.bind
        bind(Signers, MemorySigners(b"\x07" * 32))
        bind(Site, Site(ORIGIN))
        bind(PolicyMemory, FilePolicyMemory(self.folder / "policy.memory"))
        bind(Refusals, FileRefusals(self.folder / "access.refusals"))
        bind(Memory, FileMemory(self.folder / "identity.memory", now=self.clock.now()))

    def caller(self, person: str, *, level: int = 2, age: int = 0) -> Caller:
        """A person's session with a second factor of `age` ago."""
        return Caller(
            principal=PrincipalId(person),
            kind="person",
            session=SessionId(f"ses_{person}"),
            account=policy.account_ref("dev", person),
            assurance=Assurance(level, self.clock.now() - age, "totp"),
            binding="dpop",
        )

    def workload(self, run: str, person: str, grant: str = "", **facts: str) -> Caller:
        """A running workload of a person."""
        account = policy.account_ref("dev", person)
        attributes = {"person": person, "account": account, "sandbox": "gvisor", "environment": "frontier", **facts}
        if grant:
            attributes["grant"] = grant
        with begin(self.system) as unit:
            identity.issue_workload(unit, run=run, attributes=attributes, expires=unit.now + 8 * HOUR)
        return Caller(
            principal=PrincipalId("run:" + run),
            kind="workload",
            assurance=Assurance(1, self.clock.now(), "workload"),
            binding="workload",
            attributes={**attributes, "run": run},
        )

    def confirm(self, caller: Caller, act: str, subject: str, **parameters: str) -> None:
        """The caller gives a second factor for exactly this act, as a step-up at the provider records it."""
        with begin(self.system, caller) as unit:
            wanted = identity.Act(type=act, subject=subject, parameters=parameters)
            identity.factor_given(unit, caller, [wanted], method="test", at=unit.now)

    def thaw(self, person: str) -> None:
        """The operator lets a frozen person in again; with what was set aside meanwhile, as if nobody had asked."""

        def back(state: PrincipalState) -> PrincipalState:
            vouchers = tuple(
                Voucher(device=one, act="restore", by="system", session="", at=self.clock.now())
                for one in state.suspended
            )
            return structs.replace(
                state,
                devices=(*state.devices, *state.suspended),
                suspended=(),
                grown=(),
                vouchers=(*state.vouchers, *vouchers),
            )

        with begin(self.system) as unit:
            identity.thaw(unit, PrincipalId(person), "found again", "operator")
            change_state(unit, person, back)

    def opened(self, person: str, act: str, subject: str) -> identity.KeySignature:
        """A second factor and the signature of the person's own key, both for opening exactly this."""
        device = self.device(person)
        self.clock.advance(1)
        self.confirm(self.caller(person), act, subject)
        at = self.clock.now()
        here = identity.audience(self.system)
        said = identity.opening(act, subject, audience=here, person=person, device=device, at=at)
        return identity.KeySignature(device=device, at=at, value=unb64(self.keys[person].sign(said)))

    def device(self, person: str) -> DeviceId:
        """The person's enrolled device, enrolled now if they have none."""
        if person not in self.devices:
            self.keys[person] = Key()
            mark = identity.thumbprint_of(self.keys[person].jwk)
            self.confirm(self.caller(person), "device.enrol", mark)
            with begin(self.system, self.caller(person)) as unit:
                made = identity.enrol_device(unit, self.caller(person), self.keys[person].jwk, f"{person}'s laptop")
            self.devices[person] = made.id
        return self.devices[person]

    def ask(
        self, person: str = "ada", entitlement: str = "tern-train", resource: str = "model/tern", **more: Any
    ) -> api.Request:
        wish: dict[str, Any] = {"duration": 2 * HOUR, "reason": REASON, **more}
        with begin(self.system, self.caller(person)) as unit:
            return api.submit(unit, self.caller(person), entitlement=entitlement, resource=resource, **wish)

    def card(self, person: str, request: str) -> api.Card:
        with read(self.system) as unit:
            return api.card(unit, self.caller(person), request)

    def signed(self, person: str, card: api.Card, verdict: str, **changed: Any) -> api.VoteSignature:
        """The person's device signature over the card's statement, and a second factor given for that decision."""
        device = self.device(person)
        self.confirm(self.caller(person), "request.vote", card.request.id, verdict=verdict, digest=card.digest)
        statement = {**card.statement, "verdict": verdict, "device": device, **changed}
        return api.VoteSignature(
            kind="device", device=device, at=statement["at"], value=self.keys[person].sign(encode(statement))
        )

    def vote(
        self, person: str, request: str, verdict: str = "approve", *, caller: Caller | None = None
    ) -> api.Request:
        self.device(person)
        card = self.card(person, request)
        signature = self.signed(person, card, verdict)
        who = caller or self.caller(person)
        if caller is not None:
            self.confirm(who, "request.vote", request, verdict=verdict, digest=card.digest)
        with begin(self.system, who) as unit:
            return api.vote(unit, who, request, verdict, digest=card.digest, signature=signature)  # type: ignore[arg-type]

    def attest(self, person: str, request: str, verdict: str = "approve") -> api.Request:
        card = self.card(person, request)
        signature = api.VoteSignature(kind="attested", at=card.statement["at"])
        self.confirm(self.caller(person), "request.vote", request, verdict=verdict, digest=card.digest)
        with begin(self.system, self.caller(person)) as unit:
            return api.vote(unit, self.caller(person), request, verdict, digest=card.digest, signature=signature)  # type: ignore[arg-type]

    def grant(self, person: str = "ada", **more: Any) -> api.Grant:
        """A grant of tern-train, approved by ben and chi."""
        request = self.ask(person, **more)
        self.vote("ben", request.id)
        self.vote("chi", request.id)
        return self.grants(person)[0]

    def grants(self, person: str) -> list[api.Grant]:
        with read(self.system) as unit:
            return api.grants_of(unit, self.caller(person))

    def explain(
        self, caller: Caller | str, action: str = "", resource: str = "model/tern", **facts: Any
    ) -> api.Decision:
        who = self.caller(caller) if isinstance(caller, str) else caller
        with read(self.system) as unit:
            return api.explain(unit, who, action or usual(who), resource, **facts)

    def code(self, caller: Caller | str, action: str = "", resource: str = "model/tern", **facts: Any) -> str:
        """The code of the deciding reason, `access.allowed` for a yes."""
        return self.explain(caller, action, resource, **facts).reasons[0].code

    def require(
        self, caller: Caller | str, action: str = "", resource: str = "model/tern", **facts: Any
    ) -> api.Decision:
        who = self.caller(caller) if isinstance(caller, str) else caller
        with begin(self.system, who) as unit:
            return api.require(unit, who, action or usual(who), resource, **facts)

    def log(self, kind: str = "access.") -> list[audit.Entry]:
        """Entries whose kind begins with `kind`, oldest first."""
        with read(self.system) as unit:
            return [entry for entry in audit.entries(unit, limit=10_000) if entry.kind.startswith(kind)]

    def sql(self, query: str, /, **values: Any) -> list[Any]:
        with self.system.database.engine.begin() as connection:
            found = connection.execute(text(query), values)
            return list(found.mappings()) if found.returns_rows else []

    def publish(self, new: str) -> None:
        """Put a policy in force the long way: dee asks; chi, gil and hana approve exactly this text."""
        request = self.ask(
            "dee", "policy-change", "lab", duration=HOUR, operation={"policy": policy.digest_of(new)},
            reason="Publish the policy text that was reviewed.",
        )  # fmt: skip
        for person in ("chi", "gil", "hana"):
            self.vote(person, request.id)
        self.confirm(self.caller("dee"), "policy.publish", "lab", policy=policy.digest_of(new))
        with begin(self.system, self.caller("dee")) as unit:
            api.publish_policy(unit, self.caller("dee"), new, "lab.yaml")
        self.text = new

    def change(self, old: str, new: str) -> None:
        """Publish the current text with one passage changed."""
        assert self.text.count(old) == 1, f"'{old}' stands {self.text.count(old)} times"
        self.publish(self.text.replace(old, new))


def usual(who: Caller) -> str:
    """What a grant of Tern is for: a person submits runs with it, and a run loads."""
    return "run.submit" if who.kind == "person" else "weights.load"


def refused(error: pytest.ExceptionInfo[WeighthouseError]) -> str:
    """The code of a refusal, for assertions that read well."""
    return error.value.code
