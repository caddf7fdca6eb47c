"""identity's timer writes down ends that are in force; its learner takes from the log those of other servers."""

from __future__ import annotations

from weighthouse.audit.api import Learner
from weighthouse.core.clock import MINUTE
from weighthouse.core.jobs import Timer
from weighthouse.identity.api import tidy
from weighthouse.identity.api.learning import KINDS, learn

learners: tuple[Learner, ...] = (Learner(KINDS, learn),)
timers: tuple[Timer, ...] = (Timer(name="identity-tidy", every_ms=MINUTE, run=tidy),)
