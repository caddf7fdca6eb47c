"""How often sign-ins are begun from one address. Guards the identity provider from whoever needs no name to ask here.

Beginning one is open to everybody, keeps a row and, where requests are pushed, costs the provider one. So each
address has its own measure, and whoever floods from one of them keeps nobody else out. Nothing is written to the log:
a line for each refusal would be the next flood. Kept by this process alone, and forgotten with it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from weakref import WeakKeyDictionary

from weighthouse.core.clock import MINUTE, Millis
from weighthouse.core.errors import TooMany
from weighthouse.core.work import System

A_MINUTE = 120
"""An office behind one address signs in within a few minutes; a flood is more than this."""
MOST_ADDRESSES = 10_000
_Begun = OrderedDict[str, tuple[Millis, int]]
_begun: WeakKeyDictionary[System, _Begun] = WeakKeyDictionary()
_lock = threading.Lock()


def check_pace(system: System, address: str) -> None:
    """Count one more sign-in begun from an address; raises `identity.too_many_begun`."""
    now, source = system.clock.monotonic(), _source(address)
    with _lock:
        known = _begun.setdefault(system, OrderedDict())
        since, count = known.get(source, (now, 0))
        if now - since >= MINUTE:
            since, count = now, 0
        if count < A_MINUTE:
            known[source] = (since, count + 1)
            known.move_to_end(source)
            while len(known) > MOST_ADDRESSES:
                known.popitem(last=False)
            return
    raise TooMany(
        "identity.too_many_begun",
        f"More than {A_MINUTE} sign-ins a minute were begun from this address.",
        "Try again in a minute; an operator whose proxy is not named in `identity.trusted_proxies` names it.",
    )


def _source(address: str) -> str:
    """The address, or of IPv6 the network that one customer is given whole."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
