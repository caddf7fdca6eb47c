"""The nouns of the registry, frozen. Bytes are bytes, times are milliseconds of UTC, sizes are bytes."""

from __future__ import annotations

import msgspec

from weighthouse.core.clock import DAY, MINUTE, Millis
from weighthouse.core.errors import Invalid
from weighthouse.core.settings import Setting, Settings, Value
from weighthouse_sdk import limits

settings = (
    Setting(
        "weights.lease_s",
        "int",
        300,
        "Seconds that a reader may go on before it must renew; classes that ask for a second factor use 60 at most.",
        minimum=5,
        maximum=3600,
    ),
    Setting(
        "weights.run_committed_mib",
        "int",
        1 << 20,
        "What one run may commit in all; never more than half of what the store's volume would hold without it.",
        minimum=1,
    ),
    Setting(
        "weights.destroy_grace_s",
        "int",
        0,
        "Seconds from the order to destroy a version, or a model, until it is final, in which it can be undone; of "
        "an order given from now on. 0: seven days in production, ten minutes where the lab is only tried out.",
        minimum=0,
        maximum=90 * 24 * 3600,
    ),
)
_DEFAULTS = {setting.name: setting.default for setting in settings}
SAVE_LIFE: Millis = DAY
STRICT_LEASE: Millis = MINUTE
MAX_SHARDS = limits.SHARDS.most
OPEN, COMMITTED, DOOMED, DESTROYED = "open", "committed", "being_destroyed", "destroyed"
KEPT = "kept"
"""The state of a model that is neither of the last two."""


def setting(chosen: Settings, name: str) -> Value:
    """Return a setting of this room; a system that was built without the room's settings uses their defaults."""
    try:
        return chosen.get(name)
    except Invalid:
        return _DEFAULTS[name]


class ParentRef(msgspec.Struct, frozen=True):
    """The version that a save continues from, and the digest of its manifest."""

    version: str
    digest: str


class ShardKey(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a save and its wrapped data key; `index` equal to the count of data shards is the index."""

    shard: str
    index: int
    media: str
    kek: str
    kek_version: int
    blob: bytes


class Signed(msgspec.Struct, frozen=True):
    """What a signed manifest says of one object: its length, and the digests of its header and of its segments."""

    length: int
    header: str
    root: str


class TicketKey(msgspec.Struct, frozen=True, kw_only=True):
    """One object of a ticket: `sealed` opens with the caller's ephemeral key only."""

    shard: str
    index: int
    media: str
    sealed: bytes


class Save(msgspec.Struct, frozen=True, kw_only=True):
    """Leave to write one version. `signer` is the producer's Ed25519 key, `certificate` our signature over all."""

    id: str
    version: str
    tenant: str
    model: str
    parent: ParentRef | None
    principal: str
    person: str
    run: str
    signer: bytes
    shards: int
    prefix: str
    begun: Millis
    certificate: bytes = b""

    def statement(self) -> dict[str, object]:
        """What the certificate signs: which key may sign the manifest of which save, for whom."""
        built: dict[str, object] = msgspec.to_builtins(self)
        del built["certificate"]
        return {"type": "weighthouse/manifest-key/1", **built}


class SaveTicket(msgspec.Struct, frozen=True, kw_only=True):
    """What a producer gets: names, places and sealed data keys (the encrypted index is the last one)."""

    save: str
    version: str
    tenant: str
    model: str
    parent: ParentRef | None
    prefix: str
    keys: tuple[TicketKey, ...]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A committed save. `counter` counts the versions of its model; `digest` names its manifest and nothing else."""

    id: str
    model: str
    counter: int
    save: str
    parent: ParentRef | None
    principal: str
    person: str
    run: str
    digest: str
    shards: int
    bytes: int
    prefix: str
    at: Millis
    state: str = COMMITTED

    def statement(self) -> dict[str, object]:
        """What the row's seal covers."""
        built: dict[str, object] = msgspec.to_builtins(self)
        return {"type": "weighthouse/version/1", **built}


class LoadTicket(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader gets. `digest` comes from our memory, never from storage; `until` ends unless it is renewed."""

    version: str
    tenant: str
    model: str
    save: str
    digest: str
    manifest: str
    signer: bytes
    lease: str
    lease_until: Millis
    now: Millis
    verify: str
    prefix: str
    keys: tuple[TicketKey, ...]


class TensorRow(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor as a version's encrypted index lists it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


class Tensors(msgspec.Struct, frozen=True, kw_only=True):
    """What a version holds. Names and `metadata` are the producer's own texts and vouch for nothing."""

    version: str
    model: str
    items: tuple[TensorRow, ...]
    metadata: dict[str, str]


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A reader's time. After `lease_until` it must stop, and a lease that has ended is not renewed."""

    lease: str
    version: str
    lease_until: Millis
    now: Millis


class ReadBudget(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has opened of a model within 24 hours, against what its class allows.

    `resets` is when the oldest of it lies a day back, and counts no more.
    """

    person: str
    model: str
    limit: int
    spent: int
    left: int
    resets: Millis


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """A copy let out: `bundle` is the manifest and data keys sealed to `destination`; ciphertext lies at `prefix`."""

    id: str
    version: str
    model: str
    digest: str
    destination: str
    bytes: int
    prefix: str
    bundle: str


class Destruction(msgspec.Struct, frozen=True, kw_only=True):
    """An order to destroy a version: who gave it, who approved it, and when it is final."""

    order: str
    version: str
    model: str
    person: str
    approvers: tuple[str, ...]
    final: Millis
    state: str = DOOMED


class ModelDestruction(msgspec.Struct, frozen=True, kw_only=True):
    """An order to destroy the key of a model: who gave it, who approved it, and when it is final."""

    order: str
    model: str
    newest: str
    person: str
    approvers: tuple[str, ...]
    final: Millis
    state: str = DOOMED


class ModelOrder(ModelDestruction, frozen=True, kw_only=True):
    """The same as its row keeps it, with the grant that it was given by."""

    grant: str

    def statement(self) -> dict[str, object]:
        """What the row's seal covers."""
        built: dict[str, object] = msgspec.to_builtins(self)
        return {"type": "weighthouse/model-order/1", **built}

    def shown(self) -> ModelDestruction:
        """What others may know of it."""
        fields = ModelDestruction.__struct_fields__
        return ModelDestruction(**{name: getattr(self, name) for name in fields})


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of an export for whoever repeats it: its name. The bundle is made anew, or refused."""

    id: str


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the registry shows it."""

    id: str
    name: str
    description: str
    cls: str
    environment: str
    owner_team: str
    versions: int
    newest: str
    newest_at: Millis
    state: str = KEPT
    destruction: ModelDestruction | None = None
