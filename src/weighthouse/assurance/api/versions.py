"""On which version something is tried or computed. Guards evidence from being about another system than this one."""

from __future__ import annotations

from weighthouse.assurance.catalogue import CATALOGUE
from weighthouse.assurance.model import Version
from weighthouse.core.program import PROGRAM
from weighthouse.core.work import Unit
from weighthouse.policy import api as policy


def version_of(unit: Unit) -> Version:
    """Return what runs here now, under the policy in force."""
    return Version(program=PROGRAM, catalogue=CATALOGUE, policy=policy.current(unit).digest)
