"""Timers of the registry. Guards storage from filling with saves that never came to an end, and orders to
destroy from being carried out by anything but a second look."""

from __future__ import annotations

from weighthouse.core.clock import HOUR, MINUTE
from weighthouse.core.jobs import Timer
from weighthouse.weights import api

TIMERS = (
    Timer("weights-sweep", HOUR, api.sweep),
    Timer("weights-destroy", MINUTE, api.finish),
    Timer("weights-destroy-models", MINUTE, api.finish_models),
)
