"""Pure checks on what is asked of the key service. Guards one model's keys from a request that names another's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weighthouse.core.canonical import encode
from weighthouse.core.clock import MINUTE, Millis
from weighthouse.core.errors import Invalid
from weighthouse.keys.model import MAX_CONTEXTS

RECIPIENT_BYTES = 32
WINDOW: Millis = MINUTE
_LOW_ORDER = bytes(RECIPIENT_BYTES)


def window(now: Millis) -> int:
    """The number of the minute that a release counts towards."""
    return now // WINDOW


def check_recipient(recipient: bytes) -> None:
    """A recipient is a raw X25519 public key, and not the all-zero point, to which everybody knows the secret."""
    if len(recipient) != RECIPIENT_BYTES or recipient == _LOW_ORDER:
        raise Invalid(
            "keys.bad_recipient",
            "The recipient is not an X25519 public key of 32 bytes.",
            "Send the raw public key that the SDK made for this call.",
        )


def encode_contexts(resource: str, contexts: Sequence[Mapping[str, Any]]) -> tuple[list[bytes], str]:
    """Return the canonical bytes of each context and the one version they all name.

    Every context must belong to `resource`: the decision was about that model and no other.
    """
    if not 0 < len(contexts) <= MAX_CONTEXTS:
        raise Invalid(
            "keys.bad_count",
            f"One call asks for 1 to {MAX_CONTEXTS} data keys, this one for {len(contexts)}.",
            "Use fewer, larger shards, or ask in several calls.",
        )
    versions = {context.get("version") for context in contexts}
    if any(context.get("model") != resource for context in contexts) or len(versions) != 1:
        raise Invalid(
            "keys.bad_context",
            f"A data key was asked for outside '{resource}', or for two versions at once.",
            "Ask for one version of one model in one call.",
        )
    encoded = [encode(dict(context)) for context in contexts]
    if len(set(encoded)) != len(encoded):
        raise Invalid("keys.bad_context", "Two data keys were asked for one place.", "Name each shard once.")
    return encoded, str(versions.pop())
