"""A witness that is no friend: it neither hides what the others say nor makes kept evidence unreadable."""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.audit.test_witness import Ring, ring
from weighthouse.audit import api
from weighthouse.audit.adapters.witness_http import HttpWitness
from weighthouse.audit.api.signing import sign_checkpoint
from weighthouse.audit.ports import Witnesses
from weighthouse.audit.rules import note as notes
from weighthouse.audit.rules import witnessing
from weighthouse.audit.rules.checkpoint import parse_text, sign_note
from weighthouse.core.work import read

__all__ = ["ring"]  # the fixture


class Hostile:
    """A witness whose operator is no friend: it answers what it likes, under a key of its own."""

    name = "x.example"
    key = ""

    def __init__(self, answer: Callable[[bytes], tuple[int, bytes]]) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(b"x" * 32)
        public = self._private.public_key().public_bytes_raw()
        self._known = notes.VerifierKey(self.name, notes.COSIGNATURE_ED25519, public)
        self.key = self._known.text()
        self._answer = answer

    def add_checkpoint(self, body: bytes) -> tuple[int, bytes]:
        return self._answer(body)

    def cosigned(self, body: bytes, times: range) -> bytes:
        checkpoint = parse_text(witnessing.parse_submission(body).note.text)
        return "".join(sign_note(self._known, self._private.sign, checkpoint, at).line() for at in times).encode()


class Both:
    """A hostile witness, asked first, and an honest one."""

    def __init__(self, first: Hostile, honest: HttpWitness) -> None:
        self._all = (first, honest)

    def all(self) -> tuple[Any, ...]:
        return self._all

    def satisfied(self, note: str) -> bool:
        return True


@pytest.mark.parametrize("size", [2**53, 2**53 + 1, 2**63 - 1])
def test_one_witness_keeps_no_other_from_being_heard(ring: Ring, size: int) -> None:
    """A number wider than our documents hold must not hide that an honest witness has seen another history."""
    lab = ring.lab
    lab.many(10)
    api.ask_witnesses(lab.system)
    ring.desks[0]._persist("weighthouse.local/log", sign_checkpoint(lab.system, 90, b"\x07" * 32, 1))
    honest = lab.system.part(Witnesses).all()[0]
    lab.system.bind(Witnesses, Both(Hostile(lambda _: (409, f"{size}\n".encode())), honest))
    answers = api.ask_witnesses(lab.system)
    assert [one.cosigned for one in answers] == [False, False]
    assert [one.cause for one in api.doubts(lab.system)] == ["witness w1"]


def test_a_witness_that_signs_seventy_times_leaves_one_line(ring: Ring) -> None:
    """What a peer may add to a kept note has a bound, or the note outgrows its own reader and proofs are lost."""
    lab = ring.lab
    lab.many(10)
    honest = lab.system.part(Witnesses).all()[0]
    hostile = Hostile(lambda body: (200, hostile.cosigned(body, range(1, 71))))
    lab.system.bind(Witnesses, Both(hostile, honest))
    for _ in range(6):
        assert [one.cosigned for one in api.ask_witnesses(lab.system)] == [True, True]
    with read(lab.system) as unit:
        proof = api.prove(unit, 3)
    assert proof.count("— x.example") == 1


def test_a_client_that_hangs_up_leaves_no_traceback(
    ring: Ring, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "weighthouse.witness")
    address = ring.servers[0].server_address
    with socket.create_connection((str(address[0]), int(address[1]))) as rude:
        rude.sendall(b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closes with a reset
    deadline = time.monotonic() + 30
    while "hung up" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "hung up" in caplog.text and not any(record.exc_info for record in caplog.records)
    assert "Exception occurred during processing" not in capsys.readouterr().err  # as socketserver would say it
