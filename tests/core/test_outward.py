"""Nobody waits longer than agreed for a resolver or host that says nothing, and only so many threads hang on it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from weighthouse.audit.adapters import witness_http
from weighthouse.audit.adapters.witness_http import HttpWitness
from weighthouse.audit.rules import quorum
from weighthouse.audit.rules.note import VerifierKey
from weighthouse.core.outward import Late, Outward
from weighthouse.identity.adapters.exchange import Broken, send

LONG_S = 60.0


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A resolver that answers nothing until it is told to, as one behind a firewall that drops."""
    told = threading.Event()

    def resolver(*_: object, **__: object) -> list[object]:
        told.wait(LONG_S)
        raise socket.gaierror("at last")

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield told
    told.set()


def test_a_silent_resolver_costs_a_sign_in_no_more_than_the_whole_time(silent: threading.Event) -> None:
    began = time.monotonic()
    with pytest.raises(Broken, match="cannot be reached"):
        send(httpx.Client(trust_env=False), "GET", "https://idp.example/keys", limit=100, whole_s=0.3)
    assert time.monotonic() - began < LONG_S / 2


def test_a_silent_resolver_costs_the_witnesses_no_more_than_the_deadline(
    silent: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witness_http, "DEADLINE_S", 0.3)
    witness = HttpWitness(quorum.Named("w1", VerifierKey("w", 4, bytes(32)), "http://witness.example/"))
    began = time.monotonic()
    for _ in range(4):
        with pytest.raises(OSError, match=r"within|hang"):
            witness.add_checkpoint(b"x")
    assert time.monotonic() - began < LONG_S / 2
    assert sum(thread.name == "outward" for thread in threading.enumerate()) <= 4


def test_when_all_places_hang_the_answer_is_no_at_once_and_they_come_back() -> None:
    outward, told = Outward(1), threading.Event()
    with pytest.raises(Late, match="within"):
        outward.within(0.05, lambda: told.wait(LONG_S))
    with pytest.raises(Late, match="hang already"):
        outward.within(LONG_S, lambda: "never asked")
    told.set()
    ends = time.monotonic() + LONG_S
    answer = ""
    while not answer:
        assert time.monotonic() < ends
        try:
            answer = outward.within(LONG_S, lambda: "here again")
        except Late:
            time.sleep(0.01)
    assert answer == "here again"


def test_what_the_exchange_raises_is_raised_where_it_is_waited_for() -> None:
    with pytest.raises(KeyError):
        Outward(1).within(LONG_S, lambda: {}["nothing"])
