"""The history of migrations leads to exactly the declared tables, and an unknown schema is refused unchanged."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from weighthouse.app import declared, routers, schema, wiring
from weighthouse.core.database import Database, metadata
from weighthouse.core.errors import Unavailable


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest) -> Database:
    return Database(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


def test_migrations_lead_to_the_declared_tables(empty: Database) -> None:
    assert wiring and declared.settings() and routers.every()  # every room's tables are declared
    schema.prepare(empty)
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        found = [one for one in compare_metadata(context, metadata) if "test_" not in str(one)]
    empty.close()
    assert found == []


def test_preparing_again_changes_nothing(empty: Database) -> None:
    first = schema.prepare(empty)
    assert schema.prepare(empty) == first == schema.current(empty)
    empty.close()


def test_one_start_makes_what_is_ours_once_and_compares_with_it_twice(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, made = schema.prepare(empty), []
    expected = schema.expected
    monkeypatch.setattr(schema, "expected", lambda *asked: made.append(asked) or expected(*asked))
    known = schema.examine(empty)
    assert known == head
    with empty.engine.begin() as connection:
        connection.execute(text("CREATE VIEW quiet AS SELECT 1 AS one"))
    with pytest.raises(Unavailable) as refused:
        schema.prepare(empty, known_at=known)
    assert refused.value.code == "app.foreign_schema" and len(made) == 1
    with pytest.raises(Unavailable):
        schema.prepare(empty, known_at="0001")
    assert len(made) == 2, "what is at another revision than was examined is made anew"
    empty.close()


def test_sqlite_tables_are_strict(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    schema.prepare(database)
    with database.engine.connect() as connection:
        loose = connection.execute(
            text("SELECT name FROM pragma_table_list WHERE type = 'table' AND strict = 0 AND schema = 'main'")
        ).scalars()
        assert set(loose) <= {"alembic_version", "sqlite_schema", "sqlite_sequence"}
    database.close()


def test_data_case_21_a_schema_of_another_future_is_refused_unchanged(empty: Database) -> None:
    schema.prepare(empty)
    with empty.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable) as caught:
        schema.prepare(empty)
    assert caught.value.code == "app.unknown_schema"
    assert schema.current(empty) == "9999"
    empty.close()


def test_data_case_21_a_migration_that_dies_half_way_leaves_nothing(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise RuntimeError("killed half way")

    with monkeypatch.context() as patch:
        patch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", die)
        with pytest.raises(RuntimeError):
            schema.prepare(empty)
    assert [name for name in inspect(empty.engine).get_table_names() if name != "alembic_version"] == []
    schema.prepare(empty)
    empty.close()
