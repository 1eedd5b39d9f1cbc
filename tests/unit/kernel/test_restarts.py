"""The supervisor on the virtual clock: every sentence that the design says about restarts."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from taskhub.kernel.actor import ChildSpec, Context, ExpectedExit, Restart, RestartLimit
from taskhub.kernel.child import State
from taskhub.kernel.events import ActorGaveUp, ActorRestarting
from taskhub.kernel.mailbox import ActorFailed
from taskhub.kernel.supervisor import RestartLimitExceeded

from tests.unit.kernel.cast import (
    Bug,
    Echo,
    Fragile,
    Plays,
    child,
    echo,
    now,
    on_stage,
    part,
    raise_curtain,
    serve,
)
from tests.virtual_clock import pass_time
from tests.waiting import turns

pytestmark = pytest.mark.virtual_clock


async def test_a_restart_keeps_the_address_and_what_is_queued() -> None:
    """The mailbox belongs to the spec: senders never learn that the reader was replaced."""
    box, spec = echo()
    async with on_stage([spec]) as stage:
        doomed, queued = Echo("die").sent_to(box), Echo("queued").sent_to(box)

        with pytest.raises(ActorFailed):
            await doomed

        assert await queued == "queued"
        assert len(stage.of(ActorRestarting)) == 1


async def test_each_restart_begins_with_fresh_state() -> None:
    """A factory, not an object, is kept: dirt dies with the actor."""
    built: list[Plays] = []

    def build() -> Plays:
        built.append(Plays(fragile))
        return built[-1]

    fragile = Fragile(2)
    async with on_stage([ChildSpec("a", build)]):
        assert len({id(actor) for actor in built}) == 3


async def test_the_first_restart_is_at_once_and_the_pause_grows() -> None:
    """One crash costs nothing; a crash loop costs less and less CPU."""
    fragile = Fragile(5)
    async with on_stage([part("a", fragile)]):
        pauses = [round(after - before, 6) for before, after in pairwise(fragile.starts)]

    assert pauses == [0.0, 0.05, 0.1, 0.2, 0.4]


def test_the_pause_is_jittered_and_capped() -> None:
    """Many children that die together do not come back in step, and none waits for long."""
    limit = RestartLimit()

    assert limit.pause(1, 0.5) == 0.0
    assert limit.pause(3, 1.0) < limit.pause(3, 0.0) == pytest.approx(0.1)
    assert limit.pause(500, 0.0) == limit.cap


async def test_a_pause_holds_back_the_failed_child_only() -> None:
    """Its neighbours answer meanwhile."""
    box, spec = echo()
    fragile = Fragile(4)
    async with on_stage([spec, part("a", serve)]):
        pass
    stage = raise_curtain([spec, part("a", fragile)], RestartLimit(base=4, cap=4, jitter=0))
    await turns()

    assert [row.state for row in stage.supervisor.tree()] == [State.READY, State.RESTARTING]
    assert await Echo("hello").sent_to(box) == "hello"
    assert now() < 4

    stage.ctx.stopping.set()
    await stage.task


async def test_five_deaths_in_thirty_seconds_are_borne_and_the_sixth_is_not() -> None:
    """The intensity of OTP: past it the supervisor fails and names the culprit."""
    stage = raise_curtain([part("a", Fragile(6))])

    with pytest.raises(RestartLimitExceeded, match="a") as failure:
        await stage.task

    assert isinstance(failure.value.__cause__, Bug)
    assert [event.name for event in stage.of(ActorGaveUp)] == ["a"]
    assert [event.strikes for event in stage.of(ActorRestarting)] == [1, 2, 3, 4, 5]


async def test_deaths_that_are_far_apart_are_forgotten() -> None:
    """An actor that dies every ten seconds is restarted for ever."""

    async def dies_each_ten_seconds(ctx: Context) -> None:
        ctx.ready()
        await ctx.pause(10)
        if not ctx.stopping.is_set():
            raise Bug

    async with on_stage([part("a", dies_each_ten_seconds)]) as stage:
        await pass_time(3600)

        assert len(stage.of(ActorRestarting)) > 300
        assert not stage.of(ActorGaveUp)


async def test_the_intensity_counts_all_children_of_one_supervisor() -> None:
    """As in OTP: six children that die once each are one sick group."""
    stage = raise_curtain([part(f"a{number}", Fragile(1)) for number in range(6)])

    with pytest.raises(RestartLimitExceeded):
        await stage.task


async def test_an_expected_end_never_escalates_and_pauses_for_five_seconds_at_most() -> None:
    """User code may kill its process as often as it likes."""
    fragile = Fragile(100, ExpectedExit)
    async with on_stage([part("a", fragile)]) as stage:
        pauses = [after - before for before, after in pairwise(fragile.starts)]

        assert pauses[0] == 0.0
        assert max(pauses) == pytest.approx(5.0)
        assert {event.strikes for event in stage.of(ActorRestarting)} == {0}


@pytest.mark.parametrize(
    ("restart", "error", "starts"),
    [
        (Restart.PERMANENT, None, 2),
        (Restart.PERMANENT, Bug, 2),
        (Restart.TRANSIENT, None, 1),
        (Restart.TRANSIENT, Bug, 2),
        (Restart.TEMPORARY, None, 1),
        (Restart.TEMPORARY, Bug, 1),
    ],
)
async def test_the_restart_kind_decides(
    restart: Restart, error: type[Exception] | None, starts: int
) -> None:
    """OTP's three words mean what they mean there."""
    fragile = Fragile(1, error)
    async with on_stage([child("a", lambda: Plays(fragile), restart)]):
        assert len(fragile.starts) == starts


async def test_a_strangers_cancellation_is_a_crash() -> None:
    """Without this an actor could end silently."""
    tasks: list[asyncio.Task[object]] = []

    async def play(ctx: Context) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await serve(ctx)

    async with on_stage([part("a", play)]) as stage:
        tasks[0].cancel()
        await turns()

        assert len(tasks) == 2
        assert isinstance(stage.of(ActorRestarting)[0].error, asyncio.CancelledError)


async def test_an_actor_that_calls_exit_crashes_alone() -> None:
    """SystemExit in a task would tear down the loop with everybody on it."""
    fragile = Fragile(1, SystemExit)  # type: ignore[arg-type]
    async with on_stage([part("a", fragile)]) as stage:
        assert len(fragile.starts) == 2
        assert isinstance(stage.of(ActorRestarting)[0].error, ActorFailed)


async def test_a_factory_that_raises_is_a_crash_of_its_actor() -> None:
    """A bug at birth is judged like any other."""
    stage = raise_curtain([ChildSpec("a", lambda: 1 / 0)])  # type: ignore[arg-type,return-value]

    with pytest.raises(RestartLimitExceeded) as failure:
        await stage.task

    assert isinstance(failure.value.__cause__, ZeroDivisionError)
