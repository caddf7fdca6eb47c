"""The passphrase of the key file in the operating system's keyring (the Secret Service, freedesktop.org).

Guards the passphrase from the disk: it lies in the login keyring, sealed by the operator's own login, and comes over
an encrypted session of the bus. Whoever made the system knows it too, so a lost keyring loses nothing. The library is
`secretstorage` alone: the wider `keyring` loads whatever backend is installed or named, plain files among them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from weighthouse.core.errors import Unavailable

if TYPE_CHECKING:
    import secretstorage

_WAIT_S = 30.0
_OTHERWISE = "Start it with --passphrase-file or on a terminal, or set keys.keyring to false."


def remember(state: Path, passphrase: str) -> None:
    """Put the passphrase of the key file in `state` into the default keyring; `keys.keyring` if there is none."""
    with _default() as collection:
        label = f"Weighthouse: key file of {state.resolve()}"
        collection.create_item(label, _attributes(state), passphrase.encode(), replace=True)


def recall(state: Path) -> str:
    """Return the passphrase of the key file in `state`; raise `keys.keyring` when the keyring does not give it."""
    with _default() as collection:
        found = list(collection.search_items(_attributes(state)))
        if len(found) != 1:
            why = f"The keyring holds {len(found)} passphrases for the key file of {state.resolve()}, not one."
            raise _unusable(why)
        try:
            return bytes(found[0].get_secret()).decode()
        except UnicodeDecodeError:
            raise _unusable("What the keyring holds for this key file is not text.") from None


def _attributes(state: Path) -> dict[str, str]:
    return {"application": "weighthouse", "state": str(state.resolve())}


@contextmanager
def _default() -> Iterator[secretstorage.Collection]:
    """The default collection, unlocked. The session collection, which a restart forgets, is never taken for it."""
    try:
        import secretstorage
        from jeepney import DBusErrorResponse
    except ImportError:
        raise _unusable("The library for the keyring (secretstorage) is not installed.") from None
    try:
        with closing(secretstorage.dbus_init()) as connection:
            collection = secretstorage.collection.get_collection_by_alias(connection, "default")
            if collection.is_locked() and collection.unlock(timeout=_WAIT_S):
                raise _unusable("The keyring is locked, and was not unlocked.")
            yield collection
    except secretstorage.exceptions.ItemNotFoundException:
        raise _unusable("There is no default keyring.") from None
    except (secretstorage.exceptions.SecretStorageException, DBusErrorResponse, OSError, TimeoutError) as error:
        raise _unusable(f"The keyring does not answer: {error}.") from None


def _unusable(why: str) -> Unavailable:
    return Unavailable("keys.keyring", why, f"Unlock the login keyring of the user who runs the server. {_OTHERWISE}")
