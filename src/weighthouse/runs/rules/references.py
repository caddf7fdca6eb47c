"""What an order names, and what following each name does. Guards against a name that is followed without asking.

Every field of an order is either plain or a reference with the action that following it needs: an order with a field
that is neither cannot be read here, so nobody can add a name that is looked up and never asked about.
"""

from __future__ import annotations

import msgspec

from weighthouse.runs.model import Order

PLAIN = frozenset({"command", "code", "risk", "wall_clock"})
# A sandbox environment and a way out have no action of their own: the class of the model says which environments its
# runs may have, the signed policy which profiles there are, and both are part of what `run.submit` is asked for.
ACTIONS = {
    "model": "run.submit",
    "parent": "weights.load",
    "dataset": "catalogue.read",
    "environment": "run.submit",
    "egress_profile": "run.submit",
}


class Reference(msgspec.Struct, frozen=True):
    """One thing that an order names: its field, its id, and the action that following it needs."""

    field: str
    id: str
    action: str


def references(order: Order) -> tuple[Reference, ...]:
    """Return everything that an order names; KeyError for a field that nobody has classified."""
    named = [name for name in Order.__struct_fields__ if name not in PLAIN]
    found = [(name, ACTIONS[name], getattr(order, name)) for name in named]
    return tuple(Reference(name, value, action) for name, action, value in found if value is not None)
