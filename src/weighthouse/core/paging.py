"""One page of a longer list, with its neighbours' addresses. Guards pages and databases from lists without end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar
from urllib.parse import urlencode

import msgspec

T = TypeVar("T")

DEEPEST = 200


class Cut(msgspec.Struct, Generic[T], frozen=True):
    """The items of one page; `newer` and `older` are addresses or None; `shown` says which items these are."""

    items: Sequence[T]
    newer: str | None
    older: str | None
    shown: str


def reach(page: int, size: int) -> int:
    """Return how many items to ask for, so that `cut` sees whether another page follows."""
    return (min(page, DEEPEST) + 1) * size + 1


def cut(found: Sequence[T], page: int, size: int, path: str, query: Mapping[str, str] | None = None) -> Cut[T]:
    """Cut page number `page` (from 0) out of the first items of a list; one more than the page says more follow."""
    page = min(page, DEEPEST)
    items = found[page * size : (page + 1) * size]

    def address(number: int) -> str:
        asked = {**(query or {}), **({"page": str(number)} if number else {})}
        return path + ("?" + urlencode(asked) if asked else "")

    more = len(found) > (page + 1) * size and page < DEEPEST
    first = page * size + 1
    shown = f"{first} to {first + len(items) - 1}{'' if more else f' of {len(found)}'}" if items else ""
    return Cut(items, address(page - 1) if page else None, address(page + 1) if more else None, shown)
