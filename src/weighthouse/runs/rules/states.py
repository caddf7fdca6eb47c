"""What follows from how a run ended. Guards the record from calling a cut or stopped run a success."""

from __future__ import annotations

from weighthouse.runs.model import State


def outcome(exit_status: int | None, stop_asked: str, cut_for: str, out_of_time: bool) -> tuple[State, str]:
    """Return the final state and its reason. What was done to a run outranks how its code says it ended."""
    if stop_asked:
        return "stopped", stop_asked
    if cut_for:
        return "failed", cut_for
    if out_of_time:
        return "failed", "runs.out_of_time"
    if exit_status == 0:
        return "succeeded", ""
    return "failed", "runs.exit_status" if exit_status is not None else "runs.internal"


def enough(tier: str, wanted: str) -> bool:
    """Return whether a sandbox of `tier` satisfies a class that asks for `wanted` (`gvisor` or `any`)."""
    return tier == "gvisor" or (wanted == "any" and tier != "none")
