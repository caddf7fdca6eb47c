"""What an attack's outcomes prove now. Guards "attacks are stopped" from attacks that nobody tried, not on this
version, not lately; and a miss from being hidden by a run that did not take place.

A missed attack stays missed, whatever could not be run since, until the same attack is held. One that held proves
nothing of another program, another catalogue or another policy, nor after a while, nor once it could not be run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from weighthouse.assurance.model import NOT_RUN, Proof, Ran, Version
from weighthouse.core.clock import Millis

_DIFFERS = {"program": "on this program", "catalogue": "as this catalogue has it", "policy": "under this policy"}


def version_in(data: Mapping[str, object]) -> Version:
    """Return the version that a line of the log names."""
    return Version(**{name: str(data.get(name, "")) for name in _DIFFERS})


def proof(newest_first: Iterable[Ran], version: Version, fresh_since: Millis) -> Proof:
    """Return what the runs of one attack prove, the newest first; none behind the newest that took place."""
    unrun: Ran | None = None
    for one in newest_first:
        if one.status == NOT_RUN:
            unrun = unrun or one
        elif one.status != one.expected:
            return Proof(result="missed", why="", index=one.index)
        elif unrun is not None:
            return Proof(result="not tested", why="could not be run the last time", index=unrun.index)
        else:
            return _held(one, version, fresh_since)
    why = "could not be run" if unrun else "never run"
    return Proof(result="not tested", why=why, index=unrun.index if unrun else None)


def _held(one: Ran, version: Version, fresh_since: Millis) -> Proof:
    other = [words for name, words in _DIFFERS.items() if getattr(one.version, name) != getattr(version, name)]
    if one.at < fresh_since:
        return Proof(result="not tested", why="not run lately", index=one.index)
    if other:
        return Proof(result="not tested", why=f"not run {', '.join(other)}", index=one.index)
    return Proof(result="held", why="", index=one.index)
