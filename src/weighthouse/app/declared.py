"""Every setting, follower and timer that the rooms declare, gathered in one place. Guards against one left out."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any

from weighthouse.audit.api import Follower, Learner
from weighthouse.core import machine
from weighthouse.core.jobs import Timer
from weighthouse.core.settings import DECLARED, Setting
from weighthouse.core.work import System

ROOMS = (
    "audit",
    "policy",
    "identity",
    "access",
    "keys",
    "egress",
    "weights",
    "runs",
    "detect",
    "assurance",
    "governance",
    "web",
)


def _modules(name: str) -> list[ModuleType]:
    found = []
    for room in ROOMS:
        full = f"weighthouse.{room}.{name}"
        if importlib.util.find_spec(full) is not None:
            found.append(importlib.import_module(full))
    return found


def _declared(module: ModuleType, name: str) -> tuple[Any, ...]:
    return tuple(getattr(module, name, ())) or tuple(getattr(module, name.upper(), ()))


def settings() -> tuple[Setting, ...]:
    """Return every declared setting, the ground's first."""
    rooms = tuple(setting for module in _modules("model") for setting in _declared(module, "settings"))
    return DECLARED + rooms


def followers() -> tuple[Follower, ...]:
    """Return every follower of the log."""
    return tuple(follower for module in _modules("jobs") for follower in _declared(module, "followers"))


def learners() -> tuple[Learner, ...]:
    """Return everything that learns from the log what other servers have refused."""
    return tuple(learner for module in _modules("jobs") for learner in _declared(module, "learners"))


def timers(system: System) -> list[Timer]:
    """Return every timer; a room whose timers depend on the settings declares a function of the system."""
    found = list(machine.timers)
    for module in _modules("jobs"):
        declared = getattr(module, "timers", None)
        found.extend(declared(system) if callable(declared) else _declared(module, "timers"))
    return found
