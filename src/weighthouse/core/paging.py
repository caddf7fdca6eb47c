"""One page of a longer list. Guards readers from a limit that nobody told them of, databases from lists without end.

A list is cut by key, never by number: what is added or taken away between two pages makes nothing come twice and
hides nothing. A cursor says where a page ended; it is a place in a named list and no more, is checked when it comes
back, and what may be seen is asked anew for every page.
"""

from __future__ import annotations

import base64
import binascii
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlencode

import msgspec

from weighthouse.core.errors import Invalid

T = TypeVar("T")
S = TypeVar("S")
Key = tuple[int | str, ...]

MOST = 500
USUAL = 100
LONGEST_CURSOR = 600


class Place(msgspec.Struct, frozen=True):
    """Where to go on: behind `key`, or before it when `back`."""

    key: Key
    back: bool = False


class Page(msgspec.Struct, Generic[T], frozen=True):
    """The items of one page, and the cursors of its neighbours; None where there is none."""

    items: list[T]
    next: str | None = None
    previous: str | None = None
    total: int | None = None

    def of(self, turn: Callable[[T], S]) -> Page[S]:
        """The same page with every item turned into what is shown of it."""
        return Page([turn(one) for one in self.items], self.next, self.previous, self.total)


def place_of(cursor: str | None, name: str, shape: tuple[type, ...]) -> Place | None:
    """The place that a cursor of the list `name` names, whose key has this shape; None for the beginning.

    Raises `core.bad_cursor` for anything else: another list's cursor, one of another release, one made up.
    """
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        said, back, *key = msgspec.json.decode(text, type=list[int | str | bool])
    except (ValueError, binascii.Error, UnicodeEncodeError, msgspec.MsgspecError):
        raise _bad() from None
    if said != name or type(back) is not bool or tuple(type(one) for one in key) != shape:
        raise _bad()
    if any(isinstance(one, int) and abs(one) >= 1 << 63 for one in key):
        raise _bad()
    return Place(cast(Key, tuple(key)), back)


def _bad() -> Invalid:
    return Invalid(
        "core.bad_cursor",
        "This is not a cursor of this list.",
        "Begin without one, and pass on `next` as it was given.",
    )


def cursor(name: str, key: Key, *, back: bool = False) -> str:
    """The cursor for going on behind `key`, or before it."""
    return base64.urlsafe_b64encode(msgspec.json.encode([name, back, *key])).rstrip(b"=").decode()


def page(found: Sequence[T], limit: int, name: str, key: Callable[[T], Key], place: Place | None) -> Page[T]:
    """A page out of what a query found from `place` on: up to `limit` + 1 items in the order in which it was asked,
    so that the one too many says that more follow."""
    back = place is not None and place.back
    items, more = list(found[:limit]), len(found) > limit
    if back:
        items.reverse()
    onward, before = (place is not None, more) if back else (more, place is not None)
    return Page(
        items,
        cursor(name, key(items[-1])) if items and onward else None,
        cursor(name, key(items[0]), back=True) if items and before else None,
    )


def window(
    items: Sequence[T], limit: int, name: str, key: Callable[[T], Key], cursor_: str | None, shape: tuple[type, ...]
) -> Page[T]:
    """A page of a list that is whole in memory; `key` is unique and gives the order."""
    ordered = sorted(items, key=key)
    place = place_of(cursor_, name, shape)
    keys = [key(one) for one in ordered]
    if place is None:
        found = ordered[: limit + 1]
    elif place.back:
        end = bisect_left(keys, place.key)
        found = ordered[max(0, end - limit - 1) : end][::-1]
    else:
        found = ordered[bisect_right(keys, place.key) :][: limit + 1]
    made = page(found, limit, name, key, place)
    return msgspec.structs.replace(made, total=len(ordered))


def ranked(items: Sequence[T], limit: int, name: str, cursor_: str | None) -> Page[T]:
    """A page of a short list whose order is its meaning, such as a ranking: cut by rank."""
    made = window(list(enumerate(items)), limit, name, lambda pair: (pair[0],), cursor_, (int,))
    return made.of(lambda pair: pair[1])


def answer(made: Page[Any]) -> dict[str, Any]:
    """What every list route answers: its items, the cursor to go on with or null, and the total where it is known."""
    told = {"items": msgspec.to_builtins(made.items), "next": made.next}
    return told if made.total is None else {**told, "total": made.total}


class Links(msgspec.Struct, Generic[T], frozen=True):
    """The items of one page for people; `newer` and `older` are addresses or None; `shown` says what these are."""

    items: Sequence[T]
    newer: str | None
    older: str | None
    shown: str


def links(made: Page[T], path: str, query: Mapping[str, str] | None = None, *, name: str = "cursor") -> Links[T]:
    """A page with its neighbours' addresses. `name` is the parameter of the cursor, where a page shows two lists."""

    def address(found: str | None) -> str | None:
        return None if found is None else path + "?" + urlencode({**(query or {}), name: found})

    count = len(made.items)
    more = " and more follow" if made.next else ""
    shown = f"{count} of {made.total}" if made.total is not None else f"{count} here{more}"
    return Links(made.items, address(made.previous), address(made.next), shown if count else "")
