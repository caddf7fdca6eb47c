"""Guards of the room identity that are taken out, one a build: the first part of the list in `removed_guards`."""

from __future__ import annotations

from tests.attacks.sabotage import Removal

IN_IDENTITY = (
    Removal(
        "planted-device",
        "identity/api/devices.py",
        "    if not genuine or not verify_ed25519(public, row[1], _statement(found)):",
        "    if not genuine:",
    ),
    Removal(
        "stolen-cookie-enrols",
        "identity/api/devices.py",
        '    require_act(unit, caller, Act(type="device.enrol", subject=thumbprint(key.jwk)))',
        "    assert require_act and Act",
    ),
    Removal(
        "proof-minted-ahead",
        "identity/rules/freshness.py",
        "    return 0 <= now - at < STEP + LIFE",
        "    return 0 <= now - at",
    ),
    Removal(
        "replayed-proof",
        "identity/api/freshness.py",
        '    text = f"identity.nonce\\x00{memory(system).epoch}\\x00{at}"',
        '    text = f"identity.nonce\\x00{at}"',
    ),
    Removal(
        "borrowed-factor",
        "identity/api/acts.py",
        "if one.digest == wanted",
        "if one.digest",
    ),
    Removal(
        "young-key",
        "identity/api/new_keys.py",
        'return chosen == "at-once" or',
        'return chosen != "at-once" or',
    ),
    Removal(
        "young-export",
        "identity/api/devices.py",
        "    check_grown(unit, found, state_of(unit, caller.principal))",
        "    assert found.id",
    ),
    Removal(
        "key-set-aside",
        "identity/api/keys_aside.py",
        "            drop_device(unit, person, one, YOUNG, by=by)",
        "            assert drop_device and YOUNG",
    ),
    Removal(
        "disowned-key",
        "identity/api/vouchers.py",
        "origin.by != OPERATOR and disowned_lately(unit, origin.by, origin.session, origin.at)",
        "not origin.by and disowned_lately(unit, origin.by, origin.session, origin.at)",
    ),
    Removal("signed-elsewhere", "identity/api/devices.py", "            raise outdated()", "            return"),
    Removal(
        "repeated-confirmation",
        "identity/api/confirming.py",
        "if not first_opening(",
        "if () and first_opening(",
        also=("identity/api/openings.py", "if signed_before_end(", "if () and signed_before_end("),
    ),
    Removal(
        "chained-keys",
        "identity/model.py",
        ", *self.rests)",
        ",)",
        also=(  # else the session in which the first key signed falls, and what was confirmed there
            "identity/api/devices.py",
            "    for session in sorted(sessions_with(unit, key, since)):",
            "    for session in sorted(sessions_with(unit, key, since) if () else ()):",
        ),
        besides=(  # else what it signed is judged by what let it count when it signed
            "identity/api/falling.py",
            "    for one in sorted(doubted):",
            "    for one in sorted(doubted if () else ()):",
        ),
    ),
    Removal(
        "recusing-key",
        "identity/api/devices.py",
        "    for session in sorted(sessions_with(unit, key, since)):",
        "    for session in sorted(sessions_with(unit, key, since) if () else ()):",
    ),
    Removal(
        "revived-ballot",
        "identity/api/then.py",
        "begins is not None and at >= begins",
        "begins is None or at >= 0",
    ),
    Removal(
        "stolen-token",
        "identity/api/authentication.py",
        "    if proof.key != session.key:",
        "    if not proof.key:",
    ),
    Removal(
        "stolen-run-token",
        "identity/api/workloads.py",
        "    if credential.proof != workload.run:",
        "    if not workload.run:",
    ),
    Removal(
        "reused-factor",
        "identity/api/acts.py",
        "    used_factor(unit, given, act)\n",
        "    assert used_factor\n",
    ),
    Removal(
        "outliving-device",
        "identity/api/devices.py",
        "key = known.thumbprint if known is not None else",
        'key = "another" if known is not None else',
        also=(  # else what the log tells of the key ends its sessions
            "identity/api/devices.py",
            "    if line.whose == FOREIGN:\n",
            "    if line.whose == FOREIGN and ():\n",
        ),
    ),
    Removal("outliving-key", "identity/api/sessions.py", "moments.stopped(unit, over, session.created)", "not over"),
    Removal(
        "roaming-thief",
        "identity/api/roaming.py",
        "        assurance = Assurance(min(assurance.level, 1), assurance.at, assurance.method)\n",
        "        assurance = session.assurance\n",
    ),
    Removal(
        "aimed-spray",
        "identity/rules/risk.py",
        '        found.append(Reason("spray", text, "step_up"))',
        '        found.append(Reason("spray", text, "step_up" if known_device else "deny"))',
    ),
    Removal(
        "provider-thaw",
        "identity/api/openings.py",
        "    verify_device_signature(unit, signed.device, person, said, signed.value, before=before)\n",
        "    said.hex()\n",
    ),
    Removal(
        "thawed-person",
        "identity/api/states.py",
        "        frozen_at=unit.now,\n        frozen_reason=UNBELIEVED,\n",
        "",
    ),
)
