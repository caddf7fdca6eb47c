"""Leases from the byte ledger. Guards the weights' size as a defence: every byte is debited before it may leave.

One lease debits every account that pays for it (lab, model, profile, run, destination) in one transaction, so that
many runs that each stay just below are summed (research case 54), and no restart, new run or new name begins at zero.
"""

from __future__ import annotations

import msgspec

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import DAY, HOUR, SECOND, Millis
from weighthouse.core.errors import Denied, NotFound, TooMany
from weighthouse.core.settings import Settings
from weighthouse.core.work import Unit
from weighthouse.egress import store
from weighthouse.egress.api import accounts, remembered
from weighthouse.egress.api.paying import model_daily, payers, refused, sayers, speaker
from weighthouse.egress.events import BudgetSpent, OutputHigh, OutputSpent
from weighthouse.egress.model import Budget, Credit, Key, Level, Unheld, WayRow, Window
from weighthouse.egress.ports import Books
from weighthouse.egress.rules import budgets as rules
from weighthouse.policy import api as policy


def lease_for(unit: Unit, way: WayRow, destination: str) -> int:
    """Return the size of one lease for `destination`, from the smallest budget that pays."""
    return rules.lease_size(list(payers(unit, way, destination).values()))


def lease(unit: Unit, run: str, profile: str, host: str, want: int) -> int:
    """Lend `want` bytes to `run` for the destination `host:port`: all of it, or 0 when any account has too little.

    The first refusal appends `egress.BudgetSpent`, once for each run. While the clock is suspect nothing is lent: a
    clock set ahead would empty every window (research case 55). Raises `egress.no_way`.
    """
    way = remembered.way(unit, run, lock=True)
    if way is None or way.profile != profile or way.closed is not None:
        raise NotFound("egress.no_way", f"{run} has no open way out under {profile}.", "Submit a new run.")
    paying = payers(unit, way, host)
    empty = _empty(unit, paying, want)
    credit = remembered.credits_of(unit, run).get(host) or Credit(
        run=run, destination=host, granted=0, sent=0, last_bucket=0, last_bytes=0
    )
    if empty is not None:
        if remembered.mark_spent(unit, way):
            audit.append(unit, _spent(way, host, empty, credit.sent))
        return 0
    debit(unit, paying, want)
    bucket = unit.now // store.BUCKET
    recent = want + (credit.last_bytes if credit.last_bucket == bucket else 0)
    kept = msgspec.structs.replace(credit, granted=credit.granted + want, last_bucket=bucket, last_bytes=recent)
    remembered.keep_credit(unit, kept)
    return want


def _spent(way: WayRow, destination: str, empty: Key, sent: int) -> BudgetSpent:
    return BudgetSpent(
        run=way.run,
        profile=way.profile,
        host=destination,
        level=empty.level,
        account=empty.name,
        sent_bytes=sent,
    )


def charge_output(unit: Unit, run: str, count: int) -> bool:
    """Debit what a run says (output, reports, names) from all who pay for it; return whether all had that much.

    Whoever reads a run's output carries it out of the sandbox, so it is a way out like any other (research case 56).
    The first refusal of a run appends `egress.OutputSpent`, and nothing more of it is kept; its connections go on.
    """
    way = remembered.way(unit, run, lock=True)
    if way is None or way.muted_at is not None:
        return False
    paying = sayers(unit, way)
    empty = _empty(unit, paying, count)
    if empty is None:
        debit(unit, paying, count)
        _tell_high(unit, way, paying, count)
        return True
    remembered.mark_muted(unit, run)
    audit.append(
        unit,
        OutputSpent(run=run, model=_model_of(empty, way), level=empty.level, account=empty.name, person=way.person),
    )
    return False


def _model_of(key: Key, way: WayRow) -> str:
    """The model whose budget an account of what is said belongs to; the run's own where it is no model's."""
    if key.level in ("model", "said"):
        return key.name
    return key.name.rpartition(" of ")[2] if key.level in ("said by profile", "said by person") else way.model


def charge_step(unit: Unit, run: str, count: int, *, model: str, person: str) -> None:
    """Debit what a step of a run tells whoever reads of it (a version's size, number, parent and time), or refuse it.

    `model` and `person` stand for the run's own where it has no way out. Raises TooMany `egress.said_spent`.
    """
    way = speaker(unit, run, model, person)
    paying = sayers(unit, way)
    store.lock_accounts(unit.conn, paying)
    low = accounts.mend(unit, paying)
    empty = _empty(unit, paying, count, as_of=unit.keeper.sound if unit.clock_suspect else unit.now)
    if empty is not None:
        raise TooMany(
            "egress.said_spent",
            f"This step tells others {count} bytes; the budget '{empty.level}' of what may be said has fewer left.",
            "Print and save less, or go on when the budget's hour, day or month has passed.",
            record=[*low, refused(way, _model_of(empty, way), empty, count, "egress.said_spent")],
        )
    for line in low:
        audit.append(unit, line)
    debit(unit, paying, count)
    _tell_high(unit, way, paying, count)


def _tell_high(unit: Unit, way: WayRow, paying: dict[Key, int], count: int) -> None:
    """Say so, once for each crossing, when a person's runs have used half of an hour's share."""
    for key, daily in paying.items():
        if key.level != "said by person":
            continue
        said, most = accounts.spent(unit, key, unit.now)[HOUR], rules.caps(daily)[HOUR]
        if said - count < most // 2 <= said:
            fact = OutputHigh(
                run=way.run,
                model=_model_of(key, way),
                profile=way.profile,
                person=way.person,
                said_bytes=said,
                hour_bytes=most,
            )
            audit.append(unit, fact)


def _empty(unit: Unit, paying: dict[Key, int], want: int, as_of: Millis | None = None) -> Key | None:
    """Lock the accounts that pay and return the first that has not `want` bytes left, None when all have.

    Rows that say too little are put right and told of, if this unit is committed.

    While the clock is suspect none has, unless windows are measured `as_of` a time that is not: no leap empties them.
    """
    store.lock_accounts(unit.conn, paying)
    for line in accounts.mend(unit, paying):
        audit.append(unit, line)
    suspect, now = unit.clock_suspect and as_of is None, unit.now if as_of is None else as_of
    allowed = {
        key: 0 if suspect else rules.left(daily, accounts.spent(unit, key, now)) for key, daily in paying.items()
    }
    return rules.grant(want, allowed)[1]


def debit(unit: Unit, paying: dict[Key, int], count: int) -> None:
    """Debit `count` bytes from every account that pays, now."""
    for key in paying:
        accounts.debit(unit, key, unit.now // store.BUCKET, count)


def hand_back(unit: Unit, way: WayRow, credit: Credit) -> None:
    """Return what is unspent of the last leases to the bucket it came from, so that no window gains."""
    unspent = min(credit.left, credit.last_bytes)
    if unspent <= 0:
        return
    for key in payers(unit, way, credit.destination):
        accounts.debit(unit, key, credit.last_bucket, -unspent)
    remembered.keep_credit(unit, msgspec.structs.replace(credit, granted=credit.granted - unspent, last_bytes=0))


def check_reader(unit: Unit, caller: Caller | None) -> None:
    """Let whoever may see the catalogue see caps and profiles; None is a room of this server that asks for itself."""
    if caller is not None:
        decision = access.explain(unit, caller, "catalogue.read", "lab")
        if not decision.allowed:
            first = decision.reasons[0]
            raise Denied(first.code, first.text, decision.remedy)


def budgets(unit: Unit, caller: Caller | None = None) -> list[Budget]:
    """Return every account with its windows, and for each model how long its theft would take at the present caps."""
    check_reader(unit, caller)
    lab = policy.current(unit).lab
    settings = unit.system.settings
    whole = settings.integer("egress.lab_daily_bytes")
    percent = settings.integer("egress.said_percent")
    found = [_budget(unit, "lab", lab.id, whole)]
    for resource in lab.resources.values():
        if resource.kind == "model":
            each = min(model_daily(settings, lab, resource.id), whole)
            found.append(_budget(unit, "model", resource.id, each, resource.size_bytes))
            found.append(_budget(unit, "said", resource.id, rules.shares(each, percent)["said"]))
    for profile in lab.egress_profiles.values():
        found.append(_budget(unit, "profile", profile.id, profile.total_budget_bytes))
    named: dict[str, int] = {}
    for profile in lab.egress_profiles.values():
        for entry in profile.entries:
            name = f"{entry.host}:{entry.port}"
            named[name] = max(named.get(name, 0), entry.budget_bytes)
    return found + [_budget(unit, "destination", name, daily) for name, daily in sorted(named.items())]


def _budget(unit: Unit, level: Level, name: str, daily: int, artefact: int = 0) -> Budget:
    settings = unit.system.settings
    compression = settings.integer("egress.compression")
    spent = accounts.spent(unit, Key(level, name), unit.now)
    windows = tuple(Window(span, cap, spent[span]) for span, cap in rules.caps(daily).items())
    fault = _fault(settings, name, daily, artefact) if level == "model" else None
    return Budget(
        level=level,
        name=name,
        daily=daily,
        windows=windows,
        artefact_bytes=artefact,
        theft_of_whole=rules.time_to_theft(artefact, daily, compression) if artefact else None,
        theft_of_hundredth=rules.time_to_theft(artefact // 100, daily, compression) if artefact else None,
        respond=settings.integer("egress.respond_hours") * HOUR if level == "model" else 0,
        holds=fault is None,
        remedy=fault.remedy if fault else "",
    )


def unheld(settings: Settings, lab: policy.Lab) -> list[Unheld]:
    """Return every model of a lab that could be carried out before anybody stops it, with what to do about it."""
    whole = settings.integer("egress.lab_daily_bytes")
    models = [one for one in lab.resources.values() if one.kind == "model"]
    found = [
        _fault(settings, one.id, min(model_daily(settings, lab, one.id), whole), one.size_bytes) for one in models
    ]
    return [one for one in found if one is not None]


def _fault(settings: Settings, model: str, daily: int, artefact: int) -> Unheld | None:
    compression, hours = settings.integer("egress.compression"), settings.integer("egress.respond_hours")
    if not artefact:
        return Unheld(model, "nobody has declared how large it is", f"Give {model} its `size` in the lab's file.")
    if rules.holds(artefact, daily, compression, hours * HOUR):
        return None
    taken = rules.time_to_theft(artefact, daily, compression) or 0
    most = rules.holding(artefact, compression, hours * HOUR)
    return Unheld(
        model,
        f"at {daily} bytes a day it is gone in {taken // SECOND} s, and finding and stopping that takes {hours} h",
        f"Set egress.model_daily_bytes to 0 or at most {most}, or answer faster (egress.respond_hours).",
    )


def tidy(unit: Unit) -> int:
    """Drop ledger rows that no window reaches any more; enforcement never needs it."""
    oldest, books = (unit.now - 31 * DAY) // store.BUCKET, unit.part(Books)
    unit.after_commit(lambda: books.forget_before(oldest))
    return store.forget_before(unit.conn, oldest)
