"""Reading the registry: models, versions, lineage. Guards what exists from those who may not know of it (404)."""

from __future__ import annotations

from weighthouse.access import api as access
from weighthouse.core import paging
from weighthouse.core.caller import Caller
from weighthouse.core.errors import NotFound
from weighthouse.core.ids import check_id
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy
from weighthouse.weights import store
from weighthouse.weights.api import ends
from weighthouse.weights.api.classes import resource_of
from weighthouse.weights.api.ending import model_destruction
from weighthouse.weights.api.sealing import check_newest, open_version
from weighthouse.weights.model import KEPT, ModelEntry, Version

MAX_LINEAGE = 1_000
MAX_KNOWN = 10_000
_MODELS: dict[str, str] = {}


def _may_know(unit: Unit, caller: Caller, model: str) -> None:
    resource_of(unit, model)
    if not access.explain(unit, caller, "catalogue.read", model).allowed:
        raise NotFound("weights.no_model", "There is no such model.", "List the models you may see.")


def model_of(unit: Unit, version: str) -> str:
    """The model that a version is of, as its checked seal says; a version is of one model for ever.

    Raises NotFound `weights.no_version`.
    """
    known = _MODELS.get(version)
    if known is None:
        known = open_version(unit, check_id(version, "ver")).version.model
        if len(_MODELS) >= MAX_KNOWN:
            _MODELS.clear()
        _MODELS[version] = known
    return known


def no_version() -> NotFound:
    """The answer to a version that is not there, or that the one who asks may not know of."""
    return NotFound("weights.no_version", "There is no such version.", "List the model's versions.")


def models(unit: Unit, caller: Caller) -> list[ModelEntry]:
    """Every model the caller may know of, with its newest version."""
    found = []
    counts = store.count_versions(unit.conn)
    for id_, resource in sorted(policy.current(unit).lab.resources.items()):
        if resource.kind != "model" or not access.explain(unit, caller, "catalogue.read", id_).allowed:
            continue
        latest, order = _newest(unit, id_), model_destruction(unit, id_)
        found.append(
            ModelEntry(
                id=id_,
                name=resource.name,
                description=resource.description,
                cls=resource.cls,
                environment=resource.environment,
                owner_team=resource.owner_team,
                versions=counts.get(id_, 0),
                newest=latest.id if latest else "",
                newest_at=latest.at if latest else 0,
                state=order.state if order else KEPT,
                destruction=order,
            )
        )
    return found


def versions(unit: Unit, caller: Caller, model: str, *, limit: int = 50) -> list[Version]:
    """The first of `versions_page`."""
    return versions_page(unit, caller, model, limit=limit).items


def versions_page(
    unit: Unit, caller: Caller, model: str, *, cursor: str | None = None, limit: int = 50
) -> paging.Page[Version]:
    """A model's versions, newest first; each is checked whole."""
    _may_know(unit, caller, model)
    place = paging.place_of(cursor, "versions", (int,))
    if place is None:
        _newest(unit, model)
    found = store.list_versions(unit.conn, model, place, limit + 1)
    cut = paging.page(found, limit, "versions", lambda pair: (pair[1],), place)
    return cut.of(lambda pair: ends.shown(unit, open_version(unit, pair[0]).version))


def _newest(unit: Unit, model: str) -> Version | None:
    found = store.newest(unit.conn, model)
    check_newest(unit, model, found)
    return open_version(unit, found[0]).version if found else None


def version(unit: Unit, caller: Caller, id_: str) -> Version:
    """One version, checked whole."""
    found = open_version(unit, check_id(id_, "ver")).version
    _may_know(unit, caller, found.model)
    return ends.shown(unit, found)


def lineage(unit: Unit, caller: Caller, id_: str) -> list[Version]:
    """A version and its ancestors, newest first; each child names its parent's manifest digest, which must hold.

    Ancestors of a model that the caller may not know of end the list.
    """
    chain = [version(unit, caller, id_)]
    while chain[-1].parent is not None and len(chain) < MAX_LINEAGE:
        parent = open_version(unit, chain[-1].parent.version).version
        if parent.digest != chain[-1].parent.digest:
            raise NotFound(
                "weights.no_version", "The parent is not the one that was continued from.", "Tell security."
            )
        if not access.explain(unit, caller, "catalogue.read", parent.model).allowed:
            break
        chain.append(ends.shown(unit, parent))
    return chain
