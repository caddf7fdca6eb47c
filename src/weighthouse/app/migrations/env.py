"""Runs migrations on the connection that app/schema.py opened, in its one transaction."""

from alembic import context

from weighthouse.core.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
context.run_migrations()
