"""Real child processes under a supervisor: readiness, deaths, freezes, blocks, stops."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from taskhub.kernel.actor import RestartLimit
from taskhub.kernel.call import Unreachable
from taskhub.kernel.events import (
    ActorGaveUp,
    ActorRestarting,
    ChildExited,
    ChildKilled,
    HookFailed,
)
from taskhub.kernel.process import ChildDied, Health, ReplaceMe
from taskhub.kernel.supervisor import RestartLimitExceeded

from tests.unit.kernel.troupe import is_gone, process_spec, troupe

pytestmark = pytest.mark.both_loops


async def test_a_child_is_ready_when_it_says_so_and_has_what_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its snapshot, its own session, an empty stdin, an environment without our secrets."""
    os.environ["A_SECRET"] = "hidden"
    async with troupe(process_spec(tmp_path)) as group:
        await group.serving("incarnation-1")
        facts = await group.say("facts")
        (row,) = group.stage.supervisor.tree()
        mode = (tmp_path / "unit.sock").stat().st_mode & 0o777

    assert facts["snapshot"] == "snapshot of incarnation-1"
    assert facts["session"] == row.pid
    assert facts["stdin"] == "/dev/null"
    assert "A_SECRET" not in facts["environment"]
    assert mode == 0o600


async def test_a_stop_lets_the_child_drain_and_exit(tmp_path: Path) -> None:
    """SIGTERM reaches the child through its supervisor; a clean end is no failure."""
    async with troupe(process_spec(tmp_path)) as group:
        await group.serving("incarnation-1")

    assert [(event.code, event.was_ready) for event in group.events(ChildExited)] == [(0, True)]
    assert group.told[-1] == "death incarnation-1"
    assert not (tmp_path / "unit.sock").exists()


async def test_a_killed_child_is_buried_before_its_successor_is_born(tmp_path: Path) -> None:
    """The leases of the dead are released first."""
    async with troupe(process_spec(tmp_path)) as group:
        pid, _ = await group.spawned.next()
        await group.serving("incarnation-1")

        os.kill(pid, signal.SIGKILL)
        await group.serving("incarnation-2")

        assert (await group.died.next()) == ("incarnation-1", pid, -signal.SIGKILL)
        assert group.told == [
            "spawn incarnation-1",
            "ready incarnation-1",
            "death incarnation-1",
            "spawn incarnation-2",
            "ready incarnation-2",
        ]


async def test_a_frozen_child_is_killed_and_replaced(tmp_path: Path) -> None:
    """A stopped process answers nothing: it must be dead before its leases lapse."""
    async with troupe(process_spec(tmp_path)) as group:
        pid, _ = await group.spawned.next()
        await group.serving("incarnation-1")

        os.kill(pid, signal.SIGSTOP)
        await group.serving("incarnation-2")

        (killed,) = group.events(ChildKilled)
        assert (killed.pid, killed.reason[:6]) == (pid, "frozen")


async def test_a_longer_lease_gives_a_silent_child_more_time_at_once(tmp_path: Path) -> None:
    """A reload changes the lease in place: the number is asked for each time."""
    lease = [1000.0]
    async with troupe(process_spec(tmp_path, lease=lambda: lease[0])) as group:
        pid, _ = await group.spawned.next()
        await group.serving("incarnation-1")
        os.kill(pid, signal.SIGSTOP)

        lease[0] = 0.6
        await group.serving("incarnation-2")

        assert len(group.events(ChildKilled)) == 1


async def test_a_loop_that_is_blocked_past_a_deadline_is_killed(tmp_path: Path) -> None:
    """The keeper's thread still answers, and tells on the loop."""
    async with troupe(process_spec(tmp_path)) as group:
        await group.serving("incarnation-1")

        await group.order("block", deadline=0.1, seconds=1000)
        await group.serving("incarnation-2")

        (killed,) = group.events(ChildKilled)
        assert "blocked past the deadline" in killed.reason


async def test_a_loop_that_is_blocked_before_any_deadline_is_left_alone(tmp_path: Path) -> None:
    """A slow handler within its time is nobody's business."""
    async with troupe(process_spec(tmp_path)) as group:
        await group.serving("incarnation-1")

        await group.order("block", deadline=1000, seconds=2.5)
        await group.say("drain")  # answered by the loop itself, so after the block

        assert group.events(ChildKilled) == []


async def test_a_child_that_dies_before_it_is_ready_counts_and_escalates(tmp_path: Path) -> None:
    """A unit that cannot start is a bug: systemd and a human must hear of it."""
    async with troupe(process_spec(tmp_path, "dies"), RestartLimit(2, base=0.01)) as group:
        with pytest.raises(RestartLimitExceeded) as failure:
            await group.stage.task

    assert isinstance(failure.value.__cause__, ChildDied)
    assert [event.code for event in group.events(ChildExited)] == [3, 3, 3]


async def test_a_child_that_dies_after_it_was_ready_never_escalates(tmp_path: Path) -> None:
    """User code may end its process as often as it likes, also with exit code 0."""
    async with troupe(process_spec(tmp_path), RestartLimit(1, base=0.01, cap=0.02)) as group:
        for number, code in enumerate([1, 0, 2, 70], start=1):
            await group.serving(f"incarnation-{number}")
            await group.order("exit", code=code)
        await group.serving("incarnation-5")

        assert [event.code for event in group.events(ChildExited)] == [1, 0, 2, 70]
        assert {event.counted for event in group.events(ActorRestarting)} == {False}
        assert not group.events(ActorGaveUp)


async def test_a_child_that_dies_as_soon_as_it_is_ready_was_ready(tmp_path: Path) -> None:
    """A queue full of tasks that kill their worker at once must not look like a start that fails:
    it would end the API too.
    """
    limit = RestartLimit(1, base=0.01, cap=0.02)
    async with troupe(process_spec(tmp_path, "flash"), limit) as group:
        for number in range(1, 5):
            await group.serving(f"incarnation-{number}")
            await group.died.next()

        assert {event.was_ready for event in group.events(ChildExited)} == {True}
        assert {event.counted for event in group.events(ActorRestarting)} == {False}
        assert not group.events(ActorGaveUp)


async def test_a_child_may_ask_to_be_replaced(tmp_path: Path) -> None:
    """A worker whose thread will not stop drains, and a fresh one takes its place."""
    async with troupe(process_spec(tmp_path)) as group:
        await group.serving("incarnation-1")

        await group.order("replace")
        await group.serving("incarnation-2")

        (restart,) = group.events(ActorRestarting)
        assert isinstance(restart.error, ReplaceMe)
        assert (restart.counted, restart.pause) == (False, 0.0)


async def test_a_child_that_is_not_ready_in_time_is_killed(tmp_path: Path) -> None:
    """A start that hangs is a failure with a name."""
    spec = process_spec(tmp_path, "hangs", ready_timeout=0.3)
    async with troupe(spec, RestartLimit(1, base=0.01)) as group:
        with pytest.raises(RestartLimitExceeded):
            await group.stage.task

    assert {event.reason for event in group.events(ChildKilled)} == {"not ready in 0.3 s"}


@pytest.mark.parametrize("order", ["deaf", "slow"])
async def test_a_child_that_will_not_stop_is_killed(tmp_path: Path, order: str) -> None:
    """A stop has an end, and the hook still runs after the death."""
    spec = process_spec(tmp_path, order, stop_timeout=0.1, grace=lambda: 0.1)
    async with troupe(spec) as group:
        await group.serving("incarnation-1")

    assert [event.reason for event in group.events(ChildKilled)] == ["did not stop in 0.2 s"]
    assert group.told[-1] == "death incarnation-1"


async def test_a_supervisor_that_must_stop_now_kills_and_buries_its_child(tmp_path: Path) -> None:
    """A second SIGTERM at the root leaves no process and no lease behind."""
    async with troupe(process_spec(tmp_path, "slow")) as group:
        pid, _ = await group.spawned.next()
        await group.serving("incarnation-1")
        group.stage.ctx.stopping.set()

        group.stage.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await group.stage.task

        assert is_gone(pid, within=0)
        assert group.told[-1] == "death incarnation-1"


@pytest.mark.parametrize("apart", [False, True])
async def test_what_a_child_has_started_dies_with_it(tmp_path: Path, apart: bool) -> None:
    """A handler's own subprocess must not go on while the task runs again elsewhere, nor may that
    of a processor, which has a group of its own.
    """
    async with troupe(process_spec(tmp_path)) as group:
        await group.serving("incarnation-1")
        grandchild = (await group.say("fork", apart=apart))["pid"]

        await group.order("exit", code=1)
        await group.serving("incarnation-2")

        assert is_gone(grandchild)


async def test_a_hook_that_fails_is_told_and_does_not_stop_the_restart(tmp_path: Path) -> None:
    """The sweep mends what a hook has left undone."""
    async with troupe(process_spec(tmp_path)) as group:
        pid, _ = await group.spawned.next()
        await group.serving("incarnation-1")
        group.died = None  # type: ignore[assignment]

        os.kill(pid, signal.SIGKILL)
        await group.serving("incarnation-2")

        assert [event.hook for event in group.events(HookFailed)] == ["on_death"]


async def test_a_restart_on_request_replaces_the_process(tmp_path: Path) -> None:
    """What needs a new process gets one, by name, after a drain."""
    async with troupe(process_spec(tmp_path)) as group:
        await group.serving("incarnation-1")

        await group.stage.supervisor.restart("unit")

        assert (await group.say("facts"))["snapshot"] == "snapshot of incarnation-2"
        assert group.events(ActorRestarting) == []


async def test_an_answer_of_another_process_is_no_answer(tmp_path: Path) -> None:
    """A stale socket must not vouch for a child that is stuck."""
    async with troupe(process_spec(tmp_path)) as group:
        await group.serving("incarnation-1")
        spec = process_spec(tmp_path, "hangs", ready_timeout=0.5, argv=_sleeps)
        async with troupe(spec, RestartLimit(0)) as impostor:
            with pytest.raises(RestartLimitExceeded):
                await impostor.stage.task

        assert impostor.events(ChildKilled)[0].reason == "not ready in 0.5 s"


async def test_a_program_that_does_not_exist_is_a_failure_that_counts(tmp_path: Path) -> None:
    """No hook is called for a child that was never born."""
    spec = process_spec(tmp_path, argv=lambda birth: [str(tmp_path / "nothing")])
    async with troupe(spec, RestartLimit(1, base=0.01)) as group:
        with pytest.raises(RestartLimitExceeded) as failure:
            await group.stage.task

    assert isinstance(failure.value.__cause__, FileNotFoundError)
    assert group.told == []


async def test_a_foreign_program_is_kept_with_a_probe_of_its_own(tmp_path: Path) -> None:
    """An embedded server knows nothing of keepers and lifelines."""
    answers = iter([False, True])

    async def probe(pid: int) -> Health:
        if not next(answers, True):
            raise Unreachable("not yet")
        return Health(ready=True)

    spec = process_spec(tmp_path, argv=_sleeps, snapshot=None, socket=None, probe=probe)
    async with troupe(spec) as group:
        await group.serving("incarnation-1")

    assert [event.signal for event in group.events(ChildExited)] == [signal.SIGTERM]


def _sleeps(birth: object) -> list[str]:
    return ["sleep", "1000"]
