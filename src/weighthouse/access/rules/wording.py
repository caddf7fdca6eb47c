"""Texts that people write for other people to read. Guards approvers from words that look like something else.

Control and direction characters, and texts that are too short or too long, are refused; a text that mixes alphabets
is allowed but marked on the card.
"""

from __future__ import annotations

import unicodedata

SHORTEST_REASON = 10
SHORTEST_BROAD = 40
LONGEST = 500
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def cleaned(text: str) -> str:
    """Return `text` in NFC with runs of spaces and newlines joined."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def hides(text: str) -> bool:
    """Whether `text` holds a character that a reader cannot see or that turns the writing round."""
    return any(unicodedata.category(letter) in _HIDDEN for letter in text if letter not in "\n\t\r")


def mixes_alphabets(text: str) -> bool:
    """Whether one word of `text` mixes Latin, Greek and Cyrillic letters, as look-alikes do."""
    for word in text.split():
        scripts = set()
        for letter in word:
            if letter.isalpha():
                scripts.add(unicodedata.name(letter, "?").split(" ")[0])
        if len(scripts & {"LATIN", "GREEK", "CYRILLIC"}) > 1:
            return True
    return False
