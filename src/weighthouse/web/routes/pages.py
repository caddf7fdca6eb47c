"""The console's own pages: home and the audit explorer."""

from __future__ import annotations

from fastapi import APIRouter

from weighthouse.web.routes import audit, home

router = APIRouter(include_in_schema=False)
router.include_router(home.router)
router.include_router(audit.router)
