"""An order to destroy weights (ATT&CK T1485): people are told who gave it, and how it is undone, while there is time.

Two people ordered it, each with a right to; two stolen sessions look the same. Nothing is ended or held by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from weighthouse.detect.model import DESTROYING, Incident

KINDS = frozenset({"weights.DestructionOrdered", "weights.ModelDestructionOrdered"})


def conclude(index: int, data: Mapping[str, Any]) -> Incident:
    """Return the incident that such an order is."""
    version, model, person = (str(data.get(name, "")) for name in ("version", "model", "person"))
    final = datetime.fromtimestamp(int(data["final"]) / 1000, UTC)
    what = f"{version} of {model}" if version else f"the key of {model}, with all its versions,"
    undo = f"weighthouse weights undestroy {version}" if version else f"weighthouse weights undestroy-model {model}"
    text = (
        f"{person} ordered {what} to be destroyed, approved by "
        f"{', '.join(map(str, data.get('approvers', ())))}. It is final at {final:%Y-%m-%d %H:%M} UTC. If they did "
        f"not both mean it, hold the model, or any of the approvers undoes it: `{undo}`."
    )
    return Incident(
        rule=DESTROYING,
        key=f"{DESTROYING}:{data.get('order', index)}",
        severity="high",
        principal=person,
        session=str(data.get("session", "")),
        evidence=(index,),
        text=text,
    )
