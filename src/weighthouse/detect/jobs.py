"""The followers that detect and act. Guards what is live, within one pass over the log.

Each handler runs inside the transaction that moves its cursor: signal, alert, response and cursor are one change, so
a crash repeats all of it or none. A response that a lower room refuses is itself put on record as failed; the alert
stands either way.
"""

from __future__ import annotations

from collections.abc import Callable

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.clock import DAY, HOUR, MINUTE, SECOND, Millis
from weighthouse.core.errors import NotFound, WeighthouseError
from weighthouse.core.jobs import Timer
from weighthouse.core.work import System, Unit, begin
from weighthouse.detect import api
from weighthouse.detect.api import keys
from weighthouse.detect.model import BULK, FROZEN, NEW_KEY, Alert, Attempt, Incident, Limits
from weighthouse.detect.rules import (
    bulk,
    destroying,
    elsewhere,
    facts,
    opened,
    published,
    roaming,
    seats,
    spray,
    stopped,
    volume,
    written,
)
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

MOST_MUTES = 200
LOOK_BACK = 5_000  # entries of the log that a rule over a short time looks back at
_STOPPED = {one: audit.Lines(one, by="principal") for one in ("identity.StepUpDemanded", "access.Denied")}
_MUTED = audit.Lines(facts.SPENT, by="person")
_DEMANDED, _STARTED = audit.Lines("identity.StepUpDemanded", by=""), audit.Lines("identity.SessionStarted", by="")
UNANSWERED_SPAN: Millis = 2 * HOUR  # that a server which stood still for a while still looks back at


def limits(unit: Unit) -> Limits:
    """Read the thresholds in force from the settings and the size of the lab."""
    settings = unit.system.settings
    people = len(policy.current(unit).lab.people)
    return Limits(
        spray_accounts=spray.accounts_needed(settings.integer("detect.spray_accounts"), people),
        spray_window=settings.integer("detect.spray_window_s") * SECOND,
        bulk_loads=settings.integer("detect.bulk_loads"),
        bulk_bytes=settings.integer("detect.bulk_bytes"),
        bulk_window=settings.integer("detect.bulk_window_s") * SECOND,
    )


def on_sign_in(unit: Unit, entry: audit.Entry) -> None:
    """Spray, then success: whichever fact arrives last completes it. A guess that came right ends; whoever has shown
    more than a password is told of and left alone, for anybody can fail from behind somebody's address."""
    if facts.turned_away(entry.kind, entry.data):
        person, network = facts.text(entry.data, "principal"), facts.text(entry.data, "origin")
        _tell_of_right_password(unit, spray.turned_away(entry.index, entry.at, person, network))
    one = facts.attempt(entry.index, entry.at, entry.kind, entry.data)
    if one is None:
        return
    now = limits(unit)
    kept = api.attempts_from(unit, entry, one.network, now.spray_window)
    if not one.succeeded:
        _tell(unit, stopped.sprayed(one.network, one.at, _failing(kept, one, now), now))
    for incident in spray.find(kept, now.spray_accounts, now.spray_window):
        if not api.known(unit, incident):
            _act(unit, incident, _end_one if incident.severity == "high" else _leave)


def watch_unanswered(system: System) -> None:
    """Tell of passwords that were right amid a spray, and whose second factor nobody gave: each once."""
    with begin(system, SYSTEM) as unit:
        since = unit.now - UNANSWERED_SPAN
        demands = [facts.asked(one.index, one.at, one.data) for one in _since(unit, _DEMANDED, since)]
        amid_spray = [one for one in demands if one is not None]
        if not amid_spray:
            return
        began = [facts.attempt(one.index, one.at, one.kind, one.data) for one in _since(unit, _STARTED, since)]
        sessions = [one for one in began if one is not None]
        for incident in spray.unanswered(amid_spray, sessions, unit.now):
            _tell_of_right_password(unit, incident)


def _since(unit: Unit, lines: audit.Lines, at: Millis) -> list[audit.Entry]:
    return lines.of(unit, start=lines.since(unit, at), limit=LOOK_BACK, newest_first=True)


def _tell_of_right_password(unit: Unit, incident: Incident) -> None:
    if not api.known(unit, incident):
        _act(unit, incident, _nothing_got_in)


def _failing(kept: list[Attempt], newest: Attempt, now: Limits) -> dict[str, int]:
    """Return who fails from one network within the window, with an index each; who got in since has mistyped."""
    began = newest.at - now.spray_window
    in_it = sorted((one for one in kept if began <= one.at <= newest.at), key=lambda one: (one.at, one.index))
    failing: dict[str, int] = {}
    for one in in_it:
        if one.succeeded:
            failing.pop(one.principal, None)
        else:
            failing[one.principal or one.account] = one.index
    return failing


def on_used_elsewhere(unit: Unit, entry: audit.Entry) -> None:
    """A session used from elsewhere: every session of the person it is bound to ends."""
    session, principal = facts.text(entry.data, "session"), facts.text(entry.data, "principal")
    if not session or not principal:
        return
    incident = elsewhere.conclude(entry.index, principal, session, facts.text(entry.data, "changed"))
    if not api.known(unit, incident):
        _act(unit, incident, _end_for_caution if incident.severity == "high" else _ended_already)


def on_moved(unit: Unit, entry: audit.Entry) -> None:
    """One session in several countries: a person looks."""
    _tell(unit, roaming.conclude(entry.index, entry.data))


def on_stopped(unit: Unit, entry: audit.Entry) -> None:
    """What was stopped is told. Nobody is locked out by it, for anybody can knock in another's name."""
    person = facts.text(entry.data, "principal")
    incident = stopped.conclude(entry.index, entry.at, entry.kind, entry.data)
    if incident is not None and incident.rule == FROZEN and _seated(unit, incident.principal):
        incident = seats.vacant(incident)
    _tell(unit, incident)
    if entry.kind == "identity.StepUpDemanded" and person:
        _tell(unit, stopped.fatigue(person, entry.at, _lately(unit, entry, person, stopped.FATIGUE_PROMPTS * 4)))
    if entry.kind == "access.Denied" and person:
        _tell(unit, stopped.refusals(person, entry.at, _lately(unit, entry, person, stopped.REFUSALS * 4)))


def _lately(unit: Unit, entry: audit.Entry, person: str, most: int) -> list[tuple[int, int]]:
    """Return index and time of the person's newest entries of this kind among the newest `most` up to this one."""
    start = max(0, entry.index - LOOK_BACK)
    found = _STOPPED[entry.kind].of(unit, person, start=start, limit=most, newest_first=True)
    return [(one.index, one.at) for one in found if one.index <= entry.index]


def _tell(unit: Unit, incident: Incident | None) -> None:
    if incident is not None and not api.known(unit, incident):
        _act(unit, incident)


def on_seat(unit: Unit, entry: audit.Entry) -> None:
    """A member of the committee was stopped: somebody is told, for guards must not be stopped unseen."""
    found = seats.stopped(entry.index, entry.at, entry.kind, entry.data)
    if found is not None and _seated(unit, found[0]):
        _tell(unit, found[1])


def _seated(unit: Unit, person: str) -> bool:
    return person in access.seating(unit).seats


def watch_seats(system: System) -> None:
    """Tell of terms that end, of members who have left, and of a committee that can decide nothing: each once."""
    with begin(system, SYSTEM) as unit:
        if not policy.published(unit):
            return
        bundle = policy.current(unit)
        charter, people = bundle.lab.committee, bundle.lab.people
        if charter is None:
            return
        now, base = access.seating(unit), policy.base_of(bundle)
        ahead = system.settings.integer("detect.seat_ahead_days") * DAY
        for seat in charter.seats:
            if seat.person in now.seats and seat.until is not None and seat.ends is not None:
                then = policy.seating(charter, people, max(seat.ends, unit.now))
                term = seats.Term(
                    person=seat.person, day=policy.date_text(seat.until), until=seat.until, ends=seat.ends
                )
                _tell(unit, seats.term(term, unit.now, ahead, policy.stuck(then)))
        for person in sorted(now.left):
            _tell(unit, seats.left(person, base))
        if policy.stuck(now):
            _tell(unit, seats.undecided(now.empty, policy.stuck(now), base))


def on_enrolled(unit: Unit, entry: audit.Entry) -> None:
    """A further key for somebody who has one: how a thief stays. Their pages tell them; this tells security. It is
    passed once, so no row is asked, which may be hidden just then: the log tells what there was."""
    device, person = facts.text(entry.data, "device"), facts.text(entry.data, "principal")
    if not device or not keys.has_another(unit, person, device, entry.index):
        return
    incident = Incident(
        rule=NEW_KEY,
        key=f"{NEW_KEY}:{device}",
        severity="high" if keys.from_afar(unit, person, entry) else "low",
        principal=person,
        session="",
        evidence=(entry.index,),
        text="A person who has a key enrolled another one. If they did not, end it and their sessions.",
    )
    if not api.known(unit, incident):
        _act(unit, incident)


def on_read(unit: Unit, entry: audit.Entry) -> None:
    """Bulk reads: the person's access is held and their sessions end."""
    one = facts.read(entry.index, entry.at, entry.kind, entry.data)
    if one is None:
        return
    now = limits(unit)
    fresh = api.reads_by(unit, entry, one.person, now.bulk_window, api.answered(unit, BULK, one.person))
    incident = bulk.find(fresh, now.bulk_loads, now.bulk_bytes, now.bulk_window)
    if incident is not None and not api.known(unit, incident):
        _act(unit, incident, _hold, _end_all)


def on_opened(unit: Unit, entry: audit.Entry) -> None:
    """What was opened in somebody's name is closed again: people are told, each thing by its name."""
    _tell(unit, opened.conclude(entry.index, entry.data))


def on_published(unit: Unit, entry: audit.Entry) -> None:
    """A policy text rests on what somebody else gave: it is left in force, and people are told what puts it right."""
    _tell(unit, published.conclude(entry.index, entry.data))


def on_destruction(unit: Unit, entry: audit.Entry) -> None:
    """What cannot be taken back later can still be undone: whoever answers alerts is told while there is time."""
    _tell(unit, destroying.conclude(entry.index, entry.data))


def on_written(unit: Unit, entry: audit.Entry) -> None:
    """Somebody writes the database: an alert, for whoever it is does not come through any door here."""
    incident = written.conclude(entry.index, entry.at, entry.kind, entry.subject, entry.data)
    if incident is not None and not api.known(unit, incident):
        _act(unit, incident, _held_already)


def on_output(unit: Unit, entry: audit.Entry) -> None:
    """Much was said: somebody is told. Several runs were silenced: the person's access is held."""
    person, model = facts.text(entry.data, "person"), facts.text(entry.data, "model")
    if not person:
        return
    told = volume.loud(entry.index, entry.at, person, model)
    if not api.known(unit, told):
        _act(unit, told, _muted)
    if entry.kind != facts.SPENT:
        return
    before = _MUTED.of(unit, person, newest_first=True, limit=MOST_MUTES)
    own = [one.index for one in before if entry.at - DAY < one.at and one.index <= entry.index]
    incident = volume.drained(tuple(sorted(own)), person, unit.system.settings.integer("detect.output_mutes"))
    if incident is not None and not api.known(unit, incident):
        _act(unit, incident, _hold)


Response = Callable[[Unit, Incident], str]


def _act(unit: Unit, incident: Incident, *responses: Response) -> Alert:
    done, failed = [], []
    for response in responses:
        try:
            done.append(response(unit, incident))
        except WeighthouseError as refusal:
            failed.append(f"{response.__name__.strip('_')}: {refusal.code}")
    return api.record(unit, incident, tuple(done), tuple(failed))


def _end_one(unit: Unit, incident: Incident) -> str:
    try:
        identity.end_session(unit, incident.session, f"detect:{incident.rule}", SYSTEM)
    except NotFound:  # its row was edited or taken away, and may be put back: end all, which needs no row
        return _end_all(unit, incident)
    return f"identity.end_session {incident.session}"


def _leave(_unit: Unit, incident: Incident) -> str:
    return f"left {incident.session} alone: it shows more than a password"


def _nothing_got_in(_unit: Unit, _incident: Incident) -> str:
    return "nothing to end: nobody got in"


def _ended_already(_unit: Unit, incident: Incident) -> str:
    return f"{incident.session} was ended; the person's others go on"


def _held_already(_unit: Unit, _incident: Incident) -> str:
    return "nothing to end: what was written did not count"


def _end_all(unit: Unit, incident: Incident) -> str:
    count = identity.end_sessions_of(unit, incident.principal, f"detect:{incident.rule}", SYSTEM)
    return f"identity.end_sessions_of {incident.principal}: {count} ended"


def _end_for_caution(unit: Unit, incident: Incident) -> str:
    """End all of a person's sessions, and nothing that was done in them: whoever shows a credential without its key
    has done none of it, and one line of a proxy's log must not stop a lab's work. Whoever finds that more was taken
    says so, and takes the rest back."""
    reason = f"detect:{incident.rule}"
    count = identity.end_sessions_of(unit, incident.principal, reason, SYSTEM, believed=True)
    return f"identity.end_sessions_of {incident.principal}: {count} ended, what was done in them stands"


def _muted(_unit: Unit, incident: Incident) -> str:
    return f"left {incident.principal} alone: budgets bound what is said"


def _hold(unit: Unit, incident: Incident) -> str:
    reason = f"{incident.rule}: {incident.text}"
    mine = (SYSTEM.principal, reason)
    # One that an answer placed which was cut off afterwards stands outside the database; a row alone answers nothing.
    cut_off = [
        one for one in access.remembered_holds(unit, incident.principal) if (one.placed_by, one.reason) == mine
    ]
    hold = cut_off[0] if cut_off else access.place_hold(unit, SYSTEM, incident.principal, reason)
    return f"access.place_hold {hold.id}"


FOLLOWERS: tuple[audit.Follower, ...] = (
    audit.Follower("detect.spray", facts.SIGN_IN_KINDS, on_sign_in),
    audit.Follower("detect.several-countries", facts.MOVED_KINDS, on_moved),
    audit.Follower("detect.at-the-door", stopped.KINDS, on_stopped),
    audit.Follower("detect.committee-seats", seats.KINDS, on_seat),
    audit.Follower("detect.new-key", facts.ENROLLED_KINDS, on_enrolled),
    audit.Follower("detect.elsewhere", facts.ELSEWHERE_KINDS, on_used_elsewhere),
    audit.Follower("detect.output", facts.OUTPUT_KINDS, on_output),
    audit.Follower("detect.bulk", facts.READ_KINDS, on_read),
    audit.Follower("detect.written", written.KINDS, on_written),
    audit.Follower("detect.opened", opened.KINDS, on_opened),
    audit.Follower("detect.published", published.KINDS, on_published),
    audit.Follower("detect.destroying", destroying.KINDS, on_destruction),
)
timers: tuple[Timer, ...] = (
    Timer("detect-seats", MINUTE, watch_seats),
    Timer("detect-unanswered", MINUTE, watch_unanswered),
)


def follow(system: System) -> int:
    """Make one pass over what is new in the log with every detection; return how many entries were handled."""
    return sum(audit.pump(system, follower) for follower in FOLLOWERS)
