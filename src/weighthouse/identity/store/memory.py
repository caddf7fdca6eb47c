"""What this process remembers of sessions and states. Guards against a database put back to before a freeze.

`ProcessMemory` forgets at exit; the app binds the file adapter, which does not. One-time values (DPoP proof ids,
authorization codes) live some minutes and are kept in memory only: proofs of before a restart do not count after it.
"""

from __future__ import annotations

import secrets
import threading

import msgspec

from weighthouse.core.clock import Millis
from weighthouse.identity.model import Owed

SWEEP_AT = 4_096


class ProcessMemory:
    """The memory port, in this process only."""

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self._condemned: dict[str, Millis] = {}
        self._used: dict[str, Millis] = {}
        self._asked: dict[str, Millis] = {}
        self._seen: dict[str, Millis] = {}
        self._owed: dict[str, Owed] = {}
        self._sweep_at = SWEEP_AT
        self._learnt = 0
        self.epoch = secrets.token_hex(16)
        self._lock = threading.Lock()

    def version(self, principal: str) -> int:
        with self._lock:
            return self._versions.get(principal, 0)

    def raise_version(self, principal: str, version: int) -> None:
        with self._lock:
            if version > self._versions.get(principal, 0):
                self.keep(f"v {version} {principal}")  # first: what is only in this process is not kept
                self._versions[principal] = version

    def is_later(self, what: str, at: int) -> bool:
        with self._lock:
            if at <= self._versions.get(what, 0):
                return False
            self._versions[what] = at
            self.keep(f"v {at} {what}")
            return True

    def condemn(self, session: str, until: Millis) -> None:
        with self._lock:
            if session not in self._condemned:
                self.keep(f"s {until} {session}")
                self._condemned[session] = until

    def condemned(self, session: str) -> bool:
        with self._lock:
            return session in self._condemned

    def all_condemned(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._condemned)

    def forget(self, now: Millis) -> None:
        with self._lock:
            self._condemned = {session: until for session, until in self._condemned.items() if until > now}

    def saw(self, session: str, at: Millis) -> None:
        with self._lock:
            if session not in self._seen and len(self._seen) >= SWEEP_AT:
                self._seen.pop(next(iter(self._seen)))
            self._seen[session] = at

    def seen(self, session: str) -> Millis:
        with self._lock:
            return self._seen.get(session, 0)

    def owe(self, due: Owed) -> None:
        with self._lock:
            self.keep(f"o {due.at} {msgspec.json.encode(due).decode()}")
            self._owed[due.id] = due

    def paid(self, id_: str) -> None:
        with self._lock:
            if id_ in self._owed:
                self.keep(f"p 0 {id_}")
                del self._owed[id_]

    def owed(self) -> tuple[Owed, ...]:
        with self._lock:
            return tuple(self._owed.values())

    def learnt(self) -> int:
        with self._lock:
            return self._learnt

    def learnt_to(self, place: int) -> None:
        with self._lock:
            self.keep(f"l {place} log")
            self._learnt = place

    def first_use(self, key: str, *, keep_until: Millis, now: Millis) -> bool:
        with self._lock:
            if len(self._used) >= self._sweep_at:
                self._used = {used: until for used, until in self._used.items() if until > now}
                self._sweep_at = max(SWEEP_AT, 2 * len(self._used))
            if self._used.get(key, 0) > now:
                return False
            self._used[key] = keep_until
            return True

    def asked(self, who: str, *, now: Millis) -> Millis:
        with self._lock:
            if who not in self._asked and len(self._asked) >= SWEEP_AT:
                self._asked.pop(next(iter(self._asked)))
            return now - self._asked.setdefault(who, now)

    def answered(self, who: str) -> None:
        with self._lock:
            self._asked.pop(who, None)

    def keep(self, line: str) -> None:
        """Make a fact outlast the process; here it does not."""
