"""The one table of limits. Guards against a file that is written and can never be read: both sides look here.

A reader refuses what passes a limit before it takes memory for it; a writer calls the same `check` before its first
byte. Every refusal names the limit, its value and what was found.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import FormatError


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` of `what`; `remedy` is what a writer can do about it."""

    name: str
    most: int
    what: str
    remedy: str

    def check(self, count: int, whose: str) -> int:
        """Return `count`, or raise `formats.too_large` naming this limit."""
        if count > self.most:
            why = f"{whose} has {count} {self.what}; the limit {self.name} is {self.most}."
            raise FormatError("formats.too_large", why, self.remedy)
        return count


TENSORS = Limit("TENSORS", 100_000, "tensors", "Join small tensors into larger ones before saving.")
SHARDS = Limit("SHARDS", 1_000, "shards", "Make shards larger.")
NAME = Limit("NAME", 1024, "characters", "Give the tensor a shorter name.")
DIMENSIONS = Limit("DIMENSIONS", 16, "dimensions", "Reshape the tensor.")
SIDE = Limit("SIDE", (1 << 48) - 1, "elements along one side", "Reshape the tensor.")
SPAN = Limit("SPAN", 1 << 60, "bytes over its sides that are not 0", "Reshape the tensor.")
HEADER = Limit("HEADER", 16 << 20, "bytes of safetensors header", "Put fewer tensors into one shard.")
INDEX = Limit("INDEX", 64 << 20, "bytes of index", "Save fewer tensors, or give them shorter names.")
BRACKETS = Limit("BRACKETS", 10 * TENSORS.most, "brackets", "Save fewer tensors, or name them without brackets.")
METADATA = Limit("METADATA", 64 << 10, "bytes of metadata", "Keep long texts in a file of their own.")
ENVELOPE = Limit("ENVELOPE", 1 << 20, "bytes of signed manifest", "Use fewer shards.")
BUNDLE = Limit("BUNDLE", 4 << 20, "bytes of export bundle", "Export a version of fewer shards.")
TEXT = Limit("TEXT", 4096, "characters", "Use a shorter text.")
DEPTH = Limit("DEPTH", 8, "levels of nesting", "Flatten it.")

ALL = (
    TENSORS,
    SHARDS,
    NAME,
    DIMENSIONS,
    SIDE,
    SPAN,
    HEADER,
    INDEX,
    BRACKETS,
    METADATA,
    ENVELOPE,
    BUNDLE,
    TEXT,
    DEPTH,
)
