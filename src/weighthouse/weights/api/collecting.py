"""Collecting what no version needs any more. Guards storage from filling, and every version from the collector.

What an acknowledged change leaves to be done, and what a killed server left, is found again here: objects go first,
then the row that names them, so that a kill in between is only done over. Nothing is deleted on the word of a row
alone: a save's own certificate must hold and no version may have come of it, a destroyed version's seal must hold.
"""

from __future__ import annotations

import contextlib
import logging

from weighthouse.audit import api as audit
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.keys import api as keys
from weighthouse.weights import store
from weighthouse.weights.api import ends
from weighthouse.weights.api.sealing import SEALED, open_save, open_version
from weighthouse.weights.events import SaveLapsed
from weighthouse.weights.model import DESTROYED, SAVE_LIFE, Save, Version
from weighthouse.weights.ports import ObjectStore
from weighthouse.weights.rules.limits import day_of
from weighthouse.weights.rules.paths import kept_prefix

log = logging.getLogger("weighthouse.weights")


def forget(objects: ObjectStore, *prefixes: str) -> bool:
    """Remove what lies at `prefixes`; return whether all of it went. What did not is collected later, and said."""
    done = True
    for prefix in prefixes:
        try:
            objects.delete(prefix)
        except (OSError, WeighthouseError) as error:
            done = False
            log.warning("what lies at %s could not be removed yet, and is collected later: %s", prefix, error)
    return done


def sweep(system: System) -> int:
    """Remove saves that were begun a day ago and never committed, and what is left of destroyed versions.

    Returns how many saves went. May be killed at any step and run again.
    """
    with begin(system) as unit:
        store.drop_leases(unit.conn, unit.now - SAVE_LIFE)
        store.drop_reads(unit.conn, day_of(unit.sure) - 1)
        stale = store.stale_saves(unit.conn, unit.now - SAVE_LIFE - 1)
    gone = 0
    for id_ in stale:
        with contextlib.suppress(
            WeighthouseError
        ):  # a row that does not hold has left its line, and keeps its objects
            gone += _lapse(system, id_)
    _destroyed(system)
    return gone


def drop_taken(system: System, run: str) -> bool:
    """Remove what was copied for saves that an ended run never committed; the sweep ends their rows when they lapse.

    Call it when nothing of the run is committed any more. Returns whether all of it went.
    """
    done = True
    with read(system) as unit:
        named = store.open_saves_of(unit.conn, run=run)
    for id_ in named:
        try:
            with read(system) as unit:
                save, _ = open_save(unit, id_)
                theirs = save.run == run and _unmade(unit, save)
        except WeighthouseError:
            continue  # a row that does not hold has left its line, and removes nothing
        if theirs:
            done = forget(system.part(ObjectStore), kept_prefix(save.version)) and done
    return done


def _unmade(unit: Unit, save: Save) -> bool:
    """Whether no version has come of a save, whatever its row says."""
    return store.version_of_save(unit.conn, save.id) is None and not SEALED.any(unit, save.version)


def _lapse(system: System, id_: str) -> bool:
    with read(system) as unit:
        save, _ = open_save(unit, id_)
        if not _unmade(unit, save) or unit.now - save.begun <= SAVE_LIFE:
            log.error("the row of save %s says that it is open, but it is not: nothing is removed", id_)
            return False
    if not forget(system.part(ObjectStore), save.prefix, kept_prefix(save.version)):
        return False
    with begin(system) as unit:
        if store.drop_save(unit.conn, save.id):
            audit.append(unit, _lapsed(save))
            return True
    return False


def _lapsed(save: Save) -> SaveLapsed:
    return SaveLapsed(save=save.id, version=save.version, model=save.model, run=save.run)


def _destroyed(system: System) -> None:
    """Do what is left of destroying versions, whose objects could not go or whose server was killed just then: the
    key service first, so that objects are there for as long as anything is to be done."""
    objects = system.part(ObjectStore)
    for name in objects.names("versions"):
        with contextlib.suppress(WeighthouseError), read(system) as unit:
            found = open_version(unit, name).version
            if ends.is_over(unit, found):
                _retire(system, found)
                forget(objects, found.prefix, kept_prefix(found.id))


def _retire(system: System, found: Version) -> None:
    """Of a version by itself; with its whole model goes the key, which `keys` sees to."""
    if found.state != DESTROYED:
        return
    with begin(system) as unit:
        keys.retire(unit, resource=found.model, version=found.id)
