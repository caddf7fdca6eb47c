"""The public face of egress. Guards its callers from having to know how a way is built, counted or cut.

`runs` opens one way for each run, settles it at every poll and closes it; a proxy's questions are answered by
`answer`; people read `budgets` and `profiles`.
"""

from weighthouse.egress.api.feeding import Feeder
from weighthouse.egress.api.ledger import budgets, charge_output, charge_step, tidy, unheld
from weighthouse.egress.api.lending import lease
from weighthouse.egress.api.paying import join, models_of
from weighthouse.egress.api.verdicts import answer, verdict
from weighthouse.egress.api.ways import Way, close_lost, close_way, left_open, open_way, profiles, settle, way_of
from weighthouse.egress.model import CONTROL_HOST, Budget, Unheld, Verdict, WayRow, Window, settings
from weighthouse.egress.ports import Proxy, ProxyHandle, ProxySpec
from weighthouse.egress.rules.hosts import read_authority

__all__ = [
    "CONTROL_HOST",
    "Budget",
    "Feeder",
    "Proxy",
    "ProxyHandle",
    "ProxySpec",
    "Unheld",
    "Verdict",
    "Way",
    "WayRow",
    "Window",
    "answer",
    "budgets",
    "charge_output",
    "charge_step",
    "close_lost",
    "close_way",
    "join",
    "lease",
    "left_open",
    "models_of",
    "open_way",
    "profiles",
    "read_authority",
    "settings",
    "settle",
    "tidy",
    "unheld",
    "verdict",
    "way_of",
]
