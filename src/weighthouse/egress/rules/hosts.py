"""Canonical hosts. Guards the allow-list from a second spelling of a name, and from addresses in any notation.

Attacks stopped (research cases 48, 50): upper case, a trailing dot, Unicode look-alikes, IPv4 as decimal, hex, octal
or short form, IPv4-mapped IPv6, a port hidden in the name, user information. What is odd is refused, not repaired.
"""

from __future__ import annotations

import hashlib
import re

import idna
import msgspec

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)")
LONGEST_KEPT = 48
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class Authority(msgspec.Struct, frozen=True):
    """A host in canonical form with its port, or the code of why it has none."""

    host: str
    port: int
    code: str = ""


def read_authority(text: str, default_port: int) -> Authority:
    """Read `host:port` as a client wrote it. Codes: none, `egress.ip_literal`, `bad_host`, `bad_port`."""
    if not text or len(text) > 300 or text.startswith("[") or text.count(":") > 1:
        literal = text.startswith("[") or text.count(":") > 1
        return Authority(_shown(text), 0, "egress.ip_literal" if literal else "egress.bad_host")
    host, _, port_text = text.partition(":")
    port = default_port
    if ":" in text:
        if _PORT.fullmatch(port_text) is None or int(port_text) > 65535:
            return Authority(_shown(host), 0, "egress.bad_port")
        port = int(port_text)
    return read_host(host, port)


def read_host(host: str, port: int) -> Authority:
    """Bring one host name into canonical form."""
    name = host.removesuffix(".")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True, std3_rules=True).decode()
        except idna.IDNAError:
            return Authority(_shown(host), port, "egress.bad_host")
    name = name.lower()
    labels = name.split(".")
    # The last label decides, as in WHATWG's host parser: 127.1, 2130706433 and 0x7f000001 are all addresses.
    if _NUMBER.fullmatch(labels[-1]):
        return Authority(_shown(name), port, "egress.ip_literal")
    if len(name) > 253 or any(_LABEL.fullmatch(label) is None for label in labels):
        return Authority(_shown(name), port, "egress.bad_host")
    return Authority(name, port)


def shorten(name: str) -> str:
    """Return what the log keeps of a name that a run chose: all of a usual one, the head and a mark of a long one."""
    return (
        name
        if len(name) <= LONGEST_KEPT
        else f"{name[:LONGEST_KEPT]}~{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    )


def _shown(text: str) -> str:
    """Return what may be shown of a name that has no canonical form: printable ASCII, cut at 100."""
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text[:100])
