"""Every parser that reads something hostile, as one table: the target, good seeds, and the only errors it may raise.

A target takes bytes. What it cannot read it refuses with its room's own error family; anything else (a traceback of
the standard library, endless work) is a finding.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from weighthouse.app import declared
from weighthouse.app.initialise import EXAMPLE_LAB
from weighthouse.audit.rules import checkpoint, leaf, note, proof, witnessing
from weighthouse.audit.rules.tree import EMPTY_ROOT
from weighthouse.core import canonical
from weighthouse.core.errors import WeighthouseError
from weighthouse.core.settings import Settings
from weighthouse.egress.rules import hosts
from weighthouse.identity.adapters.places import TablePlaces
from weighthouse.identity.rules import arrival, compact, jwks, return_path
from weighthouse.identity.rules import proof as dpop
from weighthouse.policy.rules.read import read_lab
from weighthouse.web import reading
from weighthouse_sdk import checkpoint_index, checkpoint_tickets, floe, formats, limits, manifest
from weighthouse_sdk.client import http as client
from weighthouse_sdk.client.key import DeviceKey
from weighthouse_sdk.errors import SdkError

OURS = (WeighthouseError,)
SDK = (SdkError,)


class Target(msgspec.Struct, frozen=True):
    """One parser behind bytes; `allowed` is the error family it may refuse with."""

    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    allowed: tuple[type[Exception], ...] = OURS


def _text(read: Callable[[str], object]) -> Callable[[bytes], object]:
    """Feed a reader of text: bytes that are no UTF-8 become lone surrogates, as file names and environments bring."""
    return lambda data: read(data.decode("utf-8", "surrogateescape"))


def _file(read: Callable[[Path], object], suffix: str) -> Callable[[bytes], object]:
    def run(data: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"fuzzed{suffix}"
            path.write_bytes(data)
            return read(path)

    return run


_KEY = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
_PUBLIC = _KEY.public_key().public_bytes_raw()
_LOG = note.VerifierKey("log.example/fuzz", note.ED25519, _PUBLIC)
_CHECKPOINT = checkpoint.Checkpoint(_LOG.name, 1, EMPTY_ROOT, ())
_NOTE = str(note.Note(_CHECKPOINT.text(), (checkpoint.sign_note(_LOG, _KEY.sign, _CHECKPOINT, 0),))).encode()
_DEVICE = DeviceKey(ec.derive_private_key(7, ec.SECP256R1()))
_URL = "https://weighthouse.lab/api/v1/me"


def _same(data: bytes) -> object:
    """What is read as canonical is written back byte for byte."""
    value = canonical.decode(data)
    assert canonical.encode(value) == data
    return value


def _check_proof(text: str) -> object:
    return dpop.check_proof(text, method="GET", url=_URL, token=None)


def _floe(data: bytes) -> object:
    return floe.decrypt(b"\x01" * 32, b"fuzz", data, floe.GCM256_IV256_4K)


def _problem(data: bytes) -> object:
    status = 200 + (data[0] if data else 0)
    return client._read(httpx.Response(status, content=data[1:], headers={"content-type": "application/json"}))


def _statement(data: bytes) -> object:
    """What a card shows, as its JSON was read, is what a device signs."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return client.canonical(value)


def _door(data: bytes) -> object:
    """A request's address, media type and body, one a line."""
    path, _, rest = data.partition(b"\n")
    kind, _, body = rest.partition(b"\n")
    raw, _, query = path.partition(b"?")
    scope = {"raw_path": raw, "path": "/", "query_string": query, "headers": [(b"Content-Type", kind)]}
    return reading.check(scope, body)


def _headers(data: bytes) -> object:
    lines = [line.partition(b":") for line in data.split(b"\n")]
    read = [(name.decode("latin-1").lower(), value.strip().decode("latin-1")) for name, _, value in lines]
    return arrival.read_credential(read, method="GET", url=_URL, peer="127.0.0.1", trusted_proxies="127.0.0.0/8")


def _ticket(read: Callable[[Mapping[str, Any]], object]) -> Callable[[bytes], object]:
    return lambda data: read(formats.strict_json(data, limits.ENVELOPE, "The ticket"))


def _host(text: str) -> object:
    found = hosts.read_authority(text, 443)
    # What has a canonical form is its own canonical form: no second spelling survives.
    assert found.code or hosts.read_authority(found.host, 443).host == found.host
    return found


_TENSORS = formats.build_header([("layer.0.weight", "F32", (2, 2), 16), ("layer.0.bias", "BF16", (2,), 4)])
_INDEX = checkpoint_index.build([(len(_TENSORS[0]), _TENSORS[1])], {"made": "é"})
_SHARDS = (
    manifest.Shard("0" * 32, 0, manifest.SHARD_MEDIA, 4096, 4000, "a" * 64, "b" * 64),
    manifest.Shard("1" * 32, 1, manifest.INDEX_MEDIA, 4096, 4000, "a" * 64, "b" * 64),
)
_MANIFEST = manifest.Manifest(
    "lab", "model/tern", "ver_" + "0" * 26, "sav_" + "0" * 26, None, _SHARDS, (("run", "x"),)
)
_LEAF = leaf.build(
    leaf.Leaf(kind="identity.SessionStarted", version=1, request="", at=1, actor="ada", subject="ada", data={"a": 1})
)
_JWKS = json.dumps({"keys": [{**_DEVICE.jwk, "kid": "one", "use": "sig"}]}).encode()
_LOAD_KEYS = [{"shard": "0" * 32, "sealed": base64.b64encode(b"x" * 80).decode()}]
_SAVE = json.dumps(
    {"save": "sav_1", "version": "ver_1", "tenant": "lab", "model": "model/tern", "parent": None, "keys": _LOAD_KEYS}
).encode()

TARGETS: dict[str, Target] = {
    "lab": Target(
        _text(lambda text: read_lab(text, "lab.yaml")), (EXAMPLE_LAB.read_bytes(), b"schema: weighthouse/lab/1\n")
    ),
    "compact-jws": Target(_text(compact.open_token), (_DEVICE.proof("GET", _URL).encode(), b"e30.e30.e30")),
    "dpop-proof": Target(_text(_check_proof), (_DEVICE.proof("GET", _URL).encode(),)),
    "jwks": Target(jwks.parse_key_set, (_JWKS,)),
    "note": Target(note.parse, (_NOTE,)),
    "note-key": Target(_text(note.parse_key), (_LOG.text().encode(),)),
    "checkpoint": Target(lambda data: checkpoint.open_checkpoint(data, [_LOG]), (_NOTE,)),
    "log-proof": Target(_text(proof.parse_proof), (b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + _NOTE,)),
    "witness-request": Target(witnessing.parse_submission, (b"old 0\n\n" + _NOTE,)),
    "leaf": Target(leaf.parse, (_LEAF,)),
    "canonical-json": Target(_same, (_LEAF, b'{"a":[1,"\xc3\xa9",null,true]}')),
    "settings-toml": Target(
        _file(lambda path: Settings(project=path), ".toml"), (b'mode = "demo"\n[server]\nport = 8040\n',)
    ),
    "settings-environment": Target(
        _text(
            lambda text: Settings(
                declared.settings(), environ={"WEIGHTHOUSE_SERVER_PORT": text, "WEIGHTHOUSE_LOG_ML_DSA": text}
            )
        ),
        (b"8040", b"true", b"-1", b" 8040\n", b"8\x1d"),
    ),
    "places-csv": Target(_file(TablePlaces, ".csv"), (b"range,network,country\n192.0.2.0/24,lab,NL,52.1,4.3,20\n",)),
    "authority": Target(_text(_host), (b"example.org:443", "bücher.example".encode(), b"0x7f.1:80", b"[::1]:1")),
    "return-path": Target(_text(return_path.check_return_path), (b"/sessions?done=ended", b"/%2f/evil")),
    "credential": Target(
        _headers, (b"authorization: DPoP x\ndpop: y\nx-forwarded-for: ::1, 10.0.0.1", b"cookie: __Host-sid=a")
    ),
    "door": Target(
        _door,
        (b'/a?b=c&d=%20\napplication/json\n{"a":[1,{"b":"x"}]}', b"/\napplication/x-www-form-urlencoded\na=b&c=%20"),
    ),
    "floe": Target(_floe, (floe.encrypt(b"\x01" * 32, b"fuzz", b"x" * 9000, floe.GCM256_IV256_4K), b""), SDK),
    "safetensors": Target(lambda data: formats.parse_header(data, 20), (_TENSORS[0][8:],), SDK),
    "safetensors-length": Target(formats.header_length, (_TENSORS[0], b"\x80\x02"), SDK),
    "manifest": Target(manifest.parse, (_MANIFEST.payload(),), SDK),
    "dsse": Target(lambda data: manifest.open_envelope(data, _PUBLIC), (manifest.sign(_MANIFEST, _KEY),), SDK),
    "index": Target(lambda data: checkpoint_index.parse(data, (len(_TENSORS[0]) + 20,)), (_INDEX,), SDK),
    "save-ticket": Target(_ticket(checkpoint_tickets.parse_save), (_SAVE,), SDK),
    "load-ticket": Target(_ticket(checkpoint_tickets.parse_load), (_SAVE,), SDK),
    "problem": Target(_problem, (b'\xc8{"code":"a.b","detail":"c","remedy":"d","x":1}', b"\x00{}"), SDK),
    "statement": Target(_statement, (b'{"a":[1,null,"x"]}', b'"\\ud800"'), SDK),
}
