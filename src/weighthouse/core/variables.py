"""The WEIGHTHOUSE_ variables that are no settings: the one list of them. Guards a start from one that was mistyped.

A variable that nobody reads would be ignored in silence, and the server would listen, or keep its lab, elsewhere than
its operator thinks. So each that is neither a setting's nor in this list is refused, as an unknown name in a file is.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

PREFIX = "WEIGHTHOUSE_"
OTHERS: dict[str, frozenset[str]] = {
    "the command line": frozenset({"HOME", "SERVER", "ACCOUNT", "PASSWORD", "TOTP_SECRET", "TRACEBACK"}),
    "code in a run": frozenset({"RUN", "MODEL", "PARENT"}),
    "the tests": frozenset(
        {"CASES", "CUTS", "EXAMPLES", "FLOE_PEER", "FROZEN_S", "FUZZ_SECONDS", "KILLS", "MANY", "ROUNDS"}
        | {"SCREENSHOTS", "TEST_SECRET"}
    ),
}
"""Who reads which, without the prefix."""
_OTHERS = frozenset(PREFIX + name for names in OTHERS.values() for name in names)
_ORCHESTRATOR = re.compile(r"WEIGHTHOUSE_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)")
"""Kubernetes sets these in every pod beside a service that is called weighthouse."""


def unknown(environ: Iterable[str], settings: Iterable[str]) -> list[tuple[str, str]]:
    """Return each variable of ours that nobody reads, with the nearest that somebody does; empty if none is near."""
    known = _OTHERS.union(settings)
    return [
        (name, _nearest(name, known))
        for name in sorted(environ)
        if name.startswith(PREFIX) and name not in known and not _ORCHESTRATOR.fullmatch(name)
    ]


def _nearest(name: str, known: Iterable[str]) -> str:
    """By what follows the prefix, which alone would make any two of them look alike."""
    own = name.removeprefix(PREFIX).upper()
    near = difflib.get_close_matches(own, sorted(one.removeprefix(PREFIX) for one in known), n=1)
    return PREFIX + near[0] if near else ""
