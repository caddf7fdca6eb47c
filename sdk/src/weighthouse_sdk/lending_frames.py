"""What a run and its lender say to each other. Guards both from reading more than was meant.

A connection begins with one line of JSON from the run, which says what it is for, and one in answer. For a load, each
request then names a segment; its plaintext is put into the connection's next slot of the window, a file of memory
that the lender writes and the run can only read, and a short answer says how long it is. For a save, each frame
brings the plaintext of one segment. An answer that refuses ends the connection.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

from . import floe
from .errors import CheckpointError, FormatError
from .formats import utf8

PLAIN = floe.GCM256_IV256_1M.plain
SLOT = floe.GCM256_IV256_1M.segment
SLOTS = 4  # of one connection
CONNECTIONS = 4  # that may lend at once
WINDOW_BYTES = SLOT * SLOTS * CONNECTIONS
LINE_BYTES = 64 << 10
ANSWER_BYTES = 2 << 20  # an envelope, in JSON
REQUEST = struct.Struct("<IQB")  # shard, position, whether it is led to the signed root
FRAME = struct.Struct("<IQI")  # shard, position, length of the plaintext that follows
REPLY = struct.Struct("<BI")  # whether it was refused, and a length
NOTHING_MORE = 0xFFFFFFFF  # the shard of a frame after which the run waits for what became of the others


def receive(way: socket.socket, view: memoryview) -> bool:
    """Fill `view`; return False where the other end closed before its first byte, and raise where it did later."""
    done = 0
    while done < len(view):
        count = way.recv_into(view[done:])
        if count == 0:
            if done == 0:
                return False
            raise ConnectionResetError("closed in the middle")
        done += count
    return True


def say(way: socket.socket, document: dict[str, Any]) -> None:
    """Send one document, its length before it."""
    refused = "code" in document
    body = json.dumps(document).encode()
    way.sendall(REPLY.pack(refused, len(body)) + body)


def hear(way: socket.socket) -> dict[str, Any]:
    """Receive one document; raise what it refuses."""
    refused, length = header(way)
    document = _document(way, length)
    if refused:
        raise refusal(document)
    return document


def header(way: socket.socket) -> tuple[bool, int]:
    """The head of a reply. Raises `checkpoint.lender` where there is none."""
    head = bytearray(REPLY.size)
    try:
        there = receive(way, memoryview(head))
    except OSError as error:
        raise gone(str(error)) from None
    if not there:
        raise gone("it closed the connection")
    refused, length = REPLY.unpack(head)
    return bool(refused), int(length)


def refused(way: socket.socket, length: int) -> CheckpointError:
    """The refusal whose head was read."""
    return refusal(_document(way, length))


def _document(way: socket.socket, length: int) -> dict[str, Any]:
    if length > ANSWER_BYTES:
        raise gone("its answer is too long")
    body = bytearray(length)
    try:
        if length and not receive(way, memoryview(body)):
            raise ConnectionResetError("closed in the middle")
        document = json.loads(utf8(bytes(body), "The lender's answer"))
    except (OSError, ValueError, RecursionError, FormatError) as error:
        raise gone(str(error)) from None
    if not isinstance(document, dict):
        raise gone("its answer is no object")
    return document


def refusal(document: dict[str, Any]) -> CheckpointError:
    """The error that a refusing document tells of."""
    words = [str(document.get(name, "")) for name in ("code", "message", "remedy")]
    return CheckpointError(words[0], words[1], words[2])


def gone(why: str) -> CheckpointError:
    """The lender cannot be reached, or has ended."""
    remedy = "Load or save again; if it stays so, the run's page says whether the run is to end."
    return CheckpointError("checkpoint.lender", f"The lender of this run does not answer: {why}.", remedy)
