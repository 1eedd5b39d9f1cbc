"""What errors of the ODBC drivers mean: their texts as the drivers have written them."""

from __future__ import annotations

import pyodbc
import pytest
from taskhub.errors import StoreDown, StoreFull, StoreLocked
from taskhub.store.mssql import troubles
from taskhub.store.mssql.troubles import SQL_SERVER, Meaning, Said, said

MICROSOFT = "[Microsoft][ODBC Driver 18 for SQL Server]"
SERVER = f"{MICROSOFT}[SQL Server]"


def error(
    state: str, number: int, text: str = "x", function: str = "SQLExecDirectW"
) -> pyodbc.Error:
    """An error as pyodbc makes it."""
    return pyodbc.Error(state, f"[{state}] {SERVER}{text} ({number}) ({function})")


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (error("40001", 1205), Said("40001", 1205)),
        (pyodbc.Error("42000", "[42000] [FreeTDS][SQL Server]x (1205) (SQLExecDirectW)"), 1205),
        (error("08001", -1, function="SQLDriverConnect"), Said("08001", -1)),
        (
            pyodbc.Error("23000", f"[23000] {SERVER}Duplicate ((1205) (SQLX)) (2627) (SQLExecute)"),
            2627,
        ),
        (
            pyodbc.Error(
                "42000", f"[42000] {SERVER}x (4060) (SQLDriverConnect); [28000] y (18456)"
            ),
            4060,
        ),
        (pyodbc.Error("HY000", "The driver did not supply an error!"), Said("HY000", 0)),
        (pyodbc.ProgrammingError("Attempt to use a closed connection."), Said("", 0)),
        (pyodbc.Error(), Said("", 0)),
        (pyodbc.Error("text first", "HY000"), Said("HY000", 0)),
    ],
)
def test_codes_are_read_from_whatever_stands_there(made: pyodbc.Error, code: Said | int) -> None:
    """The number is the server's own, also where a value looks like one."""
    found = said(made)

    assert found == code if isinstance(code, Said) else found.number == code


@pytest.mark.parametrize(
    ("made", "kind", "words"),
    [
        (error("HYT00", 1222), StoreLocked, ""),
        (error("40001", 1205), StoreLocked, ""),
        (error("42000", 1105), StoreFull, ""),
        (error("42000", 9002), StoreFull, ""),
        (error("HY000", 1101), StoreFull, ""),
        (error("HY000", 40544), StoreFull, ""),
        (error("28000", 18456, function="SQLDriverConnect"), StoreDown, "user or password"),
        (error("42000", 4060, function="SQLDriverConnect"), StoreDown, "no such database"),
        (error("42000", 40613, function="SQLDriverConnect"), StoreDown, "moved or woken up"),
        (error("HY000", 40615, function="SQLDriverConnect"), StoreDown, "firewall"),
        (error("42000", 10928), StoreDown, "no free connections"),
        (error("42000", 229), StoreDown, "does not allow our user"),
        (error("HY000", 3952), StoreDown, "ALLOW_SNAPSHOT_ISOLATION ON"),
        (error("25000", 3906), StoreDown, "takes no writes"),
        (error("HYT00", 0), StoreDown, "did not answer in time"),
        (error("HYT00", 0, function="SQLDriverConnect"), StoreDown, "did not answer in time"),
        (error("08S01", 10054), StoreDown, "connection was lost"),
        (error("08001", 20, function="SQLDriverConnect"), StoreDown, "cannot be reached"),
        (error("01000", 0, "Can't open lib"), StoreDown, "does not load"),
        (error("IM002", 0), StoreDown, "does not load"),
    ],
)
def test_troubles_have_names_and_a_sentence(
    made: pyodbc.Error, kind: type[Exception], words: str
) -> None:
    """Whoever waits is told what it is, never in the server's words."""
    trouble = SQL_SERVER.trouble(made)

    assert type(trouble) is kind
    assert words in trouble.detail


@pytest.mark.parametrize(
    "number", [4060, 40197, 40501, 40613, 49918, 49919, 49920, 10928, 10929, 4221, 615, 926]
)
def test_what_azure_calls_transient_is_tried_again(number: int) -> None:
    """As its documentation lists them."""
    assert SQL_SERVER.meaning(error("42000", number)) is Meaning.MOVING


@pytest.mark.parametrize("number", [1205, 3960])
def test_who_loses_tries_again(number: int) -> None:
    """Deadlocks and conflicts of snapshots: the server has undone all of it."""
    assert SQL_SERVER.meaning(error("42000", number)) is Meaning.AGAIN


@pytest.mark.parametrize(
    ("state", "number"),
    [("23000", 2627), ("23000", 2601), ("22001", 2628), ("22003", 8115), ("42000", 13609)],
)
def test_bad_values_are_no_trouble(state: str, number: int) -> None:
    """Each write is then tried alone, and one is refused."""
    assert SQL_SERVER.meaning(error(state, number)) is Meaning.BAD_DATA
    assert SQL_SERVER.trouble(error(state, number)) is None


@pytest.mark.parametrize(("state", "number"), [("42000", 102), ("42S02", 208), ("HY000", 50000)])
def test_a_mistake_of_ours_stays_one(state: str, number: int) -> None:
    """To wait would not help."""
    assert SQL_SERVER.meaning(error(state, number)) is None


def test_no_code_has_two_meanings() -> None:
    """What stands in two lists would mean what the later one says."""
    lists = (troubles._MOVING, troubles._AGAIN, troubles._BAD, troubles._DOWN, troubles._DENIED)
    numbers = [number for one in lists for number in one]

    assert len(numbers) == len(set(numbers))
    assert len(set(SQL_SERVER.numbers)) == len(numbers) + 6
