"""THE list of what a session gives that lives longer than it. Guards the lab from a gift that nobody takes back.

Each kind of line on it is made by a person's act, names the session in which that was done, and lasts: it gives
access, a voice or a key, or opens what was closed. Beside it stands the file that asks, whenever it is used or the
session ends, whether that session is disowned.
A new kind of line is put here, or a house test is told why it gives nothing that lasts.
"""

from __future__ import annotations

GIVEN: dict[str, str] = {
    "access.HoldLifted": "access/api/closed_again.py",
    "access.HoldLookedAt": "access/api/holds.py",
    "access.PolicyPublished": "access/api/rested_on.py",
    "access.RequestSubmitted": "access/api/verifying.py",
    "access.VoteCast": "access/api/voiding.py",
    "detect.AlertAcknowledged": "detect/api/alerts.py",
    "governance.BallotCast": "governance/api/counting.py",
    "identity.DeviceEnrolled": "identity/api/vouchers.py",
    "identity.DeviceConfirmed": "identity/api/vouchers.py",
    "identity.KeysRestored": "identity/api/vouchers.py",
    "identity.PersonThawed": "access/api/closed_again.py",
    "runs.RunSubmitted": "runs/api/lasting.py",
    "weights.DestructionOrdered": "weights/api/ordering.py",
    "weights.ModelDestructionOrdered": "weights/api/ordering.py",
}
"""Kind of line, and the file that asks `identity.disowned`, or one of its halves."""
