"""The public face of the log. Guards its callers from having to know how it is stored or signed.

Rooms `append` facts in the transaction of their change and `pump` followers to learn what has happened; auditors
`prove`, `verify` and `export`; operators `erase` a person and, after an incident, `accept_fork`.
"""

from weighthouse.audit.api.appending import append, heartbeat, overdue
from weighthouse.audit.api.arrears import count_owed, on_its_way
from weighthouse.audit.api.behind import behind, tell_behind
from weighthouse.audit.api.checking import recognise, start, verify
from weighthouse.audit.api.clusters import MOVED
from weighthouse.audit.api.confirming import confirm_clock, heed_confirmation
from weighthouse.audit.api.doubting import doubts
from weighthouse.audit.api.finding import Lines, keep_up
from weighthouse.audit.api.following import pump
from weighthouse.audit.api.forking import accept_fork, last_signed
from weighthouse.audit.api.growing import begin
from weighthouse.audit.api.learning import learn
from weighthouse.audit.api.leaving import forget_server, join
from weighthouse.audit.api.meeting import meet
from weighthouse.audit.api.missing import LOST, watch_lines
from weighthouse.audit.api.personal import erase, reveal
from weighthouse.audit.api.proving import consistency, export, key, keys, prove, state
from weighthouse.audit.api.reading import entries, entry, head
from weighthouse.audit.api.scanning import look
from weighthouse.audit.api.sequencing import backlog, sequence
from weighthouse.audit.api.servers import EVERY as SAY_EVERY
from weighthouse.audit.api.servers import answer, say
from weighthouse.audit.api.status import condition
from weighthouse.audit.api.tallying import Tally, since
from weighthouse.audit.api.waiting import unsaid
from weighthouse.audit.api.waking import Ticking
from weighthouse.audit.api.witnessing import ask_witnesses
from weighthouse.audit.model import (
    OWED_WORDS,
    Backlog,
    Condition,
    Doubt,
    Entry,
    ExportReport,
    Follower,
    Head,
    Learner,
    Problem,
    Report,
    Witnessed,
    settings,
)

__all__ = [
    "LOST",
    "MOVED",
    "OWED_WORDS",
    "SAY_EVERY",
    "Backlog",
    "Condition",
    "Doubt",
    "Entry",
    "ExportReport",
    "Follower",
    "Head",
    "Learner",
    "Lines",
    "Problem",
    "Report",
    "Tally",
    "Ticking",
    "Witnessed",
    "accept_fork",
    "answer",
    "append",
    "ask_witnesses",
    "backlog",
    "begin",
    "behind",
    "condition",
    "confirm_clock",
    "consistency",
    "count_owed",
    "doubts",
    "entries",
    "entry",
    "erase",
    "export",
    "forget_server",
    "head",
    "heartbeat",
    "heed_confirmation",
    "join",
    "keep_up",
    "key",
    "keys",
    "last_signed",
    "learn",
    "look",
    "meet",
    "on_its_way",
    "overdue",
    "prove",
    "pump",
    "recognise",
    "reveal",
    "say",
    "sequence",
    "settings",
    "since",
    "start",
    "state",
    "tell_behind",
    "unsaid",
    "verify",
    "watch_lines",
]
