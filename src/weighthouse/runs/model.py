"""The nouns of a run: what was asked for, where it stands, what it was really executed in.

Guards readers from guessing: states are closed, sizes are bytes, times are milliseconds, and the facts of a sandbox
are what was seen from inside it, never what was configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from weighthouse.core.clock import Millis
from weighthouse.core.settings import Setting

State = Literal["queued", "preparing", "running", "succeeded", "failed", "stopped"]
OPEN: frozenset[str] = frozenset({"queued", "preparing", "running"})
ENDED: frozenset[str] = frozenset({"succeeded", "failed", "stopped"})

# Why a run is asked to stop that leave it a while to save: they accuse nobody.
GENTLE: frozenset[str] = frozenset({"runs.stopped_by_person"})
GONE = "runs.row_gone"
"""Why a run ends whose row somebody took away."""
UNTRUE = "runs.row_seal"
"""Why a run ends, or never begins, whose row is not the one that this server wrote."""

Stream = Literal["out", "err", "lab"]
Risk = Literal["low", "high"]

MIB = 1024 * 1024


class Line(msgspec.Struct, frozen=True):
    """One line of output; `stream` is `lab` for words of the control plane itself."""

    stream: Stream
    text: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a sandbox may use at most."""

    memory_bytes: int = 2048 * MIB
    processes: int = 64
    files: int = 4096
    file_bytes: int = 16384 * MIB
    tmp_bytes: int = 512 * MIB
    out_bytes: int = 8192 * MIB
    out_files: int = 20_000


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Interpreter and locked packages, named by `digest`; `folders` are what a sandbox must see to run it."""

    digest: str
    python: str
    folders: tuple[Path, ...]
    paths: tuple[str, ...]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was really executed in, as seen from inside and hashed from outside."""

    runtime: str
    tier: str
    digest: str
    kernel: str
    kernel_version: str
    uid: int
    specification: str
    confinement: str


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The guard's report from inside."""

    release: str
    version: str
    interfaces: tuple[str, ...]
    routes: tuple[str, ...]
    pid: int
    uid: int
    capabilities: str
    no_new_privileges: str
    seccomp: str
    roots: tuple[str, ...]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asked to be run. `code` maps file names to their text and is part of the digest."""

    model: str
    environment: str
    command: tuple[str, ...]
    code: Mapping[str, str]
    dataset: str
    parent: str | None
    risk: Risk
    egress_profile: str
    wall_clock: Millis


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as its owner sees it. `progress` is 0 to 1000, as the workload reports it; `loss` in millionths."""

    id: str
    model: str
    owner: str
    grant: str | None
    state: State
    order: Order
    order_digest: str
    submitted: Millis
    started: Millis | None
    ended: Millis | None
    must_end: Millis
    exit_status: int | None
    reason: str
    progress: int
    loss_micro: int | None
    note: str
    facts: Facts | None
    sent_bytes: int
    stop_asked: str = ""
    account: str = ""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """What the runner executes: the order with everything that the seal over it covers."""

    run: str
    owner: str
    session: str
    grant: str | None
    order: Order
    submitted: Millis
    must_end: Millis
    tier: str
    account: str = ""
    """The account that proved its owner; empty in orders from before accounts were kept."""


class Point(msgspec.Struct, frozen=True):
    """One report of a run: its `number` in order, progress in thousandths, loss in millionths."""

    number: int
    at: Millis
    progress: int
    loss_micro: int


class LogLine(msgspec.Struct, frozen=True):
    """One kept line of a run's output."""

    number: int
    at: Millis
    stream: Stream
    text: str


settings: tuple[Setting, ...] = (
    Setting("runs.runsc", "path", Path(), "The runsc to use; empty looks in .parts/bin, then on the PATH."),
    Setting(
        "runs.allow_unsandboxed",
        "bool",
        False,
        "Run without any sandbox when none is usable. Submitted code can then read whatever the server can.",
    ),
    Setting("runs.sandbox", "text", "best", "Which driver to use.", choices=("best", "gvisor", "bubblewrap")),
    Setting("runs.wall_clock_s", "int", 3600, "Longest time one run may take.", minimum=1),
    Setting(
        "runs.memory_mib",
        "int",
        2048,
        "Memory of one run; of each of its processes where no group is.",
        minimum=64,
    ),
    Setting("runs.processes", "int", 64, "Processes and threads of one run.", minimum=1),
    Setting(
        "runs.open_files",
        "int",
        4096,
        "Files that one process of a run may have open; a quarter of this server's own limit at most.",
        minimum=64,
    ),
    Setting("runs.file_mib", "int", 16384, "Largest file that a run may write; a shard is one file.", minimum=1),
    Setting("runs.tmp_mib", "int", 512, "Size of /tmp, and of /dev/shm; both count as memory of the run.", minimum=1),
    Setting(
        "runs.grace_s",
        "int",
        10,
        "From SIGTERM to SIGKILL, when a person stops a run or its time ends; 0 kills at once.",
        minimum=0,
    ),
    Setting(
        "runs.max_refusals",
        "int",
        200,
        "Refusals by the control plane after which a run is answered no more, and is ended.",
        minimum=1,
    ),
    Setting("runs.log_bytes", "int", 4 * MIB, "How much output of one run is kept; more is cut off.", minimum=1024),
    Setting(
        "runs.out_mib",
        "int",
        8192,
        "Size of /out: on disk as root; otherwise in memory, and half of `runs.memory_mib` at most.",
        minimum=1,
    ),
    Setting("runs.out_files", "int", 20000, "Files and folders that /out has room for.", minimum=64),
    Setting("runs.concurrent", "int", 2, "Runs that may execute at once on this server.", minimum=1),
    Setting(
        "runs.mixed_environments",
        "bool",
        False,
        "Let runs of two environments execute at once on one kernel, through which they can then talk.",
    ),
    Setting(
        "runs.page_cache",
        "text",
        "drop",
        "Before a turn of another environment: the machine's cache where allowed, else shown files; `whole` waits.",
        choices=("drop", "whole", "keep"),
    ),
    Setting("runs.datasets", "path", Path(), "Folder of data sets: `dataset/name` is its folder `name`."),
)
