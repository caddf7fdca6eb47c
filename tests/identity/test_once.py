"""What counts once counts once in the whole lab. Attack: use it at one server, put its row back, use it at another.

Two systems over one database, each with a memory of its own, as two servers have. The second asks the log before it
has learnt anything, and once it has learnt, its own memory says the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.audit.support import bind_log
from tests.identity.support import Lab
from tests.identity.test_acts import THAW, act, caller, do, stepped
from tests.identity.test_factors import silent
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.ports import Refusals
from weighthouse.app.learning import Learning
from weighthouse.audit import api as audit
from weighthouse.core.clock import MINUTE, SECOND
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.signing import Signers
from weighthouse.core.work import System, Unit, begin, read
from weighthouse.identity import api
from weighthouse.identity.adapters.memory import FileMemory
from weighthouse.identity.ports import Memory, Site
from weighthouse.policy.adapters.embedded import FilePolicyMemory
from weighthouse.policy.ports import PolicyMemory
from weighthouse_sdk.client import ProblemError
from weighthouse_sdk.client.headless import REDIRECT, walker


def twin(lab: Lab, folder: Path) -> System:
    """Another server of the lab's database: the same keys, and memories of its own."""
    folder.mkdir()
    (folder / "log.memory").write_bytes((lab.folder / "log.memory").read_bytes())
    (folder / "policy.memory").write_bytes((lab.folder / "policy.memory").read_bytes())
    other = System(lab.system.settings, lab.clock, lab.system.database)
    other.bind(Signers, lab.system.part(Signers))
    other.bind(Site, lab.system.part(Site))
    bind_log(other, folder)
    other.bind(PolicyMemory, FilePolicyMemory(folder / "policy.memory"))
    other.bind(Refusals, FileRefusals(folder / "refusals"))
    other.bind(Memory, FileMemory(folder / "identity.memory", now=lab.clock.now()))
    return other


def settle(lab: Lab) -> None:
    while audit.sequence(lab.system):
        pass


def code_of(system: System, change: Callable[[Unit], object]) -> str:
    try:
        with begin(system) as unit:
            change(unit)
    except WeighthouseError as refusal:
        return refusal.code
    return ""


def put_back(lab: Lab) -> None:
    lab.sql("INSERT INTO identity_act SELECT * FROM kept WHERE id NOT IN (SELECT id FROM identity_act)")


def test_a_factor_used_at_one_server_does_no_act_at_another(any_lab: Lab, tmp_path: Path) -> None:
    lab = any_lab
    client, other = lab.sign_in("ben"), twin(lab, tmp_path / "other")
    stepped(lab, client, THAW)
    lab.sql("CREATE TABLE kept AS SELECT * FROM identity_act")
    with read(lab.system) as unit:
        ben = api.authenticate(unit, caller(lab, client))
    assert do(lab, client, act()) == ""
    settle(lab)
    put_back(lab)
    assert code_of(other, lambda unit: api.require_act(unit, ben, act())) == "identity.act_unconfirmed"
    settle(lab)
    used = lab.told("FactorUsed", "factor")
    assert len(used) == 1 and not other.part(Memory).condemned(used[0])
    Learning(other, tmp_path / "learnt").catch_up()
    assert other.part(Memory).condemned(used[0])
    assert len(lab.log("ActUnconfirmed")) == 1


def test_a_signature_that_opened_at_one_server_opens_nothing_at_another(any_lab: Lab, tmp_path: Path) -> None:
    lab, chi = any_lab, any_lab.person("chi")
    other, signed = twin(lab, tmp_path / "other"), lab.opened("chi", "person.thaw", "eve")
    for system, expected in ((lab.system, ""), (other, "identity.signature_stale")):
        lab.confirm(chi, "person.thaw", "eve")
        with begin(lab.system) as unit:
            api.freeze(unit, "eve", "odd reads", chi)
        assert code_of(system, lambda unit: api.thaw(unit, "eve", "fine", chi, signed=signed)) == expected
        settle(lab)
    assert lab.told("OpeningRefused", "code") == ["identity.signature_stale"]
    assert len(lab.log("OpeningSigned")) == len(lab.log("PersonThawed")) == 1
    name = f"opening {signed.device}"
    assert other.part(Memory).version(name) == 0
    Learning(other, tmp_path / "learnt").catch_up()
    assert other.part(Memory).version(name) == signed.at


@pytest.mark.parametrize("learns", [False, True])
def test_a_factor_that_a_provider_vouched_for_at_one_server_raises_no_session_at_another(
    lab: Lab, tmp_path: Path, learns: bool
) -> None:
    """The thief's step-up was begun before; a provider that remembers answers it with its owner's factor."""
    thief, owner = lab.sign_in("ben"), lab.sign_in("ben")
    begun = thief.post("step-up", {"redirect_uri": REDIRECT, "acts": [THAW]})
    lab.clock.advance(2 * SECOND)
    there = FileMemory(tmp_path / "other.memory", now=lab.clock.now())
    stepped(lab, owner, {**THAW, "subject": "ada"})
    honest = lab.clock.now()
    lab.clock.advance(3 * SECOND)
    there.epoch = lab.system.part(Memory).epoch  # so that the proofs of this walk count there
    lab.system.bind(Memory, there)
    spent = lab.log("FactorSpent")[-1].data
    if learns:
        Learning(lab.system, tmp_path / "learnt").catch_up()
    assert there.version(f"factor {spent['account_mark']}") == (spent["auth_time"] if learns else 0)
    silent(lab, honest)
    secret = lab.secret("ben")
    with pytest.raises(ProblemError) as error:
        thief._finish(begun, walker(thief._http, "ben", secret.password, secret.totp, lambda: lab.code("ben")))
    assert error.value.code == "identity.factor_spent"
    assert lab.told("SignInFailed", "reason") == ["identity.factor_spent"]


def test_a_factor_is_spent_though_the_attempt_that_showed_it_was_refused(lab: Lab) -> None:
    """Ada's step-up is answered as Ben: that is refused, and his factor is used up at every server all the same."""
    client = lab.sign_in("ada")
    begun, before = client.post("step-up", {"redirect_uri": REDIRECT, "acts": [THAW]}), len(lab.log("FactorSpent"))
    lab.clock.advance(MINUTE)
    secret = lab.secret("ben")
    with pytest.raises(ProblemError) as error:
        client._finish(begun, walker(client._http, "ben", secret.password, secret.totp, lambda: lab.code("ben")))
    assert error.value.code == "identity.not_admitted"
    assert len(lab.log("SignInDenied")) == 1 and len(lab.log("FactorSpent")) == before + 1
