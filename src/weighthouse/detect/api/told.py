"""What was told already. Guards alerts from a row that says so beforehand.

Attack: insert the row of an alert with the name of the incident that is to come, and it is raised by nobody. So an
incident is known by its line, or by this process until the line stands in the log. A row that neither explains is
taken away and told itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from weakref import WeakKeyDictionary

from weighthouse.audit import api as audit
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System, Unit
from weighthouse.detect import store
from weighthouse.detect.events import AlertRaised, AlertRowRefused
from weighthouse.detect.model import Incident

KEPT, MOST_OLDER = 10_000, 200
_NAMED = audit.Lines(AlertRaised.KIND, by="incident")
_ABOUT = audit.Lines(AlertRaised.KIND, by="rule principal")
_RAISED = audit.Lines(AlertRaised.KIND)
_OWN = ("detect", "told")
_told: WeakKeyDictionary[System, OrderedDict[str, int]] = WeakKeyDictionary()


def note(unit: Unit, incident: Incident) -> None:
    """Know from now on, in this unit, and at its commit in this process, that the incident was told."""
    last = max(incident.evidence, default=-1)
    said = {_name(incident.key): last, _about(incident.rule, incident.principal): last}
    own: dict[str, int] = unit.memo.setdefault(_OWN, {})
    own.update(said)

    def keep() -> None:
        told = _told.setdefault(unit.system, OrderedDict())
        for key, value in said.items():
            told[key] = max(value, told.pop(key, -1))
        while len(told) > KEPT:
            told.popitem(last=False)

    unit.after_commit(keep)


def known(unit: Unit, incident: Incident) -> bool:
    """Whether an alert for this incident was raised. A row alone says nothing: it is taken away, with one line.

    Raises `detect.line_awaited` on PostgreSQL while another server's line may be on its way.
    """
    if _own(unit, _name(incident.key)) is not None or _NAMED.any(unit, incident.key) or _older(unit, incident):
        return True
    row = store.alert_of(unit.conn, incident.key)
    if row is None:
        return False
    line = _RAISED.newest(unit, row)
    if line is not None and "incident" not in line.data:  # of before incidents were named, about other facts
        store.unname(unit.conn, incident.key, row)
        return False
    if line is None and not audit.unsaid(unit, f"detect_alert {row}"):
        raise Unavailable(
            "detect.line_awaited",
            "A row says that this alert was raised, and its line is not in the log yet.",
            "None is needed: the detection goes on by itself within seconds.",
        )
    store.remove(unit.conn, incident.key)
    audit.append(unit, AlertRowRefused(row=row[:64], incident=incident.key))
    return False


def answered(unit: Unit, rule: str, principal: str) -> int:
    """Return the highest log index that an alert of this rule about this person rests on, -1 if there is none."""
    about = f"{rule} {principal}"
    line = _ABOUT.newest(unit, about)
    own = _own(unit, _about(rule, principal))
    return max(_last(line.data) if line is not None else -1, -1 if own is None else own)


def _older(unit: Unit, incident: Incident) -> bool:
    """Whether a line of before incidents were named rests on the same facts: such entries are handled again."""
    after = min(incident.evidence, default=0) + 1
    found = _ABOUT.of(unit, f"{incident.rule} {incident.principal}", start=after, limit=MOST_OLDER)
    return any(
        "incident" not in one.data
        and one.data["session"] == incident.session
        and set(one.data["evidence"]) & set(incident.evidence)
        for one in found
    )


def _own(unit: Unit, key: str) -> int | None:
    own: dict[str, int] = unit.memo.get(_OWN, {})
    return own.get(key, _told.get(unit.system, OrderedDict()).get(key))


def _last(data: Mapping[str, object]) -> int:
    evidence = data["evidence"]
    return max(evidence, default=-1) if isinstance(evidence, list | tuple) else -1


def _name(incident: str) -> str:
    return f"incident {incident}"


def _about(rule: str, principal: str) -> str:
    return f"about {rule} {principal}"
