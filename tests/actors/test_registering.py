"""What a pool says of its types: once all of it, then each minute that it does them still."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from taskhub.actors import registering
from taskhub.actors.registering import Registering
from taskhub.kernel.actor import Context
from taskhub.model import TypeInfo
from taskhub.registration import Forget

from tests.actors.workshop import Workshop, running
from tests.waiting import until

TYPES = [TypeInfo("job", {"type": "object"}), TypeInfo("other")]


def rows(path: Path) -> list[tuple[str, int, int]]:
    """Every type: its name, when it was registered, when it was seen."""
    with closing(sqlite3.connect(path, timeout=10)) as reader:
        return reader.execute(
            "SELECT Name, RegisteredAt, SeenAt FROM Types ORDER BY Name"
        ).fetchall()


async def test_types_are_known_once_registered_and_come_back_when_taken_away(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time it is said that they are done; a schema that is in force is not written again."""
    monkeypatch.setattr(registering, "SAY_EVERY", 0.01)
    shop = Workshop(tmp_path, empty_database)
    mine = Registering(TYPES, shop.box)
    async with running([shop.store_spec()]):
        await mine.register(Context("pool"))
        ((_, registered, seen), _) = rows(shop.path)
        saying = asyncio.create_task(mine.keep_saying())
        try:
            await until(lambda: rows(shop.path)[0][2] != seen)
            assert rows(shop.path)[0][1] == registered
            await shop.put(Forget(name="job"))
            await until(lambda: [row[0] for row in rows(shop.path)] == ["job", "other"])
        finally:
            saying.cancel()

    assert registered <= seen


async def test_other_processes_hear_of_new_types_and_of_no_others(
    tmp_path: Path, empty_database: Path
) -> None:
    """A worker that starts again with the same types wakes nobody."""
    shop = Workshop(tmp_path, empty_database)
    async with running([shop.store_spec()]):
        await Registering(TYPES, shop.box).register(Context("pool"))
        await Registering(TYPES, shop.box).register(Context("pool"))
        await until(lambda: len(shop.outbox))

        (published,) = await shop.outbox.take(10)
        assert published.kinds == {"types"}
