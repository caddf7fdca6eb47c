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
_PRIME = (1 << 255) - 19
# Every point of low order (RFC 7748, section 6.1): the secret agreed with one of them is zero, which everybody knows.
_LOW_ORDER = frozenset(
    {
        0,
        1,
        _PRIME - 1,
        _PRIME,
        _PRIME + 1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    }
)


def window(now: Millis) -> int:
    """The number of the minute that a release counts towards."""
    return now // WINDOW


def check_recipient(recipient: bytes) -> None:
    """A recipient is a raw X25519 public key, and no point of low order, to which everybody knows the secret."""
    point = int.from_bytes(recipient, "little") & ((1 << 255) - 1)
    if len(recipient) != RECIPIENT_BYTES or point in _LOW_ORDER:
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
