"""Somebody writes the database against the control plane (ATT&CK T1565.001, T1562): facts that only that explains.

The room that met it has held already; what is left is to tell people at once. Facts of one kind within a day are one
incident, for a trigger speaks at every step.
"""

from __future__ import annotations

from weighthouse.core.clock import DAY, Millis
from weighthouse.detect.model import WRITTEN, Incident

_TEXTS = {
    "audit.CursorMoved": "A follower of the log was moved in the database, so that it would miss entries.",
    "audit.FellBehind": "A server decided nothing for a while: lines waited for the log, or a follower stood still.",
    "audit.LineNotKept": "The database swallowed a line of the log; the change that it belonged to was refused.",
    "audit.LinesLost": "Lines vanished between their commit and the log.",
    "audit.LogDamaged": "A stored entry of the log is missing, edited or hidden from lists.",
    "audit.PersonalMissing": "A personal value beside the log was deleted, and nobody was erased.",
    "detect.AlertRowRefused": "A row said that an alert had been raised, so that nobody would raise it.",
    "egress.TamperFound": "A count of what was sent, said or lent was set back in the database.",
    "governance.TamperFound": "Rows of the committee's ballots were written or deleted; the log's ballots count.",
    "keys.KeyRefused": "An older key file was put back, which would undo what was ended since; nothing was released.",
    "runs.StopAsked": "The database did not keep that a run was asked to stop; the run was stopped all the same.",
}
KINDS = frozenset(_TEXTS)


def conclude(index: int, at: Millis, kind: str, subject: str, data: dict[str, object]) -> Incident | None:
    """Return the incident that a fact tells of, None where it is an honest one."""
    honest = (kind == "runs.StopAsked" and data.get("kept") is not False) or (
        kind == "keys.KeyRefused" and data.get("code") != "keys.rolled_back"
    )
    if kind not in _TEXTS or honest:
        return None
    return Incident(
        rule=WRITTEN,
        key=f"{WRITTEN}:{kind}:{at // DAY}",
        severity="high",
        principal="",
        session="",
        evidence=(index,),
        text=f"{_TEXTS[kind]} First seen on {subject}.",
    )
