"""The demo against its own limits: seconds to ready, seconds of the whole script, resident memory of the server.

These are limits of the promise, not of a peer: ready within 5 s, a script within 60 s, a server within 250 MiB. Each
is printed as a ratio to its limit, so that 1.0 is the edge.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

from benchmarks.report import report

READY_S, SCRIPT_S, RESIDENT_MIB = 5.0, 60.0, 250.0
PROGRAM = """
import resource, sys
from weighthouse.app.demo.play import play
status = play(script=True)
print("RESIDENT_KIB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(status)
"""


def main() -> int:
    """Run the demo as a script once, in a process of its own, and compare."""
    began = time.monotonic()
    ready = 0.0
    lines: list[str] = []
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if not ready and "ready in" in line:
                ready = time.monotonic() - began
    seconds = time.monotonic() - began
    if process.returncode:
        sys.stdout.writelines(lines)
        return process.returncode
    found = re.search(r"RESIDENT_KIB (\d+)", "".join(lines))
    assert found is not None
    resident = int(found.group(1)) / 1024
    met = [
        report("seconds to ready / 5 s", ready / READY_S, "<=", 1.0, seconds=round(ready, 2)),
        report("seconds of the script / 60 s", seconds / SCRIPT_S, "<=", 1.0, seconds=round(seconds, 1)),
        report("peak resident memory / 250 MiB", resident / RESIDENT_MIB, "<=", 1.0, mib=round(resident)),
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
