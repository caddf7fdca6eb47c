"""Pages cut by key: complete, nothing twice, also while the list changes; a cursor that is not one is refused."""

from __future__ import annotations

import base64
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighthouse.core import paging
from weighthouse.core.errors import Invalid

Row = tuple[int, str]


def key(row: Row) -> paging.Key:
    return (-row[0], row[1])


def cut(rows: set[Row], cursor: str | None, limit: int) -> paging.Page[Row]:
    return paging.window(list(rows), limit, "rows", key, cursor, (int, str))


rows = st.sets(st.tuples(st.integers(0, 9), st.text("abc", min_size=1, max_size=3)), max_size=40)


@given(rows, rows, rows, st.integers(1, 9))
def test_pages_are_complete_and_give_nothing_twice_while_the_list_changes(
    stay: set[Row], come: set[Row], go: set[Row], limit: int
) -> None:
    found: list[Row] = []
    held, cursor, turn = stay | go, None, 0
    while True:
        page = cut(held, cursor, limit)
        found += page.items
        cursor, turn = page.next, turn + 1
        if cursor is None:
            break
        held = stay | come if turn % 2 else stay | go
    assert len(found) == len(set(found)) and stay <= set(found) <= stay | come | go
    assert found == sorted(found, key=key)


@given(rows, st.integers(1, 9))
def test_a_page_back_is_the_page_before(held: set[Row], limit: int) -> None:
    pages, cursor = [cut(held, None, limit)], cut(held, None, limit).next
    while cursor is not None:
        pages.append(cut(held, cursor, limit))
        cursor = pages[-1].next
    assert pages[0].previous is None and all(one.total == len(held) for one in pages)
    for before, after in itertools.pairwise(pages):
        assert after.previous is not None and cut(held, after.previous, limit).items == before.items


@pytest.mark.parametrize(
    "wrong",
    [
        "", "x", "!!", "é", "A" * 600, paging.cursor("others", (1, "a")), paging.cursor("rows", (1,)),
        paging.cursor("rows", ("a", 1)), paging.cursor("rows", (1 << 70, "a")),
        base64.urlsafe_b64encode(b'["rows",0,1,"a"]').decode(), base64.urlsafe_b64encode(b'{"rows":1}').decode(),
        base64.urlsafe_b64encode(b'["rows",false,true,"a"]').decode(), base64.urlsafe_b64encode(b"[]").decode(),
    ],
)  # fmt: skip
def test_what_is_not_a_cursor_of_this_list_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid) as error:
        cut({(1, "a")}, wrong, 5)
    assert error.value.code == "core.bad_cursor"


def test_links_say_what_is_shown_and_keep_the_question() -> None:
    here = paging.links(cut({(number, "a") for number in range(7)}, None, 3), "/list", {"q": "a b"})
    assert here.newer is None and here.older is not None and here.older.startswith("/list?q=a+b&cursor=")
    assert here.shown == "3 of 7"
    assert paging.links(paging.Page([1, 2], "more"), "/list").shown == "2 here and more follow"
