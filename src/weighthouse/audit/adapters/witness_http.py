"""Witnesses over HTTP (C2SP tlog-witness), as a tlog-policy file names them. Guards the log's one outgoing call.

Answers are size-limited and time-limited; only the cosignature in them is believed, after it was verified.
"""

from __future__ import annotations

import http.client
from pathlib import Path
from urllib.parse import urlsplit

from weighthouse.audit.ports import Witness
from weighthouse.audit.rules import quorum
from weighthouse.core.errors import Invalid

TIMEOUT_S = 10.0
MAX_ANSWER = 64 * 1024


class HttpWitness:
    """One witness at its submission prefix."""

    def __init__(self, named: quorum.Named) -> None:
        self._name, self._key = named.name, named.key.text()
        parts = urlsplit(named.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise Invalid(
                "audit.bad_witness_url",
                f"The witness {named.name} has no http or https address in the policy.",
                "Write its submission prefix after its key: witness <name> <vkey> https://witness.example/prefix",
            )
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._path = parts.path.rstrip("/") + "/add-checkpoint"

    @property
    def name(self) -> str:
        return self._name

    @property
    def key(self) -> str:
        return self._key

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        """Post one request; return status and body. Raises OSError when the witness cannot be reached or babbles."""
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", self._path, body, {"Content-Type": "text/plain; charset=utf-8"})
            answer = connection.getresponse()
            data = answer.read(MAX_ANSWER + 1)
            if len(data) > MAX_ANSWER:
                raise OSError("the answer is too large")
            return answer.status, data
        except http.client.HTTPException as error:
            raise OSError(f"the answer is not HTTP: {error!r}") from error
        finally:
            connection.close()


class PolicyWitnesses:
    """The witnesses of a policy file; a file that cannot be read is an error at start, never an empty list."""

    def __init__(self, path: Path | None) -> None:
        self._witnesses: tuple[Witness, ...] = ()
        if path is not None:
            policy = quorum.parse_policy(path.read_text("utf-8"))
            self._witnesses = tuple(HttpWitness(named) for named in policy.witnesses)

    def all(self) -> tuple[Witness, ...]:
        return self._witnesses
