"""The webhooks actor: each event that is wanted becomes one delivery, whoever else tries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.actors import webhooks as module
from taskhub.actors.webhooks import Webhooks, wants
from taskhub.config.sections import Config, OutboundSection, WebhookSection
from taskhub.kernel.actor import ChildSpec
from taskhub.kernel.mailbox import Mailbox
from taskhub.messages import Wake
from taskhub.model import EventType, PastEvent, Status, TaskId, TaskItem
from taskhub.obs.telemetry import Complained, EventsForwarded, WebhookFellBehind, WebhookSeen
from taskhub.ports import Cancel, Finish, Progress, Prune
from taskhub.telling import TaskEvent

from tests.actors.workshop import Workshop, running
from tests.waiting import until

SHOP = WebhookSection(url="https://shop.example/hook")
ALL = tuple(EventType)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other, so that no test needs a bell, and losers do not rest."""
    monkeypatch.setattr(module, "PACE", 0.0)
    monkeypatch.setattr(module, "POLL", 0.01)
    monkeypatch.setattr(module, "YIELD", (0.0, 0.01))


class Telling:
    """One process that follows the events; what is configured is the test's."""

    def __init__(self, workshop: Workshop, **hooks: WebhookSection) -> None:
        self.workshop, self.hooks = workshop, hooks
        self.inbox: Mailbox[Wake] = Mailbox("webhooks", 64)

    def config(self) -> Config:
        """The configuration of this moment."""
        section = OutboundSection(webhooks=dict(self.hooks))
        return msgspec.structs.replace(Config(), outbound=section)

    def spec(self, name: str = "webhooks") -> ChildSpec:
        """As a supervisor starts it."""

        def build() -> Webhooks:
            shop = self.workshop
            return Webhooks(self.inbox, shop.box, shop.store, self.config, shop.told.append)

        return ChildSpec(name, build)


async def deliveries(shop: Workshop) -> list[TaskItem]:
    """Every delivery that was made, oldest first."""
    rows = shop.sql("SELECT Id FROM Tasks WHERE Type = 'webhook' ORDER BY rowid")
    return await shop.store.get([TaskId(id_) for (id_,) in rows])


def cursor(shop: Workshop, name: str = "shop") -> int | None:
    """How far a webhook has come."""
    rows = shop.sql(f"SELECT Seq FROM Webhooks WHERE Name = '{name}'")  # noqa: S608 - a test's
    return int(rows[0][0]) if rows else None


def newest(shop: Workshop) -> int:
    """The number of the last event."""
    return int(shop.sql("SELECT coalesce(max(Seq), 0) FROM Events")[0][0])


async def made(shop: Workshop, count: int) -> list[TaskItem]:
    """Wait until there are so many deliveries."""
    await until(
        lambda: shop.sql("SELECT count(*) FROM Tasks WHERE Type = 'webhook'")[0][0] >= count,
        what=f"no {count} deliveries",
    )
    return await deliveries(shop)


async def followed(shop: Workshop, *names: str) -> None:
    """Wait until webhooks have their cursors."""
    await until(lambda: all(cursor(shop, name) is not None for name in names or ("shop",)))


async def done(shop: Workshop, *, status: Status = Status.DONE, **fields: Any) -> TaskId:
    """A task that has ended."""
    task = await shop.create(**fields)
    (lease,) = (await shop.claim()).leases
    await shop.put(Finish(id=task, fence=lease.fence, status=status, error="no luck"))
    return task


def told(item: TaskItem) -> Any:
    """What a delivery will tell."""
    return json.loads(bytes(item.payload))["event"]


async def test_an_event_becomes_a_task_that_will_tell_it(workshop: Workshop) -> None:
    """With all that a receiver needs, and nothing of the webhook but its name."""
    async with running([Telling(workshop, shop=SHOP).spec()]):
        await followed(workshop)
        task = await done(workshop, title="Zoë's", queue="images", status=Status.FAILED)
        (item,) = await made(workshop, 1)

    event = told(item)
    assert (item.type, item.queue, item.status) == ("webhook", "webhooks", Status.PENDING)
    assert (item.max_attempts, item.created_by) == (80, "webhook:shop")
    assert item.title == "TaskFailed to shop: Zoë's"
    assert json.loads(bytes(item.payload))["webhook"] == "shop"
    assert event | {"at": ""} == {
        "type": "TaskFailed",
        "id": task,
        "title": "Zoë's",
        "at": "",
        "seq": 3,
        "error": "no luck",
        "taskType": "job",
        "queue": "images",
    }
    assert msgspec.convert(event, TaskEvent).at.tzinfo is not None
    assert workshop.said(EventsForwarded)[-1] == EventsForwarded(webhook="shop", count=1)


async def test_a_new_webhook_begins_with_what_happens_from_now_on(workshop: Workshop) -> None:
    """Not with the past week; one that comes with a reload as one that was there at the start."""
    await done(workshop)
    telling = Telling(workshop, shop=SHOP)
    async with running([telling.spec()]):
        await followed(workshop)
        await done(workshop)
        await made(workshop, 1)
        telling.hooks["late"] = SHOP
        await followed(workshop, "late")
        await done(workshop)
        items = await made(workshop, 3)

    assert sorted(item.created_by for item in items) == [
        *("webhook:late", "webhook:shop", "webhook:shop")
    ]
    assert workshop.said(WebhookFellBehind) == []


async def test_one_that_was_away_tells_what_happened_meanwhile(workshop: Workshop) -> None:
    """Whatever died: the cursor is on disk."""
    async with running([Telling(workshop, shop=SHOP).spec()]):
        await followed(workshop)
    tasks = [await done(workshop) for _ in range(3)]
    async with running([Telling(workshop, shop=SHOP).spec()]):
        items = await made(workshop, 3)

    assert [told(item)["id"] for item in items] == tasks


async def test_a_webhook_that_is_put_back_goes_on_where_it_was(workshop: Workshop) -> None:
    """Taken out of the file for an hour it has lost nothing."""
    telling = Telling(workshop, shop=SHOP)
    async with running([telling.spec()]):
        await followed(workshop)
        del telling.hooks["shop"]
        task = await done(workshop)
        telling.hooks["shop"] = SHOP
        (item,) = await made(workshop, 1)

    assert told(item)["id"] == task


async def test_many_processes_make_each_delivery_once(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They race for every page."""
    monkeypatch.setattr(module, "PAGE", 3)
    specs = [Telling(workshop, shop=SHOP, other=SHOP).spec(f"process-{n}") for n in range(4)]
    async with running(specs):
        await followed(workshop, "shop", "other")
        tasks = [await done(workshop) for _ in range(20)]
        items = await made(workshop, 40)
        end = newest(workshop)
        await done(workshop)
        await made(workshop, 42)

    for name in ("shop", "other"):
        mine = [told(item)["id"] for item in items if item.created_by == f"webhook:{name}"]
        assert mine == tasks
        at = cursor(workshop, name)
        assert at is not None
        assert at >= end - 40
    assert len(await deliveries(workshop)) == 42


async def test_what_a_webhook_does_not_want_moves_nothing_on_disk_but_now_and_then(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit for each event that concerns nobody would be the dearest part of it all."""
    monkeypatch.setattr(module, "FLUSH", 10)
    hook = WebhookSection(url="https://x.example", types=("image.*",))
    async with running([Telling(workshop, shop=hook).spec()]):
        await followed(workshop)
        await workshop.create_many(9)
        await workshop.create("image.resize")
        begin = cursor(workshop)
        await workshop.create_many(9)
        await until(lambda: cursor(workshop) != begin)

    assert begin == 0
    assert workshop.said(EventsForwarded)[-1].count == 0


def event(**fields: Any) -> PastEvent:
    """An event of a task."""
    plain: dict[str, Any] = {
        "seq": 1,
        "type": EventType.DONE,
        "id": TaskId("x"),
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "title": "a task",
        "kind": "image.resize",
        "queue": "images",
    }
    return PastEvent(**(plain | fields))


@pytest.mark.parametrize(
    ("hook", "happened", "is_told"),
    [
        ({}, {}, True),
        ({}, {"type": EventType.CREATED}, False),
        ({"events": ALL}, {"type": EventType.PROGRESS}, True),
        ({"types": ("image.*",)}, {}, True),
        ({"types": ("image.resize", "x")}, {}, True),
        ({"types": ("image",)}, {}, False),
        ({"types": ("*",)}, {}, True),
        ({"queues": ("images",)}, {}, True),
        ({"queues": ("default",)}, {}, False),
        ({"types": ("image.*",), "queues": ("default",)}, {}, False),
        ({"events": ALL}, {"kind": "webhook"}, False),
        ({"events": ALL, "types": ("webhook",)}, {"kind": "webhook"}, False),
        ({"events": ALL}, {"kind": None, "title": None, "queue": None}, False),
    ],
)
def test_a_webhook_is_told_what_fits_all_its_filters(
    hook: dict[str, Any], happened: dict[str, Any], is_told: bool
) -> None:
    """And never of a delivery, or each would make another one, for ever."""
    assert wants(WebhookSection(url="https://x.example", **hook), event(**happened)) is is_told


async def test_deliveries_tell_of_no_deliveries(workshop: Workshop) -> None:
    """Neither when they are made nor when they end."""
    async with running([Telling(workshop, shop=WebhookSection(url="x", events=ALL)).spec()]):
        await followed(workshop)
        await workshop.create()
        (first,) = await made(workshop, 1)
        await workshop.put(Cancel(id=first.id))
        await workshop.create()
        items = await made(workshop, 2)

    assert [told(item)["taskType"] for item in items] == ["job", "job"]


async def test_progress_is_told_as_the_handler_said_it(workshop: Workshop) -> None:
    """For those who want it."""
    hook = WebhookSection(url="x", events=("TaskProgress",))
    async with running([Telling(workshop, shop=hook).spec()]):
        await followed(workshop)
        await workshop.create()
        (lease,) = (await workshop.claim()).leases
        said = b'{"fraction":0.5,"text":"half"}'
        await workshop.put(Progress(id=lease.item.id, fence=lease.fence, data=said))
        (item,) = await made(workshop, 1)

    assert told(item)["progress"] == {"fraction": 0.5, "text": "half"}


async def test_a_reload_of_the_filters_holds_at_once(workshop: Workshop) -> None:
    """They are asked for anew at each look."""
    telling = Telling(workshop, shop=WebhookSection(url="x", types=("other",)))
    async with running([telling.spec()]):
        await followed(workshop)
        telling.hooks["shop"] = SHOP
        await done(workshop)
        await made(workshop, 1)


async def test_events_that_were_pruned_unforwarded_are_told_of_and_the_rest_goes_on(
    workshop: Workshop,
) -> None:
    """Nothing ran for longer than the retention: better said than hidden."""
    async with running([Telling(workshop, shop=SHOP).spec()]):
        await followed(workshop)
    await done(workshop)
    await done(workshop)
    long_ago, now = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC)
    await workshop.put(Prune(tasks_before=long_ago, events_before=now, audit_before=long_ago))
    async with running([Telling(workshop, shop=SHOP).spec()]):
        (item,) = await made(workshop, 1)

    assert told(item)["seq"] == 6
    assert workshop.said(WebhookFellBehind) == [WebhookFellBehind(webhook="shop", events=5)]


@contextmanager
def broken(shop: Workshop) -> Iterator[None]:
    """A database that refuses every delivery."""
    trigger = "CREATE TRIGGER no BEFORE INSERT ON Tasks WHEN new.Type = 'webhook' BEGIN "
    with ExitStack() as stack:
        shop.sql(f"{trigger} SELECT raise(ABORT, 'no'); END")
        stack.callback(shop.sql, "DROP TRIGGER no")
        yield


async def test_what_cannot_be_stored_is_tried_again_and_said(workshop: Workshop) -> None:
    """No crash: everybody else's work goes on in this process."""
    async with running([Telling(workshop, shop=SHOP).spec()]) as stage:
        await followed(workshop)
        with broken(workshop):
            await done(workshop)
            await workshop.heard(Complained)
            behind = workshop.said(WebhookSeen)[-1].lag
        await made(workshop, 1)
        await until(lambda: workshop.said(WebhookSeen)[-1].lag == 0.0)

        assert behind > 0.0
        assert stage.restarts("webhooks") == 0
    assert len(await deliveries(workshop)) == 1


async def test_trouble_of_the_store_is_waited_out(tmp_path: Path, empty_database: Path) -> None:
    """Whether a commit went through or not, nothing is lost and nothing is made twice."""
    shop = Workshop(tmp_path, empty_database, lock_timeout=0.02)
    telling = Telling(shop, shop=SHOP)
    async with running([shop.store_spec(), telling.spec()]) as stage:
        await followed(shop)
        telling.hooks.clear()
        await done(shop)
        other = shop.locked()
        telling.hooks["shop"] = SHOP
        await until(lambda: shop.health.state == "failed")
        other.close()
        await done(shop)

        assert len(await made(shop, 2)) == 2
        assert stage.restarts("webhooks") == 0
