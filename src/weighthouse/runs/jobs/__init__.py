"""What runs by itself in this room: the embedded runner, and the followers that stop what lost its ground."""

from weighthouse.runs.jobs.followers import followers, learners
from weighthouse.runs.jobs.runner import Runner

__all__ = ["Runner", "followers", "learners"]
