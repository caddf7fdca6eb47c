"""Looking at runs, stopping them, and what a workload may say. Guards the runs of others: they are not there."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core import paging, visible
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound, Unavailable
from weighthouse.core.ids import check_id
from weighthouse.core.work import Unit
from weighthouse.egress import api as egress
from weighthouse.identity import api as identity
from weighthouse.runs import store
from weighthouse.runs.api import lasting
from weighthouse.runs.api.sealing import believed, sealed_stop, stop_of, untrue
from weighthouse.runs.api.telling import owner_of
from weighthouse.runs.events import ForeignPeer, RunStopped, StopAsked
from weighthouse.runs.model import GENTLE, OPEN, UNTRUE, LogLine, Point, Run
from weighthouse.runs.ports import Tokens

access.declare(StopAsked, unsure=("kept",))
log = logging.getLogger("weighthouse.runs")
FOREIGN_PEER = "runs.foreign_peer"
MAX_PAGE = 200
MAX_LINES = 1000
MAX_NOTE = 200
MAX_POINTS = 512
REPORT_BYTES = 32


def _not_there(lines: Sequence[StopAsked] = ()) -> NotFound:
    return NotFound(
        "runs.no_run",
        "There is no such run; a stop of one whose row is gone is remembered all the same.",
        "Copy the id whole from the list of runs.",
        record=list(lines),
    )


def _sees_all(unit: Unit, caller: Caller) -> bool:
    return access.explain(unit, caller, "audit.read", "lab").allowed


def _own(unit: Unit, caller: Caller, found: Run) -> bool:
    """Whether a run is the caller's: of their id, and not by an account that has been somebody else's under it."""
    same = caller.kind == "person" and caller.principal == found.owner
    return same and identity.account_holds(unit, found.owner, found.account)


def _visible(unit: Unit, caller: Caller, run: str) -> Run:
    kept = store.find(unit.conn, check_id(run, "run"))
    found = believed(unit, kept)
    if found is None:
        known = kept is not None and (_sees_all(unit, caller) or owner_of(unit, run) == caller.principal)
        raise untrue() if known else _not_there()
    if (
        not _own(unit, caller, found)
        and not _sees_all(unit, caller)
        and not access.explain(unit, caller, "run.stop", found.model).allowed
    ):
        raise _not_there()
    return found


def get(unit: Unit, caller: Caller, run: str) -> Run:
    """Return one run: one's own, or any for whoever may read the log or stop runs.

    Raises `runs.no_run`; `runs.row_seal` where the row is not believed, to the owner and those who may read the log.
    """
    return _visible(unit, caller, run)


def page(unit: Unit, caller: Caller, *, limit: int = 50) -> list[Run]:
    """Return the first of `listing`."""
    return listing(unit, caller, limit=limit).items


def listing(unit: Unit, caller: Caller, *, cursor: str | None = None, limit: int = 50) -> paging.Page[Run]:
    """Return runs the caller may see, newest first; a page may be shorter than `limit`, and `next` says if more
    follow. A row that is not believed is left out, and told to the operator."""
    every = _sees_all(unit, caller)
    place = paging.place_of(cursor, "runs", (str,))
    found = store.page(unit.conn, owner=None if every else caller.principal, place=place, limit=limit + 1)
    cut = paging.page(found, limit, "runs", lambda run: (run.id,), place)
    rows = [(kept, believed(unit, kept)) for kept in cut.items]
    if bad := [kept.id[:40] for kept, run in rows if run is None]:
        log.error("%s: rows that are not the ones that were submitted are in no list: %r", UNTRUE, bad[:5])
    seen = [run for _, run in rows if run is not None and (every or _own(unit, caller, run))]
    return paging.Page(seen, cut.next, cut.previous)


def logs(unit: Unit, caller: Caller, run: str, after: int = 0, limit: int = MAX_LINES) -> list[LogLine]:
    """Return kept lines of a run's output, numbered above `after`."""
    return store.lines_after(unit.conn, _visible(unit, caller, run).id, after, max(1, min(limit, MAX_LINES)))


def tail(unit: Unit, caller: Caller, run: str, limit: int = MAX_LINES) -> list[LogLine]:
    """Return the last kept lines of a run's output, in order."""
    return store.last_lines(unit.conn, _visible(unit, caller, run).id, max(1, min(limit, MAX_LINES)))


def curve(unit: Unit, caller: Caller, run: str) -> list[Point]:
    """Return what a run has reported of its loss, in order; older reports of a long run are thinned out."""
    return store.points_of(unit.conn, _visible(unit, caller, run).id)


def stop(unit: Unit, caller: Caller, run: str, reason: str) -> Run:
    """Ask a run to stop: the owner may, and whoever access lets. A queued run ends at once, a running one soon.

    Raises `runs.no_run`, `runs.ended`, or access's refusal.
    """
    visible.check(reason, "The reason")
    if caller.kind == "person" and believed(unit, store.find(unit.conn, check_id(run, "run"))) is None:
        raise _stop_by_id(unit, caller, run)
    found = _visible(unit, caller, run)
    if not _own(unit, caller, found):
        access.require(unit, caller, "run.stop", found.model, run=run)
    if found.state not in OPEN and access.refused_for_good(unit, run):
        raise Conflict("runs.ended", f"The run has ended already ({found.state}).", "None is needed.")
    _stop(unit, found, "runs.stopped_by_person", caller.principal, reason[:500])
    return believed(unit, store.find(unit.conn, run)) or found


def _stop_by_id(unit: Unit, caller: Caller, run: str) -> NotFound:
    """Remember the stop of a run whose row is gone or not believed; return the answer, with one line.

    Whoever says so of a run that is not theirs does no more than whoever took its row away: it goes on no further.
    """
    line = StopAsked(run=run, model="", why="runs.stopped_by_person", by=caller.principal, kept=False)
    lines = [] if access.refused_for_good(unit, run) else [line]
    access.refuse_for_good(unit, run, line)
    unit.stands = ""  # the answer says it already, in the same words whether or not somebody has such a run
    return _not_there(lines)


def _stop(unit: Unit, run: Run, code: str, by: str, text: str) -> None:
    before = stop_of(unit, run.id)[0]
    asked_before = before not in ("", UNTRUE) and access.refused_for_good(unit, run.id)
    if asked_before and (before not in GENTLE or code in GENTLE):
        return  # a stop that leaves a while to save never delays one that does not
    # whatever becomes of the row, also of one that waits and is put back, and before any is asked to change
    access.refuse_for_good(unit, run.id, StopAsked(run=run.id, model=run.model, why=code, by=by, kept=False))
    asked = {"stop_asked": code, "stopped_by": by, "stop_text": sealed_stop(unit, run.id, code, by, text)}
    ended = {"state": "stopped", "ended": unit.now, "reason": code, **asked}
    if store.change(unit.conn, run.id, expect=("queued",), **ended):
        hold = lasting.hold_against(unit, run.id, code)
        line = RunStopped(run=run.id, model=run.model, why=code, by=by, text=text, sent_bytes=0, hold=hold)
        audit.append(unit, line)
        return
    store.change(unit.conn, run.id, expect=("preparing", "running"), **asked)
    kept = stop_of(unit, run.id) == (code, by, text)
    audit.append(unit, StopAsked(run=run.id, model=run.model, why=code, by=by, kept=kept))


def look_again(unit: Unit, by: str, **where: str) -> int:
    """Stop the open runs whose columns equal `where` (`grant_id`, `owner`, `session`) and have lost their ground.

    Returns how many. What a fact of the log said is not repeated here but asked, for it may have been undone since.
    """
    stopped = 0
    for kept in store.open_runs(unit.conn, **where):
        run = believed(unit, kept)
        if run is None or kept.ticket is None:
            continue  # such a row never begins, and what goes on under it asks for itself
        code = lasting.lost(unit, kept.ticket)
        if code:
            _stop(unit, run, code, by, "")
            stopped += 1
    return stopped


def workload_token(unit: Unit, run: str) -> tuple[str, Run]:
    """Return the token of a running workload. `run` must be what the broker's own listener vouched for."""
    found = believed(unit, store.find(unit.conn, run)) if run else None
    token = unit.part(Tokens).of(run)
    going = found is not None and found.state in ("preparing", "running")
    if found is None or token is None or not going or stop_of(unit, run)[0] not in {"", *GENTLE}:
        raise Unavailable("runs.not_running", "No such run is being executed here.", "Submit a new run.")
    return token, found


def note_foreign_peer(unit: Unit, run: str, process: int, user: int) -> None:
    """Put on record that somebody else than its proxy reached a run's socket, and was turned away."""
    audit.append(unit, ForeignPeer(run=run, code=FOREIGN_PEER, process=process, user=user))


def report(
    unit: Unit, caller: Caller, *, progress: int | None = None, loss_micro: int | None = None, note: str = ""
) -> bool:
    """Keep what a workload says of itself: progress in thousandths, loss in millionths, one short line.

    Returns whether it was kept: a report is read by people outside, so the run's byte budget pays for it too.
    """
    run = caller.attributes.get("run", "") if caller.kind == "workload" else ""
    found = believed(unit, store.find(unit.conn, run, lock=True)) if run else None
    if found is None:
        raise Denied("runs.not_a_workload", "Only a run may report its progress.", "Call this from inside a run.")
    if progress is not None and not 0 <= progress <= 1000:
        raise Invalid("runs.bad_progress", "Progress is given in thousandths, 0 to 1000.", "Correct the number.")
    if not egress.charge_output(unit, run, REPORT_BYTES + len(note.encode("utf-8", "replace"))):
        return False
    values: dict[str, object] = {"note": visible.marked(note, instead="\ufffd")[:MAX_NOTE]}
    if progress is not None:
        values["progress"] = progress
    if loss_micro is not None:
        values["loss_micro"] = max(-(2**52), min(loss_micro, 2**52))
    if store.change(unit.conn, run, expect=("running",), **values) and loss_micro is not None:
        done = found.progress if progress is None else progress
        store.add_point(unit.conn, run, Point(0, unit.now, done, int(str(values["loss_micro"]))), MAX_POINTS)
    return True
