"""Which texts may name a tensor: one rule of fixed sets. Guards old checkpoints from a newer Unicode.

What an interpreter calls printable changes with its Unicode tables: a name saved on one Python was refused on the
next. The sets below are written out, so every version of every interpreter answers alike, for ever. Left out is what
no reader can see: controls, spaces other than U+0020, zero-width and direction marks, surrogates, noncharacters.
"""

from __future__ import annotations

import re

from .errors import FormatError
from .limits import NAME

RESERVED = "__metadata__"
_UNSEEN = (
    (0x0000, 0x001F), (0x007F, 0x00A0), (0x00AD, 0x00AD), (0x061C, 0x061C), (0x1680, 0x1680), (0x180E, 0x180E),
    (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000), (0xD800, 0xDFFF), (0xFDD0, 0xFDEF),
    (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0001, 0xE0001), (0xE0020, 0xE007F),
    *((plane << 16 | 0xFFFE, plane << 16 | 0xFFFF) for plane in range(17)),
)  # fmt: skip
_REFUSED = re.compile("[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in _UNSEEN) + "]")


def check_name(name: object) -> str:
    """Return a tensor's name; raise `formats.name` or, above the limit NAME, `formats.too_large`."""
    if type(name) is not str or not name or name == RESERVED:
        raise _bad("A tensor's name is a text, not empty, and not '__metadata__'.")
    if len(name) > NAME.most:
        NAME.check(len(name), f"The tensor name {name[:40]!r}...")
    found = _REFUSED.search(name)
    if found is not None:
        raise _bad(f"The tensor name {name[:80]!a} holds U+{ord(found[0]):04X}, which no reader can see.")
    return name


def _bad(why: str) -> FormatError:
    return FormatError("formats.name", why, "Rename the tensor.")
