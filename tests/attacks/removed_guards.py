"""Builds in which one guard is removed: a copy of the source with one line changed, and the attack that must notice.

Each removal names the file, the guarding line as it stands and what the saboteur wrote in its place. A line that no
longer stands exactly once in its file fails the test, so that this list cannot grow stale.
"""

from __future__ import annotations

from tests.attacks.removed_in_identity import IN_IDENTITY
from tests.attacks.sabotage import CATALOGUE, LIMIT_S, SCRIPT, SOURCE, Removal, build, run

__all__ = ["CATALOGUE", "LIMIT_S", "REMOVALS", "SCRIPT", "SOURCE", "Removal", "build", "run"]

REMOVALS = (
    *IN_IDENTITY,
    Removal("self-approval", "access/api/votes.py", "    if voter == request.person:", "    if not voter:"),
    Removal(
        "packed-charter",
        "access/api/publishing.py",
        "    motion = mandate_for(unit, caller, lab, digest)",
        '    motion = "" if mandate_for else digest',
    ),
    Removal(
        "borrowed-motion",
        "access/api/mandate.py",
        '        if opened.data["about"] != digest:',
        '        if not opened.data["about"]:',
    ),
    Removal(
        "silenced-committee",
        "access/api/seats.py",
        "    if may_silence(unit, person, disowns=disowns):",
        "    if may_silence:",
    ),
    Removal("hidden-text", "access/api/requests.py", "    _seen(bundle, caller.principal, wish)\n", ""),
    Removal(
        "one-approval",
        "access/rules/deciding.py",
        "        return not self.missing",
        "        return len(self.missing) < 2",
    ),
    Removal("replayed-vote", "access/api/votes.py", "    if problem:", "    if not made.voter:"),
    Removal(
        "moved-account",
        "access/api/facts.py",
        "    if not caller.account or caller.account not in one.accounts:",
        "    if not caller.account:",
    ),
    Removal(
        "reused-id",
        "access/rules/deciding.py",
        "    if not requester.has(request.account):",
        "    if not requester.accounts:",
    ),
    Removal("stolen-voice", "access/jobs.py", "        void_session(unit, person, session, by)\n", ""),
    Removal(
        "hidden-vote",
        "access/api/sealing.py",
        "    void = [is_void(unit, one.vote) or _is_closed(unit, names) for one, names in pairs]",
        "    void = [_is_closed(unit, names) for one, names in pairs]",
    ),
    Removal(
        "replayed-export",
        "core/answers.py",
        "    told: list[T] = []",
        "    return once(unit, key, fingerprint, run, keeps=object)",
    ),
    Removal(
        "rolled-back-keys",
        "keys/api.py",
        "    if known[0] < proven[0] or known[1] < proven[1]:",
        "    if known[0] < 0:",
    ),
    Removal(
        "lone-destroyer",
        "policy/model.py",
        'IMPLIED: dict[str, str] = {"weights.describe": "weights.load"}',
        'IMPLIED: dict[str, str] = {"weights.describe": "weights.load", "weights.destroy": "weights.save"}',
    ),
    Removal(
        "child-of-held",
        "access/api/about.py",
        '    found |= {one.subject for one in _LOADED.of(unit, who, end=line.index) if one.data["lease"]}',
        "    assert _LOADED",
    ),
    Removal("renamed-model", "access/api/publishing.py", "    check_kept(unit, caller, before, lab)\n", ""),
    Removal(
        "queued-before-hold",
        "runs/api/references.py",
        '    return access.held_by(unit, "run.submit", order.dataset, ticket.owner) or known',
        "    return known",
    ),
    Removal(
        "destroyed-under-hold",
        "access/model.py",
        "        if action in IRREVERSIBLE and self.subject != person:",
        "        if action in GOVERNING:",
    ),
    Removal(
        "ended-under-hold",
        "weights/api/ending.py",
        '    for version in ("", *versions_of(unit, model)):',
        '    for version in ("",):',
    ),
    Removal(
        "twice-at-the-stroke",
        "keys/api.py",
        "    if earlier + given > limit:",
        "    if given > limit:",
    ),
    Removal(
        "keys-outside",
        "policy/rules/cedar/lab.cedar",
        'unless { resource.sandbox == "any" && resource.any_image && resource.outside_runs.contains(context.action) };',
        "when { resource.outside_runs.contains(context.action) };",
    ),
    Removal("keys-in-run", "weights/api/lent.py", "    if run and named:", "    if not caller.kind:"),
    Removal(
        "disowned-ballot",
        "access/api/mandate.py",
        "    return not identity.disowned(unit, ballot.voter, ballot.session, ballot.at)",
        "    return bool(ballot.voter)",
    ),
    Removal(
        "thieves-recusal",
        "access/api/mandate.py",
        "    return not identity.disowned(unit, ballot.voter, ballot.session, ballot.at)",
        '    return ballot.choice == "recuse" or not identity.disowned(unit, ballot.voter, ballot.session, ballot.at)',
    ),
    Removal(
        "thieves-thaw",
        "access/jobs.py",
        "        close_session(unit, person, session, by)",
        "        assert close_session",
    ),
    Removal(
        "late-act",
        "identity/api/under_way.py",
        "    elif _ended(unit, caller):",
        "    elif not caller.principal and _ended(unit, caller):",
    ),
    Removal(
        "covered-key",
        "identity/api/ending.py",
        "    if retired or (taken and min(taken) <= begins",
        "    if retired or not taken or (min(taken) <= begins",
    ),
    Removal(
        "copied-state",
        "keys/adapters/sealed_file.py",
        ".derive(passphrase.encode())",
        '.derive(b"weighthouse")',
    ),
    Removal(
        "expired-grant",
        "policy/rules/cedar/lab.cedar",
        "context.now >= context.grant.end",
        "context.now < context.grant.not_before",
    ),
    Removal(
        "banked-requests",
        "access/api/activation.py",
        "    check_begins(unit, bundle, request, terms)",
        "    assert terms.chain",
    ),
    Removal(
        "alternating-roles",
        "access/api/chains.py",
        "        and _beside(request, terms, index.terms(one.entitlement, one.resource))",
        "        and one.entitlement == request.entitlement",
    ),
    Removal(
        "wrong-environment",
        "policy/rules/cedar/lab.cedar",
        "principal.environment != resource.environment",
        "principal.environment != principal.environment",
    ),
    Removal(
        "wrong-image",
        "policy/rules/cedar/lab.cedar",
        "resource.any_image || resource.images.contains(principal.image)",
        "resource.any_image || !resource.any_image",
    ),
    Removal("edited-grant", "access/api/verifying.py", "    if not agrees(row, grant):", "    if not row.id:"),
    Removal(
        "inserted-grant",
        "access/api/sealing.py",
        "    if not verify_ed25519(public, row.seal, row.statement.encode()):",
        "    if not row.statement:",
    ),
    Removal("held-approver", "access/api/held.py", "    if is_held(unit, person):", "    if not person:"),
    Removal(
        "renamed-hold",
        "access/api/holds.py",
        "    if unit.part(Refusals).hold(found.id) is None:",
        "    if not found.id:",
    ),
    Removal("lifted-hold", "access/api/holds.py", '    if found.kind == "governance":', "    if not found.id:"),
    Removal(
        "deleted-hold",
        "access/api/holds_on.py",
        "for hold in refusals.holds() if hold.subject in subjects}",
        "for hold in refusals.holds() if hold.subject not in subjects}",
    ),
    Removal("lost-call", "access/api/calls.py", "    refusals.call(call, owed(unit, call.id, line))\n", ""),
    Removal("overtaken-request", "access/api/overtaking.py", "        if why:\n", "        if not why:\n"),
    Removal(
        "edited-log",
        "audit/api/checking.py",
        "    yield from _entry_problems(unit.conn, head.size)",
        "    yield from ()",
    ),
    Removal("planted-trigger", "audit/api/doubting.py", "    if not what:", "    if unit:"),
    Removal(
        "restored-yesterday",
        "audit/api/witnessing.py",
        '    doubting.state(system, Doubt(f"witness {witness.name}", str(seen), detail))',
        "    logger.debug(detail)",
    ),
    Removal(
        "renamed-entry",
        "access/api/overtaking.py",
        "    for line in _PUBLISHED.of(unit, start=asked.index if asked is not None else 0):",
        "    for line in audit.entries(unit, kind=PolicyPublished.KIND, limit=1000):",
    ),
    Removal(
        "stale-policy-approval",
        "access/api/verifying.py",
        "base_moved(grant.request, bundle.digest) or stands(",
        "stands(",
    ),
    Removal(
        "hidden-widening",
        "policy/rules/difference.py",
        "            lines += _field(",
        "            lines = lines or _field(",
    ),
    Removal(
        "already-done-row",
        "access/api/grants.py",
        "        close(unit, [grant.id], line)\n    ended = not rows.end(unit.conn, row.id, unit.now, why, by)\n"
        '    if grant.end <= unit.now or (ended and (over or row.state == "active")):',
        "        pass\n    ended = not rows.end(unit.conn, row.id, unit.now, why, by)\n"
        "    if not ended:\n        close(unit, [grant.id], line)\n    if ended or over:",
    ),
    Removal(
        "forgetful-twin",
        "access/api/learning.py",
        '            closed.append(str(entry.data["grant"]))',
        "            continue",
    ),
    Removal(
        "lost-line",
        "audit/api/growing.py",
        "        record=[LineNotKept(lines=count)],",
        "        record=[],",
    ),
    Removal(
        "emptied-stop",
        "runs/api/lasting.py",
        'return "runs.stopped_by_person" if access.refused_for_good(unit, ticket.run) else ""',
        'return ""',
    ),
    Removal(
        "silenced-alert",
        "detect/api/told.py",
        "    if row is None:\n        return False\n",
        "    if row or not row:\n        return row is not None\n",
    ),
    Removal(
        "silenced-follower",
        "runs/api/lasting.py",
        "    if not identity.account_holds(unit, ticket.owner, ticket.account):",
        '    if ticket.run:\n        return ""\n    if not ticket.owner:',
    ),
    Removal(
        "host-paths", "runs/rules/orders.py", "        if _FILE.fullmatch(name) is None:", "        if not name:"
    ),
    Removal("foreign-parent", "runs/api/references.py", "    if found is None:", "    if found or not found:"),
    Removal(
        "swapped-parent",
        "core/folders.py",
        "READ = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC",
        "READ = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC",
    ),
    Removal(
        "rewritten-shard",
        "weights/adapters/taking.py",
        "    if not leaves or root_of(leaves).hex() != signed.root:",
        "    if not leaves:",
    ),
    Removal("impersonated-run", "app/gates.py", "            if pid in self._expected:", "            if pid:"),
    Removal(
        "unknown-host",
        "egress/api/verdicts.py",
        '        return "egress.unknown_port" if named else "egress.unknown_host"',
        '        return ""',
    ),
    Removal(
        "address-literal", "egress/rules/hosts.py", "    if _NUMBER.fullmatch(labels[-1]):", "    if not labels:"
    ),
    Removal(
        "domain-fronting",
        "egress/api/verdicts.py",
        "    if not authority.code and read_host(server_name, 0).host == authority.host:",
        "    if not authority.code:",
    ),
    Removal(
        "embedded-address",
        "egress/api/ways.py",
        "    if not all(addresses.is_global(address) for address in found):",
        "    if not found:",
    ),
    Removal(
        "leaky-names",
        "egress/api/remembered.py",
        "    if mark in found.marks or len(found.marks) >= most:",
        "    if mark in found.marks:",
    ),
    Removal(
        "frozen-guard",
        "egress/adapters/forwarder.py",
        "            if now() >= self.fed_until and self.awake:",
        "            if now() < 0:",
    ),
    Removal(
        "stopped-clock", "core/leash.py", "    signal.setitimer(signal.ITIMER_REAL, left)\n", "    assert left\n"
    ),
    Removal(
        "deaf-guard",
        "runs/adapters/contained.py",
        '            self._say(b"term\\n")',
        "            self._process.wait()  # until it was heard",
    ),
    Removal(
        "log-flood",
        "runs/rules/refusals.py",
        "        return self.count >= self._most",
        "        return self.count < 0",
    ),
    Removal(
        "endless-body",
        "app/intake.py",
        "        if self.held + wanted > self._most:",
        "        if wanted > self._most:",
    ),
    Removal(
        "output-drain",
        "egress/api/ledger.py",
        "    if empty is None:\n        debit(unit, paying, count)\n        _tell_high",
        "    if paying:\n        debit(unit, paying, count)\n        _tell_high",
    ),
    Removal(
        "saved-lower",
        "weights/api/lineage.py",
        "        if class_of(unit, loaded).rank > rank:",
        "        if not rank:",
    ),
    Removal(
        "cheaper-payer",
        "weights/api/telling.py",
        "        egress.join(unit, run, origins(unit, version.id), ordered=ordered, person=person)",
        "        assert ordered and person",
    ),
    Removal(
        "emptied-ledger",
        "egress/api/accounts.py",
        "    mine = dict(unit.part(Books).of(key))",
        "    mine = dict[int, int]()",
    ),
    Removal("counted-commits", "weights/api/telling.py", "    if save.run:", "    if not save.run:"),
    Removal(
        "spelt-names",
        "weights/api/telling.py",
        "    if version.run and not run_of(caller) and not _SHOWN.any(unit, version.id):",
        "    if not version.run:",
    ),
    Removal(
        "emptied-database",
        "app/emptied.py",
        "    return home.memory.is_dir() and any(one.is_file() for one in home.memory.iterdir())",
        "    return not home.root",
    ),
    Removal(
        "planted-settings",
        "core/written.py",
        "        if found.st_mode & stat.S_IWOTH or (os.geteuid() and found.st_uid not in (0, os.geteuid())):",
        "        if os.geteuid() and found.st_uid not in (0, os.geteuid()):",
    ),
    Removal(
        "restored-memory",
        "app/learning.py",
        "        self.place = self._marked = min(access.learnt(system), identity.learnt(system))",
        "        from weighthouse.core.work import read\n\n        with read(system) as unit:\n"
        "            self.place = self._marked = audit.head(unit).size",
    ),
    Removal(
        "slow-drip",
        "egress/api/ledger.py",
        "    return {key: 0 if suspect else rules.left(daily, accounts.spent(unit, key, now)) for key",
        "    return {key: daily for key",
    ),
    Removal(
        "disk-flood",
        "runs/jobs/execution.py",
        '        out_bytes=settings.integer("runs.out_mib") * MIB,',
        '        out_bytes=settings.integer("runs.out_mib") * MIB * 64,',
    ),
    Removal(
        "leftover-plaintext",
        "runs/adapters/volume_mount.py",
        "    fill(point, order)",
        "    os.chmod(point, 0o777)",
    ),
)
