"""The nouns of keys. Guards secrets from being printed: what holds key material shows nothing of it."""

from __future__ import annotations

import msgspec

from weighthouse.core.clock import Millis
from weighthouse.core.errors import Invalid
from weighthouse.core.settings import Setting, Settings, Value

settings = (
    Setting(
        "keys.per_minute",
        "int",
        2_000,
        "Data keys that one caller may be given in one minute; more is refused and logged.",
        minimum=1,
    ),
    Setting(
        "keys.scrypt_cost",
        "int",
        1 << 16,
        "Work factor N of the passphrase that seals the key file; a power of two (65536 needs 64 MiB at start).",
        minimum=1 << 10,
        maximum=1 << 20,
    ),
    Setting(
        "keys.passphrase_file",
        "text",
        "",
        "File (mode 0600) with the passphrase of the key file; empty asks on the terminal at start.",
    ),
    Setting(
        "keys.keyring",
        "bool",
        False,
        "Take the passphrase of the key file from the operating system's keyring, where `init --keyring` put it.",
    ),
)
_DEFAULTS = {setting.name: setting.default for setting in settings}
MAX_CONTEXTS = 1_024


def setting(chosen: Settings, name: str) -> Value:
    """Return a setting of this room; a system that was built without the room's settings uses their defaults."""
    try:
        return chosen.get(name)
    except Invalid:
        return _DEFAULTS[name]


class Wrapped(msgspec.Struct, frozen=True):
    """A data key under a KEK: safe to store anywhere, useless without the key service and the right context."""

    kek: str
    version: int
    blob: bytes


class DataKey(msgspec.Struct, frozen=True):
    """A fresh data key, plain and wrapped. `plain` lives as long as the call that seals it to a caller."""

    plain: bytes
    wrapped: Wrapped

    def __repr__(self) -> str:
        return f"DataKey({self.wrapped.kek!r}, …)"


class ReleasedKey(msgspec.Struct, frozen=True):
    """A data key on its way to one caller: `sealed` opens with the caller's ephemeral X25519 key only (RFC 9180)."""

    wrapped: bytes
    kek: str
    kek_version: int
    sealed: bytes


class KekInfo(msgspec.Struct, frozen=True):
    """What may be known of a KEK: its name, versions in use, when the current one was made, if it is destroyed."""

    name: str
    current: int
    minimum: int
    made: Millis
    destroyed: bool


class Health(msgspec.Struct, frozen=True):
    """Whether the key service can wrap and unwrap now. `plain_on_disk` must be false outside demonstrations."""

    ok: bool
    provider: str
    detail: str
