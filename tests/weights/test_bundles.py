"""Attack: send a recipient an export that no lab has let out. Every piece is checked by the key of the lab's log alone."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from tests.weights.test_lowered_counts import sequenced
from tests.weights.world import World, arrays

from weighthouse.audit import api as audit
from weighthouse.cli.main import cli
from weighthouse.core.errors import Conflict
from weighthouse.weights import api as weights
from weighthouse.weights.api import exporting
from weighthouse_sdk import checkpoint, manifest
from weighthouse_sdk.checkpoint_binding import Recipient, seal_key
from weighthouse_sdk.errors import SdkError
from weighthouse_sdk.formats import canonical

Document = dict[str, Any]


class LetOut:
    """Two versions, each exported to one recipient, and the key of the lab's log."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.private = X25519PrivateKey.generate()
        self.partner = Recipient(self.private)
        self.destination = f"x25519:{self.partner.public.hex()}"
        world.grant("ada", "tern-train")
        self.keys = audit.keys(world.system)
        self.first, self.second = self._export(), self._export()

    def _export(self) -> weights.Export:
        version = self.world.save(self.world.run("ada"))
        sequenced(self.world)
        eve = self.world.person("eve")
        self.world.grant("eve", "tern-export", operation={"version": version.id, "destination": self.destination})
        with self.world.unit(eve) as unit:
            return weights.export(unit, eve, version.id, self.destination)

    def refused(self, bundle: bytes, keys: tuple[str, ...] | None = None) -> str:
        with pytest.raises(SdkError) as caught:
            checkpoint.parse_bundle(bundle, self.keys if keys is None else keys)
        assert caught.value.remedy
        return caught.value.code


@pytest.fixture
def let_out(world: World) -> LetOut:
    return LetOut(world)


def test_a_bundle_of_the_lab_opens_for_its_recipient(any_world: World) -> None:
    let_out = LetOut(any_world)
    found = checkpoint.open_bundle(let_out.first.bundle.encode(), let_out.keys)
    assert (found.export, found.destination, found.size) == (
        let_out.first.id,
        let_out.destination,
        let_out.first.bytes,
    )
    loaded = checkpoint.load(found.ticket, let_out.partner, any_world.state / "objects" / let_out.first.prefix)
    assert (loaded["embed"] == arrays()["embed"]).all()


class NotYet:
    """A log whose sequencer has not numbered the version's line."""

    def newest(self, unit: object, version: str) -> None:
        return None


def test_a_version_that_the_log_does_not_show_yet_is_not_let_out_and_leaves_one_line(
    let_out: LetOut, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, eve = let_out.world, let_out.world.person("eve")
    before = world.size()
    monkeypatch.setattr(exporting, "SEALED", NotYet())
    with pytest.raises(Conflict) as caught, world.unit(eve) as unit:
        weights.export(unit, eve, let_out.second.version, let_out.destination)
    assert caught.value.code == "weights.unproven"
    assert world.since(before) == ["weights.ExportRefused"]


def test_a_whole_bundle_forged_with_the_recipients_public_key_alone_is_refused(let_out: LetOut) -> None:
    """The thief has a lab of their own: everything fits together, and nothing was signed by the lab that is known."""
    signer = Ed25519PrivateKey.generate()
    document = json.loads(let_out.first.bundle)
    listed = manifest.open_envelope(document["manifest"].encode(), base64.b64decode(document["signer"]))
    envelope = manifest.sign(listed, signer)
    public = base64.b64encode(signer.public_key().public_bytes_raw()).decode()
    shard = listed.shards[0]
    sealed = seal_key(bytes(32), let_out.partner.public, canonical(listed.binding(shard).context()))
    keys = [{**document["keys"][0], "sealed": base64.b64encode(sealed).decode()}, *document["keys"][1:]]
    forged = {**document, "manifest": envelope.decode(), "signer": public, "keys": keys}
    assert let_out.refused(canonical(forged)) == "bundle.statement_differs"
    said = json.loads(forged["statement"].split("\n")[2])
    said.update(certifier=public, keys=hashlib.sha256(canonical(keys)).hexdigest())
    name, ident, _ = let_out.keys[0].split("+", 2)
    text = f"weighthouse-export-statement/1\n{name}\n{canonical(said).decode()}\n"
    mine = base64.b64encode(bytes.fromhex(ident) + signer.sign(text.encode())).decode()
    forged["statement"] = f"{text}\n— {name} {mine}\n"
    assert let_out.refused(canonical(forged)) == "bundle.statement"


def _swap(*names: str) -> Callable[[Document, Document], None]:
    def act(mine: Document, other: Document) -> None:
        mine.update({name: other[name] for name in names})

    return act


def _set(name: str, value: object) -> Callable[[Document, Document], None]:
    return lambda mine, _: mine.update({name: value})


EDITS = {
    "statement of another version": (_swap("statement"), "bundle.statement_differs"),
    "certificate of another version": (_swap("certificate"), "bundle.certificate"),
    "line of another version": (_swap("entry"), "bundle.proof"),
    "proof of another version": (_swap("proof"), "bundle.proof"),
    "line and proof of another version": (_swap("entry", "proof"), "bundle.proof"),
    "manifest of another version": (_swap("manifest"), "manifest.envelope"),
    "manifest and signer of another version": (_swap("manifest", "signer"), "bundle.certificate"),
    "manifest, signer and certificate": (_swap("manifest", "signer", "certificate"), "bundle.certificate"),
    "data keys of another version": (_swap("keys"), "bundle.statement_differs"),
    "another destination": (_set("destination", "x25519:" + "0" * 64), "bundle.statement_differs"),
    "another digest": (_set("digest", "sha256:" + "0" * 64), "bundle.statement_differs"),
    "another model": (_set("model", "model/wren"), "bundle.statement_differs"),
    "another export": (_set("export", "exp_x"), "bundle.statement_differs"),
    "no statement": (_set("statement", ""), "bundle.statement"),
    "a number for the statement": (_set("statement", 7), "bundle.statement"),
    "a list for the certificate": (_set("certificate", []), "bundle.certificate"),
    "a number for the proof": (_set("proof", 7), "bundle.proof"),
    "an empty proof": (_set("proof", "\n\n"), "bundle.proof"),
    "no line": (_set("entry", ""), "bundle.malformed"),
    "a number for the manifest": (_set("manifest", 7), "bundle.malformed"),
    "a signer that is no base64": (_set("signer", "*"), "bundle.certificate"),
    "keys that are none": (_set("keys", None), "bundle.statement_differs"),
    "a field more": (_set("note", "trust me"), "bundle.malformed"),
    "a field less": (lambda mine, _: mine.pop("proof"), "bundle.malformed"),
    "the older form": (_set("format", "weighthouse-export/1"), "bundle.format"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_every_edited_bundle_has_a_refusal_of_its_name(shared: LetOut, edit: str) -> None:
    mine, other = json.loads(shared.first.bundle), json.loads(shared.second.bundle)
    act, code = EDITS[edit]
    act(mine, other)
    assert shared.refused(canonical(mine)) == code


_made: list[LetOut] = []


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> LetOut:
    """One pair of exports for all edits; nothing of it is changed."""
    if not _made:
        _made.append(LetOut(request.getfixturevalue("world")))
    return _made[0]


def test_no_flipped_bit_and_no_other_key_is_believed(shared: LetOut) -> None:
    bundle = shared.first.bundle.encode()
    for at in range(0, len(bundle), 97):
        edited = bytearray(bundle)
        edited[at] ^= 1
        if json_like(bytes(edited)) != json_like(bundle):
            shared.refused(bytes(edited))
    stranger = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    name = shared.keys[0].split("+")[0]
    ident = hashlib.sha256(name.encode() + b"\n\x01" + stranger).digest()[:4].hex()
    theirs = f"{name}+{ident}+{base64.b64encode(bytes([1]) + stranger).decode()}"
    assert shared.refused(bundle, (theirs,)) == "bundle.statement"
    for wrong in ((), ("",), ("x",), ("x+y+z",), (shared.keys[0] + "A",)):
        assert shared.refused(bundle, wrong) == "bundle.key"


def json_like(data: bytes) -> object:
    try:
        return json.loads(data)
    except ValueError:
        return None


def judged(bundle: bytes, keys: tuple[str, ...], folder: Path) -> tuple[int, str]:
    """What the separate verifier says of a bundle, which shares no code with the SDK."""
    (folder / "bundle").write_bytes(bundle)
    (folder / "lab.vkey").write_text("\n".join(keys))
    command = [sys.executable, "-m", "weighthouse_verify", "--export", "bundle", "--key", "lab.vkey"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def test_the_separate_verifier_comes_to_the_same_judgement_without_any_code_of_ours(
    shared: LetOut, tmp_path: Path
) -> None:
    other = json.loads(shared.second.bundle)
    code, said = judged(shared.first.bundle.encode(), shared.keys, tmp_path)
    assert code == 0 and shared.destination in said
    for name, (act, _) in EDITS.items():
        mine = json.loads(shared.first.bundle)
        act(mine, other)
        code, said = judged(canonical(mine), shared.keys, tmp_path)
        assert (code, said.startswith("PROBLEM")) == (1, True), name


def test_open_export_checks_all_before_it_opens_anything(let_out: LetOut, tmp_path: Path) -> None:
    bundle, key, mine = tmp_path / "bundle.json", tmp_path / "lab.vkey", tmp_path / "mine"
    bundle.write_text(let_out.first.bundle)
    key.write_text("".join(f"{line}\n" for line in let_out.keys))
    mine.touch(mode=0o600)
    mine.write_bytes(let_out.private.private_bytes_raw())
    folder = let_out.world.state / "objects" / let_out.first.prefix
    target = tmp_path / "tern.safetensors"

    def opened(*more: str) -> Any:
        return CliRunner().invoke(cli, ["weights", "open-export", str(bundle), *more, "--key", str(key)])

    assert opened().exit_code == 0 and not target.exists()
    to_open = (str(folder), "--recipient", str(mine), "-o", str(target))
    document = json.loads(let_out.first.bundle)
    document["statement"] = json.loads(let_out.second.bundle)["statement"]
    bundle.write_bytes(canonical(document))
    refused = opened(*to_open)
    assert refused.exit_code and not target.exists()
    bundle.write_text(let_out.first.bundle)
    done = opened(*to_open)
    assert done.exit_code == 0, done.output
    data = target.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    begin, end = header["embed"]["data_offsets"]
    at = 8 + int.from_bytes(data[:8], "little")
    assert data[at + begin : at + end] == numpy.ascontiguousarray(arrays()["embed"]).tobytes()
    assert opened(*to_open).exit_code, "what is there is not overwritten"
