"""`make check`: style, types, import contracts and house tests side by side; prints what failed, and each time."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, STDOUT, run

BIN = Path(sys.executable).parent
CHECKS: dict[str, list[str]] = {
    "types": [sys.executable, "-m", "mypy"],
    "format": [str(BIN / "ruff"), "format", "--check", "--quiet", "."],
    "lint": [str(BIN / "ruff"), "check", "--quiet", "."],
    "contracts": [str(BIN / "lint-imports"), "--no-cache"],
    "house": [sys.executable, "-m", "pytest", "-q", "tests/house"],
}


def check(name: str) -> tuple[str, int, float, str]:
    """Run one check; return its name, exit status, seconds and output."""
    began = time.monotonic()
    done = run(CHECKS[name], stdout=PIPE, stderr=STDOUT, text=True, check=False)
    return name, done.returncode, time.monotonic() - began, done.stdout


def main() -> int:
    """Run every check, two at a time; exit 1 if any failed."""
    failed = 0
    with ThreadPoolExecutor(2) as pool:
        for name, status, seconds, output in pool.map(check, CHECKS):
            print(f"{'ok  ' if status == 0 else 'FAIL'} {name} ({seconds:.1f} s)", flush=True)
            if status:
                failed += 1
                print(output)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
