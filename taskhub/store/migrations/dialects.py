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


@compiles(sa.String, "mssql")
@compiles(sa.Text, "mssql")
def by_units(kind: sa.String, _compiler: Any, **_options: Any) -> str:
    """The same: whatever the database's own collation thinks of letters and their cases."""
    length = "max" if kind.length is None else kind.length
    return f"NVARCHAR({length}) COLLATE Latin1_General_BIN2"


@compiles(sa.LargeBinary, "mssql")
def by_bytes_of_any_length(_kind: sa.LargeBinary, _compiler: Any, **_options: Any) -> str:
    """What the dialect chooses without a server that says how old it is would be an IMAGE."""
    return "VARBINARY(max)"


MIGRATING = (
    "DECLARE @given INTEGER; "
    "EXEC @given = sp_getapplock @Resource = 'taskhub-migrating', @LockMode = 'Exclusive', "
    "@LockOwner = 'Transaction', @LockTimeout = -1; "
    "IF @given < 0 THROW 51000, 'the lock of whoever migrates was not given', 1"
)
"""By what one at a time migrates an SQL Server, until its transaction ends."""


BEGIN = {"mssql": ("SET QUOTED_IDENTIFIER, ANSI_NULLS, XACT_ABORT ON", MIGRATING)}
"""What a script says first that an administrator runs, whose program may have its own habits."""


def number() -> sa.types.TypeEngine[int]:
    """The type of a number that the database counts up itself."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def where(condition: str) -> dict[str, Any]:
    """What makes an index partial."""
    text = sa.text(condition)
    return {"sqlite_where": text, "postgresql_where": text, "mssql_where": text}


def counted() -> Any:
    """How a database counts numbers up that are given to it all the same: SQL Server must not."""
    return False if _is("mssql") else "auto"


def _is(name: str) -> bool:
    return op.get_context().dialect.name == name


def goes_with(table: str, key: dict[str, str], needs: str = "") -> None:
    """Rows of a table go with their task: `key` says which column is which of the task's.

    `needs`: a column of the task without which it has none.
    """
    name = f"{table}_end_with_tasks"
    own = " AND ".join(f'"{column}" = OLD."{of}"' for column, of in key.items())
    if _is("mssql"):
        same = " AND ".join(f"one.[{column}] = gone.[{of}]" for column, of in key.items())
        op.execute(
            f"CREATE TRIGGER [{name}] ON [Tasks] AFTER DELETE AS BEGIN SET NOCOUNT ON; "
            f"DELETE one FROM [{table}] AS one JOIN deleted AS gone ON {same}; END"
        )
        return
    held = f'OLD."{needs}" IS NOT NULL' if needs else ""
    body = f'DELETE FROM "{table}" WHERE {own}'  # noqa: S608 - of a revision's own words
    _trigger(name, "AFTER DELETE", "Tasks", body, held)


def only_grows(table: str, sentence: str) -> None:
    """Rows of a table are never changed."""
    name = f"{table}_is_append_only"
    if _is("mssql"):
        op.execute(
            f"CREATE TRIGGER [{name}] ON [{table}] AFTER UPDATE AS THROW 51000, '{sentence}', 1"
        )
        return
    body = (
        f"SELECT RAISE(ABORT, '{sentence}')" if _is("sqlite") else f"RAISE EXCEPTION '{sentence}'"
    )
    _trigger(name, "BEFORE UPDATE", table, body)


def _trigger(name: str, when: str, table: str, body: str, condition: str = "") -> None:
    """A trigger for each row; `body` is one statement."""
    only = f"WHEN {condition} " if condition else ""
    if _is("sqlite"):
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
