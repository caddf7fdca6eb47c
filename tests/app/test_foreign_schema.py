"""A database that holds more than ours, or ours changed, is refused at start and named by verify (data cases, L9)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from weighthouse.app import declared, routers, schema, wiring
from weighthouse.audit import api as audit
from weighthouse.core.database import Database
from weighthouse.core.errors import Unavailable
from weighthouse.core.work import System

BOTH = {
    "trigger": ("the trigger", "CREATE TRIGGER quiet BEFORE INSERT ON log_outbox {skip}"),
    "view": ("quiet", "CREATE VIEW quiet AS SELECT 1 AS one"),
    "table": ("quiet", "CREATE TABLE quiet (one INTEGER)"),
    "index": ("the index quiet", "CREATE UNIQUE INDEX quiet ON access_hold (subject)"),
    "column": ("access_hold", "ALTER TABLE access_hold ADD COLUMN quiet INTEGER"),
    "missing index": ("ix_access_hold_standing", "DROP INDEX ix_access_hold_standing"),
}
POSTGRESQL = {
    "rule": ("the rule log_outbox.quiet", "CREATE RULE quiet AS ON INSERT TO log_outbox DO INSTEAD NOTHING"),
    "row security": ("log_entry", "ALTER TABLE log_entry ENABLE ROW LEVEL SECURITY"),
    "row policy": (
        "the row policy log_entry.quiet",
        "CREATE POLICY quiet ON log_entry USING (pg_catalog.strpos(pg_catalog.current_query(), 'kind') = 0)",
    ),
    "default": ("access_hold.reason", "ALTER TABLE access_hold ALTER COLUMN reason SET DEFAULT 'nothing'"),
    "generated": (
        "access_hold.quiet",
        "ALTER TABLE access_hold ADD COLUMN quiet INTEGER GENERATED ALWAYS AS (1) STORED",
    ),
    "nullable": ("access_hold.reason", "ALTER TABLE access_hold ALTER COLUMN reason DROP NOT NULL"),
    "missing constraint": (
        "ck_access_grant_state_known",
        "ALTER TABLE access_grant DROP CONSTRAINT ck_access_grant_state_known",
    ),
    "function": ("the function quiet", "CREATE FUNCTION quiet(x text) RETURNS text LANGUAGE sql AS 'SELECT x'"),
    "function in pg_catalog": (
        "the function in the system schema texteqv",
        "SET allow_system_table_mods = on;"
        "CREATE FUNCTION pg_catalog.texteqv(text, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT false'",
    ),
    "operator in pg_catalog": (
        "the operator in the system schema =",
        "SET allow_system_table_mods = on;"
        "CREATE FUNCTION pg_catalog.eq_bigint_text(bigint, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';"
        "CREATE OPERATOR pg_catalog.= (LEFTARG = bigint, RIGHTARG = text, FUNCTION = pg_catalog.eq_bigint_text)",
    ),
    "cast": (
        "the cast text",
        "CREATE FUNCTION public.same(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint';"
        "CREATE CAST (text AS bigint) WITH FUNCTION public.same(text) AS ASSIGNMENT",
    ),
    "inheriting table": ("log_entry", "CREATE TABLE quiet () INHERITS (log_entry)"),
    "event trigger": (
        "the event trigger quiet",
        "CREATE FUNCTION noted() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        "CREATE EVENT TRIGGER quiet ON ddl_command_end EXECUTE FUNCTION noted()",
    ),
    "foreign keys off": ("switched-off foreign key", "ALTER TABLE access_vote DISABLE TRIGGER ALL"),
}
SKIP = {
    "sqlite": "BEGIN SELECT raise(IGNORE); END",
    "postgresql": "FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()",
}


@pytest.fixture(params=["sqlite", "postgresql"])
def made(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database that our migrations made."""
    assert wiring and declared.settings() and routers.every()  # every room's tables are declared
    opened = Database(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))
    schema.prepare(opened)
    yield opened
    opened.close()


def plant(database: Database, statements: str) -> None:
    trigger = statements.replace("BEFORE INSERT", "BEFORE UPDATE") if database.dialect == "postgresql" else statements
    with database.engine.begin() as connection:
        connection.execute(text(trigger.format(skip=SKIP[database.dialect])))


def refused(database: Database) -> str:
    with pytest.raises(Unavailable) as caught:
        schema.prepare(database)
    assert caught.value.code == "app.foreign_schema"
    return caught.value.message


def test_what_our_migrations_made_is_ours(made: Database) -> None:
    with made.engine.connect() as connection:
        assert made.foreign(connection) == []
    schema.prepare(made)


@pytest.mark.parametrize("what", BOTH)
def test_a_changed_database_is_refused_by_name(made: Database, what: str) -> None:
    named, statement = BOTH[what]
    plant(made, statement)
    assert named in refused(made)


@pytest.mark.parametrize("what", POSTGRESQL)
@pytest.mark.parametrize("made", ["postgresql"], indirect=True)
def test_what_only_postgresql_can_hide_is_refused_by_name(made: Database, what: str) -> None:
    named, statement = POSTGRESQL[what]
    plant(made, statement)
    assert named in refused(made)


def test_a_foreign_part_is_found_before_an_upgrade_runs_over_it(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.engine.begin() as connection:
        schema.upgrade(connection, "0001")
    plant(database, BOTH["trigger"][1])
    assert "quiet" in refused(database)
    assert schema.current(database) == "0001"
    database.close()


def test_an_operators_analyze_is_no_attack(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    schema.prepare(database)
    with database.engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    assert schema.prepare(database) == schema.current(database)
    database.close()


def test_verify_names_a_trigger_planted_while_the_server_runs(
    made: Database, make_system: Callable[[Database], System], request: pytest.FixtureRequest
) -> None:
    system = make_system(made)
    plant(made, BOTH["trigger"][1])
    report = audit.verify(system)
    assert not report.ok
    assert any("the trigger" in one.what and "quiet" in one.what for one in report.problems)
