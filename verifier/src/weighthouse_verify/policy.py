"""Which witnesses must have cosigned (C2SP tlog-policy). Guards against a log key in the wrong hands.

A thief of the log's key can sign any history, but cannot make a quorum of independent witnesses say they saw it grow.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weighthouse_verify.notes import LOG, Key, RefusedError, read_key


@dataclass
class Policy:
    """A policy file: accepted logs, named witnesses, groups in the order of their lines, and the quorum."""

    logs: list[Key] = field(default_factory=list)
    witnesses: dict[str, Key] = field(default_factory=dict)
    groups: list[tuple[str, int, list[str]]] = field(default_factory=list)
    quorum: str = ""

    def reached(self, signers: set[Key]) -> bool:
        """Return whether these cosigners make the quorum."""
        holding = {name for name, key in self.witnesses.items() if key in signers}
        for name, least, members in self.groups:
            if len(holding.intersection(members)) >= least:
                holding.add(name)
        return self.quorum == "none" or self.quorum in holding


def read_policy(text: str) -> Policy:
    """Read a policy file; raise with the number of the first line that is wrong."""
    policy = Policy()
    names: set[str] = set()
    used: set[str] = set()
    for count, line in enumerate(text.split("\n"), 1):
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        try:
            if any(c < " " or c == "\x7f" for word in words for c in word):
                raise RefusedError("it holds a control character other than tab and newline")
            if words and not words[0].startswith("#"):
                _apply(policy, words, names, used)
        except (RefusedError, ValueError, IndexError) as error:
            raise RefusedError(f"line {count} of the policy: {error}") from None
    if not policy.quorum:
        raise RefusedError("the policy has no quorum line")
    return policy


def _apply(policy: Policy, words: list[str], names: set[str], used: set[str]) -> None:
    kind = words[0]
    if kind == "log" and len(words) in (2, 3):
        key = read_key(words[1])
        if any(key.public == other.public for other in policy.logs):
            raise RefusedError("a log key stands twice")
        policy.logs.append(key)
    elif kind == "witness" and len(words) in (3, 4):
        key = read_key(words[2])
        if key.kind == LOG or any(key.public == other.public for other in policy.witnesses.values()):
            raise RefusedError("the key is no cosignature key, or stands twice")
        _name(words[1], names)
        policy.witnesses[words[1]] = key
    elif kind == "group" and len(words) >= 4:
        _group(policy, words, names, used)
    elif kind == "quorum" and len(words) == 2 and not policy.quorum:
        if words[1] != "none" and words[1] not in names:
            raise RefusedError(f"'{words[1]}' is not defined")
        policy.quorum = words[1]
    else:
        raise RefusedError(f"'{kind}' is not understood here")


def _name(name: str, names: set[str]) -> None:
    if name == "none" or name in names:
        raise RefusedError(f"'{name}' is defined twice")
    names.add(name)


def _group(policy: Policy, words: list[str], names: set[str], used: set[str]) -> None:
    rule, members = words[2], words[3:]
    least = {"any": 1, "all": len(members)}.get(rule) or (int(rule) if rule.isascii() and rule.isdigit() else 0)
    if not 1 <= least <= len(members):
        raise RefusedError(f"'{rule}' of {len(members)} members makes no sense")
    for member in members:
        if member not in names or member in used:
            raise RefusedError(f"'{member}' is not defined, or counts elsewhere already")
        used.add(member)
    _name(words[1], names)
    policy.groups.append((words[1], least, members))
