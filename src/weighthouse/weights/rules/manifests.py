"""A manifest against what was agreed when the save began. Guards the registry from a set that was not agreed."""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.core.errors import Invalid
from weighthouse.weights.model import Save, ShardKey, Signed
from weighthouse_sdk import floe, manifest
from weighthouse_sdk.checkpoint_binding import Binding
from weighthouse_sdk.errors import SdkError

_TEXTS = "Pass them as `metadata` to `save`, which keeps them inside the encrypted part."
_REMEDY = "Save again with a new ticket and the SDK of this version."


def places(save: Save, shards: Sequence[tuple[str, int, str]]) -> list[Binding]:
    """The binding of each (shard, index, media) of a save."""
    return [
        Binding(save.tenant, save.model, save.version, save.id, shard, index, save.shards, media)
        for shard, index, media in shards
    ]


def signed(shard: manifest.Shard) -> Signed:
    """What a manifest says of one of its objects, as a store checks it."""
    return Signed(shard.ciphertext, shard.header, shard.root)


def open_manifest(envelope: bytes, save: Save, keys: Sequence[ShardKey]) -> manifest.Manifest:
    """Verify the envelope under the save's certified key and require that it lists exactly what was agreed.

    Raises Invalid `weights.bad_manifest`.
    """
    try:
        listed = manifest.open_envelope(envelope, save.signer)
    except SdkError as error:
        raise Invalid("weights.bad_manifest", error.message, _REMEDY) from None
    parent = (save.parent.version, save.parent.digest) if save.parent else None
    said = (listed.tenant, listed.model, listed.version, listed.save, listed.parent)
    if said != (save.tenant, save.model, save.version, save.id, parent):
        why = "The manifest names another model, version, save or parent than was agreed."
        raise Invalid("weights.bad_manifest", why, _REMEDY)
    objects = [(shard.id, shard.index, shard.media) for shard in listed.shards]
    if objects != [(key.shard, key.index, key.media) for key in keys]:
        raise Invalid("weights.bad_manifest", "The manifest lists other shards than were agreed.", _REMEDY)
    return listed


def check_new(listed: manifest.Manifest, envelope: bytes, signer: bytes) -> None:
    """Refuse a new manifest that carries texts of the run's choosing, or that no load would take.

    A manifest lies in the clear, in every copy, for ever: weights written as text would leave past every budget and
    outlive their destroyed keys, and so would the same as blanks around what is signed. Older manifests keep both.
    """
    if not manifest.is_plain(envelope, signer):
        why = "The manifest's envelope is not spelled in its one form."
        raise Invalid("weights.bad_manifest", why, _REMEDY)
    if listed.provenance:
        raise Invalid("weights.bad_manifest", "The manifest carries texts of the run's own.", _TEXTS)
    # Lengths that contradict each other would be committed, and refused by every load.
    for shard in listed.shards:
        try:
            plain = floe.shape_of_ciphertext(shard.ciphertext).plain
        except SdkError as error:
            raise Invalid("weights.bad_manifest", f"Shard {shard.id}: {error.message}", _REMEDY) from None
        if plain != shard.plaintext:
            why = f"Shard {shard.id} cannot hold {shard.plaintext} bytes of plaintext in {shard.ciphertext}."
            raise Invalid("weights.bad_manifest", why, _REMEDY)
