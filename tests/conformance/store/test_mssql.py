"""SQL Server itself: where there is one, all tests of this folder have run on it."""

from __future__ import annotations

import pytest

from tests.conformance.store import mssql
from tests.conformance.store.backends import BACKENDS


@pytest.mark.skipif(not mssql.IS_HERE, reason=mssql.NOT_HERE)
def test_the_suite_runs_on_an_sql_server() -> None:
    """It does where the address of one is given."""
    assert "mssql" in BACKENDS
