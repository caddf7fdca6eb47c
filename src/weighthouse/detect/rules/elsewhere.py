"""A session used from elsewhere (rule R7; ATT&CK T1539, T1550.004): a stolen cookie or token, seen in use.

The identity room has already refused the request and ended that one session, for the proof of the bound key was
missing or wrong. A thief who holds one session of a person may hold more, so the incident covers them all.
"""

from __future__ import annotations

from weighthouse.detect.model import ELSEWHERE, Incident


def conclude(index: int, principal: str, session: str, changed: str = "key") -> Incident:
    """Return the incident for one fact `identity.SessionUsedElsewhere`; repeats for one session are one incident.

    A browser that calls itself otherwise but brings its own mark is odd, and no proof of a thief.
    """
    return Incident(
        rule=ELSEWHERE,
        key=f"{ELSEWHERE}:{session}",
        severity="medium" if changed == "browser" else "high",
        principal=principal,
        session=session,
        evidence=(index,),
        text="A credential of this session was presented without the key that the session is bound to.",
    )
