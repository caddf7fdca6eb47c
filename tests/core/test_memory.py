"""A process that holds keys is not dumped and not read by others of its user."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, resource, subprocess, sys
from weighthouse.core.memory import keep_private
keep_private()
libc = ctypes.CDLL(None)
child = subprocess.run([sys.executable, "-c", "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"],
                       capture_output=True, text=True, check=True)
print(libc.prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE), child.stdout.strip())
"""


def test_weights_case_36_a_process_with_keys_leaves_no_core_and_is_not_readable() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    # Not dumpable (PR_GET_DUMPABLE), no core to speak of, and a program it starts is an ordinary one again.
    assert done.stdout.split() == ["0", "1", "1", "1"]
