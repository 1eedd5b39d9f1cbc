"""What Alembic runs for each upgrade: on the connection it is given, or as SQL text without one."""

from __future__ import annotations

from alembic import context

from taskhub.store.migrations.dialects import BEGIN
from taskhub.store.schema import metadata

given = context.config.attributes
connection = given.get("connection")
if connection is not None:
    context.configure(connection=connection, target_metadata=metadata)
else:
    context.configure(dialect_name=given["dialect"], target_metadata=metadata)
with context.begin_transaction():
    if connection is None:
        for statement in BEGIN.get(given["dialect"], ()):
            context.execute(statement)
    context.run_migrations()
