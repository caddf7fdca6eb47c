"""Who pays for what leaves a run. Guards the budget of weights from a run that was ordered for other ones.

A run names its model itself, so one ordered for a small or a huge model could load another and be charged to the
first alone. What it was really given is on record: the order's model, its parent's, and each one it has loaded, with
whatever those weights were made of. All of them pay for every byte, and a model that joins late pays for what was
said and sent before it came as well, or it is not loaded.
"""

from __future__ import annotations

from collections.abc import Iterable

from weighthouse.audit import api as audit
from weighthouse.core.clock import HOUR
from weighthouse.core.errors import TooMany
from weighthouse.core.settings import Settings
from weighthouse.core.work import Unit
from weighthouse.egress import store
from weighthouse.egress.api import accounts, remembered
from weighthouse.egress.events import PayerJoined, StepRefused, WayOpened
from weighthouse.egress.model import Key, WayRow
from weighthouse.egress.rules import budgets as rules
from weighthouse.policy import api as policy

_OPENED, _JOINED = audit.Lines(WayOpened.KIND), audit.Lines(PayerJoined.KIND)


def payers(unit: Unit, way: WayRow, destination: str) -> dict[Key, int]:
    """Return the accounts that pay for bytes to `destination`, with the daily budget of each."""
    lab = policy.current(unit).lab
    profile = lab.egress_profiles.get(way.profile)
    entries = profile.entries if profile else ()
    # An entry that has left the policy or has expired has no budget left.
    standing = [entry for entry in entries if entry.ends > unit.now]
    entry = sum(entry.budget_bytes for entry in standing if f"{entry.host}:{entry.port}" == destination)
    total = profile.total_budget_bytes if profile else 0
    settings = unit.system.settings
    return {
        Key("lab", lab.id): settings.integer("egress.lab_daily_bytes"),
        **{Key("model", model): model_daily(settings, lab, model) for model in models_of(unit, way.run, way.model)},
        Key("profile", way.profile): total,
        Key("run", way.run): total,
        Key("destination", destination): entry,
    }


def sayers(unit: Unit, way: WayRow) -> dict[Key, int]:
    """Return the accounts that pay for what a run says, with the daily budget of each.

    The models and the lab pay as for any byte that leaves; beside them what is said of a model has a share of its
    own, in all and for each profile (`none` too), person and run. The run itself has the smallest of those shares.
    """
    lab = policy.current(unit).lab
    paying = {Key("lab", lab.id): unit.system.settings.integer("egress.lab_daily_bytes")}
    for model in models_of(unit, way.run, way.model):
        for key, daily in _of_one(unit, way, model).items():
            paying[key] = min(daily, paying.get(key, daily))
    return paying


def model_daily(settings: Settings, lab: policy.Lab, model: str) -> int:
    """Return what may leave of a model in a day, all ways together: a share of its size, unless a setting says."""
    fixed = settings.integer("egress.model_daily_bytes")
    found = lab.resources.get(model)
    if fixed or found is None:
        return fixed
    if not found.size_bytes:
        return rules.UNSIZED_DAILY
    respond = settings.integer("egress.respond_hours") * HOUR
    return rules.holding(found.size_bytes, settings.integer("egress.compression"), respond)


def models_of(unit: Unit, run: str, ordered: str = "") -> tuple[str, ...]:
    """Return the models that a run answers for: by its rows and by the log, so that no edited row leaves one out."""
    # On PostgreSQL the log shows what has joined a moment later; the row, at once. A row only ever adds who pays.
    return tuple(sorted({*_proven(unit, run), *store.payers_of(unit.conn, run), ordered} - {""}))


def _proven(unit: Unit, run: str) -> set[str]:
    """The models that have paid for all that a run sent and said: by the log, and by what this process knows."""
    logged = {str(entry.data["model"]) for entry in (*_OPENED.of(unit, run), *_JOINED.of(unit, run))}
    return logged | remembered.joined(unit, run)


def join(unit: Unit, run: str, models: Iterable[str], *, ordered: str = "", person: str = "") -> None:
    """Have each of `models` pay for `run` from now on, and for all that it has sent and said before.

    Call it in the transaction that gives the run those weights. `ordered` and `person` are what the control plane
    knows of a run that has no way out yet. Raises TooMany `egress.payer_spent`.
    """
    way = speaker(unit, run, ordered, person)
    # A row of a payer is no proof that it has paid for what was before: a hand in the database could put it there.
    for model in sorted({*models} - _proven(unit, run) - {way.model}):
        sent, said = accounts.buckets(unit, Key("run", run)), accounts.buckets(unit, Key("said by run", run))
        paying = _of_one(unit, way, model)
        store.lock_accounts(unit.conn, paying)
        for key in paying:
            # The run's own account has it already; a model's pays for connections too, the others for what was said.
            for bucket, count in (*said.items(), *(sent.items() if key.level == "model" else ())):
                if key.level != "said by run":
                    accounts.debit(unit, key, bucket, count)
        if sent or said:
            _check(unit, way, model, paying, sum(sent.values()) + sum(said.values()))
        if model not in store.payers_of(unit.conn, run):
            store.add_payer(unit.conn, run, model)
        remembered.join(unit, run, model)
        line = PayerJoined(run=run, model=model, sent_bytes=sum(sent.values()), said_bytes=sum(said.values()))
        audit.append(unit, line)


def _of_one(unit: Unit, way: WayRow, model: str) -> dict[Key, int]:
    """Return what `model` alone brings to what a run may say: its own accounts and its share for one run."""
    lab, settings = policy.current(unit).lab, unit.system.settings
    daily = model_daily(settings, lab, model)
    share = rules.shares(daily, settings.integer("egress.said_percent"))
    return {
        Key("model", model): daily,
        Key("said", model): share["said"],
        Key("said by profile", f"{way.profile} of {model}"): share["said by profile"],
        Key("said by person", f"{way.person} of {model}"): share["said by person"],
        Key("said by run", way.run): share["said by run"],
    }


def _check(unit: Unit, way: WayRow, model: str, paying: dict[Key, int], count: int) -> None:
    """Raise unless every account could pay for what it was just charged with, in each of its windows."""
    for key, daily in paying.items():
        spent = accounts.spent(unit, key, unit.now)
        if any(spent[span] > cap for span, cap in rules.caps(daily).items()):
            raise TooMany(
                "egress.payer_spent",
                f"This run has sent and said {count} bytes, which '{model}' would answer for from now on; its budget "
                f"'{key.level}' does not have them left.",
                "Load it in a run of its own, which has said nothing yet, or when the budget's window has passed.",
                record=[refused(way, model, key, count, "egress.payer_spent")],
            )


def refused(way: WayRow, model: str, key: Key, count: int, code: str) -> StepRefused:
    """The one line of a step that an account could not pay for."""
    return StepRefused(
        run=way.run, model=model, level=key.level, account=key.name, bytes=count, code=code, person=way.person
    )


def speaker(unit: Unit, run: str, model: str, person: str) -> WayRow:
    """Return the way of a run, locked, or what stands for it while it has none."""
    found = remembered.speaks(unit, run, person)
    return found or WayRow(run=run, profile="none", model=model, person=person, opened=unit.now)
