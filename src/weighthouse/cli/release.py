"""Which release of this program runs. Guards its start and its requests from a damaged installation."""

from __future__ import annotations


def version() -> str:
    """Return the installed version; empty where ours, or another one in front of it, is broken."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return str(version("weighthouse"))
    except (PackageNotFoundError, KeyError, ValueError, OSError):
        return ""


def agent() -> str:
    """What requests of this program call themselves, as the list of sessions then shows it."""
    return f"weighthouse-cli/{version() or 'unknown'}"
