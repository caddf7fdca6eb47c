"""No sandbox at all, for operators who said so in their settings. Guards nothing but their awareness: it is loud.

Every run that starts here leaves `runs.Unsandboxed` in the log, and no class that asks for gVisor accepts it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from weighthouse.core.leash import NO_CORE
from weighthouse.runs.adapters.contained import Contained, guard_order, launch
from weighthouse.runs.ports import SandboxSpec
from weighthouse.runs.rules.inside import Expected


class Unsandboxed:
    """Driver behind `runs.ports.Sandbox` with the tier `none`; mounts are links below a scratch folder."""

    name = "unsandboxed"
    tier = "none"
    digest = "none"

    def start(self, spec: SandboxSpec) -> Contained:
        guard = Path(__file__).with_name("guard.py")
        order = guard_order({"CORE": NO_CORE}, 0, str(spec.folder), spec.command, dict(spec.variables))
        expected = Expected(
            runtime=self.name,
            tier=self.tier,
            digest=self.digest,
            specification="none",
            confinement="none",
            host_release=os.uname().release,
            host_version=os.uname().version,
            roots=frozenset(),
        )
        with contextlib.ExitStack() as owned:
            process = launch([sys.executable, "-I", "-S", str(guard), order], spec, owned)
            return Contained(process, expected, owned, still=spec.still)
