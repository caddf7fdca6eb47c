"""The registry as a run sees it, through the broker's socket. Guards nothing of its own: the same endpoints decide.

The broker ties the connection to one run; the token shows that the caller is that run. Mounted by the runs room's
broker application, never on the public listener.
"""

from __future__ import annotations

from fastapi import APIRouter

from weighthouse.weights.routes.api import begin_load, begin_save, commit, renew

router = APIRouter(prefix="/workload/v1", tags=["workload"])

router.post("/saves", status_code=201)(begin_save)
router.post("/saves/{save}/commit")(commit)
router.post("/loads", status_code=201)(begin_load)
router.post("/leases/{lease}")(renew)
