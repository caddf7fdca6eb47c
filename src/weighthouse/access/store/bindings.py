"""Rows of the grants that runs are bound to. They only bridge the moment until the log shows what they say."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from weighthouse.access.store.tables import bindings


def of(connection: Connection, workload: str) -> dict[str, str]:
    """The grants of a run, by resource."""
    query = select(bindings.c.resource, bindings.c.grant_id).where(bindings.c.workload == workload)
    return {row.resource: row.grant_id for row in connection.execute(query)}


def add(connection: Connection, workload: str, resource: str, grant: str) -> None:
    """Bind a run; a second binding of the same resource, at the same moment, fails."""
    connection.execute(insert(bindings).values(workload=workload, resource=resource, grant_id=grant))
