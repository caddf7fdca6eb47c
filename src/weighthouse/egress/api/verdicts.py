"""Yes or no to one connection. Guards the allow-list at the moment of use, with exactly one entry for each answer.

The list is read from the signed policy each time, so an entry that expired or was withdrawn a minute ago is refused
now, though the proxy was configured when it still stood.
"""

from __future__ import annotations

import hashlib

from weighthouse.audit import api as audit
from weighthouse.core.caller import SYSTEM
from weighthouse.core.work import System, Unit, begin
from weighthouse.egress.api import remembered
from weighthouse.egress.api.ledger import charge_output
from weighthouse.egress.api.lending import lend
from weighthouse.egress.events import Refused
from weighthouse.egress.model import Verdict, WayRow
from weighthouse.egress.ports import Question
from weighthouse.egress.rules.hosts import Authority, read_authority, read_host, shorten
from weighthouse.policy import api as policy

REASONS = {
    "egress.ip_literal": "addresses are never listed; name the host",
    "egress.bad_host": "this is not a host name",
    "egress.bad_port": "this is not a port",
    "egress.unknown_host": "the profile does not list this host",
    "egress.unknown_port": "the profile lists this host on another port",
    "egress.entry_expired": "the entry for this host has expired",
    "egress.leads_inside": "this host had no address outside when the way was opened",
    "egress.not_a_tunnel": "only a tunnel (CONNECT) leads out; plain requests reach the broker alone",
    "egress.name_differs": "the name inside the tunnel is not the destination's",
    "egress.budget_spent": "no bytes are left to lend for this destination",
    "egress.way_closed": "the run has no open way out",
}

REFUSAL_BYTES = 8  # what the port and the kind of a refusal can tell


def token_digest(token: str) -> str:
    """Return the form in which a way's token is kept: one that opens nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


def answer(system: System, question: Question) -> bool:
    """Answer a proxy's question in a unit of its own; whatever goes wrong is raised, and the server says no."""
    with begin(system, SYSTEM) as unit:
        run = remembered.run_of(unit, token_digest(question.token))
        way = remembered.way(unit, run, lock=True) if run else None
        if way is None or not _open(unit, way):
            return False
        authority = read_authority(question.authority, 0)
        if question.kind == "inner":
            return _inner(unit, way, authority, question.server_name)
        if question.kind == "outer" and not question.tunnel:
            _refuse(unit, way, authority, authority.code or _listed(unit, way, authority) or "egress.not_a_tunnel")
            return False
        return question.kind == "outer" and _decide(unit, way, authority).allowed


def verdict(unit: Unit, workload_run: str, profile: str, host: str, port: int) -> Verdict:
    """Judge one connection of a run and append `egress.Connected` or `egress.Refused`."""
    way = remembered.way(unit, workload_run, lock=True)
    if way is None or way.profile != profile or not _open(unit, way):
        return _verdict(Authority(host[:100], port), "egress.way_closed")
    return _decide(unit, way, read_authority(f"{host}:{port}", port))


def _open(unit: Unit, way: WayRow) -> bool:
    # Past a limit nothing more is written: a run cannot fill the log by knocking, and `settle` cuts it.
    settings = unit.system.settings
    within = way.refused < settings.integer("egress.max_refusals")
    within = within and way.connected < settings.integer("egress.max_connections")
    return way.closed is None and way.spent_at is None and within


def _verdict(authority: Authority, code: str) -> Verdict:
    reason = REASONS.get(code, "listed")
    return Verdict(allowed=not code, host=authority.host, port=authority.port, code=code, reason=reason)


def _decide(unit: Unit, way: WayRow, authority: Authority) -> Verdict:
    code = authority.code or _listed(unit, way, authority)
    if not code:
        destination = f"{authority.host}:{authority.port}"
        credit = remembered.credits_of(unit, way.run).get(destination)
        if credit is None or credit.left <= 0:
            code = "" if lend(unit, way, destination, 0) else "egress.budget_spent"
            if code:  # BudgetSpent is the one entry that tells of it
                return _verdict(authority, code)
    if code:
        _refuse(unit, way, authority, code)
    else:
        remembered.count_connection(unit, way)  # the log tells of it once it was made
    return _verdict(authority, code)


def _listed(unit: Unit, way: WayRow, authority: Authority) -> str:
    """Return the code of why the profile does not allow this destination now; empty when it does."""
    profile = policy.current(unit).lab.egress_profiles.get(way.profile)
    named = [e for e in profile.entries if read_host(e.host, e.port).host == authority.host] if profile else []
    entry = next((e for e in named if e.port == authority.port), None)
    if entry is None:
        return "egress.unknown_port" if named else "egress.unknown_host"
    if entry.ends <= unit.now:
        return "egress.entry_expired"
    return "" if f"{authority.host}:{authority.port}" in way.leads.split() else "egress.leads_inside"


def standing(unit: Unit, way: WayRow, destination: str) -> str:
    """Return the code of why `host:port` is not listed any more for an open way; empty while it is."""
    return _listed(unit, way, read_authority(destination, 0))


def _inner(unit: Unit, way: WayRow, authority: Authority, server_name: str) -> bool:
    """Judge the name in the greeting inside a tunnel (research case 47); the yes was logged when it was opened."""
    if not authority.code and read_host(server_name, 0).host == authority.host:
        return True
    _refuse(unit, way, authority, "egress.name_differs", inside=read_host(server_name, 0).host)
    return False


def _refuse(unit: Unit, way: WayRow, authority: Authority, code: str, inside: str = "") -> None:
    """Count a refusal, and put it on record if it is a new one: what a run may write into the log is bounded."""
    remembered.count_refusal(unit, way)
    mark = hashlib.sha256(f"{code} {authority.port} {authority.host} {inside}".encode()).hexdigest()[:32]
    if not remembered.is_new_refusal(unit, way.run, mark, unit.system.settings.integer("egress.logged_refusals")):
        return
    host, within = shorten(authority.host), shorten(inside)
    if not charge_output(unit, way.run, len(host) + len(within) + REFUSAL_BYTES):
        host = within = ""
    fact = Refused(run=way.run, profile=way.profile, host=host, port=authority.port, code=code, inside=within)
    audit.append(unit, fact)
