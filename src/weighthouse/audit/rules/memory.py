"""The judgement of the signer's own memory. Guards against signing a smaller or forked tree, whatever the rows say.

A restored backup, a promoted replica that lost commits and a rewritten table all look like a valid log from inside
the database. Only what the signer itself remembers, kept elsewhere, tells them apart from the log it last signed.
"""

from __future__ import annotations

from collections.abc import Callable

from weighthouse.audit.model import Remembered
from weighthouse.core.errors import Unavailable

_REMEDY = (
    "Stop writers and find out why: a restored backup, a promoted replica, or tampering. Restore the newer database, "
    "or accept the present one with the logged ceremony `weighthouse audit accept-fork`."
)


def judge(remembered: Remembered | None, size: int, root: bytes, root_at: Callable[[int], bytes]) -> None:
    """Return if a log of `size` and `root` continues what was signed before; raise `Unavailable` if it does not.

    `root_at(n)` computes the root of the first n leaves of the present tree. Codes: `audit.memory_missing` (a log
    without memory), `audit.log_smaller`, `audit.log_forked`.
    """
    if remembered is None:  # for an empty log too: emptied tables beside a lost memory look like a beginning
        raise Unavailable(
            "audit.memory_missing",
            f"The database holds a log of {size} entries, but the signer's memory outside it is gone, so nobody can "
            "say whether this is the log that was signed last.",
            _REMEDY,
        )
    if size < remembered.size:
        raise Unavailable(
            "audit.log_smaller",
            f"The database holds {size} log entries, but this signer has already signed {remembered.size}: "
            f"{remembered.size - size} are missing.",
            _REMEDY,
            have=size,
            signed=remembered.size,
        )
    if (root if size == remembered.size else root_at(remembered.size)) != remembered.root:
        raise Unavailable(
            "audit.log_forked",
            f"The first {remembered.size} log entries in the database are not those that this signer signed: "
            "the log was rewritten.",
            _REMEDY,
            signed=remembered.size,
        )
