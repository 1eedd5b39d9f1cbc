"""What Alembic runs for each upgrade: on the connection it is given, or as SQL text without one."""

from __future__ import annotations

from alembic import context

from taskhub.store.schema import metadata

given = context.config.attributes
if connection := given.get("connection"):
    context.configure(connection=connection, target_metadata=metadata)
else:
    context.configure(dialect_name=given["dialect"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
