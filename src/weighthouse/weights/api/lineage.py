"""What a run has opened decides what it may write. Guards frontier weights from being saved as something lesser.

A run names the parent of its save itself, so one that leaves it out would continue from nothing. What it was really
given is in the log: each load is an entry that names the run. From the first one on, no save of the run, begun before
it or after it, becomes a version of a model whose class is lower. The same holds for a person whom a class lets load
outside of runs, for as long as the log is: nobody sees what else they have on their machine.
"""

from __future__ import annotations

from collections.abc import Iterator

from weighthouse.audit import api as audit
from weighthouse.core.caller import Caller
from weighthouse.core.errors import Denied
from weighthouse.core.work import Unit
from weighthouse.weights import store
from weighthouse.weights.api.classes import class_of, person_of, run_of
from weighthouse.weights.api.sealing import Sealed, open_version
from weighthouse.weights.events import LoadStarted, ManifestRefused

_LOADED = audit.Lines(LoadStarted.KIND, by="run")
_OUTSIDE = audit.Lines(LoadStarted.KIND, by="person run")


def check_class(unit: Unit, caller: Caller, model: str, save: str = "") -> None:
    """Raise Denied `weights.class_lowered` if the caller has opened weights of a class higher than `model` has."""
    rank = class_of(unit, model).rank
    for version, loaded in _had(unit, caller):
        if class_of(unit, loaded).rank > rank:
            raise lowered(loaded, model, version, save)


def check_opened(unit: Unit, caller: Caller, model: str, parent: Sealed) -> None:
    """Raise Denied `weights.parent_unopened` unless the caller has opened what it says its save continues from.

    The parent goes into the signed manifest, the log and the lineage: what a run only names is no fact. What it saved
    itself it had.
    """
    named = parent.version.id
    if parent.save.principal != caller.principal and all(named != version for version, _ in _had(unit, caller)):
        raise Denied(
            "weights.parent_unopened",
            f"This save says that it continues from '{named}', which its caller has neither loaded nor saved.",
            "Load that version in the same run first, or save without a parent.",
            record=[ManifestRefused(save="", version=named, model=model, code="weights.parent_unopened")],
        )


def lowered(origin: str, model: str, version: str, save: str = "") -> Denied:
    """The refusal of a save as `model` by who has `version` of `origin`."""
    return Denied(
        "weights.class_lowered",
        f"What continues from '{origin}' cannot be saved as '{model}', whose class is lower.",
        "Save it as a model of that class, or do it in a run that does not load those weights.",
        record=[ManifestRefused(save=save, version=version, model=model, code="weights.class_lowered")],
    )


def _had(unit: Unit, caller: Caller) -> Iterator[tuple[str, str]]:
    """Yield version and model of whatever the caller has opened."""
    run = run_of(caller)
    yield from _leased(unit, caller)
    yield from opened(unit, run) if run else _outside(unit, caller)


def _leased(unit: Unit, caller: Caller) -> Iterator[tuple[str, str]]:
    """Yield what the caller has a lease of: on PostgreSQL the log shows a load only a moment after it."""
    for version in store.leased(unit.conn, caller.principal):
        yield version, open_version(unit, version).version.model


def _outside(unit: Unit, caller: Caller) -> Iterator[tuple[str, str]]:
    """Yield version and model of every load of a person outside of runs; names and shapes come with no lease."""
    for entry in _OUTSIDE.of(unit, f"{person_of(caller)} "):
        if entry.data["lease"]:
            yield entry.subject, entry.data["model"]


def opened(unit: Unit, run: str) -> Iterator[tuple[str, str]]:
    """Yield version and model of every load of a run, as the log has them."""
    for entry in _LOADED.of(unit, run):
        yield entry.subject, entry.data["model"]
