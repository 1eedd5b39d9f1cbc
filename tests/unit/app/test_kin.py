"""Children: what they are told, what they inherit, and how they are buried."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.app import kin as kin_module
from taskhub.app.forest import Forest
from taskhub.app.kin import Snapshot, command_line
from taskhub.app.process import new_owner
from taskhub.app.specs import spec_of
from taskhub.config.sections import Secret
from taskhub.config.snapshot import decode
from taskhub.config.units import UnitEntry
from taskhub.kernel.actor import Context
from taskhub.kernel.process import ChildProcess
from taskhub.kernel.spawn import Birth
from taskhub.kernel.supervisor import Supervisor
from taskhub.messages import Put
from taskhub.model import Owner, TaskId
from taskhub.obs.telemetry import Depths, LeasesTaken
from taskhub.ports import Claim, Create, Refused, Takeover
from taskhub.store.sqlite import SqliteStore
from taskhub.work.incarnation import LOCKS, ledger_file
from taskhub.work.ledger import Ledger

from tests.actors.workshop import task
from tests.unit.app.household import KEY, Household, replaced
from tests.waiting import turns

CANARY = "canary-in-the-environment"


def child(house: Household, unit: str) -> ChildProcess:
    """The actor that is one process of a unit."""
    (spec,) = house.kin.specs(UnitEntry(unit))
    actor = spec.build()
    assert isinstance(actor, ChildProcess)
    return actor


def told(house: Household, unit: str) -> Snapshot:
    """What such a child is told at its birth."""
    snapshot = child(house, unit).spec.snapshot
    assert snapshot is not None
    data = snapshot(Birth(str(new_owner(f"{unit}-1")), 9, Path("/run/x.sock")))
    return msgspec.msgpack.decode(data, type=Snapshot)


# ---- what they are told ----


async def test_only_the_api_is_told_the_token_key(house: Household) -> None:
    """User code runs in workers."""
    api, worker = told(house, "api"), told(house, "worker")

    assert decode(api.config).jwt.issuer_signing_key.reveal() == KEY
    assert decode(worker.config).jwt.issuer_signing_key.reveal() == ""
    assert KEY.encode() not in worker.config
    assert decode(worker.config).redis.password.reveal() == "a password"


async def test_only_workers_are_told_what_requests_are_signed_with(house: Household) -> None:
    """The API sends none."""
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    house.process.live.config = replaced(house.process.live.config, outbound__secret=secret)

    assert decode(told(house, "worker").config).outbound.secret == secret
    for unit in ("api", "scheduler"):
        assert secret.reveal().encode() not in told(house, unit).config


async def test_the_instances_of_a_unit_are_stopped_at_the_same_time(house: Household) -> None:
    """One after the other, four workers would need four times the grace, and systemd would kill."""
    api, first, second = (
        *house.kin.specs(UnitEntry("api")),
        *house.kin.specs(UnitEntry("worker", 2)),
    )

    assert first.group == second.group != api.group
    assert "" not in {first.group, api.group}


async def test_a_child_born_after_a_reload_is_told_the_accepted_configuration(
    house: Household,
) -> None:
    """Whatever the file says by then."""
    accepted = replaced(house.process.live.config, work__concurrency=7)
    house.process.live.config = accepted
    house.write("[work]\nconcurency = 1\n")

    assert decode(told(house, "worker").config).work.concurrency == 7


async def test_a_child_knows_its_place(house: Household) -> None:
    """Its name, its incarnation, its parent's socket; only the API gets the listening socket."""
    worker = told(house, "worker")

    assert (worker.name, worker.unit, worker.listener) == ("worker-1", "worker", -1)
    assert worker.parent == str(house.process.keeper.path)
    assert worker.folder == str(house.folder)
    assert worker.owner.count("/") == 2


async def test_a_child_inherits_nothing_of_the_configuration_and_nothing_of_systemd(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker never sees a key; a child never tells systemd that it is the service."""
    ours = ["Jwt__IssuerSigningKey", "REDIS__PASSWORD", "taskhub__jwt__audience", "Http__Port"]
    ours += ["Jwt__IssuerSigningKey_FILE", "TASKHUB_TOKEN", "TASKHUB_TOKEN_FILE"]
    ours += ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY"]
    ours += ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]
    for name in ours:
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("SHOP_DATABASE", "theirs")

    env = child(house, "worker").spec.env

    assert CANARY not in env.values()
    assert env["SHOP_DATABASE"] == "theirs"
    assert env["PATH"] == os.environ["PATH"]


async def test_no_secret_stands_on_a_command_line(house: Household) -> None:
    """Everybody can read it."""
    birth = Birth("owner", 9, Path("/run/x.sock"))
    assert child(house, "worker").spec.argv(birth) == command_line(birth)
    assert command_line(birth)[1:] == ("-P", "-m", "taskhub", "_child", "9")


async def test_the_time_for_their_stop_follows_a_reload(house: Household) -> None:
    """A longer grace would else end in a kill."""
    spec = child(house, "worker").spec
    house.process.live.config = replaced(house.process.live.config, supervisor__grace=100.0)

    assert spec.stop_timeout + spec.grace() == 103.0


# ---- burial ----


@asynccontextmanager
async def with_store(house: Household, empty: Path) -> AsyncIterator[None]:
    """The store actor of the root runs."""
    shutil.copy(empty, house.folder / "tasks.db")
    ctx = Context("tree")
    supervisor = Supervisor([spec_of(house.process, "store")])
    run = asyncio.create_task(supervisor.run(ctx))
    await ctx.is_ready.wait()
    try:
        yield
    finally:
        ctx.stopping.set()
        await run


async def held(house: Household, owner: Owner) -> list[TaskId]:
    """Two tasks that a child holds; it has begun the first."""
    items = [task("job"), task("job")]
    box = house.process.boxes.store
    await Put(*(Create(item=item) for item in items)).sent_to(box)
    await Put(Claim(owner=owner, limit=2, lease=3_600.0, types=["job"])).sent_to(box)
    path = ledger_file(house.process.runtime, owner)
    assert path is not None
    path.parent.mkdir(mode=0o700, exist_ok=True)
    ledger = Ledger.create(path, 4)
    ledger.start(items[0].id)
    ledger.close()
    return [item.id for item in items]


async def test_a_dead_child_s_tasks_are_free_before_its_successor_starts(
    house: Household, empty_database: Path
) -> None:
    """Its ledger says which had begun; then its files go."""
    owner = new_owner("worker-1")
    async with with_store(house, empty_database):
        ids = await held(house, owner)

        await house.kin._on_death(owner, 1, -9)

        rows = await house.process.store.get(ids)
        assert [(row.status.value, row.attempts) for row in rows] == [
            ("Pending", 1),
            ("Pending", 0),
        ]
    (event,) = house.said(LeasesTaken)
    assert (event.owner, event.requeued) == (owner, 2)
    assert list((house.process.runtime / LOCKS).iterdir()) == []


async def test_a_burial_waits_out_trouble_of_the_store(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pauses: a mailbox that is full at this moment has room in the next."""
    monkeypatch.setattr(kin_module, "PAUSE_LAST", 0.02)
    box = house.process.boxes.store
    box.limit = 0
    burial = asyncio.create_task(house.kin._on_death(new_owner("worker-1"), 1, -9))
    await turns(50)
    assert not burial.done()
    box.limit = 8
    async with asyncio.timeout(10):
        (put,) = await box.take()
    assert [type(write) for write in put.writes] == [Takeover]
    put.answer([Refused("no")])
    await burial


async def test_a_burial_gives_up_some_day(
    house: Household, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Life goes on: the sweep of a worker finds the free lock."""
    monkeypatch.setattr(kin_module, "PAUSE_LAST", 0.001)
    monkeypatch.setattr(kin_module, "PAUSE_FIRST", 0.001)
    house.process.boxes.store.limit = 0
    async with asyncio.timeout(10):
        await house.kin._on_death(new_owner("worker-1"), 1, -9)

    assert house.process.boxes.store.refused == kin_module.TRIES


async def test_a_ledger_is_kept_when_its_takeover_was_refused(house: Household) -> None:
    """Whoever comes next needs it."""
    owner = new_owner("worker-1")
    path = ledger_file(house.process.runtime, owner)
    assert path is not None
    path.parent.mkdir(mode=0o700)
    Ledger.create(path, 4).close()
    burial = asyncio.create_task(house.kin._on_death(owner, 1, -9))
    (put,) = await house.process.boxes.store.take()
    put.answer([Refused("no")])
    await burial

    assert path.exists()


async def test_where_no_store_runs_nobody_waits_for_one(house: Household) -> None:
    """A root of units alone: each death would else cost the time of a hook."""
    house.process.entries = (UnitEntry("worker"),)

    await house.kin._on_death(new_owner("worker-1"), 1, -9)

    assert len(house.process.boxes.store) == 0


# ---- asking them ----


async def test_all_children_are_asked_at_once_and_silence_is_no_answer(house: Household) -> None:
    """One that hangs must not make a scrape wait for each of the others in turn."""
    both = asyncio.Barrier(2)

    async def tree(_: dict[str, Any]) -> dict[str, Any]:
        async with asyncio.timeout(10):
            await both.wait()
        return {"actors": [{"name": "x"}]}

    async with house.child("worker-1", tree=tree), house.child("api-1", tree=tree):
        house.kin.specs(UnitEntry("metrics"))

        answers = await house.kin.ask("tree")
        rows = await Forest(house.process, house.kin).actors() if len(answers) == 2 else []

    assert sorted(answers) == ["api-1", "worker-1"]
    assert rows == [{"name": "x"}] * 2


async def test_a_scrape_tells_depths_while_the_store_is_well_and_the_rest_always(
    house: Household, empty_database: Path
) -> None:
    """Trouble of the database must not blind the operator."""
    async with with_store(house, empty_database):
        await Put(Create(item=task("job", queue="mail"))).sent_to(house.process.boxes.store)
        forest = Forest(house.process, house.kin)

        assert await forest.gather() == []
        assert house.said(Depths)[0].queues[0][:3] == ("mail", "Pending", 1)

        store = house.process.store
        assert isinstance(store, SqliteStore)
        store._readers._path = house.folder / "nowhere" / "tasks.db"
        await store._readers.close()
        await store._readers.close()
        store._readers._free = asyncio.LifoQueue()
        store._readers._free.put_nowait(None)
        assert await forest.gather() == []
        assert len(house.said(Depths)) == 1
