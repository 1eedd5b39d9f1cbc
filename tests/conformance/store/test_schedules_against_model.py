"""Schedules beside the pure model: whatever is done in whatever order, both say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from taskhub import ports as p
from taskhub.model import Status
from taskhub.schedules import writes as w
from taskhub.schedules.schedule import (
    Agenda,
    Overlap,
    RunOutcome,
    RunQuery,
    Schedule,
    ScheduleQuery,
    Source,
)

from tests.conformance.store.backend import Backend, Hands
from tests.conformance.store.backends import BACKENDS
from tests.conformance.store.schedule_model import ScheduleModel
from tests.conformance.store.test_against_model import plain
from tests.conformance.store.timetable import HOUR, definition
from tests.conformance.store.world import LEASE, TYPES, A, World

EXAMPLES, STEPS = 40, 30
NAMES = st.sampled_from(["a", "b"])
expected = st.sampled_from([None, None, None, 0, 1, 2])


class Timetables(RuleBasedStateMachine):
    """Random lives of two schedules and of what they make; news are mostly right, some are old."""

    def __init__(self, backend: Backend) -> None:
        """Open an empty store and an empty model."""
        super().__init__()
        self.loop = asyncio.Runner()
        self.hands = Hands()
        self.world = World(backend, self.hands, backend.store(self.hands))
        self.model = ScheduleModel(self.hands.now, self.hands.boottime)
        self.loop.run(self.world.store.open())

    def teardown(self) -> None:
        """Close the store."""
        self.loop.run(self.world.store.close())
        self.loop.close()

    # ---- what can happen ---------------------------------------------------------------------

    @rule(
        name=NAMES,
        expect=expected,
        cron=st.sampled_from(["@hourly", "@daily"]),
        overlap=st.sampled_from(Overlap),
    )
    def save(self, name: str, expect: int | None, cron: str, overlap: Overlap) -> None:
        """Somebody makes or changes a schedule."""
        asked = definition(name, cron=cron, overlap=overlap)
        next_at = self.hands.now + HOUR
        self.both(w.SaveSchedule(definition=asked, next_at=next_at, by="olga", expect=expect))

    @rule(name=NAMES, expect=expected, act=st.sampled_from(["pause", "resume", "drop"]))
    def act(self, name: str, expect: int | None, act: str) -> None:
        """Somebody pauses, resumes or deletes one."""
        next_at = self.hands.now + HOUR
        acts: dict[str, p.Write] = {
            "pause": w.PauseSchedule(name=name, by="olga", expect=expect),
            "resume": w.ResumeSchedule(name=name, by="olga", expect=expect, next_at=next_at),
            "drop": w.DropSchedule(name=name, expect=expect),
        }
        self.both(acts[act])

    @rule(
        names=st.sets(NAMES),
        source=st.sampled_from([Source.CODE, Source.CONFIG]),
        overlap=st.sampled_from(Overlap),
    )
    def declare(self, names: set[str], source: Source, overlap: Overlap) -> None:
        """A process starts and says what it knows of."""
        next_at = self.hands.now + HOUR
        schedules = [(definition(name, overlap=overlap), next_at) for name in sorted(names)]
        self.both(w.DeclareSchedules(source=source, place="x", schedules=schedules, by="worker-1"))

    @rule(
        name=NAMES,
        count=st.integers(1, 3),
        wrong=st.sampled_from(["", "", "", "", "version", "seen", "due"]),
        missed=st.booleans(),
        more=st.booleans(),
    )
    def fire(self, name: str, count: int, wrong: str, **how: bool) -> None:
        """A scheduler handles due times, some in a row; one has looked long ago."""
        found = self.model.schedules.get(name)
        seen = (found.next_at if found else None) or self.hands.now
        version = found.version if found else 1
        writes = []
        for _ in range(count):
            writes.append(
                w.FireSchedule(
                    name=name,
                    version=version - (wrong == "version"),
                    seen=seen - HOUR * (wrong == "seen"),
                    due=seen - HOUR * (wrong == "due"),
                    next_at=seen + HOUR,
                    item=None if how["missed"] else self.world.task(),
                    missed=how["more"] or how["missed"],
                    since=seen - HOUR if how["more"] else None,
                )
            )
            seen += HOUR
        self.both(*writes)

    @rule(name=NAMES, count=st.integers(1, 2))
    def trigger(self, name: str, count: int) -> None:
        """Somebody wants a run now."""
        self.both(*(w.TriggerSchedule(name=name, item=self.world.task()) for _ in range(count)))

    @rule(late=st.booleans())
    def start(self, late: bool) -> None:
        """A scheduler starts what waited; a late one tries all that wait or have waited."""
        agenda = self.agenda()
        due = [(schedule.definition.name, at) for schedule, at in agenda.ready]
        if late:
            due = [(name, at) for name, runs in self.model.runs.items() for at in runs]
        self.both(*(w.StartRun(name=name, due=at, item=self.world.task()) for name, at in due[:4]))

    @rule(
        limit=st.integers(1, 3),
        end=st.sampled_from([None, Status.DONE, Status.FAILED, Status.PENDING]),
    )
    def work(self, limit: int, end: Status | None) -> None:
        """Tasks run, and end or go on."""
        self.both(p.Claim(owner=A, limit=limit, lease=LEASE, types=TYPES))
        running = [row for row in self.model.rows.values() if row.owner]
        if end is not None:
            self.both(*(p.Finish(id=r.item.id, fence=r.fence, status=end) for r in running))

    @rule(number=st.integers(0, 100))
    def cancel(self, number: int) -> None:
        """Somebody cancels a task."""
        ids = list(self.model.rows)
        if ids:
            self.both(p.Cancel(id=ids[number % len(ids)]))

    @rule(seconds=st.sampled_from([1, 1_800, 3_600, 90_000]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.hands.advance(seconds)
        self.check()

    # ---- what must hold ----------------------------------------------------------------------

    def both(self, *writes: p.Write) -> None:
        """Do it in both worlds, and compare the answers, the events and all rows."""
        self.model.now, self.model.boottime = self.hands.now, self.hands.boottime
        expected = self.model.commit(writes)
        done = self.loop.run(self.world.store.commit(writes))

        assert plain(done.results) == plain(expected)
        told = sorted((event.type.value, event.id) for event in done.events)
        assert told == sorted((kind.value, task) for kind, task in self.model.events)
        self.check()

    def check(self) -> None:
        """Compare everything that can be read."""
        store = self.world.store
        rows = self.loop.run(store.get(list(self.model.rows)))
        assert plain(rows) == plain([row.item for row in self.model.rows.values()])
        page = self.loop.run(store.schedules(ScheduleQuery()))
        assert list(page.items) == self.known()
        for name in ("a", "b"):
            runs = self.loop.run(store.runs(RunQuery(schedule=name))).items
            wanted = sorted(self.model.runs.get(name, {}).items(), reverse=True)
            assert [(run.due_at, run) for run in runs] == [
                (at, _with_status(run, self.model)) for at, run in wanted
            ]
            assert len({run.task_id for run in runs if run.task_id}) == sum(
                run.outcome is RunOutcome.FIRED for run in runs
            )
        self.compare_agenda(self.agenda())

    def known(self) -> list[Schedule]:
        """The schedules of the model, by name."""
        found = [self.model.look(name) for name in sorted(self.model.schedules)]
        return [schedule for schedule in found if schedule is not None]

    def agenda(self) -> Agenda:
        """What the store says is to be done."""
        return self.loop.run(self.world.store.agenda(9))

    def compare_agenda(self, agenda: Agenda) -> None:
        """With what the model knows."""
        now = self.hands.now
        live = [each for each in self.known() if not each.paused and each.next_at]
        due = [each for each in live if each.next_at and each.next_at <= now]
        assert sorted(each.definition.name for each in agenda.due) == sorted(
            each.definition.name for each in due
        )
        waits = [min(w) for runs in self.model.runs.values() if (w := _waiting(runs))]
        assert agenda.waits == bool(waits)
        first = min((each.next_at - now for each in live if each.next_at), default=None)
        assert agenda.next == (None if first is None else max(timedelta(), first).total_seconds())


def _waiting(runs: dict[Any, Any]) -> list[Any]:
    return [at for at, run in runs.items() if run.outcome is RunOutcome.WAITING]


def _with_status(run: Any, model: ScheduleModel) -> Any:
    return type(run)(**{**_fields(run), "status": model.status_of(run)})


def _fields(run: Any) -> dict[str, Any]:
    return {name: getattr(run, name) for name in run.__struct_fields__}


def test_schedules_and_the_model_live_the_same_lives(
    kind: str, new_backend: Callable[[str], Backend]
) -> None:
    """Results, events, schedules, runs and the agenda agree after each of some hundred commits."""
    made: list[Backend] = []

    class OnItsOwn(Timetables):
        """Each life on a database of its own."""

        def __init__(self) -> None:
            made.append(new_backend(f"timetables-{len(made)}"))
            super().__init__(made[-1])

    run_state_machine_as_test(
        OnItsOwn,
        settings=settings(
            max_examples=int(EXAMPLES * BACKENDS[kind].share),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
