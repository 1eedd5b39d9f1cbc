"""A database moved to another back end: whole, the same, and to be gone on with after any death."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from taskhub.audit import Audit
from taskhub.errors import CopyFailed, HalfCopied
from taskhub.kernel.clock import boot_id, boottime
from taskhub.store import migrations
from taskhub.store.moving import Progress, Side, copy, look
from taskhub.store.moving.tables import tables

from tests.conformance.store.backend import Backend, Hands, Maker
from tests.conformance.store.sides import KINDS, side
from tests.conformance.store.world import World

PAIRS = [pytest.param(*pair, id="-to-".join(pair)) for pair in product(KINDS, KINDS)]
DEATHS = {"sqlite": ["copy Events 1000"], "postgres": ["copy Events 1000", "read Events"]}
ODD = 'a "quoted" \\ line\nand\ttab, ¿é 日本 \U0001f600 \u2028 \r\n %s :name ?'
JSON = '{ "b":1,  "a" : "\\u0000 \\ud83d", "n": 1.50, "big": 12345678901234567890 }'
MANY = 2_500


class Place:
    """A database of a test: what a store, a copy and a look behind both need of it."""

    def __init__(self, kind: str, backend: Backend) -> None:
        self.kind, self.backend = kind, backend

    def side(self) -> Side:
        """It as one end of a copy."""
        return side(self.kind, self.backend.place)

    def words(self) -> tuple[str, str]:
        """How another process is told of it."""
        return self.kind, self.backend.place

    def insert(self, table: str, **values: Any) -> None:
        """A row that no store has made."""
        places = ", ".join("?" * len(values))
        text = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})"  # noqa: S608 - our words
        self.backend.run(text, *values.values())

    def task(self, number: int, **values: Any) -> None:
        """A row of Tasks."""
        row: dict[str, Any] = {
            "Id": f"0192-{number:031}",
            "Title": ODD,
            "Type": "t",
            "Queue": "q",
            "Priority": -1,
            "MaxAttempts": 3,
            "TimeoutSeconds": 0.1,
            "RunAt": 1,
            "CreatedAt": 1,
            "UpdatedAt": 2**53 + 1,
            "CreatedBy": "",
            "Payload": JSON,
        }
        self.insert("Tasks", **(row | values))

    def all(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table."""
        return {table.name: rows(self.backend, table.name) for table in tables()}


def rows(backend: Backend, table: str) -> list[dict[str, Any]]:
    """The rows of a table in an order that no database chooses."""
    return sorted(backend.rows(table), key=lambda row: repr(sorted(row.items())))


@pytest.fixture
def make(
    makers: dict[str, Maker], tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[str, str], Place]:
    """Makes databases with a schema and no rows; their names are this test's own."""
    for kind in KINDS:
        makers[kind]

    def made(kind: str, name: str) -> Place:
        own = f"{name}-{abs(hash(request.node.nodeid))}x"
        return Place(kind, makers[kind].migrated(own, tmp_path))

    return made


def fill(place: Place) -> None:
    """Something odd in every table."""
    place.task(1, Progress="", Error=None, Result="null", GroupKey="", LeaseUntil=None)
    place.task(2, Status="Processing", Fence=2**40, LeaseOwner="boot/w/1", LeaseUntil=5.5)
    place.task(3, Payload='"' + "é" * 1_500_000 + '"', Suspect=4, After=JSON)
    place.insert("Waits", TaskId="c", Place=0, Parent="p", EndedAs=None)
    place.insert("Unsettled", TaskId="u", EndedAs="Failed")
    place.insert("Attempts", TaskId="a", Slot=1, Fence=1, Attempt=1, EndedAt=7, Trace=ODD)
    place.insert("Events", Seq=41, At=1, Type="TaskCreated", TaskId="x", Data="")
    place.insert("Events", Seq=977, At=1, Type="TaskDone", TaskId="x", Data=None)
    place.insert("Webhooks", Name="Ü", Seq=977)
    place.insert("Audit", Id=500, At=1, Message=ODD, Actor="x", TaskId=None, Address="")
    answer = {"RequestHash": "h", "TaskId": "t", "ExpiresAt": 9, "Answer": bytes(range(256))}
    place.insert("IdempotencyKeys", Principal="p", Key="k", **answer)
    place.insert("IdempotencyKeys", Principal="p", Key="K", **(answer | {"Answer": b""}))
    place.insert("UniqueKeys", Type="t", Key="ß", TaskId="t")
    place.insert("Types", Name="t", Schema=JSON, RegisteredBy="w", RegisteredAt=1, Revision=7)
    place.insert("Queues", Name="q", Paused=1, UpdatedAt=1, UpdatedBy="x")
    place.insert("Turns", Queue="q", GroupKey="g", At=1)
    place.insert("Starts", Queue="q", GroupKey="", At=1, Count=3)
    schedule = {"Cron": "* * * * *", "Title": ODD, "Type": "t", "Queue": "q", "Payload": JSON}
    place.insert("Schedules", Name="s", UpdatedAt=1, UpdatedBy="x", **schedule)
    place.insert("ScheduleRuns", Schedule="s", DueAt=1, At=2, Outcome="fired")


def ignore(_: Progress) -> None:
    """Nobody looks on."""


@pytest.mark.parametrize(("source", "target"), PAIRS)
async def test_every_row_of_every_table_arrives_as_it_was(
    make: Callable[[str, str], Place], source: str, target: str
) -> None:
    """Texts byte for byte, NULL and the empty text apart; a lease is over, its owner is kept."""
    here, there = make(source, "here"), make(target, "there")
    fill(here)
    before = here.all()
    assert all(before.values()), "a table was forgotten"

    plan = look(here.side(), there.side())
    copied = copy(here.side(), there.side(), ignore)

    for row in before["Tasks"]:
        row["LeaseUntil"] = None if row["LeaseUntil"] is None else 0.0
    before["Tasks"].sort(key=lambda row: repr(sorted(row.items())))
    assert there.all() == before
    counts = {name: len(table) for name, table in before.items()}
    assert {each.table: each.rows for each in copied} == plan.rows == counts
    await goes_on(there.backend)


async def goes_on(backend: Backend) -> None:
    """What is new there has numbers after those that came along."""
    world = World(backend, Hands(), backend.store())
    await world.store.open()
    await world.add()
    await world.do(Audit(message="seen", actor="test"))
    await world.store.close()

    assert [row["Seq"] for row in backend.rows("Events")] == [41, 977, 978]
    assert [row["Id"] for row in backend.rows("Audit")] == [500, 501]


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_step_it_goes_on_from_there(
    make: Callable[[str, str], Place], kind: str
) -> None:
    """What was committed is not copied again, and nothing is there twice or not at all."""
    here, there = make("sqlite", "here"), make(kind, "there")
    here.backend.run(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
        "INSERT INTO Events (Seq, At, Type, TaskId) SELECT i, i, 'TaskDone', 'x' FROM n",
        MANY,
    )
    here.insert("Audit", Id=1, At=1, Message="m", Actor="x")

    done = 0
    for step in DEATHS.get(kind, ["copy Events 1000"]):
        with killed(here, there, step):
            done = len(there.backend.rows("Events"))
            assert done == (1_000 if step.startswith("copy") else MANY)
    seen: list[Progress] = []
    copy(here.side(), there.side(), seen.append)

    assert there.all() == here.all()
    copied = [each.done for each in seen if (each.act, each.table) == ("copy", "Events")]
    assert copied == sorted({done, min(done + 1_000, MANY), MANY})


@contextmanager
def killed(source: Place, target: Place, step: str) -> Iterator[None]:
    """A copy has died at this step."""
    command = [sys.executable, "-m", "tests.conformance.store.copier"]
    with subprocess.Popen(
        [*command, *source.words(), *target.words()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(step):
                break
            process.stdin.write("\n")
            process.stdin.flush()
        process.kill()
        assert process.wait() < 0, "it came to its end before"
    yield


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_copied_while_anybody_is_connected(
    make: Callable[[str, str], Place], kind: str
) -> None:
    """Neither away from a store in use nor into one; an idle program is one too."""
    used, still = make(kind, "used"), make("sqlite", "still")
    world = World(used.backend, Hands(), used.backend.store())
    await world.store.open()
    try:
        for ends in ((used, still), (still, used)):
            sides = ends[0].side(), ends[1].side()
            with pytest.raises(CopyFailed, match="stop TaskHub first"):
                look(*sides)
            with pytest.raises(CopyFailed, match="stop TaskHub first"):
                copy(*sides, ignore)
    finally:
        await world.store.close()
    assert look(used.side(), still.side()).rows["Tasks"] == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_lease_that_is_not_over_is_waited_for(
    make: Callable[[str, str], Place], kind: str
) -> None:
    """External workers hold leases without a connection."""
    here, there = make(kind, "here"), make("sqlite", "there")
    owner = f"{boot_id()}/ext:robot/1"
    until = boottime() + 90 if here.backend.is_of_one_host else 4e9
    here.task(1, Status="Processing", LeaseOwner=owner, LeaseUntil=until)

    with pytest.raises(CopyFailed, match=r"1 leases are not over: stop all workers"):
        look(here.side(), there.side())


@pytest.mark.parametrize("kind", KINDS)
async def test_a_half_copy_is_no_store(make: Callable[[str, str], Place], kind: str) -> None:
    """Nobody starts on it, moves its schema on or copies it further; only the same copy goes on."""
    here, there, other = make("sqlite", "here"), make(kind, "there"), make("sqlite", "other")
    here.task(1)
    other.task(2)
    other.task(3)
    begun(here, there)

    store = there.backend.store()
    for attempt in (store.open, store.migrate):
        with pytest.raises(HalfCopied):
            await attempt()
    with pytest.raises(HalfCopied):
        look(there.side(), other.side())
    with pytest.raises(CopyFailed, match=r"half of a copy of another database"):
        copy(other.side(), there.side(), ignore)
    here.task(4)
    with pytest.raises(CopyFailed, match=r"or .* was at work since: empty the target"):
        copy(here.side(), there.side(), ignore)
    here.backend.run("DELETE FROM Tasks WHERE Id LIKE '%4'")
    copy(here.side(), there.side(), ignore)
    await store.open()
    await store.close()


def begun(source: Place, target: Place) -> None:
    """A copy that was interrupted at its first word."""
    with pytest.raises(InterruptedError):
        copy(source.side(), target.side(), interrupt)


def interrupt(_: Progress) -> None:
    """As Ctrl-C does."""
    raise InterruptedError


@pytest.mark.parametrize("kind", KINDS)
def test_only_an_empty_target_is_filled(make: Callable[[str, str], Place], kind: str) -> None:
    """What is there may be the last copy of something."""
    here, there = make("sqlite", "here"), make(kind, "there")
    here.task(1)
    there.insert("Queues", Name="q", Paused=1, UpdatedAt=1, UpdatedBy="x")

    with pytest.raises(CopyFailed, match=r"not empty, and no half of a copy: 1 rows in Queues$"):
        copy(here.side(), there.side(), ignore)

    assert there.all()["Tasks"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_arrived_otherwise_is_seen(make: Callable[[str, str], Place], kind: str) -> None:
    """One letter, or NULL in place of an empty text."""
    here, there = make("sqlite", "here"), make(kind, "there")
    here.task(1, Error="")

    def spoil(progress: Progress) -> None:
        if (progress.act, progress.table, progress.done) == ("copy", "Tasks", 1):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        copy(here.side(), there.side(), spoil)
    there.backend.run("UPDATE Tasks SET Error = NULL")

    with pytest.raises(CopyFailed, match=r"^Tasks differs: 1 rows, checksum .*begin anew$"):
        copy(here.side(), there.side(), ignore)


@pytest.mark.skipif("postgres" not in KINDS, reason="no server here")
def test_a_row_that_the_target_does_not_take_is_named(make: Callable[[str, str], Place]) -> None:
    """Those before it are there; mended, the copy goes on."""
    here, there = make("sqlite", "here"), make("postgres", "there")
    for number in range(5):
        here.task(number, Error="a\0b" if number == 3 else None)

    with pytest.raises(CopyFailed, match=r"^Tasks 0192-0*3: .* does not take this row: .*NUL"):
        copy(here.side(), there.side(), ignore)

    assert len(there.backend.rows("Tasks")) == 3
    here.backend.run("UPDATE Tasks SET Error = 'ab' WHERE Error IS NOT NULL")
    copy(here.side(), there.side(), ignore)
    assert there.all() == here.all()


@pytest.mark.parametrize("kind", KINDS)
async def test_schemas_are_the_newest_on_both_sides(
    make: Callable[[str, str], Place], makers: dict[str, Maker], tmp_path: Path, kind: str
) -> None:
    """The target's is made by the copy; the source's is its owner's affair."""
    here, empty = make("sqlite", "here"), Place(kind, makers[kind].empty("bare", tmp_path))
    here.task(1)
    older = make(kind, "older")
    older.backend.run("UPDATE alembic_version SET version_num = '0001'")

    with pytest.raises(CopyFailed, match="run `taskhub db migrate`"):
        look(older.side(), empty.side())
    with pytest.raises(CopyFailed, match=r"nothing to copy|no such database"):
        look(empty.side(), here.side())
    plan = look(here.side(), empty.side())
    assert (plan.rows["Tasks"], plan.done) == (1, {})
    assert (await empty.backend.store().schema()).found is None
    copy(here.side(), empty.side(), ignore)

    assert (await empty.backend.store().schema()).found == migrations.NEWEST
    assert empty.all() == here.all()
