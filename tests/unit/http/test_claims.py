"""Where claims are found."""

from __future__ import annotations

from typing import Any

import pytest
from taskhub.http.claims import at

CLAIMS = {
    "roles": ["a"],
    "realm_access": {"roles": ["b"]},
    "resource_access": {"task.hub": {"roles": ["c"]}},
    "https://x.example/roles": ["d"],
    "https://x": {"example/roles": ["not this"]},
    "text": "x",
    "empty": None,
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("roles", ["a"]),
        ("realm_access.roles", ["b"]),
        ("resource_access.task.hub.roles", ["c"]),
        ("https://x.example/roles", ["d"]),
        ("realm_access.nothing", None),
        ("text.roles", None),
        ("empty.roles", None),
        ("nothing", None),
        (".", None),
        ("", None),
    ],
)
def test_a_name_is_a_claim_and_else_a_path(path: str, found: Any) -> None:
    """A claim of exactly this name comes first: names of Auth0 and .NET are full of dots."""
    assert at(CLAIMS, path) == found
