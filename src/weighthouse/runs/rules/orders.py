"""Is this order one that may be stored and executed at all? Guards the runner from absurd and hostile input.

Attacks stopped: a code file that escapes its folder, a command that names a program of the host, sizes that fill the
database, a parent that is not a version id.
"""

from __future__ import annotations

import re

import msgspec

from weighthouse.core import visible
from weighthouse.core.clock import Millis
from weighthouse.core.errors import Invalid
from weighthouse.core.ids import check_id, check_slug
from weighthouse.runs.model import Order

MAX_FILES = 32
MAX_CODE = 256 * 1024
MAX_ARGUMENTS = 64
MAX_ARGUMENT = 4096
MAX_COMMAND = 64 * 1024  # as it is handed on: one argument of a program, of which the kernel takes 128 KiB
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,60}\.(?:py|json|toml|txt|md)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PROFILE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check(order: Order, longest: Millis) -> None:
    """Raise `runs.bad_order` naming the first field that does not fit."""
    check_slug(order.model)
    check_slug(order.dataset)
    if order.parent is not None:
        check_id(order.parent, "ver")
    if _DIGEST.fullmatch(order.environment) is None:
        raise _bad("environment", "is not a digest (sha256:<64 hex>)")
    if _PROFILE.fullmatch(order.egress_profile) is None:
        raise _bad("egress_profile", "is not the name of a profile")
    if not 1 <= len(order.command) <= MAX_ARGUMENTS or order.command[0] != "python":
        raise _bad("command", f"begins with 'python' and has at most {MAX_ARGUMENTS} parts")
    if any(len(part) > MAX_ARGUMENT for part in order.command):
        raise _bad("command", f"has parts of at most {MAX_ARGUMENT} characters")
    if unseen := next(filter(None, map(visible.hidden, order.command)), ""):
        raise _bad(
            "command", f"has {unseen} in it, which nobody sees; put code of several lines into a file of `code`"
        )
    if len(msgspec.json.encode(order.command)) > MAX_COMMAND:
        raise _bad("command", f"is larger than {MAX_COMMAND} bytes in all; put what is long into a file of `code`")
    if not 1 <= len(order.code) <= MAX_FILES:
        raise _bad("code", f"has 1 to {MAX_FILES} files")
    for name in order.code:
        if _FILE.fullmatch(name) is None:
            raise _bad("code", f"names a file {name[:40]!r}; use letters, digits, '_' and '-', and a text suffix")
    if sum(len(text.encode("utf-8", "surrogatepass")) for text in order.code.values()) > MAX_CODE:
        raise _bad("code", f"is larger than {MAX_CODE} bytes in all")
    if not 1000 <= order.wall_clock <= longest:
        raise _bad("wall_clock", f"is between one second and {longest // 1000} s")


def _bad(field: str, what: str) -> Invalid:
    return Invalid(
        "runs.bad_order", f"The field '{field}' {what}.", "Correct the field and submit again.", field=field
    )
