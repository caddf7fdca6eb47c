"""Going on in an ordered query by key. Guards lists from what happens between two pages.

An offset would skip or repeat. The order is a row of columns, each up or down; together they are unique.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_

from weighthouse.core.paging import Place


def ordered(query: Select[Any], by: Sequence[tuple[ColumnElement[Any], bool]], place: Place | None) -> Select[Any]:
    """`query` in the order of `by`, pairs of a column and whether it goes down, from `place` on; against that order
    when the place asks for what stands before it. Limit it to one more than the page."""
    back = place is not None and place.back
    query = query.order_by(*(column.desc() if down != back else column.asc() for column, down in by))
    if place is None:
        return query
    beyond: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for (column, down), value in zip(by, place.key, strict=True):
        beyond.append(and_(*same, column < value if down != back else column > value))
        same.append(column == value)
    return query.where(or_(*beyond))
