"""Where this server is reached, and the rule that demo keys and the embedded provider stay on loopback."""

from __future__ import annotations

import ipaddress

from weighthouse.app.server import free_port
from weighthouse.core.errors import Invalid
from weighthouse.core.settings import Settings


def listening(settings: Settings) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address to listen on; raise `app.bad_address` for a name, which others could move."""
    address = settings.text("server.address")
    try:
        return ipaddress.ip_address("127.0.0.1" if address == "localhost" else address.strip("[]"))
    except ValueError:
        raise Invalid(
            "app.bad_address",
            f"The server listens on an address, and {address!r} is none.",
            "Give an address of this machine, such as 127.0.0.1 or ::1, in --address or server.address.",
        ) from None


def loopback(host: str) -> bool:
    """Return whether a host of an address is this machine and nobody else."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def with_port(settings: Settings) -> Settings:
    """Return the settings with a free port where port 0 was asked for, so that everything names the real one."""
    if settings.integer("server.port"):
        return settings
    return settings.changed(server__port=free_port(str(listening(settings))))


def origin(settings: Settings) -> str:
    """Return the public origin, such as `https://weighthouse.lab` or `http://127.0.0.1:8040`."""
    configured = settings.text("server.origin")
    if configured:
        return configured.rstrip("/")
    address = settings.text("server.address")
    named = f"[{address.strip('[]')}]" if ":" in address else address
    return f"http://{named}:{settings.integer('server.port')}"


def check_address(settings: Settings) -> None:
    """Refuse demo keys off loopback (`app.demo_off_loopback`), and plain HTTP off loopback (`app.plain_http`)."""
    address = listening(settings)
    if address.is_loopback:
        return
    if settings.text("mode") == "demo":
        raise Invalid(
            "app.demo_off_loopback",
            f"Demo keys protect nothing, so a demo does not listen on {address}.",
            "Use 127.0.0.1, or `weighthouse init` and `weighthouse serve` for a system with keys of its own.",
        )
    if not settings.text("server.origin").startswith("https://"):
        raise Invalid(
            "app.plain_http",
            f"Listening on {address} without TLS would put sessions on the wire in the clear.",
            "Put a TLS proxy in front on this machine and set server.origin to its https:// address.",
        )
