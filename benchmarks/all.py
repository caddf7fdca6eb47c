"""Runs every benchmark and prints one table: what, ratio, target, met or missed. Exit 1 if any target is missed.

Each program prints lines of JSON `{"name", "ratio", "target", "holds"}` among its human lines; `holds` is `>=` or
`<=` and says on which side of the target the ratio should be.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAMS = (
    "decision",
    "held_lineage",
    "audited_change",
    "verify_million",
    "encrypted_load",
    "lent_load",
    "demo_limits",
)


def results(program: str) -> list[dict[str, object]]:
    """Run one benchmark as its own process and return the results it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{program}"],
        cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not found:
        print(done.stdout)
        found.append({"name": f"{program} ended with status {done.returncode}", "met": False})
    return found


def main() -> int:
    """Print the table; return how the process should exit."""
    missed = 0
    for program in PROGRAMS:
        for row in results(program):
            met = row.get("met", False)
            missed += not met
            ratio = row.get("ratio", "")
            shown = f"{ratio:.3g}" if isinstance(ratio, float | int) else ""
            target = f"{row.get('holds', '')} {row.get('target', '')}"
            print(f"{'met   ' if met else 'MISSED'}  {shown:>8}  {target:<10} {row['name']}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
