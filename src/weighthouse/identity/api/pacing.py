"""How often sign-ins are begun from one address. Guards the identity provider from whoever needs no name to ask here.

Beginning one is open to everybody, keeps a row and, where requests are pushed, costs the provider one. So each
address has its own measure, and whoever floods from one of them keeps nobody else out. Not even behind the same
address, as a stranger in an office's guest network is: a browser that was signed in here before, and an enrolled key,
have a measure of their own when that of the address is spent. Nothing is written to the log: a line for each refusal
would be the next flood. Kept by this process alone, and forgotten with it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from weakref import WeakKeyDictionary

from weighthouse.core.clock import MINUTE, Millis
from weighthouse.core.errors import TooMany
from weighthouse.core.work import System, read
from weighthouse.identity.api.marks import given_here
from weighthouse.identity.store.devices import device_of_key

A_MINUTE = 120
"""An office behind one address signs in within a few minutes; a flood is more than this."""
KNOWN_A_MINUTE = 20
MOST_ADDRESSES = 10_000
_Begun = OrderedDict[str, tuple[Millis, int]]
_begun: WeakKeyDictionary[System, _Begun] = WeakKeyDictionary()
_lock = threading.Lock()


def check_pace(system: System, address: str, *, device_mark: str = "", key: str = "") -> None:
    """Count one more sign-in begun from an address, or by a browser or key that is known here.

    Raises `identity.too_many_begun`.
    """
    if _has_room(system, _source(address), A_MINUTE):
        return
    known = _known(system, device_mark, key)
    if known and _has_room(system, known, KNOWN_A_MINUTE):
        return
    raise TooMany(
        "identity.too_many_begun",
        f"More than {A_MINUTE} sign-ins a minute were begun from this address.",
        "Try again in a minute, or in a browser that has been signed in here before; an operator whose proxy is not "
        "named in `identity.trusted_proxies` names it.",
    )


def _has_room(system: System, source: str, most: int) -> bool:
    now = system.clock.monotonic()
    with _lock:
        begun = _begun.setdefault(system, OrderedDict())
        since, count = begun.get(source, (now, 0))
        if now - since >= MINUTE:
            since, count = now, 0
        if count >= most:
            return False
        begun[source] = (since, count + 1)
        begun.move_to_end(source)
        while len(begun) > MOST_ADDRESSES:
            begun.popitem(last=False)
        return True


def _known(system: System, device_mark: str, key: str) -> str:
    """The name of what begins if it was part of a finished sign-in here; empty for what anybody can make up."""
    if given_here(system, device_mark):
        return f"browser {device_mark}"
    if not key:
        return ""
    with read(system) as unit:
        return f"key {key}" if device_of_key(unit.conn, key) is not None else ""


def _source(address: str) -> str:
    """The address, or of IPv6 the network that one customer is given whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
