"""An API whose tokens come from an issuer of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from taskhub.config.sections import Config, JwtSection

from tests.unit.http.house import House, open_house
from tests.unit.http.oidc.publisher import AUDIENCE, Publisher, publishing


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    """The issuer, listening."""
    async with publishing() as found:
        yield found


@pytest.fixture
async def trusting(
    tmp_path: Path, empty_database: Path, publisher: Publisher
) -> AsyncIterator[House]:
    """An API that knows nothing of the issuer but its name."""
    config = Config(jwt=JwtSection(authority=publisher.url, audience=AUDIENCE))
    async with open_house(tmp_path, empty_database, config) as house:
        yield house
