"""One session in several countries (ATT&CK T1539, T1550): whoever holds its key or mark is in two places, or two are.

A move to one country and on is a journey. There and back within two hours, or a third country within the session, is
looked at by a person; a private network exit does the same, so nothing is ended by it.
"""

from __future__ import annotations

from weighthouse.core.clock import HOUR, Millis
from weighthouse.detect.model import SEVERAL_COUNTRIES, Incident

SOON: Millis = 2 * HOUR


def conclude(index: int, data: dict[str, object]) -> Incident | None:
    """Return the incident that a fact `identity.SessionMoved` tells of, None for a journey."""
    session, person = str(data.get("session", "")), str(data.get("principal", ""))
    since, countries = data.get("since"), data.get("countries")
    back = data.get("returned") is True and isinstance(since, int) and since < SOON
    many = isinstance(countries, int) and countries > 2
    if not session or not (back or many):
        return None
    return Incident(
        rule=SEVERAL_COUNTRIES,
        key=f"{SEVERAL_COUNTRIES}:{session}",
        severity="medium",
        principal=person,
        session=session,
        evidence=(index,),
        text="One session is used from several countries in turns. Ask its owner, or end it.",
    )
