"""The language of searches: what it means, how it is written, what is said of mistakes."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskhub.errors import SearchError
from taskhub.search import (
    EVERYTHING,
    LENGTH_LIMIT,
    Age,
    At,
    Day,
    Field,
    Literal,
    Number,
    Offset,
    Op,
    Query,
    Term,
    Text,
    parse,
    printed,
)

from tests.unit.search.asking import queries, scribbles


def term(text: str) -> Term:
    """The only term of a text."""
    (found,) = parse(text).terms
    return found


@given(queries)
@settings(max_examples=500)
def test_what_is_printed_is_read_as_the_same(query: Query) -> None:
    """Every query has a spelling, whatever texts are in it."""
    text = printed(query)
    if len(text) <= LENGTH_LIMIT:
        assert parse(text) == query


@given(st.text() | scribbles)
@settings(max_examples=1_000)
def test_any_text_is_a_query_or_a_mistake_with_a_column(text: str) -> None:
    """Nothing else is ever raised; what is understood can be printed and read again."""
    try:
        query = parse(text)
    except SearchError as error:
        assert 1 <= error.column <= len(text) + 1  # noqa: PT017 - both ends are good
        assert error.detail.startswith(f"column {error.column}: expected ")  # noqa: PT017
    else:
        assert parse(printed(query)) == query


def test_the_example_of_the_issue_is_understood() -> None:
    """Each term as a person would read it."""
    text = 'status:failed type:image.* error:~timeout age:>1h payload.customer=42 title:"resize"'

    assert parse(text).terms == (
        Term(Field.STATUS, Op.EQ, (Text(("Failed",)),)),
        Term(Field.TYPE, Op.EQ, (Text(("image.", "")),)),
        Term(Field.ERROR, Op.HAS, (Text(("timeout",)),)),
        Term(Field.AGE, Op.GT, (Age(3_600),)),
        Term(Field.PAYLOAD, Op.EQ, (Literal("42"),), path=("customer",)),
        Term(Field.TITLE, Op.HAS, (Text(("resize",)),)),
    )
    assert printed(parse(text)) == (
        "status:Failed type:image.* error:timeout age:>1h payload.customer=42 resize"
    )


@pytest.mark.parametrize("text", ["", "  ", "\t\n", "\u3000"])
def test_no_words_find_everything(text: str) -> None:
    """An empty box filters nothing."""
    assert parse(text) == EVERYTHING
    assert printed(EVERYTHING) == ""


@pytest.mark.parametrize(
    ("text", "field", "op", "value"),
    [
        ("resize", Field.TITLE, Op.HAS, Text(("resize",))),
        ("größe", Field.TITLE, Op.HAS, Text(("größe",))),
        ('"two words"', Field.TITLE, Op.HAS, Text(("two words",))),
        (r'"say \"yes\" \\"', Field.TITLE, Op.HAS, Text(('say "yes" \\',))),
        (r"two\ words", Field.TITLE, Op.HAS, Text(("two words",))),
        ("a,b", Field.TITLE, Op.HAS, Text(("a,b",))),
        ("3>2", Field.TITLE, Op.HAS, Text(("3>2",))),
        ("title=a*", Field.TITLE, Op.EQ, Text(("a", ""))),
        ('title="a*"', Field.TITLE, Op.EQ, Text(("a*",))),
        (r"title=a\*", Field.TITLE, Op.EQ, Text(("a*",))),
        ('title:"a b"*c', Field.TITLE, Op.HAS, Text(("a b", "c"))),
        ("CREATEDBY:Alice", Field.CREATED_BY, Op.EQ, Text(("Alice",))),
        ("queue~mail", Field.QUEUE, Op.HAS, Text(("mail",))),
        ("status=DONE", Field.STATUS, Op.EQ, Text(("Done",))),
        ("priority:>5", Field.PRIORITY, Op.GT, Number(5)),
        ("priority<=-5", Field.PRIORITY, Op.LE, Number(-5)),
        ("attempts:2", Field.ATTEMPTS, Op.EQ, Number(2)),
        ("id:019AA1D2*", Field.ID, Op.EQ, Text(("019aa1d2", ""))),
        ("created:2026-01-31", Field.CREATED, Op.EQ, Day(date(2026, 1, 31))),
        (
            "created:>=2026-01-31T08:00:00+02:00",
            Field.CREATED,
            Op.GE,
            At(datetime(2026, 1, 31, 6, tzinfo=UTC)),
        ),
        ("finished:<1h30m", Field.FINISHED, Op.LT, Age(5_400)),
        ("updated:>2w", Field.UPDATED, Op.GT, Age(1_209_600)),
        ("runAt:<+10m", Field.RUN_AT, Op.LT, Offset(600)),
        ("runAt:>-1h", Field.RUN_AT, Op.GT, Offset(-3_600)),
        ("started:*", Field.STARTED, Op.EQ, Text(("", ""))),
    ],
)
def test_a_term_is_read(text: str, field: Field, op: Op, value: object) -> None:
    """Fields by any case, the colon with each operator or without it."""
    assert term(text) == Term(field, op, (value,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "path", "op", "value"),
    [
        ("payload.customer=42", ("customer",), Op.EQ, Literal("42")),
        ('payload.customer="42"', ("customer",), Op.EQ, Text(("42",))),
        ("payload.customer:042", ("customer",), Op.EQ, Text(("042",))),
        ("payload.a.b[0].c>1.5", ("a", "b", 0, "c"), Op.GT, Literal("1.5")),
        ("payload.when>=2026-01-01", ("when",), Op.GE, Text(("2026-01-01",))),
        ('result."first name"~bob', ("first name",), Op.HAS, Text(("bob",))),
        ("result.ok:true", ("ok",), Op.EQ, Literal("true")),
        ("payload.x=null", ("x",), Op.EQ, Literal("null")),
        ("payload.straße:*", ("straße",), Op.EQ, Text(("", ""))),
    ],
)
def test_members_of_documents_are_read(text: str, path: object, op: Op, value: object) -> None:
    """JSON without quotes is JSON, with quotes it is text."""
    found = term(text)

    assert (found.path, found.op, found.values) == (path, op, (value,))


@pytest.mark.parametrize(
    "text", ["-status:done", "NOT status:done", "status!=done", "status:!=done"]
)
def test_a_term_can_be_denied(text: str) -> None:
    """Four spellings, one meaning."""
    assert term(text) == Term(Field.STATUS, Op.EQ, (Text(("Done",)),), negated=True)


def test_denying_twice_affirms() -> None:
    """As in speech."""
    assert not term("-status!=done").negated


def test_commas_mean_any_of_them_and_spaces_mean_all() -> None:
    """AND may be written, and says nothing new."""
    assert term("status:failed,done").values == (Text(("Failed",)), Text(("Done",)))
    assert parse("a AND b") == parse("a b")


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("statuss:done", 1, "did you mean status?"),
        ("foo stauts:done", 5, "did you mean status?"),
        ("createdby2:x", 1, "did you mean createdBy?"),
        ("zzz:x", 1, "one of status, type, queue"),
        ("http://x", 1, 'put it into "quotes"'),
        ("status:", 8, "a value"),
        ("status: done", 8, "a value"),
        ("status:done,", 13, "a value"),
        ("status:dnoe", 8, "one of Pending, Processing, Done, Failed, Cancelled"),
        ("status:~do", 7, "one of these after status: ="),
        ("priority:~5", 9, "one of these after priority: = < <= > >="),
        ("priority:high", 10, "a whole number"),
        ("priority:>1,2", 12, "one value only"),
        ("created:yesterday", 9, "a day such as"),
        ("created:2026-02-30", 9, "a day such as"),
        ("created:2026-01-01T00:00", 9, "a time such as"),
        ("created:1h", 9, "> or < before an age"),
        ("age:>1", 6, "an age such as"),
        ("age:>999999999w", 6, "at most a hundred years"),
        ('title:"a', 7, 'a closing "'),
        ("a\\", 2, "a character after the backslash"),
        ("-", 2, "a field or a word"),
        ("- a", 2, "a field or a word"),
        ("--a", 2, "a field or a word"),
        ("NOT", 4, "a field or a word"),
        ("(a", 1, "a field or a word"),
        ("a OR b", 3, "status:failed,done"),
        ("AND a", 1, "both sides"),
        ("a AND", 3, "both sides"),
        ("id:xyz", 4, "an id"),
        ("payload=1", 8, "payload.customer=42"),
        ("payload.customer", 1, "an operator after the member"),
        ("payload.=1", 9, "the name of a member"),
        (r'payload."a\"b"=1', 9, "the name of a member"),
        ('""', 1, "some text between the quotes"),
        ("a\x00b", 2, "no control characters"),
        ("a \ud800", 3, "no control characters"),
        ("a*b*c*d*e*f*g*h*i*j*k*l", 22, "at most 10 stars"),
        ("payload" + ".a" * 11 + "=1", 30, "at most 10 steps"),
        ("a " * 21, 41, "at most 20 terms"),
        ("attempts:" + ",".join("1" * 51), 111, "at most 50 values"),
        ("a" * 2_001, 2_001, "at most 2000 characters"),
    ],
)
def test_a_mistake_names_its_column_and_what_was_expected(
    text: str, column: int, said: str
) -> None:
    """So that a console can point at it, and a person mend it."""
    with pytest.raises(SearchError) as caught:
        parse(text)

    assert caught.value.column == column
    assert said in caught.value.detail


def test_a_mistake_repeats_nothing_of_what_was_written() -> None:
    """Errors go to logs and pages."""
    for text in ("secretword:1", "status:secretword", "created:secretword", "id:secretword"):
        with pytest.raises(SearchError) as caught:
            parse(text)
        assert "secretword" not in caught.value.detail
