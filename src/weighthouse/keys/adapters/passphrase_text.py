"""What a passphrase is, as text. Guards a lab from being locked out by spelling, and new files from weak passphrases.

One text has several spellings in Unicode: a Mac types accents decomposed, Linux composed. New files are made with the
composed one (NFC); an existing file is tried with each spelling that differs, the older ones as they were typed.
"""

from __future__ import annotations

import unicodedata

from weighthouse.core.errors import Invalid

MIN_CHARACTERS = 12
MIN_DIFFERENT = 6
MAX_CHARACTERS = 1_024
BOM = "\ufeff"


def spellings(passphrase: str) -> list[str]:
    """Every way in which what was typed may have been spelt when the file was made; none for what is no text.

    The last is a passphrase file with a byte order mark, which was once taken for a part of the passphrase.
    """
    forms = [unicodedata.normalize("NFC", passphrase), passphrase, unicodedata.normalize("NFD", passphrase)]
    return [each for each in dict.fromkeys([*forms, BOM + passphrase]) if _text(each)]


def strong(passphrase: str) -> str:
    """The spelling that a new file is sealed with; raise `keys.weak_passphrase` for one that is soon guessed."""
    normal = unicodedata.normalize("NFC", passphrase)
    if not _text(normal) or len(normal) > MAX_CHARACTERS:
        raise _weak(f"is no Unicode text of at most {MAX_CHARACTERS} characters")
    if len(normal) < MIN_CHARACTERS:
        raise _weak(f"has fewer than {MIN_CHARACTERS} characters")
    if len(set(normal)) < MIN_DIFFERENT:
        raise _weak(f"has fewer than {MIN_DIFFERENT} different characters")
    return normal


def _text(passphrase: str) -> bool:
    try:
        passphrase.encode()
    except UnicodeEncodeError:
        return False
    return True


def _weak(why: str) -> Invalid:
    return Invalid(
        "keys.weak_passphrase", f"The passphrase of the key file {why}.", "Use at least four random words."
    )
