"""Exactly one manifest wins, and a kill at any step leaves the old state or the new one, nothing between."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.weights.world import TERN, World, arrays

from weighthouse.core.errors import Conflict, Invalid, WeighthouseError
from weighthouse.weights import api as weights
from weighthouse_sdk import checkpoint, manifest

ROOT = Path(__file__).parents[2]


def test_weights_case_24_of_many_writers_of_one_save_exactly_one_wins(
    any_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = any_world
    # Other spellings stand for other manifests here, as if they were let through.
    monkeypatch.setattr(manifest, "is_plain", lambda envelope, public: True)
    world.grant("ada", "tern-train")
    run = world.run("ada")
    for _ in range(5):
        draft = world.begin_save(run)
        envelope = draft.write(arrays())
        bodies = [envelope + b" " * at for at in range(6)]  # each as valid as the first
        won: list[weights.Version] = []
        lost: list[str] = []
        gate = threading.Barrier(len(bodies))

        def write(body: bytes, draft: Any = draft, gate: Any = gate, won: Any = won, lost: Any = lost) -> None:
            gate.wait()
            try:
                won.append(world.commit(run, draft, body))
            except Conflict as error:
                lost.append(error.code)

        threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert lost == ["weights.already_committed"] * 5
    with world.unit(world.person("ada")) as unit:
        found = weights.versions(unit, world.person("ada"), TERN)
    assert [version.counter for version in found] == [5, 4, 3, 2, 1]


def test_many_saves_of_one_model_at_once_are_counted_once_each(any_world: World) -> None:
    world = any_world
    world.grant("ada", "tern-train")
    drafts = [(run := world.run("ada"), world.begin_save(run)) for _ in range(6)]
    bodies = [draft.write(arrays(at)) for at, (_, draft) in enumerate(drafts)]
    counters: list[int] = []

    def write(at: int) -> None:
        counters.append(world.commit(*drafts[at], bodies[at]).counter)

    threads = [threading.Thread(target=write, args=(at,)) for at in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counters) == [1, 2, 3, 4, 5, 6]


def test_the_same_commit_again_returns_the_same_version_and_writes_nothing(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    version = world.commit(run, draft, envelope)
    assert world.commit(run, draft, envelope) == version
    assert len(world.facts("weights.CheckpointSealed")) == 1
    copy = world.state / "objects" / "manifests" / f"{version.id}.json"
    assert copy.read_bytes() == envelope


def test_texts_of_a_runs_own_choosing_are_never_committed_in_the_clear(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    listed = manifest.open_envelope(envelope, draft.signer.public_key().public_bytes_raw())
    weights_as_text = base64.b85encode(arrays()["embed"].tobytes()[:3000]).decode()
    loud = manifest.sign(replace(listed, provenance=(("note", weights_as_text),)), draft.signer)
    before = world.size()
    with pytest.raises(Invalid) as caught:
        world.commit(run, draft, loud)
    assert caught.value.code == "weights.bad_manifest"
    assert world.since(before) == ["weights.ManifestRefused"]
    world.commit(run, draft, envelope)


SPELLINGS = {
    "blanks after it": lambda text: text + " \t" * 1000,
    "blanks within it": lambda text: text.replace(",", ", ", 1),
    "keys in another order": lambda text: json.dumps(dict(reversed(json.loads(text).items())), separators=(",", ":")),
    "an escaped letter": lambda text: text.replace("application", "\\u0061pplication", 1),
    "a spare bit of base64": lambda text: re.sub(r'(.)=="', lambda m: chr(ord(m[1]) + 1) + '=="', text, count=1),
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_nothing_is_carried_by_how_an_envelope_is_spelled(world: World, how: str) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    spelled = SPELLINGS[how](envelope.decode()).encode()
    assert spelled != envelope
    manifest.open_envelope(spelled, draft.signer.public_key().public_bytes_raw())  # it says the same
    before = world.size()
    with pytest.raises(Invalid) as caught:
        world.commit(run, draft, spelled)
    assert caught.value.code == "weights.bad_manifest"
    assert world.since(before) == ["weights.ManifestRefused"]
    world.commit(run, draft, envelope)


def test_weights_case_22_a_repeated_save_never_meets_the_same_data_key(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    opened: set[bytes] = set()
    for _ in range(3):
        draft = world.begin_save(run)
        ticket = checkpoint.parse_save(msgspec.to_builtins(draft.ticket))
        opened |= {
            draft.recipient.open(box, place.aad()) for box, place in zip(ticket.sealed, ticket.bindings, strict=True)
        }
    assert len(opened) == 6


def test_a_save_lapses_after_a_day(world: World) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    world.clock.advance(24 * 3_600_000 + 1)
    with pytest.raises(WeighthouseError):  # the grant has ended too; either way nothing is made visible
        world.commit(run, draft, envelope)


STEPS = ("before", "objects", "close", "version", "announce", "commit", "after")


@pytest.mark.parametrize("step", STEPS)
def test_weights_case_25_a_kill_at_any_step_of_the_commit_leaves_all_or_nothing(world: World, step: str) -> None:
    world.grant("ada", "tern-train")
    run = world.run("ada")
    draft = world.begin_save(run)
    envelope = draft.write(arrays())
    url = str(world.system.database.engine.url)
    world.system.database.engine.dispose()
    (world.state / "case.json").write_bytes(
        msgspec.json.encode({"caller": run, "save": draft.ticket.save, "envelope": envelope.decode(), "step": step})
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.weights.killed", url, str(world.state), str(world.clock.now())],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    ada = world.person("ada")
    with world.unit(ada) as unit:
        found = weights.versions(unit, ada, TERN)
    sealed = world.facts("weights.CheckpointSealed")
    assert len(found) == len(sealed) == (1 if step == "after" else 0)
    version = world.commit(run, draft, envelope)  # the same commit again, as a run's retry does
    loaded = world.load(run, version.id)
    assert (loaded["embed"] == arrays()["embed"]).all()
    assert len(world.facts("weights.CheckpointSealed")) == 1
