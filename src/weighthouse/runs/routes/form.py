"""The form that submits a run: what may be named is listed, what was typed is kept, what was refused says why.

Guards the person from a blank page and the server from a large one: code comes pasted or as files, within the limits
of an order. It works without JavaScript; the order itself is checked and decided by the room alone.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Form, Query
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from weighthouse.access import api as access
from weighthouse.core.caller import Caller
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.core.door import door
from weighthouse.core.errors import Conflict, Denied, Invalid, NotFound, Unavailable, WeighthouseError
from weighthouse.core.work import Unit
from weighthouse.egress import api as egress
from weighthouse.policy import api as policy
from weighthouse.runs import api
from weighthouse.runs.ports import Ground
from weighthouse.runs.rules.orders import MAX_CODE, MAX_FILES
from weighthouse.weights import api as weights

router = APIRouter(include_in_schema=False)

SHOWN_VERSIONS = 8
MINUTES = (5, 10, 30, 60, 120, 240, 480, 1440)
_STATUS = {Invalid: 400, Denied: 403, NotFound: 404, Conflict: 409, Unavailable: 503}
EXAMPLE = '''"""The smallest run that shows a curve: it trains nothing, and reports ten times."""

from weighthouse_sdk.workload import Workload

workload = Workload()
loss = 4_000_000  # millionths
for step in range(1, 11):
    loss = loss * 9 // 10
    workload.progress(progress=step * 100, loss=loss, note=f"step {step} of 10")
    print(f"step {step} loss {loss / 1e6:.4f}")
'''

Field = Annotated[str, Form(max_length=200)]


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the form."""

    model: str = ""
    environment: str = ""
    dataset: str = ""
    parent: str = ""
    risk: str = "high"
    egress_profile: str = "none"
    command: str = "python main.py"
    minutes: int = 10
    name: str = "main.py"
    code: str = ""
    more: Mapping[str, str] = {}


@router.get("/runs/new")
def new(
    request: Request,
    model: Annotated[str, Query(max_length=200)] = "",
    again: Annotated[str, Query(max_length=64)] = "",
    example: bool = False,
) -> Response:
    """The empty form; `again` fills it with the order of a run the reader may see, `example` with a small one."""
    with door(request).enter(request) as (unit, caller):
        access.require(unit, caller, "catalogue.read", "lab")
        empty = Typed(model=model, code=EXAMPLE if example else "")
        typed = _of_run(api.get(unit, caller, again)) if again else empty
        return door(request).render(request, "runs/new.html", **_shown(unit, caller, typed))


def _of_run(run: api.Run) -> Typed:
    order = run.order
    files = dict(order.code)
    name = next((part for part in order.command if part in files), next(iter(files), "main.py"))
    code = files.pop(name, "")
    return Typed(
        model=order.model, environment=order.environment, dataset=order.dataset, parent=order.parent or "",
        risk=order.risk, egress_profile=order.egress_profile, command=shlex.join(order.command),
        minutes=max(1, order.wall_clock // MINUTE), name=name, code=code, more=files,
    )  # fmt: skip


async def _uploaded(request: Request) -> list[tuple[str, bytes]]:
    """The chosen files by name; a browser sends one without a name when none was chosen."""
    form = await request.form()
    files = [value for value in form.getlist("files") if isinstance(value, UploadFile)]
    return [(file.filename, await file.read()) for file in files if file.filename]


Uploaded = Annotated[Sequence[tuple[str, bytes]], Depends(_uploaded)]


@router.post("/runs/new")
def submit(
    request: Request,
    model: Field = "",
    environment: Field = "",
    dataset: Field = "",
    parent: Field = "",
    risk: Field = "high",
    egress_profile: Field = "none",
    command: Annotated[str, Form(max_length=8192)] = "",
    minutes: Annotated[int, Form(ge=1, le=1440)] = 10,
    name: Field = "",
    code: Annotated[str, Form()] = "",
    more: Annotated[list[str], Form(max_length=MAX_FILES)] = [],  # noqa: B006  FastAPI copies it
    more_code: Annotated[list[str], Form(max_length=MAX_FILES)] = [],  # noqa: B006
    files: Uploaded = (),
) -> Response:
    """Queue the run, or show the form again with everything that was typed and why it was refused."""
    kept = dict(zip(more, more_code, strict=False))
    typed = Typed(
        model=model, environment=environment, dataset=dataset, parent=parent, risk=risk,
        egress_profile=egress_profile, command=command, minutes=minutes, name=name, code=code, more=kept,
    )  # fmt: skip
    try:
        gathered = gather(typed, files)
        with door(request).enter(request) as (unit, caller):
            run = api.submit(unit, caller, **_order(typed, gathered))
    except (Invalid, Denied, NotFound, Conflict, Unavailable) as refusal:
        status = next(code for kind, code in _STATUS.items() if isinstance(refusal, kind))
        with door(request).enter(request, write=False) as (unit, caller):
            shown = _shown(unit, caller, typed, problem=refusal, lost=[name for name, _ in files])
            return door(request).render(request, "runs/new.html", status, **shown)
    return RedirectResponse(f"/runs/{run.id}?done=submitted", 303)


def _order(typed: Typed, code: Mapping[str, str]) -> dict[str, Any]:
    try:
        command = tuple(shlex.split(typed.command))
    except ValueError:
        raise _bad("command", "has a quote that is never closed") from None
    if typed.risk not in ("low", "high"):
        raise _bad("risk", "is low or high")
    return {
        "model": typed.model, "environment": typed.environment, "dataset": typed.dataset, "command": command,
        "code": code, "parent": typed.parent.strip() or None, "risk": typed.risk,
        "egress_profile": typed.egress_profile, "wall_clock": typed.minutes * MINUTE,
    }  # fmt: skip


def gather(typed: Typed, uploaded: Sequence[tuple[str, bytes]]) -> dict[str, str]:
    """Return every code file by name: pasted, kept, uploaded. Raises `runs.bad_order` on two of a name."""
    found = {name: text.replace("\r\n", "\n") for name, text in typed.more.items()}
    if typed.code.strip():
        found[typed.name.strip()] = typed.code.replace("\r\n", "\n")
    for name, data in uploaded:
        if name in found:
            raise _bad("code", f"has two files named {name[:60]!r}: give one of them another name")
        try:
            found[name] = data.decode("utf-8")
        except UnicodeDecodeError:
            raise _bad("code", f"has a file {name[:60]!r} that is not UTF-8 text") from None
    if not found:
        raise _bad("code", "is empty: paste a program or choose its files")
    return found


def _bad(field: str, what: str) -> Invalid:
    return Invalid(
        "runs.bad_order", f"The field '{field}' {what}.", "Correct the field and submit again.", field=field
    )


def _shown(
    unit: Unit,
    caller: Caller,
    typed: Typed,
    problem: WeighthouseError | None = None,
    lost: Sequence[str] = (),
) -> dict[str, Any]:
    lab = policy.current(unit).lab
    ground = unit.part(Ground)
    models = [one for one in lab.resources.values() if one.kind == "model" and _may(unit, caller, one.id)]
    datasets = [one for one in lab.resources.values() if one.kind == "dataset" and _here(ground, one.id)]
    longest = unit.system.settings.integer("runs.wall_clock_s") * SECOND // MINUTE
    return {
        "typed": typed,
        "problem": problem,
        "lost": list(lost),
        "models": models,
        "datasets": datasets,
        "environments": api.environments(unit),
        "profiles": egress.profiles(unit),
        "versions": [version for one in models for version in _versions(unit, caller, one.id)],
        "minutes": sorted({one for one in (*MINUTES, typed.minutes) if one <= max(1, longest)}),
        "most_files": MAX_FILES,
        "most_code": MAX_CODE,
    }


def _here(ground: Ground, dataset: str) -> bool:
    held = ground.dataset(dataset)
    if held is not None:
        os.close(held)
    return held is not None


def _may(unit: Unit, caller: Caller, model: str) -> bool:
    said = access.explain_without_key(unit, caller, "run.submit", model, order="", risk="high", egress_profile="none")
    return said.allowed


def _versions(unit: Unit, caller: Caller, model: str) -> list[weights.Version]:
    try:
        return weights.versions(unit, caller, model, limit=SHOWN_VERSIONS)
    except WeighthouseError:  # none yet, or not the reader's to know: the field takes an id by hand as well
        return []
