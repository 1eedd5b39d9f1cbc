"""SQL Server itself: where there is one, all tests of this folder have run on it."""

from __future__ import annotations

import pytest

from tests.conformance.store.backends import BACKENDS


@pytest.mark.skipif("mssql" not in BACKENDS, reason="TASKHUB_TEST_MSSQL names no SQL Server")
def test_the_suite_runs_on_an_sql_server() -> None:
    """It does where an ODBC connection string of one is given, as docs/sqlserver.md says."""
    assert "mssql" in BACKENDS
