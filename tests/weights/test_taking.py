"""A run that fights for the bytes it has committed, and a server that is killed or finds a hostile tree meanwhile."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text
from tests.weights.world import Draft, World, arrays

from weighthouse.core.caller import Caller
from weighthouse.core.clock import HOUR
from weighthouse.core.errors import Conflict, Invalid, NotFound
from weighthouse.core.ids import new_id
from weighthouse.core.work import begin
from weighthouse.weights import api as weights
from weighthouse.weights import store
from weighthouse.weights.api import shares, turns
from weighthouse.weights.api.sealing import seal
from weighthouse.weights.ports import ObjectStore

DAY = 24 * 3_600_000


def shards(draft: Draft) -> list[Path]:
    return sorted((draft.folder / "shards").glob("*.floe"))


def test_r1_bytes_written_through_a_descriptor_that_was_kept_open_reach_no_version(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    with open(shards(draft)[0], "r+b", buffering=0) as kept:  # noqa: PTH123
        version = world.commit(run, draft, envelope)
        os.pwrite(kept.fileno(), b"other weights", 4096)
        os.ftruncate(kept.fileno(), 99)
    loaded = world.load(run, version.id)
    assert (loaded["embed"] == arrays()["embed"]).all()
    assert weights.verify_stored(world.system, version.id) == []
    assert version.prefix == f"versions/{version.id}"


def test_r1_what_lies_beside_the_shards_of_a_save_never_reaches_another_run(world: World) -> None:
    """R2's 64 MiB: a file beside the shards, a folder, a link to the host, all left by the run that saved."""
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    (draft.folder / "plain.bin").write_bytes(b"plain weights")
    (draft.folder / "shards" / "more.floe").write_bytes(b"plain weights")
    (draft.folder / "shards" / "root").symlink_to("/")
    version = world.commit(run, draft, envelope)
    folder = weights.inbox(world.system, version.id, lambda: None)
    try:
        seen = {str(path) for path in Path(f"/proc/self/fd/{folder}/").rglob("*")}
    finally:
        os.close(folder)
    names = {path.rsplit("/", 1)[1] for path in seen}
    listed = {path.name for path in shards(draft) if path.name != "more.floe"}
    assert names == {"shards", *listed, *(name.replace(".floe", ".leaves") for name in listed)}


def test_a_commit_of_shards_that_were_not_taken_over_is_refused(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    weights.take(world.system, run, draft.ticket.save, envelope)
    taken = sorted((world.state / "objects" / "versions" / draft.ticket.version / "shards").glob("*.floe"))
    os.utime(taken[0])  # as little as this, and the file is not the one that was checked
    with pytest.raises(Conflict) as refusal, begin(world.system, run) as unit:
        weights.commit(unit, run, draft.ticket.save, envelope)
    assert refusal.value.code == "weights.not_taken"
    assert world.commit(run, draft, envelope).id == draft.ticket.version


@pytest.mark.parametrize("how", ["rewritten", "link", "second name", "missing"])
def test_a_shard_that_is_not_what_was_signed_leaves_one_line_and_no_version(world: World, how: str) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    shard = shards(draft)[0]
    if how == "rewritten":
        whole = shard.read_bytes()
        shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif how == "second name":
        shard.with_name("second").hardlink_to(shard)
    else:
        shard.rename(shard.with_name("elsewhere"))
        if how == "link":
            shard.symlink_to("elsewhere")
    before = world.size()
    with pytest.raises(Invalid) as refusal:
        world.commit(run, draft, envelope)
    assert refusal.value.code == "weights.bad_shard" and shard.stem in refusal.value.message
    assert world.since(before) == ["weights.ManifestRefused"]


def test_r8_destroying_a_version_beside_1500_nested_folders_is_acknowledged_and_complete(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    here = os.open(draft.folder, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    version = world.commit(run, draft, envelope)
    world.destroyed("ada", version)
    assert not (world.state / "objects" / version.prefix).exists()
    assert weights.drop_outbox(world.system, run.attributes["run"])
    assert not draft.folder.exists()


def test_r8_what_could_not_go_at_once_is_collected_later(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    version = world.save(run)
    world.order("ada", version)
    world.clock.advance(HOUR)
    folder, away = world.state / "objects" / "versions", world.state / "away"
    folder.rename(away)
    folder.symlink_to(away)  # the store refuses to walk through it, as it would a volume that is gone
    assert weights.finish(world.system) == 1
    assert "is collected later" in caplog.text and (away / version.id).exists()
    folder.unlink()
    away.rename(folder)
    weights.sweep(world.system)
    assert not (folder / version.id).exists()


def test_l5_a_server_killed_after_any_step_of_a_save_leaves_nothing_once_the_sweep_has_run(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    weights.take(world.system, run, draft.ticket.save, draft.write(arrays()))  # and the server dies here
    objects = world.state / "objects"
    assert (objects / "versions" / draft.ticket.version).exists() and draft.folder.exists()
    assert weights.sweep(world.system) == 0
    world.clock.advance(DAY + 2)
    draft.folder.rename(draft.folder.with_name("gone"))  # a sweep that was killed after it had removed one of the two
    assert (weights.sweep(world.system), weights.sweep(world.system)) == (1, 0)
    assert not draft.folder.exists() and not (objects / "versions" / draft.ticket.version).exists()
    assert [fact["save"] for fact in world.facts("weights.SaveLapsed")] == [draft.ticket.save]


def test_a_row_that_calls_a_committed_save_open_again_destroys_nothing(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    version = world.save(run)
    with begin(world.system) as unit:
        unit.conn.execute(text("UPDATE weights_save SET state = 'open'"))
    world.clock.advance(DAY + 2)
    assert weights.sweep(world.system) == 0
    assert weights.verify_stored(world.system, version.id) == []


def test_a_version_of_before_is_still_a_parent_and_is_copied_first(world: World) -> None:
    """States made when versions lay where their run could write: the version row names that folder."""
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    version = world.commit(run, draft, draft.write(arrays()))
    old = _as_before(world, version, draft)
    (draft.folder / "plain.bin").write_bytes(b"left by its run")
    folder = weights.inbox(world.system, old, lambda: None)
    assert sorted(each.name for each in Path(f"/proc/self/fd/{folder}").iterdir()) == ["shards"]
    os.close(folder)
    with pytest.raises(KeyboardInterrupt):
        for shard in (world.state / "objects" / "versions" / old / "shards").iterdir():
            shard.unlink()
        weights.inbox(world.system, old, _stop)


def _stop() -> None:
    raise KeyboardInterrupt


def _as_before(world: World, version: weights.Version, draft: Draft) -> str:
    before = msgspec.structs.replace(version, prefix=draft.ticket.prefix)
    with begin(world.system) as unit:
        assert store.turn_version(unit.conn, before, seal(unit, before), seal(unit, version))
    for shard in (world.state / "objects" / "versions" / version.id / "shards").iterdir():
        shard.unlink()
    return version.id


def test_r6_what_one_run_commits_in_all_is_bounded_and_others_go_on(world: World) -> None:
    """Attack: commit a small save again and again, until the volume is full for everybody."""
    world.grant("ada", "tern-train")
    run, other = world.run("ada"), world.run("ada")
    world.limit(run_committed_mib=1)
    kept = 0
    while True:
        draft = world.begin_save(run)
        envelope = draft.write(arrays(kept))
        before = world.size()
        try:
            world.commit(run, draft, envelope)
        except Invalid as refusal:
            assert refusal.code == "weights.run_full"
            break
        kept += 1
    assert 2 <= kept <= 6, "each is a little over 150 KB"
    assert world.since(before) == ["weights.ManifestRefused"]
    assert not (world.state / "objects" / "versions" / draft.ticket.version).exists()
    draft = world.begin_save(other)
    assert world.commit(other, draft, draft.write(arrays())).counter == kept + 1


def test_r6_a_run_never_has_more_than_is_left_for_others(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada").attributes["run"]
    free = world.system.part(ObjectStore).room()
    assert free is not None
    with pytest.raises(Invalid, match="more than one run may"):
        shares.reserve(world.system, run, {("sav", "a"): free * 3 // 4})
    first = shares.reserve(world.system, run, {("sav", "a"): free // 4})
    assert shares.reserve(world.system, run, {("sav", "a"): free // 4}) == [], "the same commit again"
    shares.give_back(world.system, run, first)
    assert shares.reserve(world.system, run, {("sav", "b"): free // 4}) == [("sav", "b")]


def test_r6_a_save_that_was_refused_is_not_counted(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    world.limit(run_committed_mib=1)
    for _ in range(8):
        draft = world.begin_save(run)
        envelope = draft.write(arrays())
        for shard in shards(draft):
            shard.unlink()
        with pytest.raises(Invalid) as refusal:
            world.commit(run, draft, envelope)
        assert refusal.value.code == "weights.bad_shard"
    draft = world.begin_save(run)
    assert world.commit(run, draft, draft.write(arrays())).counter == 1


def test_the_same_commit_twice_at_once_is_copied_once_and_other_runs_go_on(world: World) -> None:
    """Attack: sixty threads send one commit, and each has the shards copied beside the others' copies."""
    world.grant("ada", "tern-train")
    run, other = world.run("ada"), world.run("ada")
    draft, theirs = world.begin_save(run), world.begin_save(other)
    envelope = draft.write(arrays())
    with turns.turn(world.system, run.attributes["run"], "another"):
        with pytest.raises(Conflict) as refusal:
            weights.take_and_commit(world.system, run, draft.ticket.save, envelope)
        assert refusal.value.code == "weights.commit_busy" and refusal.value.details["retry_after"] > 0
        assert not (world.state / "objects" / "versions" / draft.ticket.version).exists()
        weights.take_and_commit(world.system, other, theirs.ticket.save, theirs.write(arrays(1)))
    weights.take_and_commit(world.system, run, draft.ticket.save, envelope)


def busy(world: World, run: Caller, save: str) -> bool:
    """Send a commit while another is under way; return whether it was told when to come again, which counts not."""
    with pytest.raises(Conflict) as refusal:
        weights.take_and_commit(world.system, run, save, b"{}")
    assert refusal.value.code == "weights.commit_busy"
    return "retry_after" in refusal.value.details


def test_who_is_told_to_come_again_and_comes_sooner_is_refused_each_save_by_itself(world: World) -> None:
    """Attack: have sixty threads ask for a turn as fast as they can, for as long as the run lives."""
    world.grant("ada", "tern-train")
    run = world.run("ada")
    first, second = world.begin_save(run).ticket.save, world.begin_save(run).ticket.save
    with turns.turn(world.system, run.attributes["run"], "another"):
        assert [busy(world, run, first) for _ in range(3)] == [True, False, False]
        assert busy(world, run, second)
        while not busy(world, run, first):  # until the time that was named is over
            pass
    with pytest.raises(NotFound), turns.turn(world.system, run.attributes["run"], "another"):
        weights.take_and_commit(world.system, run, new_id("sav"), b"{}")  # a name that is made up is never told


def test_a_few_wait_for_the_turn_and_come_after_it_without_being_sent_away(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    name, came, left = run.attributes["run"], threading.Semaphore(0), threading.Event()

    def one() -> None:
        with contextlib.suppress(Conflict), turns.turn(world.system, name, "one"):
            came.release()

    threads = [threading.Thread(target=one) for _ in range(turns.WAITING + 4)]
    with turns.turn(world.system, name, "another"):
        for thread in threads:
            thread.start()
        while sum(thread.is_alive() for thread in threads) > turns.WAITING:
            left.wait(0.01)
    for thread in threads:
        thread.join(20)
    assert [came.acquire(blocking=False) for _ in range(turns.WAITING + 1)] == [True] * turns.WAITING + [False]


def test_what_was_copied_for_a_save_that_was_never_committed_goes_with_its_run(world: World) -> None:
    world.grant("ada", "tern-train")
    run, other = world.run("ada"), world.run("ada")
    version = world.save(run)
    left, theirs = world.begin_save(run), world.begin_save(other)
    for who, draft in ((run, left), (other, theirs)):
        weights.take(world.system, who, draft.ticket.save, draft.write(arrays()))
    kept = world.state / "objects" / "versions"
    assert {one.name for one in kept.iterdir()} == {version.id, left.ticket.version, theirs.ticket.version}
    assert weights.drop_outbox(world.system, run.attributes["run"])
    assert {one.name for one in kept.iterdir()} == {version.id, theirs.ticket.version}
    assert weights.verify_stored(world.system, version.id) == []
    with pytest.raises(Conflict) as refusal:
        weights.take_and_commit(world.system, run, left.ticket.save, b"{}")
    assert refusal.value.code == "weights.run_over"


def test_a_commit_that_is_under_way_stops_when_its_run_ends(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    name, begun = run.attributes["run"], threading.Event()

    def commit() -> None:
        with contextlib.suppress(Conflict), turns.turn(world.system, name, "a save") as pause:
            begun.set()
            while True:
                pause()

    thread = threading.Thread(target=commit)
    thread.start()
    assert begun.wait(20)
    assert weights.drop_outbox(world.system, name)
    thread.join(20)
    assert not thread.is_alive()


def test_what_a_run_ended_with_stops_the_copy_at_its_next_segment(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())

    def over() -> None:
        raise Conflict("weights.run_over", "over", "over")

    with pytest.raises(Conflict):
        weights.take(world.system, run, draft.ticket.save, envelope, over)
    kept = world.state / "objects" / "versions" / draft.ticket.version / "shards"
    assert list(kept.iterdir()) == []
