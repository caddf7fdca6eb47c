"""A lab with a registry, for tests: real log, policy, access with device-signed votes, sealed keys, folder store.

`grant` lets two or three people approve with P-256 devices of their own, as the console does; `save` and `load` use the
SDK in this process where a run would use it in its sandbox.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec
import numpy
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests.audit.support import bind_log

from weighthouse.access import api as access
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.core.caller import Assurance, Caller
from weighthouse.core.canonical import encode
from weighthouse.core.clock import HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.ids import PrincipalId, new_id
from weighthouse.core.settings import DECLARED, Settings
from weighthouse.core.signing import Signers
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.egress import api as egress
from weighthouse.identity import api as identity
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.model import settings as identity_settings
from weighthouse.identity.ports import Memory, Site
from weighthouse.keys import api as keys
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.ports import KeyService
from weighthouse.policy import api as policy
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory
from weighthouse.weights import api as weights
from weighthouse.weights.adapters.embedded import FolderStore
from weighthouse.weights.ports import ObjectStore
from weighthouse_sdk import checkpoint
from weighthouse_sdk.checkpoint_binding import Recipient

LAB = Path(__file__).parents[2] / "deploy" / "lab" / "lab.yaml"
PASSPHRASE = "a passphrase for tests"
TERN, WREN = "model/tern", "model/wren"
APPROVERS = {
    "tern-train": ("ben", "chi"),
    "tern-load": ("ben", "chi"),
    "tern-export": ("ben", "chi", "gil"),
    "tern-destroy": ("ben", "chi"),
    "wren-destroy": ("ben",),
    "tern-end": ("ben", "chi"),
    "wren-end": ("ben", "chi"),
}


def arrays(seed: int = 1) -> dict[str, Any]:
    random = numpy.random.default_rng(seed)
    return {
        "embed": random.standard_normal((300, 64)).astype("float32"),
        "head": random.standard_normal((64, 300)).astype("float32"),
        "step": numpy.array(seed, dtype="int64"),
    }


def _system(database: Database, clock: ManualClock, state: Path, sealed: SealedKeys) -> System:
    declared = (*DECLARED, *audit.settings, *identity_settings, *keys.settings, *egress.settings, *weights.settings)
    system = System(Settings(declared, flags={"state": state, "mode": "development"}), clock, database)
    for port, part in (
        (Signers, sealed),
        (KeyService, sealed),
        (Site, Site("http://127.0.0.1:8040")),
        (PolicyMemory, FilePolicyMemory(state / "policy.memory")),
        (Refusals, FileRefusals(state / "refusals.memory")),
        (Memory, FileMemory(state / "identity.memory", now=clock.now())),
        (ObjectStore, FolderStore(state / "objects")),
    ):
        system.bind(port, part)  # type: ignore[type-abstract, arg-type]
    return bind_log(system, state)


def reopen(url: str, state: Path, now: int) -> System:
    """The same control plane in another process, at the time `now`."""
    clock = ManualClock(now)
    return _system(Database(url), clock, state, SealedKeys.open(state / "keys.sealed", PASSPHRASE, clock=clock))


class World:
    """One control plane over `database`; everything it keeps lies in `state`."""

    def __init__(self, database: Database, clock: ManualClock, state: Path, text: str | None = None) -> None:
        self.clock, self.state = clock, state
        self.sealed = SealedKeys.create(state / "keys.sealed", PASSPHRASE, cost=1 << 10, clock=clock)
        self.system = _system(database, clock, state, self.sealed)
        self.devices: dict[str, tuple[str, ec.EllipticCurvePrivateKey]] = {}
        self.text = text or LAB.read_text("utf-8")
        with begin(self.system) as unit:
            access.publish_policy(unit, None, self.text, "lab.yaml")

    def limit(self, **chosen: int) -> None:
        """Serve with other limits of this room from now on."""
        flags = {f"weights.{name}": value for name, value in chosen.items()}
        self.system.settings = Settings(
            (*DECLARED, *audit.settings, *identity_settings, *keys.settings, *egress.settings, *weights.settings),
            flags={"state": self.state, "mode": "development", **flags},
        )

    def unit(self, caller: Caller | None = None) -> Any:
        return begin(self.system, caller)

    def person(self, name: str) -> Caller:
        """A signed-in person with a second factor given just now."""
        return Caller(
            principal=PrincipalId(name),
            kind="person",
            account=policy.account_ref("dev", name),
            assurance=Assurance(2, self.clock.now(), "otp"),
        )

    def run(self, person: str = "ada", environment: str = "frontier", **attributes: str) -> Caller:
        """A run of a person, with an identity of its own."""
        run = new_id("run")
        facts = {
            "person": person,
            "account": policy.account_ref("dev", person),
            "environment": environment,
            "sandbox": "gvisor",
            **attributes,
        }
        with begin(self.system) as unit:
            token = identity.issue_workload(unit, run=run, attributes=facts, expires=unit.now + 8 * HOUR)
        weights.lenders(self.system).keep(run, StandIn())
        with read(self.system) as unit:
            credential = identity.Credential(
                kind="workload", value=token, proof=run, method="POST", url="", address="127.0.0.1"
            )
            return identity.authenticate(unit, credential)

    def confirm(self, name: str, act: str, subject: str, **parameters: str) -> None:
        """The person gives a second factor for exactly this act, as a step-up at the provider records it."""
        with begin(self.system, self.person(name)) as unit:
            wanted = identity.Act(type=act, subject=subject, parameters=parameters)
            identity.factor_given(unit, self.person(name), [wanted], method="test", at=unit.now)

    def device(self, name: str) -> tuple[str, ec.EllipticCurvePrivateKey]:
        if name not in self.devices:
            key = ec.generate_private_key(ec.SECP256R1())
            numbers = key.public_key().public_numbers()
            jwk = {"kty": "EC", "crv": "P-256", "x": _b64(numbers.x), "y": _b64(numbers.y)}
            self.confirm(name, "device.enrol", identity.thumbprint_of(jwk))
            with begin(self.system, self.person(name)) as unit:
                self.devices[name] = (identity.enrol_device(unit, self.person(name), jwk, "laptop").id, key)
        return self.devices[name]

    def grant(
        self,
        person: str,
        entitlement: str,
        resource: str = TERN,
        operation: dict[str, str] | None = None,
        approvers: tuple[str, ...] = (),
    ) -> access.Grant | None:
        """Request, and have the approvers sign on their devices until the grant stands."""
        caller = self.person(person)
        with begin(self.system, caller) as unit:
            request = access.submit(
                unit, caller, entitlement=entitlement, resource=resource, duration=HOUR,
                reason="A test of the registry.", operation=operation,
            )  # fmt: skip
        for approver in approvers or APPROVERS.get(entitlement, ()):
            self.approve(approver, request.id)
        with read(self.system, caller) as unit:
            found = access.grants_of(unit, caller)
        return next((each for each in found if each.request.id == request.id), None)

    def approve(self, name: str, request: str) -> None:
        caller, (device, key) = self.person(name), self.device(name)
        with begin(self.system, caller) as unit:
            card = access.card(unit, caller, request)
            statement = {**card.statement, "verdict": "approve", "device": device}
            r, s = decode_dss_signature(key.sign(encode(statement), ec.ECDSA(hashes.SHA256())))
            value = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big")).rstrip(b"=").decode()
            signature = access.VoteSignature(kind="device", at=statement["at"], device=device, value=value)
            said = {"verdict": "approve", "digest": card.digest}
            act = identity.Act(type="request.vote", subject=request, parameters=said)
            identity.factor_given(unit, caller, [act], method="test", at=unit.now)
            access.vote(unit, caller, request, "approve", digest=card.digest, signature=signature)

    def begin_save(self, caller: Caller, model: str = TERN, parent: str | None = None, shards: int = 1) -> Draft:
        keys = self.lender(caller)
        with begin(self.system, caller) as unit:
            ticket = weights.begin_save(
                unit, caller, model=model, parent=parent, shards=shards, **keys.named(caller, "recipient", "signer")
            )
        return Draft(self, ticket, keys.opener, keys.private)

    def save(self, caller: Caller, model: str = TERN, parent: str | None = None, seed: int = 1) -> weights.Version:
        draft = self.begin_save(caller, model, parent)
        return self.commit(caller, draft, draft.write(arrays(seed)))

    def commit(self, caller: Caller, draft: Draft, envelope: bytes) -> weights.Version:
        weights.take(self.system, caller, draft.ticket.save, envelope)
        with begin(self.system, caller) as unit:
            return weights.commit(unit, caller, draft.ticket.save, envelope)

    def begin_load(self, caller: Caller, version: str) -> tuple[weights.LoadTicket, Recipient]:
        keys = self.lender(caller)
        with begin(self.system, caller) as unit:
            return weights.begin_load(unit, caller, version, **keys.named(caller, "recipient")), keys.opener

    def lender(self, caller: Caller) -> StandIn:
        """What has the data keys of a run, or of a person who loads and saves where they are."""
        if caller.kind != "workload":
            return StandIn()
        found = weights.lenders(self.system).of(caller.attributes["run"])
        assert isinstance(found, StandIn)
        return found

    def load(self, caller: Caller, version: str) -> Any:
        ticket, recipient = self.begin_load(caller, version)
        parsed = checkpoint.parse_load(msgspec.to_builtins(ticket))
        return checkpoint.load(parsed, recipient, self.state / "objects" / ticket.prefix)

    def order(self, person: str, version: weights.Version) -> weights.Destruction:
        """Have a version's destruction approved, and ordered by the person who asked for it."""
        caller, role = self.person(person), version.model.removeprefix("model/") + "-destroy"
        self.grant(person, role, version.model, operation={"version": version.id})
        with begin(self.system, caller) as unit:
            return weights.destroy(unit, caller, version.id, "A test: it must go.")

    def end(self, person: str, newest: weights.Version) -> weights.ModelDestruction:
        """Have the end of a version's whole model approved, and ordered by the person who asked for it."""
        caller, role = self.person(person), newest.model.removeprefix("model/") + "-end"
        self.grant(person, role, newest.model, operation={"newest": newest.id})
        with begin(self.system, caller) as unit:
            return weights.destroy_model(unit, caller, newest.model, "A test: all of it must go.")

    def destroyed(self, person: str, version: weights.Version) -> None:
        """Have a version destroyed for good: ordered, and its time waited for."""
        self.order(person, version)
        self.settle()
        self.clock.advance(10 * MINUTE)
        assert weights.finish(self.system) == 1

    def settle(self) -> None:
        while audit.sequence(self.system):  # PostgreSQL: lines become entries after their commit
            pass

    def facts(self, kind: str) -> list[dict[str, Any]]:
        self.settle()
        with read(self.system) as unit:
            return [entry.data for entry in audit.entries(unit, kind=kind, limit=1000)]

    def size(self) -> int:
        self.settle()
        with read(self.system) as unit:
            return audit.head(unit).size

    def since(self, size: int) -> list[str]:
        """Kinds of the log's lines from `size` on."""
        self.settle()
        with read(self.system) as unit:
            return [entry.kind for entry in audit.entries(unit, start=size, limit=1000)]


class StandIn:
    """A lender that keeps what it is told, and decrypts nothing: tests of the registry open what they get."""

    def __init__(self) -> None:
        self.opener, self.private = Recipient(), Ed25519PrivateKey.generate()
        self.recipient, self.signer = self.opener.public, self.private.public_key().public_bytes_raw()
        self.told: list[tuple[str, object]] = []

    def named(self, caller: Caller, *names: str) -> dict[str, bytes]:
        """The keys that a person names in a request; a run names none."""
        return {} if caller.kind == "workload" else {name: getattr(self, name) for name in names}

    def lend(self, ticket: weights.LoadTicket) -> None:
        self.told.append(("lend", ticket))

    def write(self, ticket: weights.SaveTicket) -> None:
        self.told.append(("write", ticket))

    def extend(self, lease: str, lasts_ms: int) -> None:
        self.told.append(("extend", (lease, lasts_ms)))

    def end(self, lease: str) -> None:
        self.told.append(("end", lease))


class Draft:
    """A save that was begun: its ticket and the keys that only the producer holds."""

    def __init__(
        self, world: World, ticket: weights.SaveTicket, recipient: Recipient, signer: Ed25519PrivateKey
    ) -> None:
        self.world, self.ticket, self.recipient, self.signer = world, ticket, recipient, signer

    @property
    def folder(self) -> Path:
        return self.world.state / "objects" / self.ticket.prefix

    def write(
        self, tensors: dict[str, Any], signer: Ed25519PrivateKey | None = None, largest: int = 1 << 30
    ) -> bytes:
        parsed = checkpoint.parse_save(msgspec.to_builtins(self.ticket))
        plan = checkpoint.plan_shards(tensors, largest)
        return checkpoint.save(tensors, parsed, self.recipient, signer or self.signer, self.folder, plan=plan)


def _b64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


__all__ = ["TERN", "WREN", "Draft", "Unit", "World", "arrays"]
