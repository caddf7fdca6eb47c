"""The pipe between the server and a lender: one order, one answer, each with its length before it."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

_HEAD = struct.Struct("<I")
MOST_FILES = 2


def send_order(pipe: socket.socket, order: dict[str, Any], files: list[int]) -> None:
    """Send an order, and with it descriptors that the other end gets copies of."""
    body = json.dumps(order).encode()
    socket.send_fds(pipe, [_HEAD.pack(len(body))], files)
    pipe.sendall(body)


def receive_order(pipe: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive an order; EOFError when nobody gives any more."""
    head, files, _, _ = socket.recv_fds(pipe, _HEAD.size, MOST_FILES)
    return _rest(pipe, head), files


def send_answer(pipe: socket.socket, answer: dict[str, Any]) -> None:
    """Send an answer."""
    body = json.dumps(answer).encode()
    pipe.sendall(_HEAD.pack(len(body)) + body)


def receive_answer(pipe: socket.socket) -> dict[str, Any]:
    """Receive an answer; EOFError when the other end has ended."""
    return _rest(pipe, pipe.recv(_HEAD.size))


def _rest(pipe: socket.socket, head: bytes) -> dict[str, Any]:
    head += _exactly(pipe, _HEAD.size - len(head)) if head else b""
    if not head:
        raise EOFError
    document: dict[str, Any] = json.loads(_exactly(pipe, _HEAD.unpack(head)[0]).decode())
    return document


def _exactly(pipe: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = pipe.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
