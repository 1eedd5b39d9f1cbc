"""The one place that drives Alembic: bring a database up, or print the SQL that would do it."""

from __future__ import annotations

import io
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def upgrade(connection: Connection) -> None:
    """Run every missing step; the caller holds the lock and ends the transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def as_sql(dialect: str = "sqlite", since: str | None = None) -> str:
    """The statements that bring an empty database (or one at `since`) to the newest schema."""
    text = io.StringIO()
    config = _config(text)
    config.attributes["dialect"] = dialect
    command.upgrade(config, f"{since}:head" if since else "head", sql=True)
    return text.getvalue()


def _config(output: io.StringIO | None = None) -> Config:
    config = Config(output_buffer=output)
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
