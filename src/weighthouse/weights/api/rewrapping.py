"""What lies wrapped, and under which version of its key: counted, tried, and wrapped again. Guards the end of a leak.

A minimum that rises while something lies below it loses that for good, so it does not. Which model a wrapped key
belongs to is the certified save's word, never a column's, and each save is looked at as a reader looks at it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.errors import Conflict, WeighthouseError
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.keys import api as keys
from weighthouse.weights import store
from weighthouse.weights.api.keeping import rewrap, verify_stored
from weighthouse.weights.api.sealing import open_save, open_version
from weighthouse.weights.events import KeysRewrapped
from weighthouse.weights.model import COMMITTED, Save, ShardKey
from weighthouse.weights.rules.manifests import places

PAGE = 200


class Looked(msgspec.Struct, frozen=True):
    """What was found at one save: how many data keys it has, how many were wrapped again, and what is wrong."""

    save: str
    version: str
    keys: int = 0
    moved: int = 0
    problem: str = ""


def lying(unit: Unit, model: str) -> dict[int, int]:
    """How many data keys of a model lie wrapped under each version of its key, open saves among them.

    Those of a save that does not hold count for the model that their rows name: nobody can tell better, and should
    the save be put right, they are not lost. What is no wrapped key at all counts under version 0.
    """
    return dict(Counter(_under(unit, key) for key in _of(unit, model)))


def _under(unit: Unit, key: ShardKey) -> int:
    try:
        return keys.version_of(unit, _wrapped(key))
    except WeighthouseError:
        return 0


def rewrap_all(system: System, model: str) -> Iterator[Looked]:
    """Wrap all data keys of a model under the current version of its key, a save at a time, each in its own unit.

    What lies under it already is passed over, so that a second call goes on where a killed one ended. What is wrong
    with one save keeps none of the others.
    """
    for save in _ids(system):
        try:
            with begin(system, SYSTEM) as unit:
                looked = _rewrapped(unit, model, save)
        except WeighthouseError as error:
            looked = Looked(save, "", problem=f"{error.code}: {error.message}")
        if looked:
            yield looked


def verify_keys(system: System, model: str, *, stored: bool = False) -> Iterator[Looked]:
    """Try every wrapped data key of a model in its own place. Nothing is released and nothing changes.

    With `stored`, every object of its committed versions is read as well and compared with the signed manifest.
    """
    for save in _ids(system):
        try:
            with read(system) as unit:
                looked, committed = _tried(unit, model, save)
            if stored and looked and committed:
                looked = msgspec.structs.replace(looked, problem="; ".join(verify_stored(system, looked.version)))
        except WeighthouseError as error:
            looked = Looked(save, "", problem=f"{error.code}: {error.message}")
        if looked:
            yield looked


def raise_minimum(unit: Unit, caller: Caller, model: str, version: int) -> None:
    """Refuse data keys of a model that are wrapped under versions below `version` from now on.

    Raises Conflict `weights.keys_below` while any lies there, for it would be lost, and `keys.bad_minimum`.
    """
    below = sum(count for under, count in lying(unit, model).items() if under < version)
    if below:
        raise Conflict(
            "weights.keys_below",
            f"{below} data keys of '{model}' lie wrapped under versions below {version}; they would be lost.",
            f"First `weighthouse keys rewrap {model}`.",
        )
    keys.set_minimum(unit, caller, model, version)


def _ids(system: System) -> Iterator[str]:
    """Every save that has wrapped keys, page by page, so that no transaction is held meanwhile."""
    after = ""
    while True:
        with read(system) as unit:
            page = store.saves_with_keys(unit.conn, after, PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1]


def _of(unit: Unit, model: str) -> Iterator[ShardKey]:
    after, page = "", [""]
    while page:
        page = store.saves_with_keys(unit.conn, after, PAGE)
        for save_id in page:
            listed = store.find_keys(unit.conn, save_id)
            try:
                save, _ = open_save(unit, save_id)
                yield from listed if save.model == model else ()
            except WeighthouseError:
                yield from (key for key in listed if key.kek == model)
        after = page[-1] if page else ""


def _wrapped(key: ShardKey) -> keys.Wrapped:
    return keys.Wrapped(key.kek, key.kek_version, key.blob)


def _items(save: Save, listed: list[ShardKey]) -> list[tuple[keys.Wrapped, keys.Context]]:
    bound = places(save, [(key.shard, key.index, key.media) for key in listed])
    return [(_wrapped(key), place.context()) for key, place in zip(listed, bound, strict=True)]


def _rewrapped(unit: Unit, model: str, save_id: str) -> Looked | None:
    save, state = open_save(unit, save_id)
    if save.model != model:
        return None
    listed = store.find_keys(unit.conn, save_id)
    current = keys.current(unit, model)
    moved = 0
    if any(keys.version_of(unit, _wrapped(key)) != current for key in listed):
        moved = rewrap(unit, save.version) if state == COMMITTED else _rewrap_open(unit, save, listed)
        line = KeysRewrapped(
            save=save.id, version=save.version, model=model, count=moved, kek_version=keys.current(unit, model)
        )
        audit.append(unit, line)
    return Looked(save.id, save.version, len(listed), moved)


def _rewrap_open(unit: Unit, save: Save, listed: list[ShardKey]) -> int:
    """A save under way: its keys were given already, and its commit finds them wrapped anew."""
    fresh = keys.rewrap(unit, resource=save.model, items=_items(save, listed))
    moved = 0
    for key, again in zip(listed, fresh, strict=True):
        changed = msgspec.structs.replace(key, kek_version=again.version, blob=again.blob)
        moved += store.replace_key(unit.conn, save.id, changed, key.blob)
    return moved


def _tried(unit: Unit, model: str, save_id: str) -> tuple[Looked | None, bool]:
    """What was found at a save of this model, and whether it is a version."""
    save, state = open_save(unit, save_id)
    if save.model != model:
        return None, False
    if state == COMMITTED:
        open_version(unit, save.version)
    listed = store.find_keys(unit.conn, save_id)
    keys.tried(unit, resource=model, items=_items(save, listed))
    return Looked(save.id, save.version, len(listed)), state == COMMITTED
