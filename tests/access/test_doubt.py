"""A proven contradiction closes every releasing point until two people have looked (log attacks: restored folders, L2)."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text

from tests.access.support import Lab, refused
from tests.audit.support import bind_log
from weighthouse.access import api
from weighthouse.access.adapters.embedded import FileRefusals
from weighthouse.access.api import owing
from weighthouse.access.api.doubting import close_on_doubt
from weighthouse.access.ports import Refusals
from weighthouse.audit import api as audit
from weighthouse.audit.adapters.witness_http import PolicyWitnesses
from weighthouse.audit.adapters.witness_server import WitnessDesk, server
from weighthouse.audit.ports import Witnesses
from weighthouse.audit.rules import note as notes
from weighthouse.core import shape
from weighthouse.core.clock import MINUTE, ManualClock
from weighthouse.core.errors import Denied
from weighthouse.core.work import begin, read
from weighthouse.identity import api as identity
from weighthouse_verify.__main__ import main as verifier

TERN = ("ada", "run.submit", "model/tern")


@pytest.fixture
def witnessed(lab: Lab, tmp_path: Path) -> Iterator[Lab]:
    """A lab whose log one outside witness cosigns, over HTTP."""
    keys = [notes.parse_key(key) for key in audit.keys(lab.system)]
    desk = WitnessDesk(
        tmp_path / "w", "w.example", Ed25519PrivateKey.from_private_bytes(b"w" * 32), keys, ManualClock()
    )
    listening = server(desk, ("127.0.0.1", 0))
    threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
    policy = tmp_path / "witnesses"
    lines = [f"log {key}" for key in audit.keys(lab.system)]
    lines += [f"witness w {desk.key.text()} http://127.0.0.1:{listening.server_address[1]}/", "quorum w", ""]
    policy.write_text("\n".join(lines))
    lab.system.bind(Witnesses, PolicyWitnesses(policy))
    yield lab
    listening.shutdown()
    listening.server_close()


def everything(lab: Lab, folder: Path) -> dict[str, bytes]:
    """Copy the database and every memory beside it, as a backup of the state folder does."""
    lab.system.database.close()
    kept = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()}
    return {name: data for name, data in kept.items() if name != "witnesses"}


def put_back(lab: Lab, folder: Path, kept: dict[str, bytes]) -> None:
    lab.system.database.close()
    for one in folder.iterdir():
        if one.is_file() and one.name != "witnesses":
            one.unlink()
    for name, data in kept.items():
        (folder / name).write_bytes(data)
    bind_log(lab.system, folder)
    lab.bind_memories()


def test_yesterdays_whole_folder_releases_nothing_until_two_people_have_looked(
    witnessed: Lab, tmp_path: Path
) -> None:
    lab = witnessed
    grant = lab.grant("ada")
    yesterday = everything(lab, tmp_path)
    with begin(lab.system, lab.caller("ada")) as unit:
        api.give_back(unit, lab.caller("ada"), grant.id)
    audit.ask_witnesses(lab.system)
    assert close_on_doubt(lab.system) == ()

    put_back(lab, tmp_path, yesterday)
    audit.ask_witnesses(lab.system)
    (hold,) = close_on_doubt(lab.system)
    assert lab.code(*TERN) == "access.held"
    (placed,) = lab.log("access.HoldPlaced")
    assert placed.data["kind"] == "log"
    with read(lab.system) as unit:
        assert "witness w has seen a log of" in api.log_doubts(unit)[0]

    assert close_on_doubt(lab.system) == ()  # found again at every turn, placed once
    look(lab, "chi", hold, "The backup of last night was restored after the disk failed.")
    look(lab, "chi", hold, "I looked once more, and it is what I said.")
    assert lab.code(*TERN) == "access.held"
    lifted = look(lab, "fay", hold, "I have compared the lost entries with the witness's list.")
    assert lifted.lifted is not None
    assert len(lab.log("access.HoldLookedAt")) == 1 and len(lab.log("access.HoldLifted")) == 1
    audit.ask_witnesses(lab.system)
    assert (
        close_on_doubt(lab.system) == ()
    )  # what two people settled stays settled, though the witness goes on refusing


def look(lab: Lab, person: str, hold: str, reason: str) -> api.Hold:
    signed = lab.opened(person, "hold.lift", hold)
    with begin(lab.system, lab.caller(person)) as unit:
        return api.lift_hold(unit, lab.caller(person), hold, reason, signed=signed)


def test_who_may_place_no_hold_settles_no_doubt(lab: Lab) -> None:
    lab.system.database.ours = frozenset({shape.Part("table", "nowhere", "")})
    (hold,) = close_on_doubt(lab.system)
    with pytest.raises(Denied) as error:
        look(lab, "ada", hold, "Nothing to see here, let us go on.")
    assert refused(error) == "access.no_grant"
    assert lab.log("access.HoldLookedAt") == []


def test_somebody_who_looked_and_has_left_since_is_not_the_second(lab: Lab) -> None:
    lab.system.database.ours = frozenset({shape.Part("table", "nowhere", "")})
    (hold,) = close_on_doubt(lab.system)
    look(lab, "chi", hold, "I looked at it on my last day.")
    with begin(lab.system) as unit:
        identity.freeze(unit, "chi", "Her laptop was stolen.", lab.caller("dee"))
    assert look(lab, "fay", hold, "I have read the whole log.").lifted is None


def test_a_trigger_planted_under_a_running_server_closes_every_release_until_it_is_gone(lab: Lab) -> None:
    lab.grant("ada")
    with read(lab.system) as unit:
        lab.system.database.ours = shape.read(unit.conn)
    assert close_on_doubt(lab.system) == () and lab.code(*TERN) == "access.allowed"
    with lab.system.database.engine.begin() as connection:
        connection.execute(text("CREATE TRIGGER quiet BEFORE UPDATE ON access_hold BEGIN SELECT raise(IGNORE); END"))
    (hold,) = close_on_doubt(lab.system)
    assert lab.code(*TERN) == "access.held"
    for person in ("chi", "fay"):
        look(lab, person, hold, "It does not look like much of a trigger.")
    (again,) = close_on_doubt(lab.system)  # its cause still stands, so lifting it was too early
    assert again != hold and lab.code(*TERN) == "access.held"
    with lab.system.database.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER quiet"))
    for person in ("chi", "fay"):
        look(lab, person, again, "The trigger is gone, and its author is known.")
    assert close_on_doubt(lab.system) == () and lab.code(*TERN) == "access.allowed"


def test_the_hold_of_a_doubt_outlives_its_row_and_is_told_by_the_outside_verifier(lab: Lab, tmp_path: Path) -> None:
    lab.grant("ada")
    lab.system.database.ours = frozenset()
    (hold,) = close_on_doubt(lab.system)
    lab.sql("DELETE FROM access_hold")
    assert lab.code(*TERN) == "access.held"
    assert verify(lab, tmp_path / "one") == 1
    lab.system.database.ours = None
    for person in ("chi", "fay"):
        look(lab, person, hold, "The table was ours after all.")
    assert verify(lab, tmp_path / "two") == 0


def verify(lab: Lab, folder: Path) -> int:
    with read(lab.system) as unit:
        audit.export(unit, folder)
    status = verifier([str(folder), *(part for key in audit.keys(lab.system) for part in ("--key", key))])
    shutil.rmtree(folder)
    return status


def test_two_servers_that_find_one_doubt_place_one_hold_with_one_line(lab: Lab) -> None:
    lab.system.database.ours = frozenset({shape.Part("table", "nowhere", "")})
    (hold,) = close_on_doubt(lab.system)
    twin = FileRefusals(lab.folder / "twin.refusals")
    lab.system.bind(Refusals, twin)
    assert close_on_doubt(lab.system) == (hold,) and close_on_doubt(lab.system) == ()
    assert [one.id for one in twin.holds()] == [hold]
    assert len(lab.log("access.HoldPlaced")) == 1
    lab.clock.advance(2 * MINUTE)
    assert owing.pay(lab.system) == 0 and twin.owed() == ()
