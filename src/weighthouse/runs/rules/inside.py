"""Is this really a sandbox? Judges the guard's report. Guards against a runtime that fell back to the host.

Attack: a runtime is replaced or misconfigured so that "sandboxed" code runs on the host's network, as root, or on the
host's kernel under the name of gVisor. Each is seen from inside, and any doubt is a no.
"""

from __future__ import annotations

import msgspec

from weighthouse.core.errors import Unavailable
from weighthouse.runs.model import Facts, Seen

GVISOR_RELEASE = "4.19.0-gvisor"


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver promised, and the host it must not be.

    `roots` are the only names allowed at the top; `filtered` says that system calls pass a filter of ours.
    """

    runtime: str
    tier: str
    digest: str
    specification: str
    confinement: str
    host_release: str
    host_version: str
    roots: frozenset[str]
    filtered: bool = False


def doubts(seen: Seen, expected: Expected) -> list[str]:
    """Return every reason why this is not the sandbox that was promised; empty when it is."""
    found = []
    extra = [name for name in seen.interfaces if name != "lo"]
    if extra:
        found.append(f"it has the network interface {extra[0]}")
    if [route for route in seen.routes if route != "lo"]:
        found.append("it has a network route")
    if seen.pid > 8:
        found.append("it shares the host's process table")
    if seen.capabilities.strip("0"):
        found.append(f"it holds capabilities ({seen.capabilities})")
    if seen.no_new_privileges != "1":
        found.append("it may gain privileges by executing a file")
    if expected.filtered and seen.seccomp != "2":
        found.append("its system calls pass no filter")
    strange = sorted(set(seen.roots) - expected.roots)
    if strange:
        found.append(f"it sees /{strange[0]}, which was not given to it")
    same_kernel = (seen.release, seen.version) == (expected.host_release, expected.host_version)
    if expected.tier == "gvisor" and same_kernel:
        found.append("its kernel is the host's own, not gVisor's")
    if expected.tier != "gvisor" and not same_kernel:
        found.append("its kernel is not the one this driver shares")
    return found


def judge(seen: Seen, expected: Expected) -> Facts:
    """Return the facts to record, or raise `runs.sandbox_is_host` naming the first doubt."""
    found = doubts(seen, expected) if expected.tier != "none" else []
    if found:
        raise Unavailable(
            "runs.sandbox_is_host",
            f"The {expected.tier} sandbox is not what it promised: {found[0]}. No submitted code was started.",
            "Run `weighthouse doctor`; do not set runs.allow_unsandboxed to get past this.",
        )
    return Facts(
        runtime=expected.runtime,
        tier=expected.tier,
        digest=expected.digest,
        kernel=seen.release,
        kernel_version=seen.version,
        uid=seen.uid,
        specification=expected.specification,
        confinement=expected.confinement,
    )
