"""identity's timer writes down ends that are in force, its follower which keys fall with them; its learner takes from
the log those of other servers."""

from __future__ import annotations

from weighthouse.audit.api import Follower, Learner
from weighthouse.core.clock import MINUTE
from weighthouse.core.jobs import Timer
from weighthouse.identity.api import falling, tidy
from weighthouse.identity.api.learning import KINDS, learn

followers: tuple[Follower, ...] = (Follower(name="identity-keys", kinds=falling.KINDS, handle=falling.fall),)
learners: tuple[Learner, ...] = (Learner(KINDS, learn),)
timers: tuple[Timer, ...] = (Timer(name="identity-tidy", every_ms=MINUTE, run=tidy),)
