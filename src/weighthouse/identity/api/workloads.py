"""The identity of a run. Guards people's sessions from being carried into a sandbox, and runs from each other.

A run's token counts only through the socket that the control plane itself ties to that run, lives ten minutes at a
time, and dies with the run. Its attributes were established by the control plane and are sealed.
"""

from __future__ import annotations

from typing import NoReturn

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import Assurance, Caller, Life
from weighthouse.core.clock import HOUR, MINUTE, SECOND, Millis
from weighthouse.core.errors import Conflict, Invalid, NotFound, Unauthenticated
from weighthouse.core.ids import PrincipalId
from weighthouse.core.work import Unit, begin
from weighthouse.identity.api import moments
from weighthouse.identity.api.accounts import account_holds
from weighthouse.identity.api.sealing import mark_of_origin, memory, refused, seal, unseal
from weighthouse.identity.api.sessions import digest_of, fresh_secret
from weighthouse.identity.api.states import change_state, state_of, version_now
from weighthouse.identity.events import CredentialRefused, WorkloadEnded, WorkloadStarted
from weighthouse.identity.model import RUN, Credential, PrincipalState, Workload
from weighthouse.identity.store import devices as store


def issue_workload(unit: Unit, *, run: str, attributes: dict[str, str], expires: Millis) -> str:
    """Give a run its identity until `expires` at most; return its token, shown this once.

    The token must be used or renewed within `identity.workload_s`. Raises `identity.workload_exists`.
    """
    if not run or len(run) > 128 or expires <= unit.now:
        raise Invalid("identity.bad_workload", "A workload needs a run and a future end.", "Submit a new run.")
    if store.workload_by_run(unit.conn, run) is not None or state_of(unit, RUN + run).version:
        raise Conflict("identity.workload_exists", "This run has had its identity already.", "Submit a new run.")
    token = fresh_secret("whw_")
    workload = Workload(
        run=run,
        secret=digest_of(token),
        attributes={**attributes, "run": run},
        started=unit.now,
        expires=min(expires, unit.now + _life(unit)),
        until=expires,
        seen=unit.now,
    )
    change_state(unit, RUN + run, lambda s: msgspec.structs.replace(s, sessions=(workload.secret[:16],)))
    _write(unit, workload)
    audit.append(unit, WorkloadStarted(run=run, attributes=workload.attributes, until=expires))
    return token


def workload_of(run: str) -> PrincipalId:
    """The name under which a run asks."""
    return PrincipalId(RUN + run)


def _life(unit: Unit) -> Millis:
    return unit.system.settings.integer("identity.workload_s") * SECOND


def _write(unit: Unit, workload: Workload) -> None:
    body, code = seal(unit, "workload", workload)
    store.write_workload(
        unit.conn, secret=workload.secret, run=workload.run, until=workload.until, body=body, seal=code
    )


def renew_workload(unit: Unit, run: str) -> Millis:
    """Renew a live run's token, as the watcher of the run does while it is alive; return the new expiry.

    Raises `identity.workload_ended` when the run has ended or its token has run out.
    """
    row = store.workload_by_run(unit.conn, run)
    workload = unseal(unit, "workload", row[0], row[1], Workload) if row else None
    if workload is None or unit.now >= workload.expires or not state_of(unit, RUN + run).sessions:
        workload_over()
    return _renewed(unit, workload).expires


def _renewed(unit: Unit, workload: Workload) -> Workload:
    renewed = msgspec.structs.replace(workload, seen=unit.now, expires=min(workload.until, unit.now + _life(unit)))
    _write(unit, renewed)
    return renewed


def workload_over() -> NoReturn:
    """Refuse a run whose identity has ended."""
    raise Unauthenticated(
        "identity.workload_ended",
        "This run's identity has ended.",
        "Submit a new run.",
    )


def end_workload(unit: Unit, run: str) -> None:
    """End a run's identity. Ending it twice changes nothing; raises `identity.workload_unknown` if it had none.

    What ends it is the sealed state, whatever the workload's own row says: a row that was ended by hand, or hidden
    while this was called, opens nothing when it is put back.
    """
    if not _lives(unit, run):
        return
    store.end_workload(unit.conn, run)

    def emptied(state: PrincipalState) -> PrincipalState:
        return msgspec.structs.replace(state, sessions=(), epoch=state.epoch + 1)

    change_state(unit, RUN + run, emptied, mend=True)
    name = ended_name(RUN + run)
    moments.said(unit).add(name)  # said before the commit, so that nothing of the run is committed after it
    unit.last_before_commit(lambda: memory(unit.system).condemn(name, unit.now + HOUR))
    audit.append(unit, WorkloadEnded(run=run, version=version_now(unit, RUN + run)))


def ended_name(principal: str) -> str:
    """What the memory calls a workload that ended this hour: what it has under way then lasts no longer."""
    return f"workload {principal}"


def _lives(unit: Unit, run: str) -> bool:
    try:
        state = state_of(unit, RUN + run)
    except Unauthenticated:  # edited or put back: it ends for good
        return True
    if not state.version:
        raise NotFound("identity.workload_unknown", "This run has no identity.", "Pick a run from the list.")
    return bool(state.sessions)


def authenticate_workload(unit: Unit, credential: Credential) -> Caller:
    """Return the caller for a run's token; `credential.proof` is the run that the broker's socket vouches for."""
    row = store.workload_by_secret(unit.conn, digest_of(credential.value))
    if row is None:
        raise Unauthenticated("identity.workload_ended", "This run's identity has ended.", "Submit a new run.")
    workload = unseal(unit, "workload", row[0], row[1], Workload)
    if workload is None or workload.secret != digest_of(credential.value):
        raise refused("workload", "", "the seal does not hold")
    state = state_of(unit, RUN + workload.run)
    if unit.now >= workload.expires or workload.secret[:16] not in state.sessions:
        workload_over()
    if credential.proof != workload.run:
        line = CredentialRefused(
            subject_id=workload.run,
            principal=RUN + workload.run,
            code="identity.workload_elsewhere",
            origin=mark_of_origin(unit, credential.address),
            address=credential.address,
            presented_by=credential.proof,
        )
        raise Unauthenticated(
            "identity.workload_elsewhere",
            "This run's token was presented from outside the run.",
            "A run's token works only inside its sandbox; sign in with a session of your own.",
            record=[line],
        )
    _check_account(unit, workload, credential)
    _keep_alive(unit, workload)
    return Caller(
        principal=PrincipalId(RUN + workload.run),
        kind="workload",
        assurance=Assurance(1, workload.started, "workload"),
        binding="workload",
        address=credential.address,
        user_agent=credential.user_agent,
        attributes=workload.attributes,
        life=Life(version=state.version),
    )


def _check_account(unit: Unit, workload: Workload, credential: Credential) -> None:
    """Refuse a run whose person no longer has the account that it was submitted with."""
    person = workload.attributes.get("person", "")
    if not person or account_holds(unit, person, workload.attributes.get("account", "")):
        return
    line = CredentialRefused(
        subject_id=workload.run,
        principal=RUN + workload.run,
        code="identity.account_moved",
        origin=mark_of_origin(unit, credential.address),
        address=credential.address,
    )
    raise Unauthenticated(
        "identity.account_moved",
        "The account that this run was submitted with is no longer its person's.",
        "Submit a new run with an account that the lab names as yours.",
        record=[line],
    )


def _keep_alive(unit: Unit, workload: Workload) -> None:
    if unit.now - workload.seen < MINUTE:
        return
    if not unit.read_only:
        _renewed(unit, workload)
        return
    with begin(unit.system) as own:
        row = store.workload_by_secret(own.conn, workload.secret)
        if row and unseal(own, "workload", row[0], row[1], Workload) == workload:
            _renewed(own, workload)
