"""Where the databases differ in what a schema says: order of texts, partial indexes, triggers."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.ext.compiler import compiles


@compiles(sa.String, "postgresql")
@compiles(sa.Text, "postgresql")
def by_bytes(kind: sa.String, _compiler: Any, **_options: Any) -> str:
    """Every text of ours is ordered by its bytes, as SQLite does, whatever the server's locale."""
    length = "" if kind.length is None else f"({kind.length})"
    name = "TEXT" if isinstance(kind, sa.Text) else f"VARCHAR{length}"
    return f'{name} COLLATE "C"'


def number() -> sa.types.TypeEngine[int]:
    """The type of a number that the database counts up itself."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def where(condition: str) -> dict[str, Any]:
    """What makes an index partial."""
    text = sa.text(condition)
    return {"sqlite_where": text, "postgresql_where": text}


def trigger(name: str, when: str, table: str, body: str, condition: str = "") -> None:
    """A trigger for each row; `body` is one statement that all of them understand."""
    only = f"WHEN {condition} " if condition else ""
    if op.get_context().dialect.name == "sqlite":
        op.execute(f'CREATE TRIGGER "{name}" {when} ON "{table}" {only}BEGIN {body}; END')
        return
    only = f"WHEN ({condition}) " if condition else ""
    op.execute(
        f'CREATE FUNCTION "{name}"() RETURNS trigger LANGUAGE plpgsql AS '
        f"$$ BEGIN {body}; RETURN NULL; END $$"
    )
    op.execute(
        f'CREATE TRIGGER "{name}" {when} ON "{table}" FOR EACH ROW {only}'
        f'EXECUTE FUNCTION "{name}"()'
    )


def refusal(sentence: str) -> str:
    """The statement by which a trigger refuses what was to be done."""
    if op.get_context().dialect.name == "sqlite":
        return f"SELECT RAISE(ABORT, '{sentence}')"
    return f"RAISE EXCEPTION '{sentence}'"
