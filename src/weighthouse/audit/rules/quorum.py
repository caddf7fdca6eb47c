"""The quorum of witnesses in C2SP tlog-policy form: which cosignatures make a checkpoint believable.

Guards against a stolen log key: whoever holds it can sign any tree, but not make enough independent witnesses say
that they saw it grow. Names are opaque; each may be counted in one group only.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules.note import VerifierKey, malformed
from weighthouse.core.errors import Invalid

NONE = "none"


@dataclass(frozen=True, slots=True)
class Named:
    """A witness of a policy: its name there, its key, and where it is asked (empty if not said)."""

    name: str
    key: VerifierKey
    url: str


@dataclass(frozen=True, slots=True)
class Group:
    """At least `threshold` of `members` (witnesses or groups) must have cosigned."""

    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A whole policy file."""

    logs: tuple[VerifierKey, ...]
    witnesses: tuple[Named, ...]
    groups: dict[str, Group]
    quorum: str

    def satisfied(self, cosigners: Collection[VerifierKey]) -> bool:
        """Return whether the quorum is reached by these witnesses' valid cosignatures."""
        holding = {witness.name for witness in self.witnesses if witness.key in cosigners}
        for name, group in self.groups.items():  # a group names only what stands before it
            if sum(member in holding for member in group.members) >= group.threshold:
                holding.add(name)
        return self.quorum == NONE or self.quorum in holding


class _Reader:
    """Reads a policy line by line and refuses the first line that means nothing, or two things."""

    def __init__(self) -> None:
        self.logs: list[VerifierKey] = []
        self.witnesses: list[Named] = []
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None
        self._free: set[str] = set()
        self._names: set[str] = {NONE}

    def line(self, words: list[str]) -> None:
        kind, count = words[0], len(words)
        if kind == "log" and count in (2, 3):
            self._log(words[1])
        elif kind == "witness" and count in (3, 4):
            self._witness(words[1], words[2], words[3] if count == 4 else "")
        elif kind == "group" and count >= 4:
            self._group(words[1], words[2], words[3:])
        elif kind == "quorum" and count == 2 and self.quorum is None:
            if words[1] not in self._names:
                raise malformed(f"the quorum names {words[1]!r}, which no line before defines")
            self.quorum = words[1]
        else:
            raise malformed(f"{kind!r} with {count - 1} words is not a line of a policy, or stands twice")

    def _define(self, name: str) -> None:
        if name in self._names:
            raise malformed(f"the name {name!r} is defined twice")
        self._names.add(name)
        self._free.add(name)

    def _log(self, text: str) -> None:
        key = notes.parse_key(text)
        if any(known.public == key.public for known in self.logs):
            raise malformed("a log's key stands twice")
        self.logs.append(key)

    def _witness(self, name: str, text: str, url: str) -> None:
        key = notes.parse_key(text)
        if key.kind == notes.ED25519:
            raise malformed(f"the key of witness {name!r} is not a cosignature key")
        if any(known.key.public == key.public for known in self.witnesses):
            raise malformed(f"the key of witness {name!r} stands twice")
        self._define(name)
        self.witnesses.append(Named(name, key, url))

    def _group(self, name: str, rule: str, members: list[str]) -> None:
        for member in members:
            if member not in self._free:
                raise malformed(f"{member!r} is not defined before group {name!r}, or counts elsewhere already")
            self._free.discard(member)
        threshold = {"any": 1, "all": len(members)}.get(rule)
        if threshold is None:
            if re.fullmatch(r"[0-9]{1,9}", rule) is None or not 1 <= int(rule) <= len(members):
                raise malformed(f"group {name!r} asks for {rule[:20]!r} of {len(members)} members")
            threshold = int(rule)
        self._define(name)
        self.groups[name] = Group(threshold, tuple(members))


def parse_policy(text: str) -> Policy:
    """Read a policy file; raise `audit.malformed` naming the line that is wrong."""
    reader = _Reader()
    for number, line in enumerate(text.split("\n"), 1):
        try:
            words = [word for word in line.replace("\t", " ").split(" ") if word]
            if any(c < " " or c == "\x7f" for word in words for c in word):
                raise malformed("it holds a control character other than tab and newline")
            if words and not words[0].startswith("#"):
                reader.line(words)
        except Invalid as error:
            raise malformed(f"Line {number} of the policy: {error.message.rstrip('.')}") from None
    if reader.quorum is None:
        raise malformed("The policy has no quorum line")
    return Policy(tuple(reader.logs), tuple(reader.witnesses), reader.groups, reader.quorum)
