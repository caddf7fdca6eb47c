"""Rows of the grants that runs are bound to, for whoever reads the database. No decision believes them."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert

from weighthouse.access.store.tables import bindings


def put(connection: Connection, workload: str, resource: str, grant: str) -> None:
    """Write what a run is bound to, whatever stood there."""
    same = (bindings.c.workload == workload, bindings.c.resource == resource)
    connection.execute(delete(bindings).where(*same))
    connection.execute(insert(bindings).values(workload=workload, resource=resource, grant_id=grant))
