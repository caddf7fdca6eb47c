"""The face of the registry. Each function checks, decides, stores and appends to the log in one transaction.

Producers `begin_save`, write ciphertext, have it taken over (`take`), `commit`; readers `begin_load` and `renew`;
people list, follow lineage, see their read budget, `export`, and `destroy` or `undestroy` a version or a whole model,
by an approved operation; the runs room asks for folders.
"""

from weighthouse.weights.api.budgets import read_budget
from weighthouse.weights.api.collecting import sweep
from weighthouse.weights.api.describing import describe
from weighthouse.weights.api.destroying import destroy, destruction, finish, undestroy
from weighthouse.weights.api.ending import destroy_model, finish_models, model_destruction, undestroy_model
from weighthouse.weights.api.ends import check_model
from weighthouse.weights.api.exporting import export, export_once
from weighthouse.weights.api.keeping import drop_outbox, inbox, lend_outbox, outbox, rewrap, verify_stored
from weighthouse.weights.api.lent import extend, lend, lenders, look, open_lender, write
from weighthouse.weights.api.lineage import opened
from weighthouse.weights.api.loading import begin_load, renew
from weighthouse.weights.api.previewing import leases_stopped_by, orders_stopped_by
from weighthouse.weights.api.reading import (
    lineage,
    model_of,
    models,
    no_version,
    version,
    versions,
    versions_page,
)
from weighthouse.weights.api.rewrapping import Looked, lying, raise_minimum, rewrap_all, verify_keys
from weighthouse.weights.api.saving import begin_save, commit
from weighthouse.weights.api.taking import take, take_and_commit
from weighthouse.weights.api.telling import origins
from weighthouse.weights.model import (
    Destruction,
    Export,
    Exported,
    Lease,
    LoadTicket,
    ModelDestruction,
    ModelEntry,
    ParentRef,
    ReadBudget,
    SaveTicket,
    TensorRow,
    Tensors,
    TicketKey,
    Version,
    settings,
)
from weighthouse.weights.ports import Lender, LenderBeside, ObjectStore

__all__ = [
    "Destruction",
    "Export",
    "Exported",
    "Lease",
    "Lender",
    "LenderBeside",
    "LoadTicket",
    "Looked",
    "ModelDestruction",
    "ModelEntry",
    "ObjectStore",
    "ParentRef",
    "ReadBudget",
    "SaveTicket",
    "TensorRow",
    "Tensors",
    "TicketKey",
    "Version",
    "begin_load",
    "begin_save",
    "check_model",
    "commit",
    "describe",
    "destroy",
    "destroy_model",
    "destruction",
    "drop_outbox",
    "export",
    "export_once",
    "extend",
    "finish",
    "finish_models",
    "inbox",
    "leases_stopped_by",
    "lend",
    "lend_outbox",
    "lenders",
    "lineage",
    "look",
    "lying",
    "model_destruction",
    "model_of",
    "models",
    "no_version",
    "open_lender",
    "opened",
    "orders_stopped_by",
    "origins",
    "outbox",
    "raise_minimum",
    "read_budget",
    "renew",
    "rewrap",
    "rewrap_all",
    "settings",
    "sweep",
    "take",
    "take_and_commit",
    "undestroy",
    "undestroy_model",
    "verify_keys",
    "verify_stored",
    "version",
    "versions",
    "versions_page",
    "write",
]
