"""What a hold may be on, of all that a thing belongs to. Guards a hold from being dodged by another name.

A hold on a model is on whatever was made from its versions, whatever that was saved as; one on a version is on its
children; one on a data set is on what was trained on it; one on a class or an environment is on all that is in it.
What a version was made from is read in the log alone, where no row can be edited: the parent it names, whatever its
run (or its person, outside of runs) had loaded before, what the same run had saved before, and the data set that its
run was ordered with. These are facts for ever, so they are kept.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import msgspec

from weighthouse.audit import api as audit
from weighthouse.core.ids import is_id
from weighthouse.core.work import System, Unit
from weighthouse.policy import api as policy

CLASS, ENVIRONMENT = "class:", "environment:"
MOST_KEPT = 100_000
WHOLE_KEPT, LONGEST_KEPT = 200, 2_000  # lineages that were asked about are kept whole
_SEALED = audit.Lines("weights.CheckpointSealed")
_SAVED = audit.Lines("weights.CheckpointSealed", by="person run")
_LOADED = audit.Lines("weights.LoadStarted", by="person run")
_ORDERED = audit.Lines("runs.RunSubmitted")


class About(msgspec.Struct, frozen=True):
    """What a hold may be on. `near` is what the thing itself belongs to; `far` what it was made from, with `models`
    those of it that have a name of their own. Of an `unknown` version the log does not tell yet."""

    near: frozenset[str]
    far: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()
    unknown: bool = False

    @property
    def all(self) -> frozenset[str]:
        """Both, as a hold is judged."""
        return self.near | self.far


class _Made(msgspec.Struct, frozen=True):
    """What the log says of one version: its model, from which versions it was made, and on which data set."""

    model: str
    parents: tuple[str, ...]
    data: frozenset[str]


class _Whole(msgspec.Struct, frozen=True):
    """A whole lineage: versions, the version itself among them, their models, and the data sets of their runs."""

    versions: frozenset[str]
    models: frozenset[str]
    data: frozenset[str]


_made: WeakKeyDictionary[System, dict[str, _Made]] = WeakKeyDictionary()
_whole: WeakKeyDictionary[System, dict[str, _Whole]] = WeakKeyDictionary()


def about(unit: Unit, resource: str, version: object = "") -> About:
    """Return what a hold may be on when `resource` is asked about, and one `version` of it, if one is named."""
    near = _belongs(unit, resource)
    if not isinstance(version, str) or not is_id(version, "ver"):
        return About(near)
    key = (about, resource, version)
    if key not in unit.memo:
        unit.memo[key] = _with_lineage(unit, near, version)
    found: About = unit.memo[key]
    return found


def is_version(unit: Unit, version: str) -> bool:
    """Whether the log tells of such a version."""
    return _made_of(unit, version) is not None


def model_of(unit: Unit, version: str) -> str:
    """The model of a version, as the log tells it; empty if it does not."""
    made = _made_of(unit, version)
    return made.model if made is not None else ""


def _with_lineage(unit: Unit, near: frozenset[str], version: str) -> About:
    found = _lineage(unit, version)
    things = found.models | found.data
    far = found.versions.union(things, *(_belongs(unit, one) for one in things))
    return About(near | {version}, far - near - {version}, found.models, not found.versions)


def _lineage(unit: Unit, version: str) -> _Whole:
    """The versions that one was made from, itself among them. It is kept once the log tells of them all."""
    kept = _whole.setdefault(unit.system, {})
    found = kept.get(version)
    if found is None:
        versions = _walked(unit, version)
        told = {one: made for one, made in versions.items() if made is not None}
        data = frozenset[str]().union(*(made.data for made in told.values()))
        found = _Whole(frozenset(told), frozenset(made.model for made in told.values()), data)
        if len(told) == len(versions) <= LONGEST_KEPT:
            if len(kept) >= WHOLE_KEPT:
                kept.clear()
            kept[version] = found
    return found


def _walked(unit: Unit, version: str) -> dict[str, _Made | None]:
    found: dict[str, _Made | None] = {}
    waiting = [version]
    while waiting:
        one = waiting.pop()
        if one not in found:
            made = found[one] = _made_of(unit, one)
            waiting.extend(made.parents if made is not None else ())
    return found


def _belongs(unit: Unit, resource: str) -> frozenset[str]:
    """The class and the environment of a thing. The lab itself is held by its own name alone."""
    thing = policy.current(unit).lab.resources.get(resource)
    if thing is None or resource == policy.LAB_RESOURCE:
        return frozenset()
    return frozenset((CLASS + thing.cls, ENVIRONMENT + thing.environment))


def _made_of(unit: Unit, version: str) -> _Made | None:
    kept = _made.setdefault(unit.system, {})
    found = kept.get(version)
    if found is None:
        line = _SEALED.newest(unit, version)
        if line is None:
            return None
        if len(kept) >= MOST_KEPT:
            kept.clear()
        found = kept[version] = _Made(str(line.data["model"]), _parents(unit, line), _data(unit, line))
    return found


def _data(unit: Unit, line: audit.Entry) -> frozenset[str]:
    """The data set that the run of a saved version was ordered with; none for what a person saved outside of runs."""
    run = str(line.data["run"])
    order = _ORDERED.newest(unit, run) if run else None
    return frozenset({str(order.data["dataset"])} - {""}) if order is not None else frozenset()


def _parents(unit: Unit, line: audit.Entry) -> tuple[str, ...]:
    """What had come to the hands of who saved this before: named or not, it may be in what was saved."""
    said = line.data
    who = f"{said['person']} {said['run']}"
    found = {str(said["parent"])} - {""}
    # Names and shapes come with no lease, and nobody goes on training from those.
    found |= {one.subject for one in _LOADED.of(unit, who, end=line.index) if one.data["lease"]}
    found |= {one.subject for one in _SAVED.of(unit, who, end=line.index, limit=1, newest_first=True)}
    return tuple(sorted(found))
