"""The kernel's real processes are tested on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

try:
    import uvloop
except ImportError:  # an extra: the standard loop alone is tested then
    FACTORIES: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
        "asyncio": asyncio.new_event_loop
    }
else:
    FACTORIES = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    """The mark that asks for it."""
    config.addinivalue_line("markers", "both_loops: run with asyncio's own loop and with uvloop")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    """Both loops where they are asked for, else what everybody gets."""
    return FACTORIES if item.get_closest_marker("both_loops") else None
