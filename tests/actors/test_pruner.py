"""The pruner: what is past its retention goes, in shares, and trouble only delays it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from taskhub.actors import pruner as pruner_module
from taskhub.actors.pruner import Pruner
from taskhub.audit import Audit
from taskhub.config.sections import RetentionSection
from taskhub.kernel.actor import ChildSpec
from taskhub.model import Status, TaskId
from taskhub.obs.telemetry import RowsPruned
from taskhub.ports import Finish

from tests.actors.workshop import Workshop, running
from tests.waiting import until

DAY = 86_400.0


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds follow each other."""
    monkeypatch.setattr(pruner_module, "EVERY", 0.01)


class Keeping:
    """A pruner with a retention that a test may change."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.retention = RetentionSection(tasks_days=2.0, events_days=2.0, audit_days=2.0)

    def spec(self) -> ChildSpec:
        """As a supervisor starts it."""
        told = self.shop.told.append
        return ChildSpec("pruner", lambda: Pruner(self.shop.box, lambda: self.retention, told))


def count(shop: Workshop, table: str) -> int:
    """How many rows there are."""
    counts = shop.sql("SELECT (SELECT count(*) FROM Tasks), (SELECT count(*) FROM Audit)")[0]
    number: int = counts[("Tasks", "Audit").index(table)]
    return number


@contextmanager
def days_ago(shop: Workshop, days: float) -> Iterator[None]:
    """What is written in the block was written then."""
    shop.skipped = -days * DAY
    yield
    shop.skipped = 0.0


async def ended(shop: Workshop, number: int, days: float) -> list[TaskId]:
    """Tasks that were done then."""
    with days_ago(shop, days):
        ids = await shop.create_many(number, age=days * DAY)
        leases = (await shop.claim(limit=number)).leases
        await shop.put(
            *(Finish(id=each.item.id, fence=each.fence, status=Status.DONE) for each in leases)
        )
    return ids


async def audited(shop: Workshop, number: int, days: float) -> None:
    """Audit rows of then."""
    with days_ago(shop, days):
        await shop.put(*(Audit(message="m", actor="a") for _ in range(number)))


def pruned(shop: Workshop) -> Counter[str]:
    """What was told of the deleted rows, by kind."""
    total = Counter[str]()
    for event in shop.said(RowsPruned):
        total.update(msgspec.structs.asdict(event))
    return total


async def test_what_is_older_than_its_retention_goes_and_the_rest_stays(
    workshop: Workshop,
) -> None:
    """Ended tasks and the audit each have a time of their own; what waits stays, however old."""
    waiting = await workshop.create_many(2, kind="other", age=5 * DAY)
    await ended(workshop, 3, days=3)
    new = await ended(workshop, 2, days=1)
    await audited(workshop, 4, days=3)
    await audited(workshop, 2, days=1)

    async with running([Keeping(workshop).spec()]):
        await until(lambda: count(workshop, "Tasks") == 4 and count(workshop, "Audit") == 2)

        await until(lambda: pruned(workshop)["tasks"] == 3)

    assert pruned(workshop)["audit"] == 4
    left = {row[0] for row in workshop.sql("SELECT Id FROM Tasks")}
    assert left == {*new, *waiting}


async def test_much_goes_in_shares_one_after_the_other(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits long behind it, and it does not wait a minute for the next share."""
    monkeypatch.setattr(pruner_module, "SHARE", 10)
    monkeypatch.setattr(pruner_module, "EVERY", 0.5)
    await audited(workshop, 35, days=3)
    seen = set[int]()

    def is_pruned() -> bool:
        seen.add(count(workshop, "Audit"))
        return min(seen) == 1  # the newest stays

    async with running([Keeping(workshop).spec()]):
        await until(is_pruned)

    assert seen <= {35, 25, 15, 5, 1}


async def test_a_reload_of_the_retention_holds_from_the_next_round(workshop: Workshop) -> None:
    """It is asked for anew each time."""
    await audited(workshop, 2, days=1)
    keeping = Keeping(workshop)
    async with running([keeping.spec()]):
        await workshop.put(Audit(message="m", actor="a"))
        assert count(workshop, "Audit") == 3
        keeping.retention = RetentionSection(audit_days=0.5)
        await until(lambda: count(workshop, "Audit") == 1)


async def test_trouble_is_waited_out(tmp_path: Path, empty_database: Path) -> None:
    """The next round does what this one could not."""
    shop = Workshop(tmp_path, empty_database, lock_timeout=0.02)
    keeping = Keeping(shop)
    keeping.retention = RetentionSection(audit_days=10.0)
    async with running([shop.store_spec(), keeping.spec()]) as stage:
        await audited(shop, 3, days=3)
        other = shop.locked()
        keeping.retention = RetentionSection(audit_days=2.0)
        await until(lambda: shop.health.state == "failed")
        other.close()

        await until(lambda: count(shop, "Audit") == 1)
        assert stage.restarts("pruner") == 0
