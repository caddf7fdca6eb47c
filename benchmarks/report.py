"""The one line of JSON that every benchmark prints for each ratio, and the sentence beside it."""

from __future__ import annotations

import json
from typing import Literal


def report(name: str, ratio: float, holds: Literal[">=", "<="], target: float, **facts: object) -> bool:
    """Print one result as JSON and in words; return whether the target is met."""
    met = ratio >= target if holds == ">=" else ratio <= target
    print(json.dumps({"name": name, "ratio": round(ratio, 4), "holds": holds, "target": target, "met": met, **facts}))
    print(f"  {name}: {ratio:.3g} (target {holds} {target}) {'met' if met else 'MISSED'}", flush=True)
    return met
