"""Timers of the registry. Guards storage from filling with saves that never came to an end."""

from __future__ import annotations

from weighthouse.core.clock import HOUR
from weighthouse.core.jobs import Timer
from weighthouse.weights import api

TIMERS = (Timer("weights-sweep", HOUR, api.sweep),)
