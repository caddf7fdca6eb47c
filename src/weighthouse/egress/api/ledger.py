"""The byte ledger. Guards the weights' size as a defence: every byte is debited before it may leave.

Every account that pays (lab, model, profile, run, destination) is debited in one transaction, so that many runs that
each stay just below are summed (research case 54), and no restart, new run or new name begins at zero. What is lent
to a way out, and comes back, is in `lending`.
"""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.clock import DAY, HOUR, SECOND, Millis
from weighthouse.core.errors import Denied, TooMany
from weighthouse.core.settings import Settings
from weighthouse.core.work import Unit
from weighthouse.egress import store
from weighthouse.egress.api import accounts, remembered
from weighthouse.egress.api.paying import model_daily, refused, sayers, speaker
from weighthouse.egress.events import OutputHigh, OutputSpent
from weighthouse.egress.model import Budget, Key, Level, Unheld, WayRow, Window
from weighthouse.egress.ports import Books
from weighthouse.egress.rules import budgets as rules
from weighthouse.policy import api as policy


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


def room(unit: Unit, paying: dict[Key, int], as_of: Millis | None = None) -> dict[Key, int]:
    """Lock the accounts that pay and return how many bytes each has left.

    Rows that say too little are put right and told of, if this unit is committed.

    While the clock is suspect none has any, unless windows are measured `as_of` a time that is not: no leap empties
    them.
    """
    store.lock_accounts(unit.conn, paying)
    for line in accounts.mend(unit, paying):
        audit.append(unit, line)
    suspect, now = unit.clock_suspect and as_of is None, unit.now if as_of is None else as_of
    return {key: 0 if suspect else rules.left(daily, accounts.spent(unit, key, now)) for key, daily in paying.items()}


def _empty(unit: Unit, paying: dict[Key, int], want: int, as_of: Millis | None = None) -> Key | None:
    """Return the first account that has not `want` bytes left, None when all have."""
    return rules.grant(want, room(unit, paying, as_of))[1]


def debit(unit: Unit, paying: dict[Key, int], count: int) -> None:
    """Debit `count` bytes from every account that pays, now."""
    for key in paying:
        accounts.debit(unit, key, unit.now // store.BUCKET, count)


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
