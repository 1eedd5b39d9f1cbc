"""The store beside the pure model: whatever is done in whatever order, both say the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from taskhub import ports as p
from taskhub.audit import Audit
from taskhub.bulk import Act, Bulk
from taskhub.failures import cause_of
from taskhub.keys import IdempotencyKey, Tell, Told, UniqueKey
from taskhub.model import HOLDING, TRANSITIONS, Owner, Status, TaskId, TaskItem, TypeInfo
from taskhub.queues import Line, Pause, QueueLimit

from tests.conformance.store.backend import Backend, Hands
from tests.conformance.store.backends import BACKENDS
from tests.conformance.store.model import Model
from tests.conformance.store.world import FOREIGN, LEASE, TYPES, A, B, C, World

OWNERS = (A, B, C, FOREIGN)
EXAMPLES, STEPS = 60, 30
CAUSES = (
    None,
    cause_of("simulate", "ValueError", "shop.orders:pay", "the stack"),
    cause_of("simulate", "KeyError", "shop.orders:pay"),
)

pick = st.integers(0, 1_000)
picks = st.lists(pick, max_size=4)
Wanted = tuple[int, tuple[Status, ...], float | None]
"""A unique key: its number, the states in which it is held, for how many seconds."""
states = st.sampled_from([HOLDING, (Status.PENDING,), (*HOLDING, Status.DONE), tuple(Status)])
uniques = st.none() | st.tuples(st.integers(0, 1), states, st.sampled_from([None, None, 16.0]))
ends = st.sampled_from([Status.DONE, Status.FAILED, Status.CANCELLED, Status.PENDING])


LIMITS = (
    (QueueLimit(queue="images", concurrency=1), QueueLimit(queue="default", key_concurrency=1)),
    (
        QueueLimit(queue="default", concurrency=3, key_concurrency=2),
        QueueLimit(queue="images", key_concurrency=1),
    ),
)


class Lives(RuleBasedStateMachine):
    """Random lives of tasks; ids and fences are mostly right, sometimes old or wrong."""

    def __init__(self, backend: Backend) -> None:
        """Open an empty store and an empty model."""
        super().__init__()
        self.loop = asyncio.Runner()
        self.hands = Hands()
        self.world = World(backend, self.hands, backend.store(self.hands))
        self.model = Model(self.hands.now, self.hands.boottime, backend.is_of_one_host)
        self.ids: list[TaskId] = []
        self.loop.run(self.world.store.open())

    def teardown(self) -> None:
        """Close the store."""
        self.loop.run(self.world.store.close())
        self.loop.close()

    @initialize(others=st.integers(0, 3))
    def begin(self, others: int) -> None:
        """Some tasks wait, and one runs."""
        items = [self.world.task(max_attempts=2) for _ in range(1 + others)]
        self.ids += [item.id for item in items]
        self.both(*(p.Create(item=item) for item in items))
        self.model.types = dict.fromkeys(TYPES, self.hands.now)
        known = [TypeInfo(name) for name in TYPES]
        self.loop.run(self.world.store.commit([p.Register(types=known)]))
        self.both(p.Claim(owner=A, limit=1, lease=LEASE, types=TYPES))

    # ---- what can happen ---------------------------------------------------------------------

    @rule(
        priorities=st.lists(st.integers(-1, 1), min_size=1, max_size=3),
        kind=st.sampled_from([*TYPES, *TYPES, "exotic"]),
        group=st.sampled_from([None, None, "a", "b", "c"]),
        queue=st.sampled_from(["default", "images"]),
        delay=st.sampled_from([0, 0, 0, 30]),
        attempts=st.integers(1, 2),
        key=st.none() | st.integers(0, 2),
        request=st.integers(0, 1),
        unique=uniques,
        after=picks,
        policy=st.sampled_from(["fail", "fail", "continue"]),
    )
    def create(self, priorities: list[int], key: int | None, request: int, **fields: Any) -> None:
        """New tasks, some after others, under a key that may be known, or one that is held."""
        after = self.after(fields["after"])
        items = [
            self.world.task(
                priority=priority,
                type=fields["kind"],
                queue=fields["queue"],
                group_key=fields["group"],
                max_attempts=fields["attempts"],
                run_at=self.hands.now + timedelta(seconds=fields["delay"]),
                after=after,
                on_parent_failure=fields["policy"] if after else None,
            )
            for priority in priorities
        ]
        if after and len(items) > 1:
            chained = (*after, items[0].id)
            items[-1] = msgspec.structs.replace(items[-1], after=chained)
        self.ids += [item.id for item in items]
        answer = Told(201, items[0].id.encode())
        expires = self.hands.now + timedelta(seconds=60)
        name = None if key is None else _key(key, request, answer, expires)
        unique = self.unique(fields["unique"])
        self.both(*(p.Create(item=item, key=name, unique=unique) for item in items))

    def after(self, which: list[int]) -> tuple[TaskId, ...]:
        """Tasks to be after, mostly of those that live; some are gone."""
        live = [task for task, row in self.model.rows.items() if not row.item.status.is_final]
        among = [live if number % 4 and live else self.ids for number in which]
        some = [ids[n % len(ids)] for n, ids in zip(which, among, strict=True)]
        return tuple(dict.fromkeys(some))

    def unique(self, wanted: Wanted | None) -> UniqueKey | None:
        """A unique key that ends so many seconds from now."""
        if wanted is None:
            return None
        number, states, seconds = wanted
        ends = None if seconds is None else self.hands.now + timedelta(seconds=seconds)
        return UniqueKey(key=f"key:{number}", states=states, expires_at=ends)

    @rule(
        again=st.lists(st.tuples(st.none() | pick, uniques), max_size=4),
        is_atomic=st.booleans(),
        key=st.none() | st.integers(0, 2),
        request=st.integers(0, 1),
    )
    def create_many(
        self,
        again: list[tuple[int | None, Wanted | None]],
        key: int | None,
        request: int,
        *,
        is_atomic: bool,
    ) -> None:
        """Many new tasks at once; some have an id that there is, so they cannot be stored."""
        items = [
            self.world.task(**({} if number is None else {"id": self.ids[number % len(self.ids)]}))
            for number, _ in again
        ]
        self.ids += [item.id for item in items if item.id not in self.ids]
        expires = self.hands.now + timedelta(seconds=60)
        name = None if key is None else _key(key, request, _told, expires)
        uniques = [self.unique(wanted) for _, wanted in again]
        creates = [p.Create(item=i, unique=u) for i, u in zip(items, uniques, strict=True)]
        self.both(p.CreateMany(creates=creates, is_atomic=is_atomic, key=name))

    @rule(
        webhook=st.sampled_from(["a", "b"]),
        lag=st.sampled_from([None, 0, 0, 0, 1]),
        step=st.integers(0, 2),
        count=st.integers(0, 2),
    )
    def forward(self, webhook: str, lag: int | None, step: int, count: int) -> None:
        """Somebody tells a webhook, from where its cursor is, was, or never was."""
        at = self.model.cursors.get(webhook)
        after = None if at is None or lag is None else at - lag
        items = [self.world.task(type="exotic") for _ in range(count)]
        self.ids += [item.id for item in items]
        through = (after or 0) + step
        self.both(p.Forward(webhook=webhook, after=after, through=through, items=items))

    @rule(
        owner=st.sampled_from(OWNERS),
        limit=st.integers(1, 4),
        queues=st.sampled_from([(), (), ("images",)]),
        suspects=st.sampled_from([False, False, True]),
        limits=st.sampled_from([(), (), *LIMITS]),
    )
    def claim(self, **fields: Any) -> None:
        """Somebody asks for work."""
        self.both(p.Claim(types=TYPES, lease=LEASE, **fields))

    @rule(
        which=st.lists(st.tuples(pick, ends, st.booleans(), st.booleans()), min_size=1, max_size=4),
        late=st.integers(0, 1),
    )
    def finish(self, which: list[tuple[int, Status, bool, bool]], late: int) -> None:
        """Attempts end, some of them under an old fence."""
        later = self.hands.now + timedelta(seconds=20)
        writes = []
        for number, status, refund, suspect in which:
            task, fence = self.held(number)
            failed = status is not Status.DONE
            writes.append(
                p.Finish(
                    id=task,
                    fence=fence - late,
                    status=status,
                    result=None if failed else b'{"ok":true}',
                    error=f"error {number}" if failed else None,
                    run_at=later if number % 2 else None,
                    refund=refund and status is Status.PENDING,
                    suspect=suspect,
                    cause=CAUSES[number % len(CAUSES)] if failed else None,
                )
            )
        self.both(*writes)

    @rule(which=picks, late=st.sampled_from([0, 0, 1]), how=st.sampled_from(["renew", "release"]))
    def hold(self, which: list[int], late: int, how: str) -> None:
        """Leases are renewed or given back."""
        held = sorted({(task, fence - late) for task, fence in map(self.held, which)})
        self.both(p.Renew(held=held, lease=LEASE) if how == "renew" else p.Release(held=held))

    @rule(which=pick, late=st.integers(0, 1))
    def progress(self, which: int, late: int) -> None:
        """A handler says how far it is."""
        task, fence = self.held(which)
        self.both(p.Progress(id=task, fence=fence - late, data=b'{"share":0.5}'))

    @rule(which=picks, kinds=st.lists(st.sampled_from([p.Cancel, p.Requeue]), max_size=4))
    def act(self, which: list[int], kinds: list[type[p.Cancel | p.Requeue]]) -> None:
        """People cancel and retry, several at once."""
        pairs = zip(which, kinds, strict=False)
        self.both(*(kind(id=self.held(number)[0]) for number, kind in pairs))

    @rule(which=picks, act=st.sampled_from(list(Act)), again=st.booleans())
    def act_on_many(self, which: list[int], act: Act, *, again: bool) -> None:
        """People act on many at once, some of them twice in one commit."""
        ids = [self.held(number)[0] for number in which]
        write = Bulk(act=act, ids=ids, audit=Audit(message="status:any", actor="me"))
        self.both(*([write] * (1 + again)))

    @rule(owner=st.sampled_from(OWNERS[:3]), held=picks, living=st.lists(st.sampled_from(OWNERS)))
    def sweep(self, owner: Owner, held: list[int], living: list[Owner]) -> None:
        """Somebody looks for lost leases."""
        mine = [self.held(number)[0] for number in held]
        self.both(p.Sweep(owner=owner, held=mine, living=living, lease=LEASE))

    @rule(owner=st.sampled_from(OWNERS), started=st.none() | picks)
    def takeover(self, owner: Owner, started: list[int] | None) -> None:
        """A process has died."""
        known = None if started is None else [self.held(number)[0] for number in started]
        self.both(p.Takeover(owner=owner, started=known))

    @rule(
        line=st.sampled_from(list(Line)),
        name=st.sampled_from(["default", "images", TYPES[0], "exotic"]),
        paused=st.booleans(),
    )
    def pause(self, line: Line, name: str, *, paused: bool) -> None:
        """An operator stops a queue or a type, or lets it go on, and workers ask meanwhile."""
        entry = Audit(message=f"{paused} {line} {name}", actor="olga")
        pause = Pause(line=line, name=name, paused=paused, audit=entry)
        self.both(p.Claim(owner=B, limit=2, lease=LEASE, types=TYPES), pause)
        assert self.model.audit == [
            row["Message"]
            for row in self.world.backend.rows("Audit")
            if row["Actor"] == entry.actor
        ]

    @rule(which=pick)
    def explain(self, which: int) -> None:
        """Somebody asks why."""
        task, _ = self.held(which)
        if task in self.model.rows:
            self.model.now, self.model.boottime = self.hands.now, self.hands.boottime
            told = self.loop.run(self.world.store.circumstances(task))
            assert plain([told]) == plain([self.model.circumstances(task)])

    @rule(seconds=st.sampled_from([1, 16, 46]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.hands.advance(seconds)

    # ---- what must hold ----------------------------------------------------------------------

    def held(self, number: int) -> tuple[TaskId, int]:
        """Some task, mostly a running one, and its present fence."""
        running = [task for task, row in self.model.rows.items() if row.owner]
        among = running if running and number % 4 < 3 else self.ids
        task = among[number % len(among)]
        row = self.model.rows.get(task)
        return task, row.fence if row else 0

    def both(self, *writes: p.Write) -> None:
        """Do it in both worlds, and compare the answers, the events and all rows."""
        self.model.now, self.model.boottime = self.hands.now, self.hands.boottime
        before = self.standing()
        expected = self.model.commit(writes)
        done = self.loop.run(self.world.store.commit(writes))

        assert plain(done.results) == plain(expected)
        told = sorted((event.type.value, event.id) for event in done.events)
        assert told == sorted((kind.value, task) for kind, task in self.model.events)
        rows = self.loop.run(self.world.store.get(list(self.model.rows)))
        assert plain(rows) == plain([row.item for row in self.model.rows.values()])
        self.check_moves(before, {row.id: row for row in rows}, len(writes))
        assert self.loop.run(self.world.store.forwarded()) == self.model.cursors
        for task, row in self.model.rows.items():
            if row.failed:
                assert self.loop.run(self.world.store.attempts(task)) == row.failed

    def standing(self) -> dict[TaskId, tuple[Status, int]]:
        """Each task's state, and its fence."""
        return {task: (row.item.status, row.fence) for task, row in self.model.rows.items()}

    def check_moves(
        self,
        before: dict[TaskId, tuple[Status, int]],
        rows: dict[TaskId, TaskItem],
        writes: int,
    ) -> None:
        """One write makes one legal move of a task; fences never fall, attempts have a limit."""
        for task, (status, fence) in self.standing().items():
            was, old_fence = before.get(task, (Status.PENDING, 0))
            assert fence >= old_fence
            assert 0 <= rows[task].attempts <= rows[task].max_attempts
            assert was is not Status.DONE or status is Status.DONE
            assert writes > 1 or status is was or status in TRANSITIONS[was]


def _key(number: int, request: int, answer: Told | Tell, expires: Any) -> IdempotencyKey:
    return IdempotencyKey(
        principal="user-1",
        key=f"key-{number}",
        request_hash=str(request),
        answer=answer,
        expires_at=expires,
    )


def _told(result: p.Result) -> Told:
    assert isinstance(result, p.CreatedMany)
    made = [str(each.item.id) for each in result.results if isinstance(each, p.Created)]
    return Told(201 if len(made) == len(result.results) else 207, " ".join(made).encode())


def plain(values: Sequence[object]) -> list[object]:
    """Results as plain values with their names, so that lists and tuples compare alike."""
    return [(type(value).__name__, msgspec.json.encode(_bare(value))) for value in values]


def _bare(value: object) -> object:
    """A result without the words of the database."""
    match value:
        case p.CreatedMany(results=results):
            return [(type(each).__name__, _bare(each)) for each in results]
        case p.Refused():
            return p.Refused("")
        case _:
            return value


def explore(
    new_backend: Callable[[str], Backend], share: float = 1.0, *, control: bool = False
) -> None:
    """Live many random lives; raises AssertionError where store and model differ.

    A control lives the same lives each time, and does not look for a shorter one that fails.
    """
    made: list[Backend] = []

    class OnItsOwn(Lives):
        """Each life on a database of its own."""

        def __init__(self) -> None:
            made.append(new_backend(f"lives-{len(made)}"))
            super().__init__(made[-1])

    run_state_machine_as_test(
        OnItsOwn,
        settings=settings(
            max_examples=int(EXAMPLES * share),
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=(Phase.generate,) if control else (Phase.generate, Phase.shrink),
            derandomize=control,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_store_and_the_model_live_the_same_lives(
    kind: str, new_backend: Callable[[str], Backend]
) -> None:
    """Results, events and rows agree after each of some thousand random commits."""
    explore(new_backend, BACKENDS[kind].share)
