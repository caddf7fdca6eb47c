"""Export: letting one version out, to one recipient, as its approvers saw it. Guards the last door.

The grant pins the version and the destination; both are repeated to access here and again by keys. A governance hold
beats every grant inside access. What leaves is the signed manifest and data keys sealed to the destination's public
key: ciphertext only, and nothing that another recipient could use.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.canonical import encode
from weighthouse.core.errors import Denied
from weighthouse.core.ids import check_id, new_id
from weighthouse.core.work import Unit
from weighthouse.weights.api.classes import person_of
from weighthouse.weights.api.loading import unwrap, wrapped_keys
from weighthouse.weights.api.sealing import Sealed, open_version
from weighthouse.weights.events import WeightsExported
from weighthouse.weights.model import Export, TicketKey
from weighthouse.weights.rules.limits import recipient_of


def _bundle(id_: str, sealed: Sealed, destination: str, released: Sequence[TicketKey]) -> bytes:
    """What the recipient opens with `weighthouse_sdk.checkpoint.parse_bundle`."""
    found = sealed.version
    return encode(
        {
            "format": "weighthouse-export/1",
            "export": id_,
            "version": found.id,
            "tenant": sealed.save.tenant,
            "model": found.model,
            "save": found.save,
            "digest": found.digest,
            "destination": destination,
            "manifest": sealed.envelope.decode(),
            "signer": base64.b64encode(sealed.save.signer).decode(),
            "keys": [{"shard": key.shard, "sealed": base64.b64encode(key.sealed).decode()} for key in released],
        }
    )


def export(unit: Unit, caller: Caller, version: str, destination: str) -> Export:
    """Seal the data keys of `version` to `destination` (`x25519:<hex>`) under a grant for exactly that operation.

    Raises Denied (no such grant, another version or destination, a hold), Invalid `weights.bad_destination`.
    """
    recipient = recipient_of(destination)
    sealed = open_version(unit, check_id(version, "ver"))
    found = sealed.version
    if caller.kind != "person":
        raise Denied("weights.export_by_person", "Only a person exports weights; a run never does.", "Ask in person.")
    operation = {"version": found.id, "destination": destination}
    decision = access.require(unit, caller, "weights.export", found.model, **operation)
    listed = wrapped_keys(unit, sealed)
    released = unwrap(unit, caller, sealed, listed, recipient, action="weights.export", operation=operation)
    id_ = new_id("exp")
    bundle = _bundle(id_, sealed, destination, released)
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
