"""Tasks in processors: real processes, really killed."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from taskhub.attempts import Ended, Lost, Released, StopReason
from taskhub.config.sections import Config, OutboundSection
from taskhub.config.snapshot import encode
from taskhub.model import Status, TaskId
from taskhub.obs.telemetry import HandlerRaised, HandlerSaid, ProcessChanged, Telemetry
from taskhub.ports import Finish, Progress
from taskhub.work.attempt import Attempt
from taskhub.work.lane import ProcessorLane
from taskhub.work.outbound.http_task import http_handler
from taskhub.work.processor import ProcessorSpec
from taskhub.work.processor_child import EXIT_HANDLERS
from taskhub.work.registry import discover
from taskhub.work.wire import Run, run_order

from tests.certificates import make_pair
from tests.unit.work.making import TASK, attempt
from tests.unit.work.outbound.receiving import Receiver
from tests.waiting import Signal, blocking_until, turns, until

ROOT = Path(__file__).parents[3]
PROGRAMS = "tests.unit.work.programs"
OTHER = TaskId("018f0000-0000-7000-8000-000000000002")
THIRD = TaskId("018f0000-0000-7000-8000-000000000003")


class _World:
    """A lane, and all it told."""

    def __init__(self, **more: Any) -> None:
        self.events: list[Telemetry] = []
        self.reports: list[Progress] = []
        self.said: Signal[HandlerSaid] = Signal()
        given: dict[str, Any] = {
            "env": dict(os.environ),
            "handlers": (PROGRAMS,),
            "folder": ROOT,
            "grace": 0.3,
        }
        spec = ProcessorSpec(**(given | more))
        registry = discover([PROGRAMS], also=[http_handler(None)])
        self.lane = ProcessorLane(registry, spec, self._emit, on_progress=self._on_progress)

    def _emit(self, event: Telemetry) -> None:
        self.events.append(event)
        if isinstance(event, HandlerSaid):
            self.said(event)

    def _on_progress(self, reports: Sequence[Progress]) -> None:
        self.reports += reports

    def changes(self, what: str) -> list[str]:
        found = [event for event in self.events if isinstance(event, ProcessChanged)]
        return [event.detail for event in found if event.what == what]

    def pids(self) -> list[int]:
        return [event.pid for event in self.events if isinstance(event, ProcessChanged)]

    def in_hand(self) -> int:
        """How many attempts its processor has now."""
        return len(self.lane._homes)

    def notes(self) -> list[str]:
        """Which tasks have begun in its processors, in order."""
        return [e.task_id for e in self.events if isinstance(e, HandlerSaid) and e.text == "notes"]

    async def started(self, one: Attempt) -> tuple[asyncio.Task[Ended], int]:
        """Run an attempt whose handler says its pid; returns once it does."""
        task = asyncio.create_task(self.lane.run(one))
        return task, int((await self.said.next(20)).fields["pid"])


@asynccontextmanager
async def _world(**more: Any) -> AsyncIterator[_World]:
    world = _World(**more)
    try:
        yield world
    finally:
        await world.lane.close()


def _finish(ended: Ended) -> Finish:
    assert isinstance(ended, Finish)
    return ended


async def test_a_task_runs_in_a_process_of_its_own() -> None:
    """Its result, its log and its progress come over all the same."""
    async with _world() as world:
        ended = await world.lane.run(attempt("speaks", {"name": "ada"}, suspect=True))

    assert ended == Finish(id=TASK, fence=7, status=Status.DONE, result=b'{"hello":"ada"}')
    said = world.said._said[0]
    assert (said.task_id, said.severity, said.text) == (TASK, "Warning", "hello")
    assert [msgspec.json.decode(r.data)["fraction"] for r in world.reports] == [0.5]


async def test_a_request_can_be_made_from_there_by_the_same_rules() -> None:
    """Its worker may have died beside it: it is a suspect like any other."""
    outbound = OutboundSection(allow=("127.0.0.1/32",))
    data = encode(msgspec.structs.replace(Config(), outbound=outbound))
    async with Receiver().up() as receiver, _world(settings=lambda: data) as world:
        ended = await world.lane.run(attempt("http", {"url": receiver.url}, suspect=True))
        other = {"url": receiver.url.replace("127.0.0.1", "127.0.0.2")}
        refused = await world.lane.run(attempt("http", other, suspect=True))

    assert (_finish(ended).status, _finish(refused).status) == (Status.DONE, Status.FAILED)
    assert len(receiver.requests) == 1


async def test_authorities_of_one_s_own_are_named_in_the_environment(tmp_path: Path) -> None:
    """A company signs its own certificates."""
    path = make_pair(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, path.with_suffix(".key"))
    outbound = OutboundSection(allow=("127.0.0.1/32",))
    data = encode(msgspec.structs.replace(Config(), outbound=outbound))
    env = {**os.environ, "SSL_CERT_FILE": str(path)}
    async with Receiver().up(context) as receiver, _world(env=env, settings=lambda: data) as world:
        ended = await world.lane.run(attempt("http", {"url": receiver.url}, suspect=True))

    assert (_finish(ended).status, _finish(ended).error) == (Status.DONE, None)


async def test_a_processor_is_used_again() -> None:
    """Starting one costs a tenth of a second and more."""
    async with _world() as world:
        for _ in range(3):
            await world.lane.run(attempt("speaks", {"name": "ada"}))

    assert len(world.changes("spawned")) == 1


@pytest.mark.parametrize("patience", range(1, 5))
async def test_a_start_that_is_cut_short_leaves_no_process(patience: int) -> None:
    """A pool that crashes at that moment has not heard of it: who else should end it?"""
    async with _world() as world:
        run = asyncio.create_task(world.lane.run(attempt("speaks", {"name": "ada"}, suspect=True)))
        await turns(patience)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

        await world.lane.close()
        await until(lambda: len(world.changes("exited")) == len(world.changes("spawned")) == 1)


async def test_a_handler_that_raises_has_failed_as_anywhere() -> None:
    """It is no suspect any more: it did not kill its process."""
    async with _world() as world:
        finish = _finish(await world.lane.run(attempt("raises", suspect=True)))

    assert (finish.status, finish.error, finish.suspect) == (
        Status.PENDING,
        "ValueError: no",
        False,
    )
    assert any(isinstance(event, HandlerRaised) for event in world.events)


async def test_a_handler_that_kills_its_process_has_failed_and_stays_a_suspect() -> None:
    """The next task gets a new process."""
    async with _world() as world:
        finish = _finish(await world.lane.run(attempt("exits", {"code": 3})))
        after = _finish(await world.lane.run(attempt("speaks", {"name": "ada"})))

    assert (finish.status, finish.error) == (Status.PENDING, "its process died (exit code 3)")
    assert finish.suspect
    assert after.status is Status.DONE


async def test_the_last_attempt_that_kills_its_process_ends_the_task() -> None:
    """However often poison is given, it ends."""
    async with _world() as world:
        ended = await world.lane.run(attempt("exits", {"code": 0}, attempt=5, max_attempts=5))

    assert (_finish(ended).status, _finish(ended).error) == (
        Status.FAILED,
        "its process died (exit code 0)",
    )


async def test_a_processor_that_is_killed_in_mid_task_ends_the_attempt() -> None:
    """By the kernel for its memory, say."""
    async with _world() as world:
        task, pid = await world.started(attempt("waits"))
        os.kill(pid, signal.SIGKILL)
        finish = _finish(await task)

    assert (finish.status, finish.error) == (Status.PENDING, "its process died (signal 9)")


@pytest.mark.parametrize("kind", ["blocks-loop", "blocks-thread"])
async def test_a_handler_that_does_not_stop_at_its_deadline_is_killed(kind: str) -> None:
    """With its process, and with nobody else's."""
    async with _world() as world:
        task, _ = await world.started(attempt(kind, timeout=0.2))
        finish = _finish(await task)

    assert (finish.status, finish.error) == (
        Status.PENDING,
        "timed out after 0.2 s and was killed",
    )
    assert finish.suspect


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (StopReason.CANCEL, Status.CANCELLED),
        (StopReason.TIMEOUT, Status.PENDING),
        (StopReason.LOST, Lost()),
        (StopReason.DRAIN, Released()),
    ],
)
@pytest.mark.parametrize("kind", ["waits", "blocks-loop", "blocks-thread"])
async def test_a_stop_is_obeyed_or_enforced(
    kind: str, reason: StopReason, expected: object
) -> None:
    """What is written is the same, whether the handler obeys or its process is killed."""
    one = attempt(kind)
    async with _world() as world:
        task, _ = await world.started(one)
        world.lane.stop(one, reason)
        ended = await task
        killed = world.changes("killed")

    assert (ended.status if isinstance(ended, Finish) else ended) == expected
    assert bool(killed) == (kind != "waits")


@pytest.mark.parametrize("how", ["exits", "killed"])
async def test_who_waits_behind_one_that_dies_loses_nothing_and_runs_in_the_next_process(
    how: str,
) -> None:
    """Only the one that ran is to blame: whether it died by itself or was killed for its time."""
    ids = [TaskId(f"018f0000-0000-7000-8000-{number:012x}") for number in range(3)]
    poison = attempt("exits", {"code": 1}) if how == "exits" else attempt("blocks-loop")
    async with _world() as world:
        before = asyncio.create_task(world.lane.run(attempt("raises", task_id=OTHER)))
        first = asyncio.create_task(world.lane.run(poison))
        behind = [attempt("speaks", {"name": str(id_)}, task_id=id_) for id_ in ids]
        others = [asyncio.create_task(world.lane.run(each)) for each in behind]
        if how == "killed":
            await world.said.next(20)
            world.lane.stop(poison, StopReason.TIMEOUT)
        died, raised = _finish(await first), _finish(await before)
        spoken = [_finish(await each) for each in others]

    assert (died.suspect, died.status, raised.suspect) == (True, Status.PENDING, False)
    assert [each.status for each in spoken] == [Status.DONE] * 3
    assert len(world.changes("spawned")) == 2
    said = [
        event for event in world.events if isinstance(event, HandlerSaid) and event.text == "hello"
    ]
    assert sorted(event.task_id for event in said) == ids  # once each


async def test_a_processor_that_dies_with_nothing_begun_costs_the_first_in_line_alone() -> None:
    """Somebody is charged, so that it comes to an end however often it happens."""
    one, other = attempt("waits"), attempt("speaks", {"name": "ada"}, task_id=OTHER)
    async with _world() as world:
        await world.lane.run(attempt("raises"))
        pid = world.pids()[0]
        os.kill(pid, signal.SIGSTOP)
        tasks = [asyncio.create_task(world.lane.run(each)) for each in (one, other)]
        await turns()
        os.kill(pid, signal.SIGKILL)
        first, second = [_finish(await task) for task in tasks]

    assert (first.error, first.suspect) == ("its process died (signal 9)", True)
    assert second.status is Status.DONE


async def test_what_waits_is_taken_back_though_the_handler_stands_on_the_loop() -> None:
    """The processor is not asked; the one that runs goes on."""
    async with _world() as world:
        running, _ = await world.started(attempt("blocks-loop"))
        waits, stopped = attempt("waits", task_id=OTHER), attempt("waits", task_id=THIRD)
        given = [asyncio.create_task(world.lane.perform(each)) for each in (waits, stopped)]
        await turns()
        world.lane.take_back()
        assert await asyncio.gather(*given) == [None, None]
        ended = asyncio.create_task(world.lane.run(stopped))
        await turns()
        world.lane.stop(stopped, StopReason.CANCEL)
        assert _finish(await ended).status is Status.CANCELLED
        assert not running.done()
        await world.lane.close()
        assert await running == Released()

    assert len(world.said._said) == 0  # nobody else has begun


async def test_what_a_dead_processor_had_started_dies_with_it() -> None:
    """A fork of a handler must not hold ports, locks or memory for ever."""
    async with _world() as world:
        finish = _finish(await world.lane.run(attempt("leaves-child")))
        grandchild = int((await world.said.next()).fields["pid"])

    assert finish.error == "its process died (signal 9)"
    await until(lambda: not _lives(grandchild))


async def test_an_idle_processor_ends_by_itself() -> None:
    """Its memory is worth more than the tenth of a second to start it again."""
    async with _world(idle=0.01) as world:
        await world.lane.run(attempt("speaks", {"name": "ada"}))
        await until(lambda: world.changes("exited"))

    assert world.changes("exited") == ["exit code 0"]
    assert world.changes("killed") == []


async def test_a_processor_finds_in_its_environment_what_it_is_given() -> None:
    """The worker's own may hold secrets."""
    async with _world(env={"PATH": "/usr/bin", "GIVEN": "1"}) as world:
        ended = await world.lane.run(attempt("environment"))

    names = msgspec.json.decode(_finish(ended).result or b"")
    assert set(names) - {"LC_CTYPE"} == {"GIVEN", "PATH"}


async def test_a_processor_that_cannot_import_its_handlers_fails_the_attempt(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """And says why, in the log."""
    async with _world(handlers=("not_there",), folder=tmp_path) as world:
        finish = _finish(await world.lane.run(attempt("waits")))

    assert finish.error == f"its processor did not get ready (exit code {EXIT_HANDLERS})"
    assert "not_there" in capfd.readouterr().err


async def test_an_order_that_no_processor_can_read_costs_attempts_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given back unharmed it would be claimed again without end; what waits behind it is."""
    async with _world() as world:
        await world.lane.run(attempt("raises"))
        one, other = attempt("waits"), attempt("speaks", {"name": "ada"}, task_id=OTHER)
        orders = iter([Run(2, b"no JSON"), run_order(3, other.lease), run_order(1, other.lease)])
        monkeypatch.setattr("taskhub.work.processor.run_order", lambda *_: next(orders))
        read, behind = await asyncio.gather(world.lane.run(one), world.lane.run(other))

    first = _finish(read)
    assert (first.status, first.suspect) == (Status.PENDING, True)
    assert (first.error or "").startswith("its process died")
    assert _finish(behind).status is Status.DONE


async def test_a_processor_that_does_not_get_ready_is_killed(tmp_path: Path) -> None:
    """A module may hang while it is imported; the worker must not hang with it."""
    (tmp_path / "hangs.py").write_text("import threading; threading.Event().wait()")

    async with _world(handlers=("hangs",), folder=tmp_path, start_within=0.2) as world:
        finish = _finish(await world.lane.run(attempt("waits")))

    assert finish.error == "its processor did not get ready (signal 9)"


async def test_nobody_waits_for_a_task_whose_caller_is_cancelled() -> None:
    """Its processor is killed: the task must not run on unseen."""
    async with _world() as world:
        task, pid = await world.started(attempt("waits"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not _lives(pid))


async def test_a_lane_that_closes_gives_its_tasks_back() -> None:
    """Its worker ends: that is no fault of theirs."""
    async with _world() as world:
        task, _ = await world.started(attempt("waits"))
        await world.lane.close()

        assert await task == Released()


async def test_an_attempt_stopped_before_it_began_starts_no_handler() -> None:
    """It may be cancelled between its claim and its turn."""
    one = attempt("exits", {"code": 1})
    async with _world() as world:
        world.lane.stop(one, StopReason.DRAIN)

        assert await world.lane.run(one) == Released()
    assert world.changes("spawned") == []


PARENT = """
    import asyncio, os
    from tests.unit.work.making import attempt
    from tests.unit.work.test_lane import _World

    async def main():
        world = _World()
        _, pid = await world.started(attempt("blocks-thread"))
        print(pid, flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


def test_no_processor_outlives_its_worker() -> None:
    """Not even when that is killed without a word."""
    command = [sys.executable, "-c", textwrap.dedent(PARENT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout is not None
        processor = int(parent.stdout.readline())
        parent.kill()

    blocking_until(lambda: not _lives(processor))


def _lives(pid: int) -> bool:
    with suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False
