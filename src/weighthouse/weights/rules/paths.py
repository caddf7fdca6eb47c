"""Paths of objects. Guards the store's folder from names that climb out of it, look like others, or are too long."""

from __future__ import annotations

import re

from weighthouse.core.errors import Invalid

_PART = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(?:\.[a-z]{1,10})?")
MAX_PARTS = 6


def check_path(path: str) -> tuple[str, ...]:
    """Return the parts of a path of at most six plain ASCII parts; anything else is `weights.bad_path`."""
    parts = tuple(path.split("/"))
    if len(parts) > MAX_PARTS or any(_PART.fullmatch(part) is None for part in parts):
        raise Invalid(
            "weights.bad_path",
            "An object's path has at most six parts of lower-case letters, digits, '-' and '_'.",
            "Use the prefix and the shard ids of the ticket as they are.",
        )
    return parts


def shard_path(prefix: str, shard: str) -> str:
    """Where a shard's ciphertext lies."""
    return f"{prefix}/shards/{shard}.floe"


def save_prefix(save: str, run: str) -> str:
    """Where a save's objects are written: in its run's own folder, or among what people bring."""
    return f"{run_prefix(run)}/{save}" if run else f"uploads/{save}"


def run_prefix(run: str) -> str:
    """The one folder that a run's sandbox may write to."""
    return f"runs/{run}"


def kept_prefix(version: str) -> str:
    """Where the objects of a version lie: copied there before it was one, in a folder that no run can ever write."""
    return f"versions/{version}"


def manifest_path(version: str) -> str:
    """Where the copy of a committed manifest lies, outside what any run can write to."""
    return f"manifests/{version}.json"
