"""From a recorded finding to what may be shown now. Guards readers from evidence that has gone stale."""

from __future__ import annotations

from weighthouse.assurance.model import Check, Finding, Sheet
from weighthouse.core.clock import Millis


def untested(sheet: Sheet) -> Check:
    """Return the check as it stands before it was ever computed."""
    return Check(
        id=sheet.id,
        title=sheet.title,
        controls=sheet.controls,
        result="not-tested",
        detail="Never computed.",
        at=None,
        period_from=None,
        period_to=None,
        query_version=sheet.version,
        population=0,
        failing=(),
        samples=(),
        fresh_until=None,
        log_index=None,
    )


def shown(
    sheet: Sheet,
    finding: Finding,
    *,
    at: Millis,
    version: int,
    period: tuple[Millis, Millis],
    index: int | None,
    now: Millis,
    here: bool = True,
) -> Check:
    """Return the check as it may be shown at `now`: a stale finding, one of an older query, or one that was not found
    `here`, on this program, catalogue and policy, is not-tested.

    A negative finding stays negative when it is stale: the failure was real, and waiting does not mend it.
    """
    result, detail = finding.result, finding.detail
    if result == "satisfied" and now > at + sheet.fresh_for:
        result, detail = "not-tested", "Stale: compute it again. It then said: " + detail
    elif result == "satisfied" and version != sheet.version:
        result, detail = "not-tested", "Computed by an older version of the query: compute it again."
    elif result == "satisfied" and not here:
        result, detail = "not-tested", "Computed on another program, catalogue or policy: compute it again."
    return Check(
        id=sheet.id,
        title=sheet.title,
        controls=sheet.controls,
        result=result,
        detail=detail,
        at=at,
        period_from=period[0],
        period_to=period[1],
        query_version=version,
        population=finding.population,
        failing=finding.failing,
        samples=finding.samples,
        fresh_until=at + sheet.fresh_for,
        log_index=index,
    )
