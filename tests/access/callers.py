"""Who may do what, as one table: every action, by every kind of caller, under every condition of a class.

Nothing is written down here but the cells' names: each answer is asked of the decision itself, in a lab made for it.
An action or a condition that is new shows in the table, which is compared with the one that was reviewed last.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from msgspec import structs

from tests.access.support import Key, Lab
from weighthouse.access import api
from weighthouse.core.caller import SYSTEM, Caller
from weighthouse.core.clock import HOUR, MINUTE, ManualClock
from weighthouse.core.database import Database
from weighthouse.core.ids import DeviceId
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity
from weighthouse.policy import api as policy

LISTED, OTHER = "sha256:" + "d" * 64, "sha256:" + "e" * 64
MODELS = {
    "plain": "no condition",
    "open": "allows loading and saving outside of runs",
    "signed": "second factor of the last hour, device signatures",
    "gvisor": "sandbox gvisor",
    "images": "lists one image",
    "elsewhere": "in another environment than the runs",
    "pinned": "the grant is for another operation",
    "over": "the grant has ended",
    "held": "a hold stands",
}
_CLASS = {
    "open": "outside_runs: [weights.load, weights.save]",
    "signed": "assurance: 2, fresh: 1h, vote_signature: device",
    "gvisor": "sandbox: gvisor",
    "images": f"images: ['{LISTED}']",
}
_USUAL = ("assurance: 1", "fresh: 12h", "vote_signature: attested", "sandbox: any")


def _class(name: str) -> str:
    own = _CLASS.get(name, "")
    usual = [one for one in _USUAL if one.split(":")[0] + ":" not in own]
    fields = ", ".join([*usual, *([own] if own else [])])
    return f"  {name}: {{rank: 1, longest_grant: 8h, read_budget: 1GiB, {fields}}}\n"


def _entitlement(name: str) -> str:
    """Everything at once, and what stands alone wherever it is given."""
    place = "there" if name == "elsewhere" else "here"
    pinned = ", operation: [version]" if name == "pinned" else ""
    longest = "1m" if name == "over" else "8h"
    common = (
        f"resources: [model/{name}], environment: {place}, eligible: [staff], "
        f"duration: {{default: {longest}, longest: {longest}}}"
    )
    rest = ", ".join(one for one in policy.ACTIONS if one not in policy.IRREVERSIBLE)
    return (
        f"  do-{name}: {{description: Everything., actions: [{rest}], approval: none, {common}{pinned}}}\n"
        + "".join(
            f"  end-{pin}-{name}: {{description: The end., actions: [{action}], operation: [{pin}], "
            f"approval: {{second: {{team: others, count: 1}}}}, {common}}}\n"
            for action, pin in policy.IRREVERSIBLE.items()
        )
    )


def _resource(name: str) -> str:
    place = "there" if name == "elsewhere" else "here"
    return f"  model/{name}: {{class: {name}, environment: {place}, owner: staff}}\n"


TEXT = (
    "schema: weighthouse/lab/1\nlab: {id: table, name: Table}\nenvironments: {here: {name: Here}, there: {name: There}}\n"
    f"classes:\n{''.join(map(_class, MODELS))}"
    "teams: {staff: {name: Staff}, others: {name: Others}}\n"
    "people: {ada: {name: Ada, accounts: [{issuer: dev, subject: ada}], teams: [staff]}, "
    "bob: {name: Bob, accounts: [{issuer: dev, subject: bob}], teams: [others]}}\n"
    f"resources:\n  lab: {{class: plain, environment: shared, owner: staff}}\n{''.join(map(_resource, MODELS))}"
    f"entitlements:\n{''.join(map(_entitlement, MODELS))}"
)


def _keys(lab: Lab) -> tuple[DeviceId, DeviceId]:
    """A key of Ada's that the operator has confirmed, and one that she enrolled beside it a moment ago."""
    made = []
    for name in ("grown", "young"):
        key = Key()
        mark = identity.thumbprint_of(key.jwk)
        lab.confirm(lab.caller("ada"), "device.enrol", mark)
        with begin(lab.system, lab.caller("ada")) as unit:
            made.append(identity.enrol_device(unit, lab.caller("ada"), key.jwk, name).id)
            if name == "grown":
                identity.confirm_first_key(unit, "ada", made[0], mark=mark, reason="seen in person")
    return made[0], made[1]


def _ends(lab: Lab) -> None:
    """What takes a second person has one, whose key counts."""
    device, mark = lab.device("bob"), identity.thumbprint_of(lab.keys["bob"].jwk)
    with begin(lab.system) as unit:
        identity.confirm_first_key(unit, "bob", device, mark=mark, reason="seen in person")
    for name in MODELS:
        span = MINUTE if name == "over" else 8 * HOUR
        for pin in policy.IRREVERSIBLE.values():
            operation = {pin: "ver_1" if name == "pinned" else "ver_2"}
            request = lab.ask("ada", f"end-{pin}-{name}", f"model/{name}", duration=span, operation=operation)
            lab.vote("bob", request.id)


def _grants(lab: Lab) -> None:
    for name in MODELS:
        operation = {"version": "ver_1"} if name == "pinned" else None
        span = MINUTE if name == "over" else 8 * HOUR
        lab.ask("ada", f"do-{name}", f"model/{name}", duration=span, operation=operation)
    with begin(lab.system) as unit:
        api.place_hold(unit, SYSTEM, "model/held", "Looked into.", actions=())
    lab.clock.advance(2 * MINUTE)


def _callers(lab: Lab, grown: DeviceId, young: DeviceId) -> dict[str, Caller]:
    """Everybody who may ask. What is not named is as good as it can be."""
    person = structs.replace(lab.caller("ada"), device=grown)
    good = {"environment": "here", "image_digest": LISTED, "model": "model/signed"}
    run = lab.workload("run_good", "ada", **good)
    return {
        "person": person,
        "person, one factor": structs.replace(person, assurance=lab.caller("ada", level=1).assurance),
        "person, factor 2 h old": structs.replace(person, assurance=lab.caller("ada", age=2 * HOUR).assurance),
        "person, no key": structs.replace(person, device=None),
        "person, young key": structs.replace(person, device=young),
        "person, other account": structs.replace(person, account=policy.account_ref("dev", "bob")),
        "run, gvisor": run,
        "run, bubblewrap": lab.workload("run_bwrap", "ada", **good, sandbox="bubblewrap"),
        "run, other image": lab.workload("run_image", "ada", **{**good, "image_digest": OTHER}),
        "run, other place": lab.workload("run_place", "ada", **{**good, "environment": "there"}),
        "run, ordered on plain": lab.workload("run_plain", "ada", **{**good, "model": "model/plain"}),
        "run, not its socket": structs.replace(run, binding="none"),
        "system": SYSTEM,
    }


def answers() -> Iterator[tuple[str, str, str, api.Decision]]:
    """Ask everything: yield model, caller, action and decision."""
    with tempfile.TemporaryDirectory(prefix="wh-") as folder:
        database = Database(f"sqlite:///{folder}/lab.db")
        database.create_all()
        lab = Lab(database, ManualClock(1_790_000_000_000), Path(folder), TEXT)
        _ends(lab)
        lab.system.settings = lab.system.settings.changed(**{"identity.new_keys": "confirm"})
        keys = _keys(lab)
        _grants(lab)
        callers = _callers(lab, *keys)
        with read(lab.system) as unit:
            for model in MODELS:
                for name, caller in callers.items():
                    for action in sorted({*policy.ACTIONS, *policy.IMPLIED}):
                        yield (
                            model,
                            name,
                            action,
                            api.explain(unit, caller, action, f"model/{model}", version="ver_2", newest="ver_2"),
                        )
        database.close()


def forbids() -> frozenset[str]:
    """The rules that forbid, by the names that they carry in the text of the rules."""
    text = (resources.files("weighthouse.policy.rules") / "cedar" / "lab.cedar").read_text("utf-8")
    return frozenset(re.findall(r'@id\("([a-z-]+)"\)\nforbid', text))


def _said(actions: list[str]) -> str:
    every = len(actions) == len(policy.ACTIONS) + len(policy.IMPLIED)
    return "everything" if every else " ".join(actions)


def table() -> str:
    """The table for readers: for each model and caller one line a code, with the actions that it answers."""
    cells: dict[tuple[str, str], dict[str, list[str]]] = {}
    for model, caller, action, decision in answers():
        cells.setdefault((model, caller), {}).setdefault(decision.reasons[0].code, []).append(action)
    lines = [
        "Who may do what: every action by every kind of caller under every condition, as the decision answers.",
        "Made by `python -m tests.house.refresh`; the diff is the review. Rules that forbid:",
        *(f"  {rule}" for rule in sorted(forbids())),
    ]
    for model, about in MODELS.items():
        lines += ["", f"model/{model}: {about}"]
        for (where, caller), codes in cells.items():
            if where == model:
                lines.append(f"  {caller}")
                lines += [f"    {code}: {_said(actions)}" for code, actions in sorted(codes.items())]
    return "\n".join(lines) + "\n"
