"""Inside a run: tokens, tickets and progress over the run's Unix sockets. Guards a run from needing any secret.

The run holds no credential of its own: who it is comes from the socket it is connected to, which only its sandbox can
reach. Data keys never come here: the run's lender has them, which decrypts and encrypts outside the sandbox. While a
load runs, its lease is renewed, and a refused renewal stops every reader before its next segment.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from . import checkpoint, lending
from .errors import CheckpointError, FormatError, Refused, extra
from .formats import utf8

HOST = "control.weighthouse"
SOCKET = Path("/egress/socket")
MAX_REPLY = 32 << 20
TIMEOUT = 60
UNAVAILABLE = 503
TAKING = "weights.taking"
BUSY_S = 5  # where the answer that another commit is under way names no time
OUTAGE_S = 300  # how long a commit is sent again while the control plane cannot answer
PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
# Of a change that was answered so, nothing has happened, so it may be asked again whatever it was.
NOTHING_DONE = frozenset({"core.database_unavailable", "runs.gates_busy"})
_COMMITTING = threading.Lock()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 to the host `control.weighthouse` through a Unix socket instead of a network."""

    def __init__(self, path: Path) -> None:
        super().__init__(HOST, timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Lease:
    """The lease of one load. `check` is cheap, may be called from any thread, and renews at half time."""

    def __init__(self, workload: Workload, lease: str, lasts: int) -> None:
        self._workload, self._lease, self._lasts = workload, lease, lasts / 1000
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise `checkpoint.lease` or the control plane's refusal when the lease has ended and is not renewed."""
        if time.monotonic() - self._start < self._lasts / 2:
            return
        with self._lock:
            if time.monotonic() - self._start < self._lasts / 2:
                return
            asked = time.monotonic()
            answer = self._workload.call("POST", f"/workload/v1/leases/{self._lease}", {})
            self._start, self._lasts = asked, (answer["lease_until"] - answer["now"]) / 1000
            if self._lasts <= 0:
                why = "The lease of this load has ended."
                raise CheckpointError("checkpoint.lease", why, "Ask for a new grant, then load again.")


class Workload:
    """The control plane as a run sees it, and the lender of its weights."""

    def __init__(self, socket_path: Path = SOCKET, *, lender: lending.Lender | None = None) -> None:
        self._path, self._lender = Path(socket_path), lender or lending.Lender()
        self._token: str | None = None
        self._lock = threading.Lock()

    def call(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Call one endpoint with JSON; a refusal is raised as `Refused` with the control plane's own code.

        Asked again a few times, with pauses, while the control plane says that it could do nothing.
        """
        for pause in PAUSES_S:
            try:
                return self._ask(method, path, body)
            except Refused as refusal:
                if refusal.code not in NOTHING_DONE:
                    raise
            _pause(pause)
        return self._ask(method, path, body)

    def _ask(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._send(method, path, body, {"Authorization": f"Workload {self._bearer()}"})

    def _bearer(self) -> str:
        with self._lock:
            if self._token is None:
                self._token = str(self._send("POST", "/workload/v1/token", {}, {})["token"])
            return self._token

    def _send(self, method: str, path: str, body: Mapping[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        connection = _UnixConnection(self._path)
        try:
            payload = json.dumps(body).encode()
            connection.request(method, path, payload, {"Content-Type": "application/json", **headers})
            reply = connection.getresponse()
            raw = reply.read(MAX_REPLY + 1)
        except (OSError, http.client.HTTPException) as error:
            why = f"The control plane did not answer: {error}."
            raise Refused("workload.unreachable", why, "Try again; see the run's page.", 503) from None
        finally:
            connection.close()
        try:
            document = json.loads(utf8(raw, "The answer")) if len(raw) <= MAX_REPLY else None
        except (ValueError, RecursionError, FormatError):
            document = None
        if not isinstance(document, dict):
            raise Refused("workload.answer", "The answer is not a JSON object.", "See the run's page.", reply.status)
        if reply.status >= 400:
            code = str(document.get("code", "workload.refused"))
            why = str(document.get("detail") or document.get("title") or "The control plane refused.")
            raise Refused(code, why, str(document.get("remedy", "")), reply.status, extra(document))
        return document

    def load(
        self,
        version: str,
        *,
        into: MutableMapping[str, Any] | None = None,
        names: Iterable[str] | None = None,
        verify: str | None = None,
        threads: int | None = None,
    ) -> MutableMapping[str, Any]:
        """Load a version under a lease that is renewed while it runs: the run's parent, or what it saved itself.

        `threads` beyond four change nothing.
        """
        ticket = self._open(version)
        signed, listed = checkpoint.demanded(ticket, verify), checkpoint.checked_manifest(ticket)
        lease = Lease(self, ticket.lease, ticket.lasts)
        with lending.LentReader(self._lender, ticket.lease, listed, threads, lease.check) as source:
            return checkpoint.fill(source, into=into, names=names, signed=signed)

    def describe(self, version: str) -> checkpoint.Described:
        """Names, shapes, dtypes and metadata of a version. It is released, charged and logged as a load is."""
        ticket = self._open(version)
        listed = checkpoint.checked_manifest(ticket)
        with lending.LentReader(self._lender, ticket.lease, listed, 1, None) as source:
            return checkpoint.Described.of(source.index())

    def _open(self, version: str) -> checkpoint.LoadTicket:
        """A ticket for `version`. Its data keys were given to the run's lender, and are not in it."""
        ticket = checkpoint.parse_load(self.call("POST", "/workload/v1/loads", {"version": version}))
        if ticket.version != version:
            why = "The control plane answered for another version."
            raise CheckpointError("checkpoint.ticket", why, "Ask again; tell security if it happens again.")
        return ticket

    def save(
        self,
        model: str,
        tensors: Mapping[str, Any],
        *,
        parent: str | None = None,
        metadata: Mapping[str, str] | None = None,
        threads: int | None = None,
    ) -> dict[str, Any]:
        """Have `tensors` encrypted outside, commit the signed manifest, and return the new version's record.

        `metadata` (text to text, at most 64 KiB) is kept inside the encrypted part and is read with `describe`.
        Nothing is visible to anyone before the commit is acknowledged.
        """
        plan = checkpoint.plan_shards(tensors)
        body = {"model": model, "parent": parent, "shards": len(plan)}
        ticket = checkpoint.parse_save(self.call("POST", "/workload/v1/saves", body))
        envelope = lending.save(self._lender, tensors, ticket, plan=plan, metadata=metadata, threads=threads)
        return self._commit(ticket.save, envelope)

    def _commit(self, save: str, envelope: bytes) -> dict[str, Any]:
        """Send a commit, again while the control plane is still copying and checking the shards it names.

        A run commits one save at a time: threads of this process take turns, and its other processes are waited for.
        Where the control plane cannot say what became of it (503, or no answer), the same commit is sent again: of
        one save, one manifest becomes a version once, and the same one is answered with that version.
        """
        with _COMMITTING:
            since: float | None = None
            while True:
                try:
                    return self.call("POST", f"/workload/v1/saves/{save}/commit", {"manifest": envelope.decode()})
                except Refused as refusal:
                    wait = _again_after(refusal)
                    if wait is None:
                        raise
                    down = refusal.status == UNAVAILABLE and refusal.code != TAKING
                    since = (since or time.monotonic()) if down else None
                    if since is not None and time.monotonic() - since > OUTAGE_S:
                        raise
                _pause(wait)

    def progress(self, **fields: int | str) -> None:
        """Report `progress` in thousandths, `loss` in millionths and a `note`; shown on the run's page."""
        self.call("POST", "/workload/v1/progress", fields)


def _again_after(refusal: Refused) -> float | None:
    """After how many seconds a commit that was answered so is sent again; None for a refusal that stays."""
    if refusal.code == TAKING:
        return 0
    if refusal.code == "weights.commit_busy":
        named = refusal.details.get("retry_after")
        return named if isinstance(named, int) and 0 < named <= TIMEOUT else BUSY_S
    return PAUSES_S[-1] if refusal.status == UNAVAILABLE else None


def _pause(seconds: float) -> None:
    """Sleep for that long and up to as long again: processes that were told the same do not come back together."""
    time.sleep(seconds * random.uniform(1, 2))  # noqa: S311  nobody gains by guessing it
