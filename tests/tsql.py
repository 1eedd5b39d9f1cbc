"""T-SQL as PostgreSQL understands it, so that statements for SQL Server are tried by what they do.

It emulates no SQL Server: locks, isolation, plans and limits differ. What sqlglot does not know of
T-SQL is translated here only as far as our statements go; what is left untranslated fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

HELPERS = r"""
CREATE SCHEMA tsql;
CREATE FUNCTION tsql.openjson(doc text) RETURNS TABLE (key text, value text, type int)
LANGUAGE sql IMMUTABLE AS $$
    SELECT part.key COLLATE "C", (part.value #>> '{}') COLLATE "C",
           array_position(ARRAY['null', 'string', 'number', 'boolean', 'array', 'object'],
                          json_typeof(part.value)) - 1
      FROM (SELECT (place - 1)::text AS key, one AS value
              FROM json_array_elements(CASE WHEN json_typeof(doc::json) = 'array'
                                            THEN doc::json END)
                   WITH ORDINALITY AS list (one, place)
             UNION ALL
            SELECT key, value FROM json_each(CASE WHEN json_typeof(doc::json) = 'object'
                                                  THEN doc::json END)) AS part (key, value)
$$;
CREATE FUNCTION tsql.isjson(doc text) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN doc IS NULL THEN NULL
                WHEN doc IS JSON AND json_typeof(doc::json) IN ('array', 'object')
                     AND strpos(doc, '\u0000') = 0
                THEN 1 ELSE 0 END
$$;
CREATE FUNCTION tsql.try_bigint(value text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RETURN value::bigint; EXCEPTION WHEN others THEN RETURN NULL; END $$;
CREATE FUNCTION tsql.try_float(value text) RETURNS float LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RETURN value::float; EXCEPTION WHEN others THEN RETURN NULL; END $$;
CREATE FUNCTION tsql.datalength(value text) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT 2 * (length(value) + length(regexp_replace(value, '[^\U00010000-\U0010FFFF]', '', 'g')))
$$;
CREATE FUNCTION tsql.utf8(value text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT value';
CREATE FUNCTION tsql.looks(value text, pattern text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT value COLLATE "C" ~ ('^' || (
        SELECT string_agg(CASE WHEN part[1] = '%' THEN '.*' WHEN part[1] = '_' THEN '.'
                               WHEN length(part[1]) > 1 THEN part[1]
                               ELSE regexp_replace(part[1], '([^[:alnum:][:space:]])', '\\\1') END,
                          '' ORDER BY place)
          FROM regexp_matches(pattern, '(\[[^]]+\]|.)', 'g') WITH ORDINALITY AS found (part, place)
        ) || '$') OR (pattern = '' AND value = '')
$$;
"""
"""What PostgreSQL has no word for."""

NO_CASE = re.compile("_CI_", re.IGNORECASE)
UTF8 = re.compile("_UTF8$", re.IGNORECASE)


@dataclass(frozen=True)
class Step:
    """One statement for PostgreSQL; the values that it names are `p0`, `p1` and so on."""

    text: str
    counts: bool
    """Whether the rows that it changes count."""
    answers: bool
    """Whether it has rows for whoever asks."""


def translated(text: str) -> list[Step]:
    """What PostgreSQL does for a text with `?`."""
    if "sp_getapplock" in text:
        return [Step(_lock(text), counts=False, answers=True)]
    return list(_steps(sqlglot.parse(_numbered(text), dialect="tsql")))


def _numbered(text: str) -> str:
    parts = re.split(r"('[^']*'|\?)", text)
    number = iter(range(len(parts)))
    return "".join(f"@p{next(number)}" if part == "?" else part for part in parts)


def _lock(text: str) -> str:
    """Locks of the same meaning; they are waited for as long as for any lock."""
    if "WHILE" in text:
        slots = "json_array_elements_text(%(p0)s::json) AS one (slot)"
        return f"SELECT 0 * count(pg_advisory_xact_lock(1, slot::int)) FROM {slots}"  # noqa: S608
    shared = "_shared" if "'Shared'" in text else ""
    return f"SELECT 0 * count(pg_advisory_xact_lock{shared}(hashtextextended(%(p0)s, 0)))"


def _steps(statements: list[exp.Expr | None]) -> Iterator[Step]:
    counts = True
    for tree in statements:
        assert tree is not None
        if isinstance(tree, exp.Set):
            counts = "ON" not in tree.sql(dialect="tsql").upper().split()
        elif isinstance(tree, exp.Declare):
            yield Step(_table_of(tree), counts=False, answers=False)
        else:
            yield from _alone(tree)
            answers = _has_rows(tree)
            yield Step(_spoken(tree), counts, answers)


def _has_rows(tree: exp.Expr) -> bool:
    returning = tree.args.get("returning")
    return isinstance(tree, exp.Query) or (returning is not None and not returning.args.get("into"))


def _alone(tree: exp.Expr) -> Iterator[Step]:
    """HOLDLOCK: nobody else inserts what is not there yet. Here that is the whole table."""
    held = {table.name for table in tree.find_all(exp.Table) if "HOLDLOCK" in _hints(table)}
    for name in sorted(held):
        yield Step(f"SELECT pg_advisory_xact_lock(hashtext('{name}'))", counts=False, answers=False)


def _hints(table: exp.Table) -> set[str]:
    hints = table.args.get("hints") or []
    return {word.name.upper() for hint in hints for word in hint.expressions}


def _table_of(tree: exp.Declare) -> str:
    """A table variable is a table that goes with the transaction."""
    (item,) = tree.expressions
    name = item.this[0].name if isinstance(item.this, list) else item.this.name
    columns = [_all(column) for column in item.args["kind"].expressions]
    said = ", ".join(column.sql(dialect="postgres") for column in columns)
    return f"DROP TABLE IF EXISTS {name}; CREATE TEMP TABLE {name} ({said}) ON COMMIT DROP"


def _spoken(tree: exp.Expr) -> str:
    for with_ in list(tree.find_all(exp.With)):
        with_.set("recursive", True)
    for query in list(tree.find_all(exp.Query)):
        query.set("options", None)
        if isinstance(query, exp.Select):
            _lock_rows(query)
    tree = _all(tree)
    kept = _joined(tree) if isinstance(tree, exp.Update | exp.Delete) else ""
    text = tree.sql(dialect="postgres")
    text = re.sub(r"\$(p\d+)\b", r"%(\1)s", text.replace("%", "%%"))
    return f"WITH changed AS ({text}) INSERT INTO {kept} SELECT * FROM changed" if kept else text  # noqa: S608


def _lock_rows(select: exp.Select) -> None:
    """Hints say of each table what PostgreSQL says of the whole query."""
    for table in _tables(select):
        hints = _hints(table)
        if "HOLDLOCK" in hints or not hints:
            continue
        update = "UPDLOCK" in hints
        of = exp.to_identifier(table.alias_or_name, quoted=table.args["alias"].this.quoted)
        lock = exp.Lock(update=update, expressions=[exp.Table(this=of)], wait=None)
        if "READPAST" in hints:
            lock.set("wait", False)
        select.append("locks", lock)


def _tables(select: exp.Select) -> list[exp.Table]:
    from_ = select.args.get("from_") or select.args.get("from")
    first = [from_.this] if from_ is not None else []
    joins = [*select.args.get("joins", []), *(j for t in first for j in t.args.get("joins") or [])]
    sources = first + [join.this for join in joins]
    return [source for source in sources if isinstance(source, exp.Table)]


def _joined(tree: exp.Update | exp.Delete) -> str:
    """PostgreSQL names the table first, and what it is joined with beside it.

    Answers the name of the table into which the answer goes, if it goes into one.
    """
    target, others, conditions = _target(tree)
    alias = target.alias_or_name
    for other in conditions:
        tree.where(other, copy=False)
    tree.set("this", target)
    tree.set("tables", None)
    tree.set("from_" if isinstance(tree, exp.Update) else "using", _beside(tree, others))
    into = ""
    if (returning := tree.args.get("returning")) is not None:
        for column in returning.find_all(exp.Column):
            if column.table in ("inserted", "deleted"):
                column.set("table", exp.to_identifier(alias))
        if returning.args.get("into"):
            into = returning.args["into"].name
            returning.set("into", None)
    return into


def _beside(tree: exp.Expr, others: list[exp.Expr]) -> object:
    if not others or isinstance(tree, exp.Delete):
        return others or None
    listed = ", ".join(other.sql(dialect="postgres") for other in others)
    return exp.From(this=exp.Var(this=listed))


def _target(
    tree: exp.Update | exp.Delete,
) -> tuple[exp.Table, list[exp.Expr], list[exp.Expr]]:
    from_ = tree.args.get("from_") or tree.args.get("from")
    table = from_.this if isinstance(tree, exp.Update) and from_ is not None else tree.this
    joins = list(table.args.get("joins") or [])
    if from_ is not None:
        joins += list(from_.args.get("joins") or [])
    table.set("joins", None)
    table.set("hints", None)
    conditions = [join.args["on"] for join in joins if join.args.get("on") is not None]
    others = [join.this for join in joins]
    for other in others:
        if isinstance(other, exp.Table):
            other.set("hints", None)
    return table, others, conditions


# ---- one node after the other


def _all(tree: exp.Expr) -> exp.Expr:
    """From the leaves to the root: what is made of a node has its children as they are now."""
    for node in reversed(list(tree.dfs())):
        made = _node(node)
        if node is tree:
            tree = made
        elif made is not node:
            node.replace(made)
    return tree


def _node(node: exp.Expr) -> exp.Expr:
    for kind, how in NODES.items():
        if isinstance(node, kind):
            return how(node)
    return node


def _table(node: exp.Table) -> exp.Expr:
    node.set("hints", None)
    if isinstance(node.this, exp.Parameter):  # a table variable
        node.set("this", exp.to_identifier(node.this.name))
    if isinstance(node.this, exp.OpenJSON):
        alias = node.args["alias"]
        return _rows_of(node.this, alias)
    return node


def _lateral(node: exp.Lateral) -> exp.Expr:
    if isinstance(node.this, exp.OpenJSON):
        node.set("this", _rows_of(node.this, None))
    return node


def _rows_of(call: exp.OpenJSON, alias: exp.TableAlias | None) -> exp.Expr:
    """A row for each member of the list, in which paths lead on."""
    document = _text(call.this)
    if call.expressions:
        columns = ", ".join(map(_column, call.expressions))
        rows = f"SELECT {columns} FROM json_array_elements(CAST({document} AS json)) AS e (value)"  # noqa: S608
    else:
        rows = f"SELECT key, value, type FROM tsql.openjson({document})"  # noqa: S608
    parsed = sqlglot.parse_one(f"SELECT * FROM ({rows}) AS made", dialect="postgres")  # noqa: S608
    made = parsed.args["from_"].this
    made.set("alias", alias)
    return made


def _column(column: exp.OpenJSONColumnDef) -> str:
    path = column.args["path"].this
    value = "e.value #>> '{}'" if path == "$" else f"e.value ->> {path[2:-1]}"
    kind = _kind(column.args["kind"]).sql(dialect="postgres")
    exact = ' COLLATE "C"' if kind.startswith(("VARCHAR", "TEXT")) else ""
    return f'CAST({value} AS {kind}){exact} AS "{column.name}"'


def _text(node: exp.Expr) -> str:
    return str(node.sql(dialect="postgres"))


def _kind(node: exp.DataType) -> exp.Expr:
    if node.this in {exp.DType.NVARCHAR, exp.DType.VARCHAR}:
        size = node.expressions[0].name.upper() if node.expressions else "MAX"
        return exp.DataType.build("text" if size == "MAX" else f"varchar({size})", "postgres")
    return exp.DataType.build("double precision") if node.this == exp.DType.FLOAT else node


def _collate(node: exp.Collate) -> exp.Expr:
    name = node.expression.name
    if NO_CASE.search(name):
        return exp.Lower(this=node.this)
    if UTF8.search(name):
        return exp.Anonymous(this="tsql.utf8", expressions=[node.this])
    return exp.Collate(
        this=exp.Paren(this=node.this), expression=exp.to_identifier("C", quoted=True)
    )


def _is_text(node: exp.Expr) -> bool:
    if isinstance(node, exp.Add):
        return _is_text(node.this) or _is_text(node.expression)
    if isinstance(node, exp.Paren | exp.Collate):
        return _is_text(node.this)
    if isinstance(node, exp.Cast):
        return node.to.this in exp.DataType.TEXT_TYPES
    return node.is_string or isinstance(node, exp.DPipe) or node.name == "chr"


def _add(node: exp.Add) -> exp.Expr:
    if _is_text(node):
        return exp.DPipe(this=node.this, expression=node.expression)
    return node


def _length(node: exp.Anonymous) -> exp.Expr:
    is_utf8 = any(one.name == "tsql.utf8" for one in node.find_all(exp.Anonymous))
    name = "octet_length" if is_utf8 else "tsql.datalength"
    return exp.Anonymous(this=name, expressions=node.expressions)


def _try_cast(node: exp.TryCast) -> exp.Expr:
    name = "bigint" if node.to.this == exp.DType.BIGINT else "float"
    return exp.Anonymous(this=f"tsql.try_{name}", expressions=[node.this])


def _convert(node: exp.Expr) -> exp.Expr:
    """`CONVERT(..., 2)` goes between bytes and their hexadecimal digits."""
    to = node.this
    inner = node.expression
    if to.this in (exp.DType.VARBINARY, exp.DType.BINARY):
        return exp.Anonymous(this="decode", expressions=[inner, exp.Literal.string("hex")])
    return exp.Anonymous(this="encode", expressions=[inner, exp.Literal.string("hex")])


def _hash(node: exp.Expr) -> exp.Expr:
    utf8 = exp.Anonymous(this="convert_to", expressions=[node.this, exp.Literal.string("UTF8")])
    return exp.Anonymous(this="sha256", expressions=[utf8])


def _anonymous(node: exp.Anonymous) -> exp.Expr:
    name = node.name.upper()
    if name == "ISJSON":
        return exp.Anonymous(this="tsql.isjson", expressions=node.expressions)
    if name == "NCHAR":
        return exp.Anonymous(this="chr", expressions=node.expressions)
    return _length(node) if name == "DATALENGTH" else node


def _since(_node: exp.DateDiff) -> exp.Expr:
    said = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
    return sqlglot.parse_one(said, dialect="postgres")


def _like(node: exp.Like) -> exp.Expr:
    looks = exp.Anonymous(this="tsql.looks", expressions=[node.this, node.expression])
    return exp.Not(this=looks) if node.args.get("negate") else looks


def _column_order(node: exp.CollateColumnConstraint) -> exp.Expr:
    node.set("this", exp.to_identifier("C", quoted=True))
    return node


NODES: dict[type[exp.Expr], Callable[..., exp.Expr]] = {
    exp.Table: _table,
    exp.Lateral: _lateral,
    exp.DataType: _kind,
    exp.Collate: _collate,
    exp.CollateColumnConstraint: _column_order,
    exp.TryCast: _try_cast,
    exp.Convert: _convert,
    exp.SHA2: _hash,
    exp.Add: _add,
    exp.Like: _like,
    exp.Anonymous: _anonymous,
    exp.DateDiff: _since,
}
