"""Another passphrase for the key file. Guards the keys from whoever learnt the old one.

The file is replaced whole, by one rename, before the log says so: whatever interrupts it, one of the two opens it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import System, begin
from weighthouse.keys import api as keys
from weighthouse.keys.adapters import os_keyring
from weighthouse.keys.adapters.embedded import SealedKeys
from weighthouse.keys.adapters.passphrase import read_passphrase
from weighthouse.keys.ports import KeyService


def change(system: System, file: str, ask: Callable[[], str]) -> Iterator[str]:
    """Seal the keys of a system that nobody serves by the passphrase in `file`, else one that is asked for.

    Yields what the operator should know. Raises `keys.weak_passphrase`, `keys.same_passphrase`, `keys.busy`.
    """
    secret = read_passphrase(file) if file else ask()
    held = system.part(KeyService)
    assert isinstance(held, SealedKeys)
    with begin(system, SYSTEM) as unit:
        system.bind(KeyService, held.new_passphrase(secret))
        keys.changed_passphrase(unit, SYSTEM)
    yield "The key file opens with the new passphrase alone. Copies of the older file open with the older one still."
    yield "If that leaked: rotate, rewrap and raise the minimum of each model (docs/how-to/leaked-key-file.md)."
    if system.settings.flag("keys.keyring"):
        os_keyring.remember(system.settings.path("state"), secret)
        yield "The keyring remembers the new one. Keep a copy elsewhere."
    elif system.settings.text("keys.passphrase_file"):
        yield "The next start needs the new one: keys.passphrase_file names a file that holds the old one."
