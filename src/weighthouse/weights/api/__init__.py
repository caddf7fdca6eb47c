"""The face of the registry. Each function checks, decides, stores and appends to the log in one transaction.

Producers `begin_save`, write ciphertext, `commit`; readers `begin_load` and `renew`; people list, follow lineage, see
their read budget, `export` with an approved operation, and `destroy`; the runs room asks for folders.
"""

from weighthouse.weights.api.budgets import read_budget
from weighthouse.weights.api.exporting import export
from weighthouse.weights.api.keeping import destroy, inbox, outbox, rewrap, sweep, verify_stored
from weighthouse.weights.api.loading import begin_load, renew
from weighthouse.weights.api.reading import lineage, models, newest, version, versions
from weighthouse.weights.api.saving import begin_save, commit
from weighthouse.weights.model import (
    Export,
    Lease,
    LoadTicket,
    ModelEntry,
    ParentRef,
    ReadBudget,
    SaveTicket,
    TicketKey,
    Version,
    settings,
)
from weighthouse.weights.ports import ObjectStore

__all__ = [
    "Export",
    "Lease",
    "LoadTicket",
    "ModelEntry",
    "ObjectStore",
    "ParentRef",
    "ReadBudget",
    "SaveTicket",
    "TicketKey",
    "Version",
    "begin_load",
    "begin_save",
    "commit",
    "destroy",
    "export",
    "inbox",
    "lineage",
    "models",
    "newest",
    "outbox",
    "read_budget",
    "renew",
    "rewrap",
    "settings",
    "sweep",
    "verify_stored",
    "version",
    "versions",
]
