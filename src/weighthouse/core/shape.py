"""What a database consists of: tables, columns, constraints, indexes, and everything that could act beside them.

Guards what the database answers from whoever owns it: a trigger, a rule, a view, a policy or a changed constraint can
drop a row, hide it or answer each query differently. Two shapes, ours and the one found, are compared part by part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, text

MAX_TOLD = 20


class Part(NamedTuple):
    """One object of a schema: what it is, what it is called, and how the database itself defines it."""

    kind: str
    name: str
    definition: str


Shape = frozenset[Part]

_STATISTICS = (
    "sqlite_stat1",
    "sqlite_stat4",
)  # left by ANALYZE; they hold counts and decide nothing
_SQLITE_PLACES = ("main.sqlite_schema", "temp.sqlite_schema")

# Every query yields kind, name, definition of what stands in the schema with the oid `:schema`. System catalogues and
# functions are named in full, so that nothing in another schema can answer in their place.
_POSTGRESQL = (
    """
    SELECT pg_catalog.concat('relation ', c.relkind), c.relname, pg_catalog.concat_ws(' ', c.relrowsecurity,
           c.relforcerowsecurity, c.relispartition, pg_catalog.array_to_string(c.reloptions, ','),
           (SELECT pg_catalog.count(*) FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid OR h.inhparent = c.oid))
    FROM pg_catalog.pg_class c WHERE c.relnamespace = :schema AND c.relkind NOT IN ('i', 't')
    """,
    """
    SELECT 'column', pg_catalog.concat(c.relname, '.', a.attname), pg_catalog.concat_ws(' ',
           pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
           a.attcollation, pg_catalog.pg_get_expr(d.adbin, d.adrelid))
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = :schema AND c.relkind NOT IN ('i', 't', 'S')
    """,
    # NOT NULL is told by the columns above, as only newer versions keep it as a constraint.
    """
    SELECT 'constraint', pg_catalog.concat(c.relname, '.', k.conname), pg_catalog.concat_ws(' ',
           pg_catalog.pg_get_constraintdef(k.oid), k.convalidated, k.condeferrable)
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    WHERE c.relnamespace = :schema AND k.contype <> 'n'
    """,
    """
    SELECT 'index', i.relname, pg_catalog.concat_ws(' ', pg_catalog.pg_get_indexdef(x.indexrelid), x.indisvalid,
           x.indisready)
    FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
    WHERE i.relnamespace = :schema AND i.relkind IN ('i', 'I')
    """,
    """
    SELECT 'trigger', pg_catalog.concat(c.relname, '.', t.tgname), pg_catalog.pg_get_triggerdef(t.oid)
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = :schema AND NOT t.tgisinternal
    """,
    """
    SELECT 'switched-off foreign key', c.relname, pg_catalog.concat(t.tgenabled)
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = :schema AND t.tgisinternal AND t.tgenabled <> 'O'
    """,
    """
    SELECT 'rule', pg_catalog.concat(c.relname, '.', r.rulename), pg_catalog.pg_get_ruledef(r.oid)
    FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class WHERE c.relnamespace = :schema
    """,
    """
    SELECT 'row policy', pg_catalog.concat(c.relname, '.', p.polname), pg_catalog.pg_get_expr(p.polqual, p.polrelid)
    FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid WHERE c.relnamespace = :schema
    """,
    """
    SELECT 'function', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)
    FROM pg_catalog.pg_proc p WHERE p.pronamespace = :schema
    """,
    "SELECT 'operator', o.oprname, o.oid FROM pg_catalog.pg_operator o WHERE o.oprnamespace = :schema",
    """
    SELECT 'type', y.typname, pg_catalog.concat(y.typtype)
    FROM pg_catalog.pg_type y WHERE y.typnamespace = :schema AND y.typtype <> 'b' AND y.typrelid = 0
    """,
)
# What stands outside our schema and acts on every one; ours has none. What somebody added to the database's own
# schema is looked up before what came with it, wherever it fits the types of a question better. Objects that came
# with the database have numbers below 16384.
_EVERYWHERE = (
    """
    SELECT 'function in the system schema', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)
    FROM pg_catalog.pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.oid >= 16384
    """,
    """
    SELECT 'operator in the system schema', o.oprname, pg_catalog.concat_ws(' ', o.oprleft, o.oprright)
    FROM pg_catalog.pg_operator o
    WHERE o.oprnamespace = 'pg_catalog'::pg_catalog.regnamespace AND o.oid >= 16384
    """,
    """
    SELECT 'relation in the system schema', c.relname, pg_catalog.concat(c.relkind) FROM pg_catalog.pg_class c
    WHERE c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace AND c.oid >= 16384
    """,
    """
    SELECT 'cast', pg_catalog.format_type(k.castsource, NULL), pg_catalog.format_type(k.casttarget, NULL)
    FROM pg_catalog.pg_cast k WHERE k.oid >= 16384
    """,
    """
    SELECT 'operator class', o.opcname, pg_catalog.format_type(o.opcintype, NULL)
    FROM pg_catalog.pg_opclass o
    WHERE o.oid >= 16384 AND o.opcdefault
    """,
    "SELECT 'event trigger', e.evtname, e.evtevent FROM pg_catalog.pg_event_trigger e WHERE e.evtenabled <> 'D'",
    """
    SELECT 'session that skips triggers and foreign keys', s.v, ''
    FROM (SELECT pg_catalog.current_setting('session_replication_role') v) s WHERE s.v <> 'origin'
    """,
)


def read(connection: Connection, *, temporary: bool = False) -> Shape:
    """Return the shape of the schema that this connection works in; of its temporary one if asked (PostgreSQL)."""
    if connection.dialect.name == "sqlite":
        return _read_sqlite(connection)
    asked = "SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n WHERE "
    asked += "n.oid = pg_catalog.pg_my_temp_schema()" if temporary else "n.nspname = pg_catalog.current_schema()"
    oid, name = connection.execute(text(asked)).one()
    found = []
    for query in _POSTGRESQL if temporary else _POSTGRESQL + _EVERYWHERE:
        for kind, called, definition in connection.execute(text(query), {"schema": oid}):
            found.append(
                Part(str(kind), str(called), str(definition).replace(f"{name}.", "").replace("pg_temp.", ""))
            )
    return frozenset(found)


def _read_sqlite(connection: Connection) -> Shape:
    found = []
    for place in _SQLITE_PLACES:
        for kind, name, table, sql in connection.exec_driver_sql(
            f"SELECT type, name, tbl_name, coalesce(sql, '') FROM {place}"  # noqa: S608  two constants
        ):
            if name not in _STATISTICS:
                found.append(Part(str(kind), str(name), f"{table} {' '.join(str(sql).split())}"))
    return frozenset(found)


def differences(ours: Shape, found: Shape) -> list[str]:
    """Say in words what was found and is not ours, and what of ours is missing or changed; at most 20 sentences."""
    here, known = _names(found), _names(ours)
    told = [
        f"the {kind} {name} is not " + ("as this software made it" if known[kind, name] else "of this software")
        for kind, name, _ in sorted(found - ours)
    ]
    told += [f"the {kind} {name} is missing" for kind, name, _ in sorted(ours - found) if not here[kind, name]]
    if len(told) > MAX_TOLD:
        told = [*told[:MAX_TOLD], f"and {len(told) - MAX_TOLD} more"]
    return told


def _names(parts: Iterable[Part]) -> Counter[tuple[str, str]]:
    return Counter((part.kind, part.name) for part in parts)
