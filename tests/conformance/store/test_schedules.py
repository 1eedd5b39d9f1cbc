"""Schedules as they are made, changed, paused, deleted, declared, listed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest
from taskhub.audit import Audit, AuditQuery
from taskhub.ports import Prune, Write
from taskhub.schedules.schedule import (
    Overlap,
    Reason,
    RunOutcome,
    RunQuery,
    Schedule,
    ScheduleQuery,
    Source,
)
from taskhub.schedules.writes import (
    Absent,
    Declared,
    DeclareSchedules,
    DropSchedule,
    Outdated,
    PauseSchedule,
    ResumeSchedule,
    Saved,
    SaveSchedule,
    Synced,
)

from tests.conformance.store.timetable import HOUR, SKIPPED, WAITING, Timetable, definition
from tests.conformance.store.world import World

MARK = Audit(message="schedule", actor="olga")


@pytest.fixture
def times(world: World) -> Timetable:
    """The world's schedules."""
    return Timetable(world)


async def audited(world: World) -> int:
    """How many acts the audit log has."""
    return len((await world.store.audit(AuditQuery())).items)


async def test_a_schedule_is_read_as_it_was_made(world: World, times: Timetable) -> None:
    """Every field, with where it stands; another of the name is not made."""
    now = world.hands.now

    made = await times.made()

    assert made == Schedule(
        definition=definition(),
        version=1,
        next_at=now + HOUR,
        updated_at=now,
        updated_by="olga",
    )
    assert await world.store.schedule("nightly") == made
    assert await world.store.schedule("other") is None
    again = SaveSchedule(definition=definition(cron="@daily"), next_at=now, by="eve", expect=0)
    assert await world.one(again) == Outdated(1)
    assert await times.now() == made


async def test_a_change_needs_the_version_that_was_seen(world: World, times: Timetable) -> None:
    """Two who change the same thing: the second one is told, and the first one's stands."""
    await times.made()
    later = world.hands.now + timedelta(days=1)

    def change(title: str, expect: int | None) -> SaveSchedule:
        asked = definition(title=title)
        return SaveSchedule(definition=asked, next_at=later, by="eve", expect=expect, audit=MARK)

    first, second, forced = await world.do(change("a", 1), change("b", 1), change("c", None))

    assert isinstance(first, Saved)
    assert (first.made, first.schedule.version, first.schedule.definition.title) == (False, 2, "a")
    assert second == Outdated(2)
    assert isinstance(forced, Saved)
    assert (await times.now()).definition.title == "c"
    assert await audited(world) == 2
    missing = SaveSchedule(definition=definition("x"), next_at=later, by="eve", expect=1)
    assert await world.one(missing) == Absent()


async def test_a_change_of_times_begins_anew_and_no_other_does(
    world: World, times: Timetable
) -> None:
    """What is due and was not handled is not lost because somebody mends a title."""
    made = await times.made()
    later = world.hands.now + timedelta(days=1)

    async def changed(**fields: str) -> Schedule:
        asked = definition(**fields)
        result = await world.one(SaveSchedule(definition=asked, next_at=later, by="eve"))
        assert isinstance(result, Saved)
        return result.schedule

    assert (await changed(title="another")).next_at == made.next_at
    assert (await changed(title="another", cron="@daily")).next_at == later
    later += HOUR
    assert (await changed(cron="@daily", time_zone="UTC")).next_at == later


async def test_a_pause_lasts_until_it_is_resumed(world: World, times: Timetable) -> None:
    """Twice changes nothing more; what is due meanwhile is nobody's business."""
    made = await times.made()
    pause = PauseSchedule(name="nightly", by="olga", audit=MARK)

    paused = await world.one(pause)
    again = await world.one(pause)
    world.hands.advance(7_200)

    assert isinstance(paused, Saved)
    assert (paused.schedule.paused, paused.schedule.version) == (True, 2)
    assert again == paused
    assert (await world.store.agenda(9)).due == []
    assert await world.one(times.firing(made, version=2)) != paused
    assert await times.runs() == []
    tomorrow = world.hands.now + timedelta(days=1)
    resume = ResumeSchedule(name="nightly", next_at=tomorrow, by="olga", audit=MARK)
    resumed = await world.one(resume)
    assert isinstance(resumed, Saved)
    assert (resumed.schedule.paused, resumed.schedule.next_at) == (False, tomorrow)
    assert await world.one(resume) == resumed
    assert await audited(world) == 2


@pytest.mark.parametrize("act", ["pause", "resume", "drop"])
async def test_acts_on_what_is_not_there_or_is_other_by_now(
    world: World,
    times: Timetable,
    act: str,
) -> None:
    """They change nothing and leave no mark."""
    await times.made()
    now = world.hands.now
    acts: dict[str, Callable[..., Write]] = {
        "pause": partial(PauseSchedule, by="olga", audit=MARK),
        "resume": partial(ResumeSchedule, by="olga", next_at=now, audit=MARK),
        "drop": partial(DropSchedule, audit=MARK),
    }

    missing, outdated = await world.do(acts[act](name="x"), acts[act](name="nightly", expect=9))

    assert (missing, outdated) == (Absent(), Outdated(1))
    assert (await times.now()).version == 1
    assert await audited(world) == 0


async def test_what_is_deleted_is_gone_and_its_runs_are_told(
    world: World, times: Timetable
) -> None:
    """Its tasks stay, what waited is given up; one of the same name is a new one."""
    await times.made(overlap=Overlap.QUEUE)
    world.hands.advance(3_600)
    first = await times.fired()
    await times.fired()

    result = await world.one(DropSchedule(name="nightly", expect=1, audit=MARK))

    assert isinstance(result, Saved)
    assert await world.store.schedule("nightly") is None
    assert (await world.store.agenda(9)).ready == []
    assert await times.runs() == [(RunOutcome.FIRED, ""), (SKIPPED, Reason.DELETED)]
    assert first.task_id is not None
    assert (await world.item(first.task_id)).id == first.task_id
    assert (await times.made()).last is None


async def test_pages_are_by_name(world: World, times: Timetable) -> None:
    """By bytes, as cursors compare; each comes once."""
    for name in ("b", "a", "Z", "a.b", "a-b"):
        await times.made(name)

    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await world.store.schedules(ScheduleQuery(cursor=cursor, limit=2))
        found += [schedule.definition.name for schedule in page.items]
        cursor = page.next

    assert found == ["Z", "a", "a-b", "a.b", "b"]


# ---- declared ones


def declaration(world: World, *names: str, **fields: str) -> DeclareSchedules:
    """What a place of a source declares."""
    next_at = world.hands.now + HOUR
    source, place = Source(fields.pop("source", "code")), fields.pop("place", "shop.tasks")
    schedules = [(definition(name, **fields), next_at) for name in names]
    return DeclareSchedules(source=source, place=place, schedules=schedules, by="worker-1")


async def test_a_declaration_makes_changes_and_removes(world: World, times: Timetable) -> None:
    """What is declared already is not touched, its version neither."""
    assert await world.one(declaration(world, "a", "b")) == Synced(added=("a", "b"))
    assert await world.one(declaration(world, "a", "b")) == Synced()
    paused = await world.one(PauseSchedule(name="a", by="olga"))
    assert isinstance(paused, Saved)

    result = await world.one(declaration(world, "a", "c", title="another"))

    assert result == Synced(added=("c",), changed=("a",), removed=("b",))
    now = await times.now("a")
    assert (now.paused, now.source, now.place) == (True, Source.CODE, "shop.tasks")
    assert now.version == paused.schedule.version + 1
    assert await world.store.schedule("b") is None


async def test_places_do_not_remove_what_others_declare(world: World, times: Timetable) -> None:
    """Two modules, the configuration, the API: each has its own."""
    await times.made("mine")
    await world.do(
        declaration(world, "a"),
        declaration(world, "b", place="shop.reports"),
        declaration(world, "c", source="config", place=""),
    )

    await world.do(declaration(world), declaration(world, source="config", place=""))

    page = await world.store.schedules(ScheduleQuery())
    assert [schedule.definition.name for schedule in page.items] == ["b", "mine"]


async def test_the_configuration_comes_before_code_and_that_before_the_api(
    world: World, times: Timetable
) -> None:
    """A name has one owner, whoever starts last."""
    await times.made("a")
    assert await world.one(declaration(world, "a")) == Synced(changed=("a",))
    config = declaration(world, "a", source="config", place="")
    assert await world.one(config) == Synced(changed=("a",))
    assert await world.one(declaration(world, "a")) == Synced(refused=("a",))
    assert (await times.now("a")).source is Source.CONFIG


@pytest.mark.parametrize("source", [Source.CODE, Source.CONFIG])
async def test_what_is_declared_is_not_changed_elsewhere(
    world: World, times: Timetable, source: Source
) -> None:
    """Only paused; what code has declared may be deleted, for nobody may run that code any more."""
    await world.one(declaration(world, "a", source=source))
    change = SaveSchedule(definition=definition("a"), next_at=world.hands.now, by="eve")

    assert await world.one(change) == Declared(source)
    assert isinstance(await world.one(PauseSchedule(name="a", by="olga")), Saved)
    dropped = await world.one(DropSchedule(name="a"))
    assert dropped == Declared(source) if source is Source.CONFIG else isinstance(dropped, Saved)


async def test_runs_are_pruned_with_tasks_and_those_that_wait_are_not(
    world: World, times: Timetable
) -> None:
    """By their age; the newest first is not needed for anything."""
    await times.made(overlap=Overlap.QUEUE)
    world.hands.advance(3_600)
    await times.fired()
    world.hands.advance(3_600)
    await times.fired()
    world.hands.advance(3_600)
    middle, long_ago = world.hands.now - timedelta(hours=1.5), world.hands.now - timedelta(days=9)

    def prune(before: datetime) -> Prune:
        return Prune(tasks_before=before, events_before=long_ago, audit_before=long_ago)

    await world.one(prune(middle))
    assert await times.runs() == [(WAITING, "")]
    await world.one(prune(world.hands.now))
    assert await times.runs() == [(WAITING, "")]


async def test_runs_are_paged_newest_first(world: World, times: Timetable) -> None:
    """With where the next page begins."""
    await times.made()
    world.hands.advance(18_000)
    for _ in range(5):
        await times.fired(item=None)

    found = []
    before = None
    while True:
        page = await world.store.runs(RunQuery(schedule="nightly", before=before, limit=2))
        found += [run.due_at for run in page.items]
        before = page.next
        if before is None:
            break

    assert len(found) == 5
    assert found == sorted(found, reverse=True)
