"""What a thief opened is closed again (ATT&CK T1562, T1098): whoever may open it once more is told exactly what.

The room that found it has closed it already, by the end of the session alone; where it did not, because the committee
could decide nothing then, somebody must look at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weighthouse.detect.model import OPENED, Incident

KINDS = frozenset({"access.OpeningFell"})


def conclude(index: int, data: Mapping[str, Any]) -> Incident:
    """Return the incident that such a fact tells of."""
    about, by = str(data.get("about", "")), str(data.get("opened_by", ""))
    opened = f"{about} was thawed" if data.get("what") == "person" else f"A hold on {about} was lifted"
    now = {
        (True, "person"): "They are frozen again.",
        (True, "hold"): f"It stands again, as {data.get('hold', '')}.",
    }.get((bool(data.get("again")), str(data.get("what"))), "They stay as they are, for they guard: look at once.")
    return Incident(
        rule=OPENED,
        key=f"{OPENED}:{data.get('what')}:{about}:{data.get('opened', '')}",
        severity="high",
        principal=by,
        session=str(data.get("session", "")),
        evidence=(index,),
        text=f"{opened} in the name of {by}, in a session that was somebody else's. {now}",
    )
