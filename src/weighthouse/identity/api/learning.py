"""What identity learns from the log: who was frozen, which sessions, devices and runs were ended, and which factors
and signatures were used, on any server.

Guards this server from a state that was put back after another server changed it: the line of every end names the
version that the state had then, and no older one is believed.
"""

from __future__ import annotations

from collections.abc import Sequence

from weighthouse.audit import api as audit
from weighthouse.core.clock import SECOND
from weighthouse.core.work import System
from weighthouse.identity.api import ends, once
from weighthouse.identity.api.sealing import memory
from weighthouse.identity.api.sessions import learn_device, learn_foreign
from weighthouse.identity.api.vouchers import learn_said
from weighthouse.identity.model import RUN

_SESSIONS = {"identity.SessionEnded", "identity.SessionUsedElsewhere"}
_ENDS = {"identity.PersonFrozen", "identity.PersonThawed", "identity.DeviceEnded", "identity.WorkloadEnded"}
KINDS = frozenset({"identity.Disowned", *_ENDS, *_SESSIONS, *once.LEARN})


def learnt(system: System) -> int:
    """Up to which place of the log this server's memory of states and sessions is whole."""
    return memory(system).learnt()


def learnt_to(system: System, place: int) -> None:
    """Keep that place in the memory itself."""
    memory(system).learnt_to(place)


def learn(system: System, entries: Sequence[audit.Entry]) -> None:
    """Remember what these entries end, and what they say was used up."""
    longest = system.settings.integer("identity.absolute_s") * SECOND
    now, versions = system.clock.now(), dict[str, int]()
    for entry in entries:
        if entry.kind in once.LEARN:
            once.LEARN[entry.kind](system, entry, now)
            continue
        data = entry.data
        principal = RUN + str(data["run"]) if entry.kind == "identity.WorkloadEnded" else str(data["principal"])
        if principal:  # nobody's, where a session was ended by its id alone
            versions[principal] = max(versions.get(principal, 0), int(data.get("version", 0)))
        if entry.kind in _SESSIONS or entry.kind in ("identity.Disowned", "identity.PersonFrozen"):
            learn_foreign(system, entry)
        learn_said(system, entry)
        if entry.kind == "identity.DeviceEnded":
            learn_device(system, entry)
        if entry.kind in _SESSIONS and entry.at + longest > now:
            ends.remember(memory(system), ends.told(entry), entry.at + longest)
    for principal, version in versions.items():
        memory(system).raise_version(principal, version)
