"""One run, from its folders to the last of its processes, in one thread. Guards the end: all is always undone.

The order is the guard: the record is verified and access asked again, the way out is opened, the sandbox is judged
from inside, it is asked once more whether the run goes on, and only then does submitted code start. In the loop,
bytes are settled at every poll; a way that was cut ends the run at once, a person's stop, the end of time or of the
server after a while to save (`ending`). If this loop itself is held up, the way starves and the run is killed
(`watchdog`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import SECOND, Millis
from weighthouse.core.errors import Unavailable, WeighthouseError
from weighthouse.core.settings import Settings
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.egress import api as egress
from weighthouse.identity import api as identity
from weighthouse.runs.api import executing, lasting
from weighthouse.runs.jobs.ending import Ending
from weighthouse.runs.jobs.given import Given, Ways, give
from weighthouse.runs.jobs.processes import mark
from weighthouse.runs.jobs.watchdog import Watchdog
from weighthouse.runs.model import GENTLE, MIB, Limits, Line, Ticket
from weighthouse.runs.ports import Gate, Gates, Ground, Handle, Sandbox, SandboxSpec
from weighthouse.runs.rules import furniture
from weighthouse.weights import api as weights

log = logging.getLogger("weighthouse.runs")

T = TypeVar("T")
RENEW_MS: Millis = 20 * SECOND
LOOK_MS: Millis = SECOND
AGAIN_S = 1.0  # between two tries of a start for which the machine had nothing left
FULL_BYTES = MIB  # less than this is left for nothing
LATE_S = 5  # a server that lives ends a run itself; one that does not is not waited for
LINE_BYTES = 64  # what a line costs beside its text, so that empty lines do not fill the database


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Folders and sockets of a runner."""

    folder: Path
    sockets: Path
    judge: Path
    gates: Gates


class Execution(threading.Thread):
    """The thread of one run. Its proxy and its sandbox are leashed to it: if it dies, the kernel kills them."""

    def __init__(self, system: System, places: Places, run: str) -> None:
        super().__init__(name=f"run-{run[-8:]}", daemon=True)
        self._system = system
        self._places = places
        self._run = run
        self._abandoned = threading.Event()
        self._kept_bytes = 0
        self._renewed = 0
        self._ask_at = self._lent_at = 0.0
        self._lost = ""
        self._way: egress.Way | None = None
        self._gate: Gate | None = None
        self._feeder: egress.Feeder | None = None
        self._sandbox: Handle | None = None
        self._lender: weights.LenderBeside | None = None
        self._failure = ""
        self._out_of_time = False
        self._full = False
        self._owed: list[Callable[[], object]] = []

    def abandon(self) -> None:
        """End the run because the server ends."""
        self._abandoned.set()

    def run(self) -> None:
        status: int | None = None
        try:
            status = self._execute()
        except WeighthouseError as error:
            self._failure = self._failure or error.code
            self._say(f"{error.message} {error.remedy}")
        except Exception:
            log.exception("%s failed inside the runner", self._run)
            self._failure = "runs.internal"
        finally:
            self._undo(status)

    def _execute(self) -> int | None:
        ground = self._system.part(Ground)
        sandbox = ground.sandbox()
        ticket = self._unit(lambda unit: executing.admit(unit, self._run, sandbox))
        order = ticket.order
        folder = self._fresh(self._places.folder / self._run)
        sockets = self._fresh(self._places.sockets / ("run_" + self._run[-10:]))
        most = self._system.settings.integer("runs.max_refusals")
        self._gate = self._places.gates.open(self._run, sockets / "gate", most)
        self._way = egress.open_way(
            self._system,
            run=self._run,
            profile=order.egress_profile,
            model=order.model,
            person=ticket.owner,
            folder=sockets,
            judge=self._places.judge,
            broker=self._gate.path,
            given=self._given(order.parent),
        )
        self._gate.expect(self._way.handle.pids)
        self._lender = weights.open_lender(self._system, self._run, sockets)
        self._unit(lambda unit: executing.pay_end(unit, ticket))
        given = Given()
        try:
            self._sandbox = self._start(sandbox, self._spec(ticket, ground, folder, given), ticket)
        finally:
            given.close()
            # The sandbox has the sockets themselves. From here on no path leads to them, whatever another run sees.
            self._way.socket.unlink(missing_ok=True)
            self._lender.hide()
        with Watchdog(self._run, self._leave) as dog:
            self._begun(self._sandbox, self._way)
            return self._watch(ticket, self._sandbox, self._way, dog)

    def _start(self, sandbox: Sandbox, spec: SandboxSpec, ticket: Ticket) -> Handle:
        """Start the sandbox. What the machine has none left of is no fault of the order, which waits until it has."""
        told = False
        while True:
            try:
                return sandbox.start(spec)
            except Unavailable as refusal:
                if refusal.code != "runs.machine_full":
                    raise
                if not told:
                    self._say(f"waits: {refusal.message} {refusal.remedy}")
                told = True
            self._abandoned.wait(AGAIN_S)
            self._must_go_on(ticket)
            self._renew(ticket)
            shutil.rmtree(spec.folder)
            self._fresh(spec.folder)

    def _begun(self, handle: Handle, way: egress.Way) -> None:
        """Put on record that the code has started, and feed its way."""
        weights.lend_outbox(self._system, self._run, handle.out)
        if self._lender is not None:
            self._lender.begin((handle.pid,), handle.out, handle.owner)
        marks = " ".join(mark(pid) for pid in (handle.pid, *way.handle.pids))
        facts = handle.facts
        self._unit(lambda unit: executing.started(unit, self._run, facts, way.proxy_digest, marks))
        self._say(f"started in {facts.runtime} ({facts.tier}), kernel {facts.kernel}, {facts.confinement}")
        self._feeder = egress.Feeder(self._system, way)
        self._feeder.start()

    def _leave(self) -> None:
        """Starve the way and kill the sandbox; waits for nothing, and is called by the watchdog alone."""
        if self._feeder is not None:
            self._feeder.starve()
        if self._sandbox is not None:
            self._sandbox.kill()

    def _given(self, parent: str | None) -> frozenset[str]:
        """The models of what lies at /in: they pay from the first byte on, whether it is opened or not."""
        if parent is None:
            return frozenset()
        with read(self._system) as unit:
            return weights.origins(unit, parent)

    def _watch(self, ticket: Ticket, handle: Handle, way: egress.Way, dog: Watchdog) -> int:
        settings = self._system.settings
        poll = settings.integer("egress.poll_ms")
        ending = Ending(handle, settings.integer("runs.grace_s"), ticket.must_end - self._system.clock.now())
        while True:
            dog.turned()
            self._keep(handle.lines(poll))
            self._look_at_volume(ticket, handle)
            status = handle.wait(0)
            if handle.overdue:  # whatever else was cut while this server stood still
                self._out_of_time = True
            elif dog.bitten:
                self._failure = "runs.unwatched"
            elif way.cut_for or not way.handle.alive():
                egress.settle(self._system, way)
                self._failure = way.cut_for
            elif self._gate is not None and self._gate.refused:
                self._failure = "runs.too_many_refusals"
            elif excess := handle.excess():
                self._failure = excess
            if status is None and self._must_die(ticket, ending):
                handle.stop()
                status = handle.wait(0)
                assert status is not None
            if status is not None:
                while rest := handle.lines(0):
                    self._keep(rest)
                self._say(ending.told(status))
                return status
            self._renew(ticket)
            self._look_at_leases()

    def _look_at_volume(self, ticket: Ticket, handle: Handle) -> None:
        """Tell once that the run's volume is full: asked of the file system, which nothing has to be walked for."""
        if self._full or handle.out is None:
            return
        room = os.fstatvfs(handle.out)
        if room.f_bavail * room.f_frsize >= FULL_BYTES and room.f_favail > 0:
            return
        self._full = True
        self._unit(lambda unit: executing.volume_filled(unit, ticket, room.f_blocks * room.f_frsize))

    def _look_at_leases(self) -> None:
        """Ask again, each second, for what the run is being lent at this moment."""
        if time.monotonic() >= self._lent_at:
            self._lent_at = time.monotonic() + lasting.EVERY_MS / 1000
            weights.look(self._system, self._run)

    def _must_die(self, ticket: Ticket, ending: Ending) -> bool:
        """Return whether the run ends now; ask it to end by itself where it has a while for that."""
        with read(self._system) as unit:
            left = ticket.must_end - unit.now
            if left > 0:  # else what it rests on ends with it, and it is the time that has run out
                self._ask_again(unit, ticket)
            asked = executing.stop_asked(unit, self._run)
        asked = self._lost if self._lost and self._lost not in GENTLE else asked or self._lost
        self._out_of_time = self._out_of_time or left <= ending.before
        if self._abandoned.is_set() or self._out_of_time or asked in GENTLE:
            ending.ask()
        return bool(self._failure) or left <= 0 or ending.over() or bool(asked and asked not in GENTLE)

    def _ask_again(self, unit: Unit, ticket: Ticket) -> None:
        """Ask again for all that the run rests on: nobody has to tell this thread that something has ended."""
        if time.monotonic() >= self._ask_at:
            self._ask_at = time.monotonic() + lasting.EVERY_MS / 1000
            self._lost = lasting.lost(unit, ticket)

    def _renew(self, ticket: Ticket) -> None:
        def renew(unit: Unit) -> None:
            if unit.now < ticket.must_end:  # else time has run out since it was looked at, which the next turn tells
                identity.renew_workload(unit, self._run)

        now = self._system.clock.monotonic()
        if now - self._renewed >= RENEW_MS:
            self._renewed = now
            self._unit(renew)

    def _unit(self, act: Callable[[Unit], T]) -> T:
        with begin(self._system, SYSTEM) as unit:
            return act(unit)

    def _keep(self, lines: list[Line]) -> None:
        """Keep output up to the limit; the rest is read and dropped, so that the workload never waits for us."""
        limit = self._system.settings.integer("runs.log_bytes")
        kept: list[Line] = []
        for line in lines:
            if self._kept_bytes > limit:
                break
            self._kept_bytes += len(line.text.encode("utf-8", "replace")) + LINE_BYTES
            cut = self._kept_bytes > limit
            kept.append(Line("lab", f"output beyond {limit} bytes is not kept") if cut else line)
        if kept and not self._unit(lambda unit: executing.keep_output(unit, self._run, kept)):
            self._kept_bytes = limit + 1

    def _say(self, text: str) -> None:
        if not text:
            return
        with contextlib.suppress(WeighthouseError):
            self._unit(lambda unit: executing.keep_lines(unit, self._run, [Line("lab", text)]))

    def _fresh(self, folder: Path) -> Path:
        folder.mkdir(mode=0o700)
        return folder

    def _spec(self, ticket: Ticket, ground: Ground, folder: Path, given: Given) -> SandboxSpec:
        order = ticket.order
        environment = ground.environment(order.environment)
        if environment is None:
            raise Unavailable("runs.ground_moved", "This server no longer has what was ordered.", "Submit again.")
        assert self._way is not None
        assert self._lender is not None
        box, pause = self._fresh(folder / "box"), self._pause(ticket)
        ways = Ways(self._way.socket, self._lender)
        give(self._system, order, code=folder / "code", ways=ways, given=given, pause=pause)
        settings = self._system.settings
        return SandboxSpec(
            name=self._run,
            folder=box,
            environment=environment,
            command=(environment.python, *order.command[1:]),
            variables=_variables(ticket, environment.paths),
            mounts=given.mounts,
            workdir="/code",
            limits=limits_of(settings),
            out="/out",
            ends=time.monotonic() + (ticket.must_end - self._system.clock.now()) / SECOND + LATE_S,
            still=lambda: self._still(ticket),
        )

    def _pause(self, ticket: Ticket) -> Callable[[], None]:
        """Return what gives up a long start once the run was stopped, is out of time, or the server ends."""
        looked = self._system.clock.monotonic()

        def pause() -> None:
            nonlocal looked
            if self._system.clock.monotonic() - looked < LOOK_MS:
                return
            looked = self._system.clock.monotonic()
            self._must_go_on(ticket)

        return pause

    def _still(self, ticket: Ticket) -> None:
        """Ask for all that the run rests on at this moment, however shortly before it was asked."""
        self._ask_at = 0.0
        self._must_go_on(ticket)

    def _must_go_on(self, ticket: Ticket) -> None:
        if self._over(ticket):
            raise Unavailable("runs.not_started", "The run was to end before it had started.", "Submit it again.")

    def _over(self, ticket: Ticket) -> bool:
        """Whether the run is to end now, though nothing is wrong with it."""
        if self._abandoned.is_set():
            self._failure = self._failure or "runs.server_stopped"
        with read(self._system) as unit:
            asked = executing.stop_asked(unit, self._run)
            self._out_of_time = unit.now >= ticket.must_end
            if not self._out_of_time:
                self._ask_again(unit, ticket)
        return bool(asked or self._lost or self._failure or self._out_of_time)

    def _undo(self, status: int | None) -> None:
        """End every process, close the way, tell the record, remove the folders; each step though another fails."""
        if self._abandoned.is_set():
            self._failure = self._failure or "runs.server_stopped"
        for part in (self._sandbox, self._feeder):
            if part is not None:
                self._done(part.stop)
        if self._way is not None:
            way = self._way
            self._owed.append(lambda: egress.close_way(self._system, way, "the run ended"))
        self._owed.append(lambda: self._record(status))
        self._owed.append(lambda: weights.drop_outbox(self._system, self._run))
        if self._gate is not None:
            self._done(self._gate.close)
        weights.lenders(self._system).drop(self._run)
        if self._lender is not None:
            self._done(self._lender.stop)
        self.settle()
        if self._way is not None:
            self._way.handle.cut()
        for folder in (self._places.folder / self._run, self._places.sockets / ("run_" + self._run[-10:])):
            shutil.rmtree(folder, ignore_errors=True)

    def settle(self) -> bool:
        """Do what the end still owes the record, and return whether all of it is done. A database that was busy when
        the run ended has to hear of it once it is not: called until then, by one thread after the other."""
        self._owed = [step for step in self._owed if not self._done(step)]
        return not self._owed

    def _done(self, step: Callable[[], object]) -> bool:
        try:
            step()
        except Exception:
            log.exception("%s: a step of its end failed", self._run)
            return False
        return True

    def _record(self, status: int | None) -> None:
        """Tell how the run ended. What its keeper ended is told as that, whatever else was lost meanwhile."""
        overdue = self._sandbox is not None and self._sandbox.overdue
        self._unit(
            lambda unit: executing.end(
                unit,
                self._run,
                exit_status=status,
                failure="" if overdue else self._failure,
                sent_bytes=self._way.sent if self._way is not None else 0,
                out_of_time=self._out_of_time or overdue,
                lost="" if overdue else self._lost,
                refused=self._gate.refused if self._gate is not None else 0,
            )
        )


def limits_of(settings: Settings) -> Limits:
    """Return what the operator's settings allow a run."""
    return Limits(
        memory_bytes=settings.integer("runs.memory_mib") * MIB,
        processes=settings.integer("runs.processes"),
        files=settings.integer("runs.open_files"),
        file_bytes=settings.integer("runs.file_mib") * MIB,
        tmp_bytes=settings.integer("runs.tmp_mib") * MIB,
        out_bytes=settings.integer("runs.out_mib") * MIB,
        out_files=settings.integer("runs.out_files"),
    )


def _variables(ticket: Ticket, paths: tuple[str, ...]) -> dict[str, str]:
    """Return the whole environment of the workload; it holds no secret."""
    order = ticket.order
    return {
        "PATH": "/usr/bin:/bin",
        **furniture.VARIABLES,
        "LANG": "C.UTF-8",
        "PYTHONPATH": ":".join(("/code", *paths)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "WEIGHTHOUSE_RUN": ticket.run,
        "WEIGHTHOUSE_MODEL": order.model,
        "WEIGHTHOUSE_PARENT": order.parent or "",
    }
