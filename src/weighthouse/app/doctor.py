"""What this machine has, lacks or has in a weak form, in plain words. Guards operators from silent fall-backs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.hazmat.backends.openssl.backend import backend
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from weighthouse.app import provider, truth
from weighthouse.app.home import Home
from weighthouse.core import written
from weighthouse.core.clock import SystemClock
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.settings import Settings
from weighthouse.egress import api as egress
from weighthouse.policy import api as policy

State = Literal["ok", "weak", "missing"]
MIB = 1024 * 1024
LEAST_MIB = 256  # below it no run is taken and no shard, and soon no change
SLOW_CIPHER = 1.0  # GB/s on one core; the wheel's own OpenSSL does several times this where the processor has AES


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at. `remedy` is empty when nothing is to be done."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def examine(settings: Settings, home: Home) -> list[Finding]:
    """Look at everything that can be seen without the passphrase; never raises for what it finds."""
    looks: tuple[Callable[[Settings, Home], Iterator[Finding]], ...] = (
        _python,
        _cipher,
        _proxy,
        _sandbox,
        _limits,
        _state,
        _log,
        _mode,
        _budgets,
        _witness,
    )
    found: list[Finding] = []
    for look in looks:
        try:
            found.extend(look(settings, home))
        except WeighthouseError as error:
            found.append(Finding(look.__name__.strip("_"), "missing", error.message, error.remedy))
        except OSError as error:
            what = f"it could not be looked at: {error.strerror or error}"
            found.append(
                Finding(look.__name__.strip("_"), "missing", what, "Look at what is named, and who owns it.")
            )
    return found


def _python(_settings: Settings, _home: Home) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok" if sys.version_info >= (3, 11) else "missing", f"Python {version}")


def _cipher(_settings: Settings, _home: Home) -> Iterator[Finding]:
    box, source, target = AESGCM(bytes(32)), bytes(MIB), bytearray(MIB + 16)
    began, rounds = time.perf_counter(), 64
    for _ in range(rounds):
        box.encrypt_into(bytes(12), source, None, target)
    speed = rounds * MIB / (time.perf_counter() - began) / 1e9
    text = f"AES-256-GCM {speed:.1f} GB/s on one core, {backend.openssl_version_text()}"
    if speed >= SLOW_CIPHER:
        yield Finding("cipher", "ok", text)
    else:
        yield Finding("cipher", "weak", text, "Use the cryptography wheel, on a processor with AES instructions.")


def _proxy(_settings: Settings, _home: Home) -> Iterator[Finding]:
    from weighthouse.app.wiring import envoy

    yield Finding("egress proxy", "ok", f"Envoy {envoy().digest[:19]}…")


def _sandbox(settings: Settings, home: Home) -> Iterator[Finding]:
    from weighthouse.app.wiring import machine

    chosen = machine(settings, home).sandbox()
    text = f"{chosen.name} (tier {chosen.tier}) {chosen.digest[:19]}…"
    if chosen.tier == "gvisor":
        yield Finding("sandbox", "ok", text)
    else:
        remedy = "`make parts` builds gVisor's runsc (needs Go); classes that demand gVisor refuse runs until then."
        yield Finding("sandbox", "weak", text + ": namespaces of a shared kernel, not a kernel of its own", remedy)


def _limits(settings: Settings, _home: Home) -> Iterator[Finding]:
    from weighthouse.runs.adapters.ground import confines

    found = confines()
    if found.groups:
        yield Finding("control groups", "ok", "memory and processes of a whole run are limited")
    else:
        remedy = (
            "As root, or under systemd with Delegate=memory pids cpu and DelegateSubgroup=server, they can be made."
        )
        text = "none can be made: memory is limited for each process alone, shared memory and sockets not at all"
        yield Finding("control groups", "weak", text, remedy)
    if found.processor:
        yield Finding("processor of runs", "ok", "a whole run has half the share of anything else on this machine")
    else:
        text = "no cpu controller: a run stands behind all else as one session of nice 19, and can make no other"
        remedy = "As root, or under systemd with Delegate=memory pids cpu, a run gets one share of its own."
        yield Finding("processor of runs", "weak", text, remedy)
    if os.geteuid() == 0:
        yield Finding("user of runs", "ok", "in bubblewrap each run gets a user id of its own")
    else:
        text = (
            "without root, every run has this server's own user id: what it reaches outside its sandbox, it may read"
        )
        yield Finding("user of runs", "weak", text, "Run the server as root, or as a user that owns nothing else.")
    yield _open_files(settings)
    yield _page_cache(settings)
    if found.on_disk:
        yield Finding("room of runs", "ok", "what runs write lies in disk images of a fixed size")
    else:
        text = "what runs write lies in memory, so a checkpoint must fit into runs.memory_mib"
        remedy = "As root, with mkfs.ext4 and loop devices, it lies on disk."
        yield Finding("room of runs", "weak", text, remedy)


def _page_cache(settings: Settings) -> Finding:
    """Whether what runs of one environment have read is forgotten before runs of another begin on this kernel."""
    from weighthouse.runs.adapters.page_cache import may_whole

    name, chosen = "page cache of runs", settings.text("runs.page_cache")
    if chosen == "keep":
        text = "runs.page_cache keeps what a run has read in memory, where runs of another environment find it"
        return Finding(name, "weak", text, "Take the setting away, or give each environment a machine of its own.")
    if may_whole():
        return Finding(name, "ok", "in bubblewrap it is emptied before the turn of another environment")
    if chosen == "whole":
        text = "it may not be emptied here, so runs of a second environment wait for ever"
        return Finding(name, "weak", text, "Run the server as root, or take runs.page_cache away.")
    text = "shared files are taken out of memory one by one; names that were looked up, and mapped pages, stay"
    remedy = "As root, with a writable /proc/sys, all of it is emptied."
    return Finding(name, "weak", text, remedy)


def _open_files(settings: Settings) -> Finding:
    """Whether one run with the server's user can bring so many descriptors under way that no other starts."""
    from weighthouse.runs.adapters.bubblewrap import files_needed, files_of_us
    from weighthouse.runs.jobs.execution import limits_of

    needed, most = files_needed(limits_of(settings)), files_of_us()
    if os.geteuid() == 0 or most >= needed:
        return Finding("files of this server", "ok", "no run can bring so many under way that others do not start")
    text = f"{most} may be open; with fewer than {needed}, one run can hold up the start of others"
    remedy = "Raise the hard limit: LimitNOFILE=524288 under systemd, or the user's in /etc/security/limits.conf."
    return Finding("files of this server", "weak", text, remedy)


def _state(_settings: Settings, home: Home) -> Iterator[Finding]:
    if not home.exists():
        yield Finding("state", "missing", f"{home.root} holds no system", "`weighthouse init` makes one.")
        return
    loose = [p for p in _files(home.root) if p.stat().st_mode & 0o077]
    if loose:
        yield Finding("state", "weak", f"{loose[0]} can be read by other users", f"chmod -R go= {home.root}")
    else:
        yield Finding("state", "ok", f"{home.root}, readable by its owner alone")
    volume = os.statvfs(home.root)
    free = volume.f_bavail * volume.f_frsize // MIB
    if free < 1024:
        state: State = "weak" if free >= LEAST_MIB else "missing"
        yield Finding("disk", state, f"only {free} MiB are free", "Free space: when it is full, changes are refused.")


def _log(_settings: Settings, home: Home) -> Iterator[Finding]:
    """By the word of the server that runs: what it has found in the log since, and not what it was at start."""
    if not home.exists():
        return
    server = truth.running(home)
    if server is None:
        remedy = "Start it, then ask again; `weighthouse audit verify FOLDER` checks an exported log without one."
        yield Finding("log", "weak", "no server of this folder runs, so nobody looks after its log", remedy)
        return
    told = truth.log_of(home, server)
    if told is None:
        remedy = "Wait a minute after its start; otherwise look into what the server prints, and start it again."
        yield Finding("log", "missing", "the server that runs has not said for a minute how its log is", remedy)
        return
    for problem in told.problems:
        yield Finding("log", "missing", problem, "docs/how-to/verify-the-log.md says what to do about it.")
    if not told.problems:
        yield Finding("log", "ok", how_whole(told))


def how_whole(told: truth.LogTold) -> str:
    """Say of a log without problems what it holds, and how far it was checked."""
    if not told.size:
        return "empty: it holds no entry yet"
    checked = f"checked {told.rounds} times from end to end, now at entry {told.place}"
    return f"{told.size} entries, {checked}; nothing is missing, late or in doubt"


def _files(root: Path) -> Iterator[Path]:
    for path in (root, root / "keys", root / "memory", root / "keys" / "sealed.json"):
        if path.exists():
            yield path


def _mode(settings: Settings, _home: Home) -> Iterator[Finding]:
    mode = settings.text("mode")
    if mode == "production":
        issuer = settings.text("identity.issuer")
        state: State = "ok" if issuer else "missing"
        remedy = "" if issuer else "Set identity.issuer, identity.client_id and identity.tenant."
        yield Finding("identity provider", state, issuer or "none", remedy)
        if issuer:
            yield _pushing(settings)
    else:
        yield Finding("mode", "weak", f"{mode}: the embedded identity provider is for development", "Use production.")


def _pushing(settings: Settings) -> Finding:
    """Whether anybody but the provider reads, and can edit, what it is asked."""
    name, asked = "pushed authorization requests", "so nobody edits on its way what it is asked"
    try:
        pushes = provider.outside(settings, SystemClock()).pushes()
    except WeighthouseError as error:
        return Finding(name, "weak", f"the provider could not be asked: {error.message}", error.remedy)
    if pushes:
        return Finding(name, "ok", f"the identity provider takes them, {asked}")
    remedy = "Switch them on at the provider (RFC 9126); docs/how-to/connect-an-identity-provider.md says the rest."
    return Finding(name, "weak", "the identity provider announces none: its requests pass through browsers", remedy)


def _budgets(settings: Settings, home: Home) -> Iterator[Finding]:
    """By the lab's file beside the state; the policy in force is looked at when the server starts."""
    if not home.lab_file.exists():
        return
    if not home.lab_file.is_file():
        yield Finding(
            "budgets", "missing", f"{home.lab_file} is no file", "Put the lab's policy there, or remove it."
        )
        return
    faults = egress.unheld(settings, policy.parse(written.read_text(home.lab_file), home.lab_file.name))
    for fault in faults:
        yield Finding(f"budget of {fault.model}", "weak", fault.why, fault.remedy)
    if not faults:
        hours = settings.integer("egress.respond_hours")
        yield Finding(
            "budgets", "ok", f"every model takes ten times longer to carry out than the {hours} h to stop it"
        )


def _witness(settings: Settings, _home: Home) -> Iterator[Finding]:
    file = settings.text("log.witnesses")
    if file:
        yield Finding("witness", "ok", file)
    else:
        yield Finding(
            "witness",
            "weak",
            "no outside witness: whoever holds the log's key can rewrite its history unseen",
            "Let another team run a witness and name it in log.witnesses.",
        )
