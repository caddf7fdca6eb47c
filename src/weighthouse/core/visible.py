"""Text that people sign or read. Guards signers from words that hide, that turn the writing round or cover others.

The one rule of the whole software, by the fixed sets of `core.letters` and not by the interpreter's Unicode tables.
What is never seen is refused; what some writings and emoji need (joiners, variation selectors, tags) is good only
where they need it; what is not yet assigned is somebody's next letter or emoji and is let through.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator

from weighthouse.core import letters
from weighthouse.core.errors import Invalid

_ZWNJ, _ZWJ, _TEXT_STYLE, _EMOJI_STYLE, _KEYCAP = 0x200C, 0x200D, 0xFE0E, 0xFE0F, 0x20E3
_FLAG, _TAG_END = 0x1F3F4, 0xE007F
# All that is worth a look: what stands below U+0300 and not here is seen, so that a long text costs little.
_SUSPECT = re.compile("[\x00-\x1f\x7f-\x9f\xad\u0300-\U0010ffff]")
_SUSPECT_IN_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0300-\U0010ffff]")
# The spaces that are not U+0020, as they stand between the brackets of a regular expression.
SPACES = "".join(f"{chr(first)}-{chr(last)}" for first, last in letters.SPACES)
_SPACE = re.compile(f"[{SPACES}]")
_MOST_MARKS = 3  # on one letter; pointed Hebrew needs three, and more climb over the lines above and below


def _in(code: int, ranges: letters.Ranges) -> bool:
    return any(first <= code <= last for first, last in ranges)


def hidden(text: str, *, lines: bool = False) -> str:
    """The first character that a reader cannot see or that turns the writing round, as `U+202E`; an empty text if
    there is none. With `lines`, line breaks and tabs are seen."""
    place = next(places(text, lines=lines), None)
    return "" if place is None else f"U+{ord(text[place]):04X}"


def places(text: str, *, lines: bool = False) -> Iterator[int]:
    """The places of all such characters."""
    marks, last = 0, -2
    for found in (_SUSPECT_IN_LINES if lines else _SUSPECT).finditer(text):
        place, code = found.start(), ord(found.group())
        if _in(code, letters.MARKS) and not _in(code, letters.NEVER):
            marks, last = marks + 1 if place == last + 1 else 1, place
            if marks > _MOST_MARKS or place == 0:
                yield place
        elif _in(code, letters.NEVER) and not _is_seen(text, place, lines):
            yield place


def _breaks(text: str, place: int) -> bool:
    """Whether a control is a line break or a tab; a carriage return alone would write over its line."""
    return text[place] in "\n\t" or text[place : place + 2] == "\r\n"


def check(text: str, what: str, *, lines: bool = True) -> None:
    """Raise Invalid `core.hidden_text` naming the first character that `text` hides; `what` says which text it is."""
    found = hidden(text, lines=lines)
    if found:
        raise Invalid(
            "core.hidden_text",
            f"{what} holds {found}, which a reader cannot see there or which turns the writing round.",
            "Write it again as plain text.",
            character=found,
        )


def line_problem(text: str) -> str:
    """What is wrong with a value that stands on one line and is compared letter by letter: what `hidden` finds, or a
    space that looks like another (`U+00A0`), doubled, or at an end (`U+0020`); an empty text if nothing is."""
    space = _SPACE.search(text)
    found = hidden(text) or (f"U+{ord(space.group()):04X}" if space else "")
    return found or ("U+0020" if text != " ".join(text.split(" ")).strip(" ") or "  " in text else "")


def cleaned(text: str) -> str:
    """`text` in NFC with runs of spaces and line breaks joined: what is stored and signed of a written text."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def marked(text: str, *, lines: bool = False, instead: str = "") -> str:
    """`text` with every hidden character shown as `⟦U+202E⟧`, or as `instead`."""
    found = set(places(text, lines=lines))
    if not found:
        return text
    return "".join(
        (instead or f"⟦U+{ord(letter):04X}⟧") if place in found else letter for place, letter in enumerate(text)
    )


def mixes_alphabets(text: str) -> bool:
    """Whether one word of `text` mixes Latin, Greek and Cyrillic letters, as look-alikes do."""
    return any(len({_alphabet(ord(letter)) for letter in word} - {""}) > 1 for word in text.split())


def _alphabet(code: int) -> str:
    if 0x41 <= code <= 0x5A or 0x61 <= code <= 0x7A or (0xC0 <= code <= 0x24F and code not in (0xD7, 0xF7)):
        return "latin"
    if 0x1E00 <= code <= 0x1EFF:
        return "latin"
    if 0x370 <= code <= 0x3FF or 0x1F00 <= code <= 0x1FFF:
        return "greek" if code not in (0x37E, 0x387) else ""
    return "cyrillic" if 0x400 <= code <= 0x52F or 0xA640 <= code <= 0xA69F else ""


def _is_seen(text: str, place: int, lines: bool) -> bool:
    """Whether a character that is not seen by itself is a line break that is wanted, or stands where it is needed."""
    code = ord(text[place])
    if lines and _breaks(text, place):
        return True
    before = ord(text[place - 1]) if place else 0
    after = ord(text[place + 1]) if place + 1 < len(text) else 0
    if code in (_ZWNJ, _ZWJ):
        return _joins(text, place, code, before, after)
    if code in (_TEXT_STYLE, _EMOJI_STYLE):
        return _in(before, letters.EMOJI) or (chr(before) in "0123456789#*" and after == _KEYCAP)
    if 0xFE00 <= code <= 0xFE02 or 0xE0100 <= code <= 0xE01EF:
        return _in(before, letters.IDEOGRAPHS)
    if 0x180B <= code <= 0x180F:
        return _in(before, letters.MONGOLIAN)
    return _is_flag(text, place) if 0xE0020 <= code <= _TAG_END else False


def _joins(text: str, place: int, code: int, before: int, after: int) -> bool:
    if before in letters.VIRAMAS:
        return True
    if _in(before, letters.JOINING) and _in(after, letters.JOINING):
        return bisect_right(letters.SCRIPTS, before) == bisect_right(letters.SCRIPTS, after)
    styled = place >= 2 and (before == _EMOJI_STYLE or _in(before, letters.SKIN))
    return (
        code == _ZWJ and _in(ord(text[place - 2]) if styled else before, letters.EMOJI) and _in(after, letters.EMOJI)
    )


def _is_flag(text: str, place: int) -> bool:
    start = text.rfind(chr(_FLAG), max(0, place - 6), place)
    return start >= 0 and text.startswith(letters.FLAG_TAGS, start + 1)
