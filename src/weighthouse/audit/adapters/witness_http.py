"""Witnesses over HTTP (C2SP tlog-witness), as a tlog-policy file names them. Guards the log's one outgoing call.

Answers are size-limited and time-limited; only the cosignature in them is believed, after it was verified.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from weighthouse.audit.ports import Witness
from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules import quorum
from weighthouse.audit.rules.checkpoint import check_signature
from weighthouse.core.errors import Invalid
from weighthouse.core.outward import Outward

TIMEOUT_S = 10.0
DEADLINE_S = 20.0
GRACE_S = 0.25
MAX_ANSWER = 64 * 1024


class HttpWitness:
    """One witness at its submission prefix."""

    def __init__(self, named: quorum.Named) -> None:
        self._name, self._key = named.name, named.key.text()
        try:
            parts = urlsplit(named.url)
            port = parts.port
            usable = parts.scheme in ("http", "https") and parts.hostname and not parts.username
        except ValueError:  # a port beyond 65535, a bracket left open
            usable = False
        if not usable or not named.url.isascii():
            raise Invalid(
                "audit.bad_witness_url",
                f"The witness {named.name} has no http or https address in the policy.",
                "Write its submission prefix after its key: witness <name> <vkey> https://witness.example/prefix",
            )
        self._secure, self._host, self._port = parts.scheme == "https", str(parts.hostname), port
        self._outward = Outward(2)  # one that hangs, by its resolver or its addresses, keeps no thread but these
        self._path = parts.path.rstrip("/") + "/add-checkpoint"

    @property
    def name(self) -> str:
        return self._name

    @property
    def key(self) -> str:
        return self._key

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        """Post one request; return status and body. Raises OSError when the witness cannot be reached or babbles."""
        return self._outward.within(DEADLINE_S + GRACE_S, lambda: self._posted(body))

    def _posted(self, body: bytes) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.connect()
            with _deadline(connection.sock):
                connection.request("POST", self._path, body, {"Content-Type": "text/plain; charset=utf-8"})
                answer = connection.getresponse()
                data = answer.read(MAX_ANSWER + 1)
            if len(data) > MAX_ANSWER:
                raise OSError("the answer is too large")
            return answer.status, data
        except (http.client.HTTPException, ValueError) as error:
            raise OSError(f"the answer is not HTTP: {error!r}") from error
        finally:
            connection.close()


@contextlib.contextmanager
def _deadline(connected: socket.socket) -> Iterator[None]:
    """End the whole exchange after a while: a witness that drips bytes never meets the time limit of one read."""
    passed = threading.Event()

    def hang_up() -> None:
        passed.set()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connected, socket.SHUT_RDWR)  # below TLS, which may wait for the other side

    watch = threading.Timer(DEADLINE_S, hang_up)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        if passed.is_set():
            raise OSError(f"the answer took longer than {DEADLINE_S:.0f} s")


class PolicyWitnesses:
    """The witnesses of a policy file; a file that cannot be read is an error at start, never an empty list."""

    def __init__(self, path: Path | None) -> None:
        self._witnesses: tuple[Witness, ...] = ()
        self._policy: quorum.Policy | None = None
        if path is not None:
            self._policy = quorum.parse_policy(_text(path))
            self._witnesses = tuple(HttpWitness(named) for named in self._policy.witnesses)

    def all(self) -> tuple[Witness, ...]:
        return self._witnesses

    def satisfied(self, note: str) -> bool:
        """Return whether the cosignatures under this checkpoint make the policy's quorum."""
        if self._policy is None:
            return False
        known = [named.key for named in self._policy.witnesses]
        try:
            signers = notes.verify(notes.parse(note.encode()), known, check_signature) if known else ()
        except Invalid:
            signers = ()
        return self._policy.satisfied(signers)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "surrogateescape")  # names and comments may be any octets
    except OSError as error:
        raise Invalid(
            "audit.bad_policy_file",
            f"The witness policy {path} cannot be read: {error.strerror}.",
            "Correct the setting log.witnesses, or make the file readable; without its witnesses nothing starts.",
        ) from None
