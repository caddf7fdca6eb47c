"""Judging an attack from what happened. Guards the score from flattery.

A theft counts as stopped only when the expected code came back, nothing was got away with, and each expected log line
exists exactly once. Stopped by something else, or stopped in silence, or told of twice, is MISSED: a guard that works
by accident is not a guard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weighthouse.assurance.model import Expected, Line, Observed, Trace, Verdict


def lookup(data: object, path: str) -> list[object]:
    """Return the values at a dotted path; `*` means every element of a list."""
    found = [data]
    for name in path.split("."):
        step: list[object] = []
        for value in found:
            if isinstance(value, dict) and name in value:
                step.append(value[name])
            elif isinstance(value, list | tuple):
                if name == "*":
                    step.extend(value)
                elif name.isdigit() and int(name) < len(value):
                    step.append(value[int(name)])
        found = step
    return found


def matches(line: Line, trace: Trace) -> bool:
    """Return whether a log line is the one a trace describes."""
    if line.kind != trace.kind:
        return False
    return all(any(str(value) == wanted for value in lookup(line.data, path)) for path, wanted in trace.where.items())


def judge(expected: Expected, observed: Observed, lines: Iterable[Line]) -> Verdict:
    """Judge one attack from what the thief met and the log lines that are new since it began."""
    new: Sequence[Line] = tuple(lines)
    if observed.loot:
        return Verdict(status="MISSED", reason=f"The thief got away with {observed.loot}.", index=None)
    if observed.code != expected.code:
        met = observed.code or "nothing"
        return Verdict(status="MISSED", reason=f"Expected {expected.code}, met {met}.", index=None)
    index = None
    for trace in expected.traces:
        found = [line for line in new if matches(line, trace)]
        if len(found) != 1:
            return Verdict(
                status="MISSED",
                reason=f"{expected.code} came back, but the log holds {len(found)} new lines of {trace.kind} "
                "for it instead of exactly one.",
                index=found[0].index if found else None,
            )
        index = found[0].index if index is None else index
    for trace in expected.absent:
        found = [line for line in new if matches(line, trace)]
        if found:
            reason = f"{expected.code} came back, and yet the log holds a new line of {trace.kind}."
            return Verdict(status="MISSED", reason=reason, index=found[0].index)
    return Verdict(status=expected.status, reason=observed.message or expected.code, index=index)
