"""Computing evidence and showing it. Guards an auditor from typed statements and from stale ones.

A check is computed over the log of a period and the live state; its finding goes into the log with the version of the
query, the size of the log and digests of what was looked at. What is shown is read back from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from weighthouse.access import api as access
from weighthouse.assurance.api.versions import version_of
from weighthouse.assurance.catalogue import SCENARIOS
from weighthouse.assurance.checks import approvals, log_verified, red_team, session_risk, standing_access
from weighthouse.assurance.checks.facts import Fact
from weighthouse.assurance.events import EvidenceComputed
from weighthouse.assurance.model import PERIOD, SHEETS, Check, Finding, Sheet
from weighthouse.assurance.rules import freshness, proof
from weighthouse.audit import api as audit
from weighthouse.core import canonical
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.clock import Millis
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy

LOG_CHECK = "E-17"
_COMPUTED = audit.Lines(EvidenceComputed.KIND)
T = TypeVar("T")


def evidence(unit: Unit, caller: Caller) -> list[Check]:
    """Return every check with its newest finding; stale or never computed is not-tested. Raises Denied."""
    access.require(unit, caller, "evidence.read", "lab")
    return [_shown(unit, sheet) for sheet in SHEETS]


def compute(unit: Unit, caller: Caller = SYSTEM, *, period: Millis = PERIOD) -> list[Check]:
    """Compute every check over the last `period` and put each finding into the log. Raises Denied."""
    if caller.kind != "system":
        access.require(unit, caller, "evidence.read", "lab")
    since = unit.now - period
    size, on = audit.head(unit).size, version_of(unit)
    made = []
    for sheet, finding in _findings(unit, since):
        audit.append(
            unit,
            EvidenceComputed(
                check=sheet.id,
                query_version=sheet.version,
                result=finding.result,
                detail=finding.detail,
                period_from=since,
                period_to=unit.now,
                log_size=size,
                population=finding.population,
                failing=finding.failing,
                samples=finding.samples,
                program=on.program,
                catalogue=on.catalogue,
                policy=on.policy,
            ),
        )
        made.append(
            freshness.shown(
                sheet, finding, at=unit.now, version=sheet.version, period=(since, unit.now), index=None, now=unit.now
            )
        )
    return made


def _findings(unit: Unit, since: Millis) -> list[tuple[Sheet, Finding]]:
    """Compute every check; those that read the log say nothing about one that does not verify: an entry that is
    hidden from a query is missing from its population."""
    log = _tried(lambda: _log(unit))
    if log.result != "satisfied":
        unfit = Finding(result="not-tested", detail="The log does not verify, so nothing rests on it.", population=0)
        return [(sheet, log if sheet.id == LOG_CHECK else unfit) for sheet in SHEETS]
    return [(sheet, log if sheet.id == LOG_CHECK else _found(unit, sheet, since)) for sheet in SHEETS]


def _found(unit: Unit, sheet: Sheet, since: Millis) -> Finding:
    return _tried(lambda: _compute(unit, sheet, since))


def _tried(compute: Callable[[], Finding]) -> Finding:
    try:
        return compute()
    except WeighthouseError as error:  # a log or policy that is not to be trusted proves nothing either way
        return Finding(result="not-tested", detail=f"It could not be computed: {error.message}", population=0)


def _log(unit: Unit) -> Finding:
    report = audit.verify(unit.system)
    problems = tuple((one.index, one.what) for one in report.problems)
    return log_verified.compute(report.ok, report.size, problems, audit.head(unit).root_hex)


def _compute(unit: Unit, sheet: Sheet, since: Millis) -> Finding:
    if sheet.id == "E-07":
        return session_risk.compute(_facts(unit, session_risk.KIND, since))
    if sheet.id == "E-19":
        ran = _facts(unit, red_team.KIND, 0)  # all: a miss does not lapse
        return red_team.compute(ran, [one.id for one in SCENARIOS], version_of(unit), unit.now - sheet.fresh_for)
    lab = policy.current(unit).lab
    grants = _facts(unit, approvals.GRANT, since)
    if sheet.id == "E-01":
        votes = _facts(unit, approvals.VOTE, since - PERIOD)  # a grant of the first day was voted for before it
        then = _that_day(unit, [*grants, *votes], approvals.directory)
        return approvals.compute(grants, votes, then, approvals.directory(lab))
    published = _facts(unit, standing_access.PUBLISHED, since)
    said = _that_day(unit, [*grants, *published], standing_access.facts_of)
    return standing_access.compute(grants, standing_access.facts_of(lab), said, published)


def _that_day(unit: Unit, facts: Sequence[Fact], of: Callable[[policy.Lab], T]) -> dict[str, T]:
    """Return what each policy that these facts name said; one that nobody published is absent."""
    names = ("policy_digest", "digest", "previous")
    named = sorted({str(one.data[name]) for one in facts for name in names if one.data.get(name)})
    labs = ((digest, policy.of_digest(unit, digest)) for digest in named)
    return {digest: of(lab) for digest, lab in labs if lab is not None}


def _facts(unit: Unit, kind: str, since: Millis) -> list[Fact]:
    """Return the entries of a kind since a time, oldest first: out of all, for a column can hide one from a list."""
    return [_fact(one) for one in audit.since(unit, since) if one.kind == kind]


def _fact(entry: audit.Entry) -> Fact:
    return Fact(
        index=entry.index,
        at=entry.at,
        kind=entry.kind,
        subject=entry.subject,
        data=entry.data,
        leaf="sha256:" + canonical.sha256_hex(entry.leaf),
    )


def _shown(unit: Unit, sheet: Sheet) -> Check:
    newest = _COMPUTED.newest(unit, sheet.id)
    if newest is None:
        return freshness.untested(sheet)
    data = newest.data
    finding = Finding(
        result=data["result"],
        detail=data["detail"],
        population=data["population"],
        failing=tuple(data["failing"]),
        samples=tuple(data["samples"]),
    )
    return freshness.shown(
        sheet,
        finding,
        at=newest.at,
        version=data["query_version"],
        period=(data["period_from"], data["period_to"]),
        index=newest.index,
        now=unit.now,
        here=proof.version_in(data) == version_of(unit),
    )
