"""Every statement through Microsoft's own driver: what it makes of the text, and of the values."""

from __future__ import annotations

from string import Template

import pytest
from taskhub.store.mssql.session import Session
from taskhub.store.mssql.texts import compiled, statements

from tests.tds_server import TdsServer
from tests.unit.store.mssql.test_session import say

FILLED = {"kind": "1 = 1", "where": "1 = 1"}


@pytest.mark.parametrize("value", ["x", 7, None])
def test_each_value_has_its_place(session: Session, server: TdsServer, value: object) -> None:
    """As many as the statement has, all declared here: the server is asked about none of them."""
    for name, text in statements().items():
        plain, names = compiled(Template(text).safe_substitute(FILLED))
        before = len(server.heard)

        session.ask(say(plain, *[value] * len(names)))

        said = "".join(server.heard[before:])
        assert "sp_describe" not in said, name
        places = 0 if value is None else len(names)
        assert (f"@P{places}" in said) == (places > 0), name
        assert f"@P{places + 1}" not in said, name
