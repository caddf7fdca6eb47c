"""Export: letting one version out, to one recipient, as its approvers saw it. Guards the last door.

The grant pins the version and the destination; both are repeated to access here and again by keys. A governance hold
beats every grant inside access. What leaves is the signed manifest and data keys sealed to the destination's public
key: ciphertext only, and nothing that another recipient could use. It is kept nowhere: whoever repeats an export is
decided about again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.answers import once_told
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import digest, encode
from weighthouse.core.errors import Conflict, Denied
from weighthouse.core.ids import check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.weights.api.budgets import charge_export
from weighthouse.weights.api.classes import class_of, person_of
from weighthouse.weights.api.loading import unwrap, wrapped_keys
from weighthouse.weights.api.sealing import SEALED, Sealed, certifier, open_version
from weighthouse.weights.events import ExportRefused, WeightsExported
from weighthouse.weights.model import Export, Exported, TicketKey, Version
from weighthouse.weights.rules.limits import recipient_of

FORMAT, STATEMENT = "weighthouse-export/2", "weighthouse-export-statement/1"


def _bundle(
    unit: Unit, id_: str, sealed: Sealed, line: audit.Entry, destination: str, released: Sequence[TicketKey]
) -> bytes:
    """What the recipient opens with `weighthouse weights open-export`, and shows to anybody who knows our log's key.

    Nothing in it is believed for being in it: the statement is signed by the log's key and names who certifies, and
    the version's own line is proven to lie in the log.
    """
    found, save = sealed.version, sealed.save
    keys = [{"shard": key.shard, "sealed": base64.b64encode(key.sealed).decode()} for key in released]
    told = {
        "export": id_,
        "version": found.id,
        "tenant": save.tenant,
        "model": found.model,
        "save": found.save,
        "digest": found.digest,
        "destination": destination,
    }
    said = {
        **told,
        "bytes": found.bytes,
        "at": unit.now,
        "certifier": base64.b64encode(certifier(unit)).decode(),
        "keys": hashlib.sha256(encode(keys)).hexdigest(),
        "entry": line.index,
    }
    return encode(
        {
            **told,
            "format": FORMAT,
            "manifest": sealed.envelope.decode(),
            "signer": base64.b64encode(save.signer).decode(),
            "keys": keys,
            "statement": audit.state(unit.system, STATEMENT, encode(said).decode()),
            "certificate": {
                "statement": save.statement(),
                "signature": base64.b64encode(save.certificate).decode(),
            },
            "entry": base64.b64encode(line.leaf).decode(),
            "proof": audit.prove(unit, line.index),
        }
    )


def _line(unit: Unit, version: str) -> audit.Entry:
    """The version's own line of the log, which the recipient sees."""
    line = SEALED.newest(unit, version)
    if line is None:  # where a sequencer numbers the lines, the newest wait for a moment
        raise Conflict(
            "weights.unproven", f"The log does not show {version} yet.", "Ask again in a moment; the log takes it."
        )
    return line


@contextmanager
def _told(version: Version, destination: str) -> Iterator[None]:
    """A refusal of an export leaves a line, whoever refuses."""
    try:
        yield
    except (Denied, Conflict) as error:
        error.record = error.record or (
            ExportRefused(version=version.id, model=version.model, destination=destination, code=error.code),
        )
        raise


def export_once(unit: Unit, caller: Caller, version: str, destination: str, key: str | None) -> dict[str, Any]:
    """`export`, once for the caller's idempotency `key`; a repeat is the same export, decided anew. JSON-ready."""
    told: dict[str, Any] = once_told(
        unit,
        key,
        digest({"export": version, "destination": destination}),
        lambda: export(unit, caller, version, destination),
        lambda kept: export(unit, caller, version, destination, before=kept.id),
        done=lambda made: Exported(id=made.id),
        keeps=Exported,
    )
    return told


def export(unit: Unit, caller: Caller, version: str, destination: str, *, before: str = "") -> Export:
    """Seal the data keys of `version` to `destination` (`x25519:<hex>`) under a grant for exactly that operation.

    `before` is the id of the same export when it is repeated: nothing of it was kept, so it is decided, charged and
    logged like any other. Raises Denied (no such grant, another version or destination, a hold), Conflict
    `weights.destroyed`, `weights.unproven`, TooMany `weights.read_budget`, Invalid `weights.bad_destination`.
    """
    recipient = recipient_of(destination)
    sealed = open_version(unit, check_id(version, "ver"))
    found = sealed.version
    operation = {"version": found.id, "destination": destination}
    with _told(found, destination):
        if caller.kind != "person":
            raise Denied(
                "weights.export_by_person", "Only a person exports weights; a run never does.", "Ask in person."
            )
        decision = access.require(unit, caller, "weights.export", found.model, **operation)
        line, listed = _line(unit, found.id), wrapped_keys(unit, sealed)
        charge_export(unit, caller, found, class_of(unit, found.model).read_budget_bytes)
        released = unwrap(unit, caller, sealed, listed, recipient, action="weights.export", operation=operation)
    id_ = before or new_id("exp")
    bundle = _bundle(unit, id_, sealed, line, destination, released)
    audit.append(
        unit,
        WeightsExported(
            export=id_,
            version=found.id,
            model=found.model,
            person=person_of(caller),
            destination=destination,
            digest=found.digest,
            bytes=found.bytes,
            grant=decision.grant or "",
            repeated=bool(before),
        ),
    )
    return Export(
        id=id_,
        version=found.id,
        model=found.model,
        digest=found.digest,
        destination=destination,
        bytes=found.bytes,
        prefix=found.prefix,
        bundle=bundle.decode(),
    )
