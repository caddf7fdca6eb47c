"""Sessions: made after the risk check, sealed, ended at once. Guards from forged, revived and endless sessions.

A session lives only while its sealed row holds, its person's sealed state lists it, and nothing outside the database
remembers its end. Whoever calls for another person's session has asked `access` first; this room does not judge that.
"""

from __future__ import annotations

import hashlib
import secrets

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM, Assurance, Caller
from weighthouse.core.clock import LEAP_TOLERANCE, SECOND, Millis
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.ids import PrincipalId, SessionId, new_id
from weighthouse.core.work import System, Unit
from weighthouse.identity.api import ends, moments, owing, weeks
from weighthouse.identity.api.begun import announce, begun
from weighthouse.identity.api.ends import ALIKE, ANEW, CROWDED, KEY_ENDED, NOT_ME, End
from weighthouse.identity.api.moments import everything
from weighthouse.identity.api.sealing import memory, seal, unseal
from weighthouse.identity.api.states import STANDS, change_state, lock, state_of, version_now
from weighthouse.identity.api.unseen import (
    believed_session,
    end_by_id,
    foreign_name,
    foreign_unseen,
    is_said,
    keep_said,
    longest,
    over_unseen,
    takes_along,
    unreadable,
    unseen_end,
)
from weighthouse.identity.events import SessionEnded
from weighthouse.identity.model import Binding, PrincipalState, Session
from weighthouse.identity.store import sessions as store


def digest_of(secret: str) -> str:
    """Return what is stored of a cookie, token or transaction: SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def fresh_secret(prefix: str) -> str:
    """Return 256 random bits, with a prefix that lets secret scanners find a leaked one."""
    return prefix + secrets.token_urlsafe(32)


def open_session(
    unit: Unit,
    *,
    person: str,
    binding: Binding,
    key: str,
    address: str,
    network: str,
    user_agent: str,
    device_mark: str,
    assurance: Assurance,
    account: str,
    reasons: tuple[str, ...],
    country: str = "",
) -> tuple[Session, str]:
    """Make a session and its log entry; return it with its secret. The oldest session beyond the limit ends."""
    settings = unit.system.settings
    secret = fresh_secret("wht_" if binding == "dpop" else "whs_")
    session_id = SessionId(new_id("ses"))
    limit = settings.integer("identity.sessions_per_person")
    lock(unit, person)  # two sign-ins at once would both find room for one more
    crowded = live_ids(unit, person)
    for oldest in crowded[: max(0, len(crowded) + 1 - limit)]:
        end_session(unit, oldest, CROWDED, by="system")
    state = _list(unit, person, session_id)
    session = Session(
        id=session_id,
        person=PrincipalId(person),
        binding=binding,
        key=key,
        user_agent=user_agent,
        address=address,
        network=network,
        device_mark=device_mark,
        epoch=state.epoch,
        secret=digest_of(secret),
        created=unit.now,
        ends=unit.now + settings.integer("identity.absolute_s") * SECOND,
        seen=unit.now,
        assurance=assurance,
        account=account,
        reasons=reasons,
        country=country,
    )
    body, code = seal(unit, "session", session)
    store.insert_session(
        unit.conn, session=session.id, secret=session.secret, person=person, ends=session.ends, body=body, seal=code
    )
    announce(unit, session)
    return session, secret


def _list(unit: Unit, person: str, session: str) -> PrincipalState:
    """Let a person's state list a new session, in no epoch that the memory says is over."""
    least = memory(unit.system).version(epoch_name(person))

    def listed(state: PrincipalState) -> PrincipalState:
        sessions = (*state.sessions, session)
        return msgspec.structs.replace(state, sessions=sessions, epoch=max(state.epoch, least))

    return change_state(unit, person, listed)


def rewrite(unit: Unit, session: Session, *, was: Session | None = None) -> None:
    """Store a changed session under a new seal; with `was`, only if its row still says what was read.

    What the row says is compared, not how: one of before an upgrade has fewer fields, and another seal, than `was`.
    """
    body, code = seal(unit, "session", session)
    before = None
    if was is not None:
        rows = store.by_ids(unit.conn, [session.id])
        if not rows or unseal(unit, "session", rows[0].body, rows[0].seal, Session) != was:
            return
        before = rows[0].seal
    store.update_session(unit.conn, session=session.id, secret=session.secret, body=body, seal=code, before=before)


def live_ids(unit: Unit, person: str) -> list[str]:
    """Return the ids of a person's live sessions, oldest first, dropping those that have run out."""
    listed = state_of(unit, person).sessions
    found = []
    for row in store.by_ids(unit.conn, listed):
        session = unseal(unit, "session", row.body, row.seal, Session)
        if session and session.ended is None and unit.now < session.ends and not _idle(unit, session):
            found.append(row.id)
    gone = set(listed) - set(found)
    if gone and not unit.read_only:
        change_state(
            unit, person, lambda s: msgspec.structs.replace(s, sessions=tuple(x for x in s.sessions if x not in gone))
        )
    return found


def last_seen(unit: Unit, session: Session) -> Millis:
    """When a session was used last: as its row says, or this process, where a lock kept that from the row."""
    return max(session.seen, memory(unit.system).seen(session.id))


def _idle(unit: Unit, session: Session) -> bool:
    seen = last_seen(unit, session)
    if seen - unit.now > LEAP_TOLERANCE:
        return True  # begun or used while a clock had leapt ahead: its end lies years too late
    return unit.now - seen >= unit.system.settings.integer("identity.idle_s") * SECOND


def expired(unit: Unit, session: Session) -> bool:
    """Whether the session's longest life or its idle time is over."""
    return unit.now >= session.ends or _idle(unit, session)


def drop(unit: Unit, person: str, ids: frozenset[str], *, epoch: int = 0) -> None:
    def without(state: PrincipalState) -> PrincipalState:
        left = tuple(session for session in state.sessions if session not in ids)
        return msgspec.structs.replace(state, sessions=left, epoch=state.epoch + epoch)

    change_state(unit, person, without, mend=True)


def close(unit: Unit, session: Session, reason: str, by: Caller | str, *, believed: bool = False) -> End:
    """Mark one session as over in its row and outside the database. The clear address goes; the log keeps a mark.

    Where it was ended from elsewhere, its key or browser is nothing that anybody knows any more.
    """
    end = _end_of(unit, session.id, session.person, reason, by, believed=believed)
    write_end(unit, session, end)
    return end


def write_end(unit: Unit, session: Session, end: End) -> None:
    """Let the row say how its session ended, and before that the memory outside the database."""
    keep_end(unit, end, session.ends, session.person, session.device_mark)
    over = msgspec.structs.replace(
        session,
        ended=end.at,
        ended_reason=end.reason,
        ended_by=end.by,
        foreign=end.foreign,
        whose=end.whose,
        address="",
        user_agent="",
    )
    rewrite(unit, over)


def keep_end(unit: Unit, end: End, until: Millis, person: str, mark: str = "") -> None:
    """Let the memory outside the database have an end before any row is locked or written: what is stopped is over,
    even if the database takes nothing of it; the timer `identity-tidy` writes it down then. What only follows from
    another change is kept when nothing but the commit can still refuse that change."""
    kept = memory(unit.system)

    def keep() -> None:
        ends.remember(kept, end, until, unit)
        if end.foreign:
            kept.raise_version(foreign_name(end.session), unit.now)
            moments.remember(unit, _one_foreign(person))
        if end.distrusted and mark and not end.changed:
            moments.remember(unit, distrusted(mark))

    if end.changed and mark:  # not before the sign-in that brought it is judged: that is how its owner comes back
        unit.before_commit(lambda: moments.remember(unit, distrusted(mark)))
    if end.reason in ends.FOLLOWS:
        unit.last_before_commit(keep)
    else:
        keep()
        unit.stands = STANDS


def rotated_out(session: Session, at: Millis) -> str:
    """What the memory outside the database calls the secret that a session had until `at`."""
    return f"rotated {session.secret} {session.id} {session.person} {at}"


def replaced(secret: str) -> str:
    """What the memory outside the database calls a secret that no session has any more, whatever row is put back."""
    return f"replaced {secret}"


def disclaim(unit: Unit, person: str) -> None:
    """Remember, before any row is written, that nothing asked for in the name of `person` until now is theirs."""
    moments.remember(unit, disowned_name(person))
    weeks.remember(unit, person)


def disclaimed(unit: Unit, person: str, session: str, at: Millis) -> bool:
    """Whether what was asked for at that time, in that session, is not the person's own: they have said since that it
    was not them, somebody froze them, or the session was ended from elsewhere. Asked of the memory outside the
    database at every use, for what a row hid when the end came was not taken back then.

    What names no session is from before sessions were kept, or has lost it to somebody with the database: any session
    of the person that was ended from elsewhere since may be the one.
    """
    kept = memory(unit.system)
    if moments.stopped(unit, disowned_name(person), at):
        return True
    return kept.version(foreign_name(session)) > 0 if session else moments.stopped(unit, _one_foreign(person), at)


def disowned(unit: Unit, person: str, session: str, at: Millis) -> bool:
    """`disclaimed`, and by the row of the session besides: for what is decided rarely enough to read it.

    THE question of whatever a session gave that still counts (`rules.given`): ask it where that is used.
    """
    return disclaimed(unit, person, session, at) or bool(session and ended_by_another(unit, session, person))


def disowned_lately(unit: Unit, person: str, session: str, at: Millis) -> bool:
    """`disowned`, for what lives as long as a key (`weeks`). One session that is ended from elsewhere is so whenever
    that is."""
    if session and ended_by_another(unit, session, person):
        return True
    if not session and moments.stopped(unit, _one_foreign(person), at):
        return True
    last = memory(unit.system).version(disowned_name(person))  # one of before weeks were kept is for all until then
    before = not weeks.is_kept(unit, person, last) and moments.stopped(unit, disowned_name(person), at)
    return before or weeks.stopped(unit, person, at)


def disowned_name(person: str) -> str:
    return f"disowned {person}"


def learn_foreign(system: System, entry: audit.Entry) -> None:
    """Remember what a line of another server says of it."""
    if entry.kind in ("identity.Disowned", "identity.PersonFrozen"):
        person = str(entry.data["principal"])
        memory(system).raise_version(disowned_name(person), entry.at)
        weeks.learn(system, person, entry.at)
    elif ends.told(entry).foreign:
        memory(system).raise_version(foreign_name(entry.subject), entry.at)
        memory(system).raise_version(_one_foreign(str(entry.data["principal"])), entry.at)


def _one_foreign(person: str) -> str:
    return f"foreign of {person}"


def distrusted(mark: str) -> str:
    """What the memory outside the database calls a key or browser; its version is until when nothing of it counts."""
    return f"mark {mark}"


def _from_elsewhere(session: str, person: str, reason: str, by: Caller | str) -> bool:
    """Whether a session was ended by another hand than its own. Signing out, and signing in anew at its browser,
    whoever does, say nothing is wrong, and neither do one session too many and a key that its owner retires; the end
    of a key as stolen, and "this was not me", do."""
    if reason in (CROWDED, ANEW):
        return False
    own = by.session == session if isinstance(by, Caller) else by == person
    return not own or reason in (KEY_ENDED, NOT_ME)


def end_session(unit: Unit, session_id: str, reason: str, by: Caller | str, *, of: str = "") -> None:
    """End one session now, by its id. Ending one that is over changes nothing, unless it ended of itself or by its
    own hand and is ended from elsewhere now: a thief may have been first, and what was done in it is taken back.

    `of` is whose it is, where the caller knows: then no row is needed, for the log knows of what key it was; where
    it does not, all others of the person end with it. Otherwise `identity.session_unknown` is raised for one whose
    row is gone or not believed; its id is condemned all the same, and the line written.
    """
    session = believed_session(unit, session_id)
    person = session.person if session is not None else of
    if not person:
        raise end_by_id(unit, session_id, reason, by)
    if _is_over(unit, session, session_id, person) and not _ended_anew(unit, session, session_id, person, reason, by):
        return
    told = begun(unit, session_id, person) if session is None else None
    end = unseen_end(unit, session_id, reason, by)
    if session is not None or told is not None:
        end = msgspec.structs.replace(end, foreign=_from_elsewhere(session_id, person, reason, by))
    mark = session.device_mark if session is not None else told.key if told is not None else ""
    keep_end(unit, end, session.ends if session else longest(unit), person, mark)
    line = SessionEnded(session=session_id, principal=person, reason=reason, by=name_of(by), whose=end.whose)
    if reason not in ends.FOLLOWS:
        owing.owe(unit, line, of=person)
    along = end.foreign and reason not in ends.ALONE
    along = along and (session is not None or takes_along(unit, told, mark, reason))
    if along and reason not in ends.FOLLOWS:
        end_mark(unit, mark, by)
    drop(unit, person, frozenset({session_id}))
    if session is not None:
        write_end(unit, session, end)
    audit.append(unit, msgspec.structs.replace(line, version=version_now(unit, person)))
    if along:
        _end_alike(unit, person, mark, by)
    if end.foreign and _in_own_words(reason, by):
        keep_said(unit, session_id)


# The line alone, by which other servers hear of it; the row is written down by the timer `identity-tidy`.
owing.again(SessionEnded, audit.append, unsure=("version",))


def _is_over(unit: Unit, session: Session | None, session_id: str, person: str) -> bool:
    if session is not None:
        return session.ended is not None
    return over_unseen(unit, session_id, person)


def _ended_anew(
    unit: Unit, session: Session | None, session_id: str, person: str, reason: str, by: Caller | str
) -> bool:
    """Whether a session that is over is ended from elsewhere only now, or in somebody's own words after it had only
    ended by what this program found out: that says less against its key or browser, and they do. Said again by
    somebody, it is said once."""
    if not _from_elsewhere(session_id, person, reason, by):
        return False
    before = ended_by_another(unit, session_id, person) if session else foreign_unseen(unit, session_id, person)
    return not before or (_in_own_words(reason, by) and not is_said(unit, session_id, person))


def _in_own_words(reason: str, by: Caller | str) -> bool:
    return name_of(by) != SYSTEM.principal and reason not in ends.DECIDING


def end_mark(unit: Unit, mark: str, by: Caller | str) -> None:
    """Remember that every session of this key or browser is over that was begun until now, whatever rows there are:
    one that is hidden now is over when it comes back. The session of whoever says so is spared."""
    kept = memory(unit.system)
    if isinstance(by, Caller) and by.session:
        kept.raise_version(spared_of(by.session), unit.now)
    if mark:
        moments.remember(unit, over_name(mark))


def foreign_since(unit: Unit, session_id: str, at: Millis) -> bool:
    """Whether a session was ended as somebody else's since that moment, by what is remembered here."""
    return memory(unit.system).version(foreign_name(session_id)) >= max(1, at)


def over_for_good(unit: Unit, mark: str) -> bool:
    """Whether the memory says that this device was ended: for good, for its id never comes back."""
    return memory(unit.system).version(over_name(mark)) > 0


def learn_device(system: System, entry: audit.Entry) -> None:
    """Remember a device that was ended on another server, and its key."""
    key = str(entry.data.get("key", ""))
    for mark in filter(None, (entry.subject, key)):
        memory(system).raise_version(over_name(mark), entry.at)
    if key:
        memory(system).raise_version(ends.key_name(key), entry.at)


def over_name(mark: str) -> str:
    return f"over {mark}"


def spared_of(session: str) -> str:
    return f"spared {session}"


def epoch_name(person: str) -> str:
    return f"epoch {person}"


def is_over(unit: Unit, session: Session) -> bool:
    """Whether the memory outside the database says that a session is over: itself, with its key or browser, or with
    everything of its person. Asked at every use, for a row says nothing that was hidden when the end came."""
    kept = memory(unit.system)
    over = over_name(session.device_mark)
    return (
        kept.condemned(session.id)
        or (moments.stopped(unit, over, session.created) and kept.version(spared_of(session.id)) < kept.version(over))
        or session.epoch < kept.version(epoch_name(session.person))
    )


def _end_alike(unit: Unit, person: str, mark: str, by: Caller | str) -> None:
    """End the other sessions of the key or browser `mark`, or all where nobody can tell which it was: whoever had
    that one has them too. The session of whoever says so goes on, for they hold it in their hands; to end a key ends
    that one as well."""
    here = by.session if isinstance(by, Caller) else None
    for row in _rows(unit, person):
        session = unseal(unit, "session", row.body, row.seal, Session)
        if session is None or session.person != person or session.ended is not None or session.id == here:
            continue
        if not mark or session.device_mark == mark:
            end_session(unit, session.id, ALIKE, by)
    for hidden in _hidden_of(unit, person, mark):
        if hidden != here:
            end_session(unit, hidden, ALIKE, by, of=person)


def _hidden_of(unit: Unit, person: str, mark: str) -> list[str]:
    """The sessions of a person whose rows cannot be read, and that may be of this key or browser."""
    told = ((one, begun(unit, one, person)) for one in unreadable(unit, person))
    return [one for one, said in told if said is None or said.may_be_of(mark)]


def ended_by_another(unit: Unit, session_id: str, person: str) -> bool:
    """Whether somebody else than `person` ended their session, for what was begun in it and still goes on.

    Signing out says nothing is wrong, and neither does the end of a session's time; the end of its key does, and so
    does an end from another session of the person's own. An end that is remembered outside the database while the row
    says nothing of it is what it is remembered as, and another's if nobody remembers why, or if the row cannot be
    believed. What is remembered comes before what a row says: one of before another hand ended it may be put back.
    """
    if memory(unit.system).version(foreign_name(session_id)):
        return True
    rows = store.by_ids(unit.conn, [session_id])
    session = unseal(unit, "session", rows[0].body, rows[0].seal, Session) if rows else None
    if session is None or session.id != session_id or session.person != person:
        return bool(rows) or ends.another(memory(unit.system), session_id)
    if session.ended is not None:
        if session.whose:
            return session.foreign
        if session.ended_reason == CROWDED:  # a row from before that was judged at the end
            return False
        return session.foreign or session.ended_by != person or session.ended_reason == KEY_ENDED
    return ends.another(memory(unit.system), session_id)


def name_of(by: Caller | str) -> str:
    return by if isinstance(by, str) else by.principal


def _rows(unit: Unit, principal: str) -> list[store.Row]:
    """Return the rows of a person's sessions: every one that their state lists, and the newest others."""
    try:
        listed = state_of(unit, principal).sessions
    except Unauthenticated:  # an edited state must not keep anybody from ending what there is
        listed = ()
    rows = [*store.by_ids(unit.conn, listed), *store.of_person(unit.conn, principal, since=unit.now)]
    return list({row.id: row for row in rows}.values())


def end_sessions_of_key(unit: Unit, person: str, key: str, by: str, *, reason: str = KEY_ENDED) -> None:
    """End the sessions that are bound to a key which is nobody's from now on: whoever holds it holds them."""
    end_mark(unit, key, by)
    for row in _rows(unit, person):
        session = unseal(unit, "session", row.body, row.seal, Session)
        if session is None or session.person != person or session.key != key:
            continue
        if session.ended is None:
            end_session(unit, session.id, reason, by)
    for hidden in _hidden_of(unit, person, key):
        end_session(unit, hidden, reason, by, of=person)


def end_sessions_of(
    unit: Unit, principal: str, reason: str, by: Caller | str, *, stops: bool = False, believed: bool = False
) -> int:
    """End every session of a person; return how many lived. The epoch rises, so that none can come back.

    It is for all that there was: for those whose rows are hidden, each with its line; and of sessions that ended
    before, and of sign-ins that are only begun, no key or browser is known any more (`PrincipalState.stopped`). With
    `stops`, the caller has announced it (`stop_first`). `believed` leaves what was done in those that live: they end
    for caution, and nothing is said against it.
    """
    epoch = _end_epoch(unit, principal)
    for session in _living(unit, principal):
        end = _end_of(unit, session.id, principal, reason, by, believed=believed)
        keep_end(unit, end, session.ends, principal, session.device_mark)
    told = _end_hidden(unit, principal, reason, by, believed=believed)
    lock(unit, principal)  # a session that is being opened now is seen, or sees this

    def emptied(state: PrincipalState) -> PrincipalState:
        return msgspec.structs.replace(state, sessions=(), epoch=max(state.epoch + 1, epoch), stopped=unit.now)

    moments.note(unit, everything(principal))
    version = change_state(unit, principal, emptied, mend=True, stops=stops).version  # first, for the lines name it
    for session in _living(unit, principal):
        told[session.id] = close(unit, session, reason, by, believed=believed)
    for end in told.values():
        line = SessionEnded(session=end.session, principal=principal, reason=reason, by=end.by, whose=end.whose)
        audit.append(unit, msgspec.structs.replace(line, version=version))
    return len(told)


def _end_of(unit: Unit, session: str, person: str, reason: str, by: Caller | str, *, believed: bool) -> End:
    foreign = not believed and _from_elsewhere(session, person, reason, by)
    return End(session=session, by=name_of(by), reason=reason, foreign=foreign, at=unit.now)


def _end_hidden(unit: Unit, person: str, reason: str, by: Caller | str, *, believed: bool) -> dict[str, End]:
    """Remember, and return, the end of each session of a person whose row cannot be read just now."""
    found = dict[str, End]()
    for one in unreadable(unit, person):
        told = begun(unit, one, person)
        found[one] = _end_of(unit, one, person, reason, by, believed=believed)
        keep_end(unit, found[one], told.ends if told else longest(unit), person, told.key if told else "")
    return found


def _living(unit: Unit, principal: str) -> list[Session]:
    """A person's sessions whose rows are believed and do not say that they are over, nor are so for a week by time: a
    stop is not for what was done in those (`weeks`)."""
    found = (unseal(unit, "session", row.body, row.seal, Session) for row in _rows(unit, principal))
    mine = (one for one in found if one is not None and one.person == principal and one.ended is None)
    return [one for one in mine if unit.now < one.ends + weeks.WEEK]


def _end_epoch(unit: Unit, principal: str) -> int:
    """Remember, before any row is written, that every session of a person is over, and every sign-in that is begun;
    return the epoch from which on sessions count again."""
    kept = memory(unit.system)
    try:
        epoch = max(state_of(unit, principal).epoch + 1, kept.version(epoch_name(principal)))
    except Unauthenticated:  # no session lives by a state that is not believed
        epoch = kept.version(epoch_name(principal))
    kept.raise_version(epoch_name(principal), epoch)
    moments.remember(unit, stopped_name(principal))
    unit.stands = STANDS
    return epoch


def stopped_name(person: str) -> str:
    """What the memory calls a person whose everything was stopped; its version is until when."""
    return f"stopped {person}"


def sessions_of(unit: Unit, principal: str) -> list[Session]:
    """Return a person's live sessions, newest first. Rows without our seal are not shown as sessions."""
    rows = store.by_ids(unit.conn, live_ids(unit, principal))
    opened = (unseal(unit, "session", row.body, row.seal, Session) for row in reversed(rows))
    return [session for session in opened if session]
