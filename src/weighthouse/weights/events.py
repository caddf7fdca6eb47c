"""The facts that weights publishes. They name digests, counts and sizes; no key and no tensor name is in them."""

from __future__ import annotations

from typing import ClassVar

from weighthouse.core.events import Event


class SaveBegun(Event, frozen=True, kw_only=True):
    """Fresh data keys were handed out for one new version; nothing is visible yet."""

    KIND: ClassVar[str] = "weights.SaveBegun"
    SUBJECT: ClassVar[str] = "model"
    save: str
    version: str
    model: str
    parent: str
    run: str
    shards: int


class CheckpointSealed(Event, frozen=True, kw_only=True):
    """A version exists from now on. `digest` names its manifest; a later row that says otherwise is refused."""

    KIND: ClassVar[str] = "weights.CheckpointSealed"
    SUBJECT: ClassVar[str] = "version"
    version: str
    model: str
    save: str
    counter: int
    parent: str
    digest: str
    bytes: int
    run: str
    person: str


class HeadMoved(Event, frozen=True, kw_only=True):
    """The newest version of a model; what the database names as newest must not be older than this."""

    KIND: ClassVar[str] = "weights.HeadMoved"
    SUBJECT: ClassVar[str] = "model"
    model: str
    version: str
    counter: int


class KeysRewrapped(Event, frozen=True, kw_only=True):
    """Data keys of a save lie under another version of the model's key now; what they open did not change."""

    KIND: ClassVar[str] = "weights.KeysRewrapped"
    SUBJECT: ClassVar[str] = "save"
    save: str
    version: str
    model: str
    count: int
    kek_version: int


class ManifestRefused(Event, frozen=True, kw_only=True):
    """A commit was refused: the manifest or an object it names does not hold."""

    KIND: ClassVar[str] = "weights.ManifestRefused"
    SUBJECT: ClassVar[str] = "save"
    save: str
    version: str
    model: str
    code: str


class SaveLapsed(Event, frozen=True, kw_only=True):
    """A save that was begun a day ago and never committed is gone, with its keys and objects."""

    KIND: ClassVar[str] = "weights.SaveLapsed"
    SUBJECT: ClassVar[str] = "save"
    save: str
    version: str
    model: str
    run: str


class LoadStarted(Event, frozen=True, kw_only=True):
    """The data keys of a version went to a reader. `bytes` were charged; `spent` is the day's sum after it."""

    KIND: ClassVar[str] = "weights.LoadStarted"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "version"
    version: str
    model: str
    person: str
    run: str
    bytes: int
    spent: int
    lease: str
    until: int
    session: str = ""


class TensorsShown(Event, frozen=True, kw_only=True):
    """Names, shapes and texts that a run chose were shown outside of one for the first time; it paid for `bytes`."""

    KIND: ClassVar[str] = "weights.TensorsShown"
    SUBJECT: ClassVar[str] = "version"
    version: str
    model: str
    run: str
    person: str
    bytes: int


class ReadBudgetSpent(Event, frozen=True, kw_only=True):
    """A load or an export was refused because the read budget of 24 hours would be exceeded."""

    KIND: ClassVar[str] = "weights.ReadBudgetSpent"
    SUBJECT: ClassVar[str] = "model"
    model: str
    version: str
    person: str
    bytes: int
    spent: int
    limit: int


class KeysInRunRefused(Event, frozen=True, kw_only=True):
    """A run named a key of its own for data keys to be sealed to; they are given to its lender alone."""

    KIND: ClassVar[str] = "weights.KeysInRunRefused"
    SUBJECT: ClassVar[str] = "run"
    run: str
    model: str
    person: str


class TamperFound(Event, frozen=True, kw_only=True):
    """A row or envelope of the registry is not what was committed; whatever needed it was refused."""

    KIND: ClassVar[str] = "weights.TamperFound"
    SUBJECT: ClassVar[str] = "what"
    what: str
    code: str


class WeightsExported(Event, frozen=True, kw_only=True):
    """Data keys of one version were sealed to an outside recipient, as its approvers had seen it."""

    KIND: ClassVar[str] = "weights.WeightsExported"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "version"
    export: str
    version: str
    model: str
    person: str
    destination: str
    digest: str
    bytes: int
    grant: str
    repeated: bool = False
    """Whether it was asked for again with the key of a request that was answered before; its keys left once more."""


class ExportRefused(Event, frozen=True, kw_only=True):
    """An export was refused for what its version or asker is; what access or keys refuse is told by their lines."""

    KIND: ClassVar[str] = "weights.ExportRefused"
    SUBJECT: ClassVar[str] = "version"
    version: str
    model: str
    destination: str
    code: str


class DestructionOrdered(Event, frozen=True, kw_only=True):
    """A version is to be destroyed at `final`, by the grant `grant`; nothing of it is opened from now on."""

    KIND: ClassVar[str] = "weights.DestructionOrdered"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "version"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    order: str
    version: str
    model: str
    person: str
    session: str
    approvers: tuple[str, ...]
    grant: str
    final: int
    reason: str


class DestructionUndone(Event, frozen=True, kw_only=True):
    """An order to destroy a version is over, and the version as it was: by a person, or by what `code` names."""

    KIND: ClassVar[str] = "weights.DestructionUndone"
    SUBJECT: ClassVar[str] = "version"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    order: str
    version: str
    model: str
    by: str
    code: str
    reason: str
    hold: str = ""
    """The hold that is why, where one is."""
    session: str = ""
    """In which a person undid it, with a second factor for exactly that; not told in old lines."""


class ModelDestructionOrdered(Event, frozen=True, kw_only=True):
    """The key of a model is to be destroyed at `final`, by the grant `grant`, with all up to its version `newest`;
    nothing of it is opened or saved from now on."""

    KIND: ClassVar[str] = "weights.ModelDestructionOrdered"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "model"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    order: str
    model: str
    newest: str
    person: str
    session: str
    approvers: tuple[str, ...]
    grant: str
    final: int
    reason: str


class ModelDestructionUndone(Event, frozen=True, kw_only=True):
    """An order to destroy a model is over, and the model as it was: by a person, or by what `code` names."""

    KIND: ClassVar[str] = "weights.ModelDestructionUndone"
    SUBJECT: ClassVar[str] = "model"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    order: str
    model: str
    by: str
    code: str
    reason: str
    hold: str = ""
    """The hold that is why, where one is."""
    session: str = ""
    """In which a person undid it, with a second factor for exactly that."""


class CheckpointDestroyed(Event, frozen=True, kw_only=True):
    """The wrapped data keys of a version are gone; its ciphertext can never be opened again."""

    KIND: ClassVar[str] = "weights.CheckpointDestroyed"
    GRAVE: ClassVar[bool] = True
    SUBJECT: ClassVar[str] = "version"
    PERSONAL: ClassVar[frozenset[str]] = frozenset({"reason"})
    version: str
    model: str
    reason: str
    order: str = ""
    """The order that it carries out; empty in lines from before there were any."""
