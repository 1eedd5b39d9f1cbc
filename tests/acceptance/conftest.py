"""What acceptance tests get: a TaskHub that has not been started yet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.acceptance.installation import Installation, installed


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Installation]:
    """A TaskHub in a folder of its own; what still runs of it at the end is stopped."""
    async with installed(tmp_path) as installation:
        yield installation
