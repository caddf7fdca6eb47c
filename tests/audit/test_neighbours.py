"""Attack: hold the sequencer of one lab back by a transaction left open in another database of the same cluster.

Transactions of all databases are counted together, and only those of this one can write its rows.
"""

from __future__ import annotations

from sqlalchemy import create_engine, text

from tests.audit.support import Lab, Noted
from weighthouse.audit import api
from weighthouse.core.work import begin


def numbers(lab: Lab) -> list[int]:
    return [one.data["number"] for one in lab.entries(kind="test.Noted")]


def test_a_transaction_of_another_database_holds_no_line_up(postgres_lab: Lab, postgres_server: str) -> None:
    lab = postgres_lab
    lab.write(Noted(number=1))
    neighbour = create_engine(postgres_server.format(name="postgres"))
    with neighbour.connect() as other:
        other.execute(text("SELECT pg_current_xact_id()"))
        lab.write(Noted(number=2))
        lab.write(Noted(number=3))
        assert numbers(lab) == [1, 2, 3]
        api.start(lab.system)
    neighbour.dispose()
    lab.write(Noted(number=4))
    assert numbers(lab) == [1, 2, 3, 4] and api.verify(lab.system).ok


def test_a_transaction_of_this_database_still_holds_up_what_came_after_it(
    postgres_lab: Lab, postgres_server: str
) -> None:
    lab = postgres_lab
    neighbour = create_engine(postgres_server.format(name="postgres"))
    with neighbour.connect() as other, begin(lab.system) as early:
        early.conn.execute(text("SELECT pg_current_xact_id()"))
        other.execute(text("SELECT pg_current_xact_id()"))
        api.append(early, Noted(number=1))
        lab.write(Noted(number=2))
        assert numbers(lab) == []
    neighbour.dispose()
    lab.settle()
    assert sorted(numbers(lab)) == [1, 2]
