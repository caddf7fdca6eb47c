"""A witness as a process of its own, with a folder and a key of its own. Guards auditors from a rewritten log.

Meant for a machine that the log's administrators do not control. The key file is readable by its owner alone or is
not used, and one process at a time keeps the folder, so that no second one forgets what the first has cosigned.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighthouse.audit.adapters.witness_server import WitnessDesk, server
from weighthouse.audit.rules import note as notes
from weighthouse.core.clock import SystemClock
from weighthouse.core.errors import Conflict, Invalid, Unavailable

KEY_BYTES = 32


class Witness:
    """A witness that listens but does not answer yet; `serve` answers until `stop` is called from another thread."""

    def __init__(self, folder: Path, name: str, logs: Sequence[str], address: tuple[str, int]) -> None:
        known = [notes.parse_key(line) for given in logs for line in _lines(given)]
        if not known:
            raise Invalid(
                "app.no_log_key", "No log is named that this witness should watch.", "Give its key with --log."
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _alone(folder)
        try:
            self._desk = WitnessDesk(folder / "seen", notes.check_name(name), _key(folder), known, SystemClock())
            self._server: ThreadingHTTPServer = server(self._desk, address)
        except OSError as error:
            os.close(self._lock)
            raise Unavailable(
                "app.cannot_listen",
                f"The witness cannot listen on {address[0]}:{address[1]}, or use {folder}: {error.strerror}.",
                "Choose another --address, --port or --state.",
            ) from None
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def key(self) -> str:
        """The verifier key that others put into their witness policy."""
        return self._desk.key.text()

    @property
    def port(self) -> int:
        """The port it listens on, which is a free one if 0 was asked for."""
        return int(self._server.server_address[1])

    def serve(self) -> None:
        """Answer until stopped; then let go of the port and the folder."""
        try:
            self._server.serve_forever(0.1)
        finally:
            self._server.server_close()
            os.close(self._lock)

    def stop(self) -> None:
        """End `serve`."""
        self._server.shutdown()


def _lines(given: str) -> list[str]:
    """Return the verifier keys of an argument: itself, or the lines of the file that it names."""
    path = Path(given)
    if "+" in given and not path.is_file():
        return [given]
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise Invalid(
            "app.no_log_key",
            f"{given} is neither a log's verifier key nor a file with some.",
            "Give the line of log.vkey of an export, or that file.",
        ) from None
    return [line for line in text.splitlines() if line.strip()]


def _alone(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Conflict(
            "app.witness_running", f"Another witness keeps {folder} already.", "End it, or choose another --state."
        ) from None
    return descriptor


def _key(folder: Path) -> Ed25519PrivateKey:
    """Return the witness's key; the first start makes it. Raises `app.witness_key` for one that others may read."""
    path = folder / "key"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return _kept(path)
    made = Ed25519PrivateKey.generate()
    with os.fdopen(descriptor, "wb") as file:
        file.write(made.private_bytes_raw())
        file.flush()
        os.fsync(file.fileno())
    return made


def _kept(path: Path) -> Ed25519PrivateKey:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        open_to_others = os.fstat(file.fileno()).st_mode & 0o077
        raw = file.read(KEY_BYTES + 1)
    if open_to_others or len(raw) != KEY_BYTES:
        raise Unavailable(
            "app.witness_key",
            f"{path} " + ("can be read by others." if open_to_others else "holds no key of 32 bytes."),
            "Restore it from a backup with mode 0600; if others have read it, make a new witness with a new key.",
        )
    return Ed25519PrivateKey.from_private_bytes(raw)
