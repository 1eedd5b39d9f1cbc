"""What is said to SQL Server is T-SQL, and of that only what any server that speaks it knows."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from taskhub.search import parse
from taskhub.store.migrations.dialects import MIGRATING
from taskhub.store.migrations.upgrade import as_sql
from taskhub.store.mssql import texts
from taskhub.store.mssql.conditions import MssqlConditions
from taskhub.store.mssql.store import MssqlServer

STATEMENTS = texts.statements()
THROW = re.compile(r"THROW 51000, '[^']*', 1")
"""What the triggers and the lock say: sqlglot does not know it."""
UNKNOWN = re.compile(r"(?<=PRIMARY KEY) NONCLUSTERED")
"""Nor this, where the key has no name."""
SEARCH = (
    "resize -status:failed,done attempts>2 created>2026-01-01 payload.a.0.b:1,null,true,x* "
    "-result.text~Ab error:*%* payload.size>=10"
)
"""A bit of all that a search can say."""


def trees(text: str) -> list[exp.Expr]:
    """What a text says, values as variables; raises SqlglotError where it is no T-SQL."""
    named = texts.VALUE.sub(lambda part: f"@{part[1]}" if part[1] else part[0], text)
    return [tree for tree in sqlglot.parse(named, dialect="tsql") if tree is not None]


def said(statement: str) -> str:
    """A statement with a search filled in, where it takes one."""
    terms = MssqlConditions(0).all_of(parse(SEARCH).terms)
    filled = STATEMENTS[statement].replace("$kind", "1 = 1").replace("$where", texts.spoken(terms))
    return filled.replace("$$", "$")


def wrong(tree: exp.Expr, text: str) -> Iterator[str]:
    """What a statement says that not every server knows."""
    if isinstance(tree, exp.Command):
        yield "what sqlglot does not know"
    for kind, name in FORBIDDEN.items():
        if tree.find(kind):
            yield name
    ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
    if isinstance(tree, exp.Update | exp.Delete):
        if ctes:
            yield "WITH before a change"
        if isinstance(tree, exp.Update) and tree.args.get("from_"):
            alias = tree.args["from_"].this.args.get("alias")
            if alias is None or alias.name != tree.this.name:
                yield "UPDATE ... FROM without an alias"
    if re.search(r"(?<![@:])\bLIMIT\b|\bRETURNING\b|ON CONFLICT|::", text, re.IGNORECASE):
        yield "a word of other databases"


FORBIDDEN: dict[type[exp.Expr], str] = {
    exp.Merge: "MERGE",
    exp.OnConflict: "ON CONFLICT",
    exp.Boolean: "a truth as a value",
    exp.Placeholder: "a value without a name",
}


@pytest.mark.parametrize("statement", sorted(STATEMENTS))
def test_every_statement_is_t_sql_of_the_known_forms(statement: str) -> None:
    """No SQL Server runs here: at least no statement is one that it could not even read."""
    text = said(statement)

    assert [what for tree in trees(text) for what in wrong(tree, text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "SELECT FROM WHERE",
        "MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN UPDATE SET y = 1;",
        "WITH c AS (SELECT TOP (1) x FROM t) UPDATE c SET x = 1",
        "UPDATE Tasks SET x = 1 FROM Tasks JOIN b ON b.x = Tasks.x",
        "SELECT x FROM t LIMIT 1",
        "UPDATE t SET x = 1 RETURNING x",
        "INSERT INTO t (x) VALUES (1) ON CONFLICT (x) DO NOTHING",
        "SELECT x FROM t WHERE TRUE",
    ],
)
def test_what_must_not_be_said_is_seen(text: str) -> None:
    """The control."""
    try:
        found = [what for tree in trees(text) for what in wrong(tree, text)]
    except SqlglotError:
        return
    assert found


def test_values_stand_where_their_names_stood() -> None:
    """One `?` for each place; what is in quotation marks stays as it is."""
    text, names = texts.compiled(
        texts.spoken("SELECT At, ':no' FROM t WHERE a = :one AND b = :two OR :one > '[X]'")
    )

    assert text == "SELECT [At], ':no' FROM t WHERE a = ? AND b = ? OR ? > '[X]'"
    assert names == ("one", "two", "one")


def batches(script: str) -> list[str]:
    """The parts of a script for an administrator."""
    plain = re.sub(r"^--.*$", "", script, flags=re.MULTILINE)
    return [
        part.strip().rstrip(";")
        for part in re.split(r"^GO$", plain, flags=re.MULTILINE)
        if part.strip()
    ]


def test_the_migrations_are_t_sql_and_one_at_a_time() -> None:
    """As `taskhub db sql` prints them: under the lock of whoever migrates, in one transaction."""
    parts = batches(as_sql("mssql"))

    assert parts[0].startswith("BEGIN TRANSACTION;")
    assert parts[1] == MIGRATING
    assert parts[-1] == "COMMIT"
    for part in parts[2:-1]:
        trigger = re.fullmatch(
            r"CREATE TRIGGER \[\w+\] ON \[\w+\] AFTER (?:DELETE|UPDATE) AS (.*)", part
        )
        body = part if trigger is None else trigger[1].removeprefix("BEGIN ").removesuffix("; END")
        for tree in trees(UNKNOWN.sub("", THROW.sub("SELECT 1", body))):
            assert not isinstance(tree, exp.Command), part


def test_texts_are_compared_letter_by_letter_and_indexes_keep_their_conditions() -> None:
    """Whatever collation the database has; a filtered index is what makes jumps cheap."""
    script = as_sql("mssql")

    columns = re.findall(r"^ +(\[\w+\] NVARCHAR.*)$", script, re.MULTILINE)
    assert columns
    assert all("COLLATE Latin1_General_BIN2" in column for column in columns)
    assert script.count(" WHERE ") >= as_sql("postgresql").count(" WHERE ") - script.count("DELETE")
    assert "IMAGE" not in script


def test_a_server_has_its_statements_by_name() -> None:
    """The same as the others have, but what only they need."""
    from taskhub.store.postgres.texts import statements

    here = set(MssqlServer(None).statements)  # type: ignore[arg-type]
    assert set(statements()) - here == {"numbering"}
    assert here - set(statements()) == set()
