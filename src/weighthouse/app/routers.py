"""Every room's routes, JSON and pages, in the order of the floors."""

from __future__ import annotations

import importlib
import importlib.util

from fastapi import APIRouter

from weighthouse.app.declared import ROOMS
from weighthouse.policy import api as policy

# Code of a run and a manifest have limits of about half of this in their own shapes.
LARGER_BODIES = dict.fromkeys(
    ("/api/v1/runs", "/runs/new", "/api/v1/weights/saves", "/workload/v1/saves"), 2 * 1024 * 1024
)
# A policy's text, published, checked, weighed or voted on: JSON may write a letter of two bytes in six.
LARGER_BODIES |= dict.fromkeys(
    ("/api/v1/policy", "/api/v1/egress/check", "/api/v1/motions"), 3 * policy.LAB_LIMIT + 64 * 1024
)
MODULES = ("api", "browser", "pages", "workload")


def every() -> list[APIRouter]:
    """Return the routers of every room that has routes."""
    found: list[APIRouter] = []
    for room in ROOMS:
        for module in MODULES:
            name = f"weighthouse.{room}.routes.{module}"
            if importlib.util.find_spec(f"weighthouse.{room}.routes") and importlib.util.find_spec(name):
                router = importlib.import_module(name).router
                assert isinstance(router, APIRouter)
                found.append(router)
    return found
